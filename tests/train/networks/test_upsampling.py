"""Upsampling: the graph, and what it does to stacks of every depth."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from graphs import check_graph_equals_torch, evaluated, normal, packed, restored, unet

from carezoo.errors import RecipeError
from carezoo.tiling import AxisRule
from carezoo.train.networks.upsampling import Upsampling

FACTOR = Fraction(51, 5)


def test_the_graph_equals_torch_at_every_depth():
    network = Upsampling(unet("ZYX", 2, depth=2, probabilistic=True), FACTOR)
    check_graph_equals_torch(network, [*((1, 2, n, 4, 4) for n in range(1, 10)), (2, 2, 3, 8, 12)])


def test_the_network_sees_interpolated_planes():
    inner = unet("ZYX")
    source = normal(1, 1, 4, 6, 8)
    position = ((np.arange(10) + 0.5) / 2.5 - 0.5).clip(0, 3)
    lower = np.floor(position).astype(int)
    weight = (position - lower)[:, None, None].astype(np.float32)
    stack = source[:, :, lower] * (1 - weight) + source[:, :, np.minimum(lower + 1, 3)] * weight
    expected = evaluated(inner, stack.astype(np.float32))
    found = evaluated(Upsampling(inner, Fraction(5, 2)), source)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_geometry():
    inner = unet("ZYX", depth=2)
    geometry = Upsampling(inner, FACTOR).geometry
    assert geometry.axes == "ZYX"
    assert geometry.factors == {"Z": FACTOR}
    assert geometry.rules["Z"] == AxisRule(1, 1, 0, is_tileable=False)
    assert geometry.rules["Y"] == inner.geometry.rules["Y"]


def test_tiled_equals_whole_and_the_file_says_where_the_planes_are(tmp_path):
    package = packed(Upsampling(unet("ZYX"), FACTOR), "upsample", (1, 5, 32, 32), tmp_path)
    pixels = (1000 * np.random.default_rng(1).random((3, 31, 45))).astype(np.uint16)
    whole, tiled = (restored(package, pixels, "ZYX", tile=tile) for tile in ("whole", 24))
    assert tiled.report.provenance.n_tiles > 4
    np.testing.assert_allclose(tiled.mean, whole.mean, rtol=1e-5, atol=1e-2)
    image = tiled.images["mean"]
    assert image.shape == (30, 31, 45)
    assert image.pixel_size_um["Z"] == pytest.approx(2 / 10.2)
    assert image.metadata.origin_um["Z"] == pytest.approx((2 / 10.2 - 2) / 2)


def test_a_network_for_images_cannot_upsample_stacks():
    with pytest.raises(RecipeError, match="three axes, found one for YX"):
        Upsampling(unet("YX"), FACTOR)
