"""Isotropic restoration: which axis plays which role, merging, tiles."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
import pytest
import torch
from graphs import Pointwise, check_graph_equals_torch, evaluated, normal, packed, restored, session, unet
from torch.nn import functional

from carezoo.check.halo import measure_halo
from carezoo.errors import RecipeError
from carezoo.tiling import AxisRule
from carezoo.train.export import to_onnx
from carezoo.train.networks.isotropic import IsotropicNetwork

FACTOR = Fraction(51, 5)


def filtering(kernel):
    """Return a network that filters every image with `kernel` (rows, columns)."""
    weight = torch.tensor(kernel)[None, None]
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    return Pointwise("YX", lambda x: functional.conv2d(x, weight, padding=padding))


def impulse():
    source = np.zeros((1, 1, 9, 9, 9), np.float32)
    source[0, 0, 4, 4, 4] = 1
    return source


def around(volume):
    """Return the three lines through the centre of a volume, along Z, Y, X."""
    return volume[0, 0, 3:6, 4, 4], volume[0, 0, 4, 3:6, 4], volume[0, 0, 4, 4, 3:6]


def test_z_takes_the_place_of_the_last_image_axis_in_both_passes():
    """A filter along columns acts along Z alone: once forwards, once with Z upside down."""
    z, y, x = around(evaluated(IsotropicNetwork(filtering([[1.0, 2.0, 4.0]]), Fraction(1)), impulse()))
    np.testing.assert_allclose(z, [(1 + 4) / 2, 2, (1 + 4) / 2])
    np.testing.assert_allclose(y, [0, 2, 0])
    np.testing.assert_allclose(x, [0, 2, 0])


def test_rows_are_y_in_one_pass_and_x_in_the_other():
    z, y, x = around(evaluated(IsotropicNetwork(filtering([[1.0], [2.0], [4.0]]), Fraction(1)), impulse()))
    np.testing.assert_allclose(z, [0, 2, 0])
    np.testing.assert_allclose(y, [4 / 2, 2, 1 / 2])
    np.testing.assert_allclose(x, [4 / 2, 2, 1 / 2])


def merged(merge, source):
    """Merge passes that differ: along Y the network returns its input, along X its negative at the far end."""

    def function(images):
        rows = torch.arange(images.shape[2]).reshape(-1, 1) / 4
        return torch.cat([images - rows, 0.5 + images.abs() + rows], dim=1)

    network = IsotropicNetwork(Pointwise("YX", function, kinds=("mean", "scale")), Fraction(1), merge)
    rows = np.arange(5, dtype=np.float32) / 4
    first, second = source - rows[:, None], source - rows
    scale1, scale2 = 0.5 + np.abs(source) + rows[:, None], 0.5 + np.abs(source) + rows
    return evaluated(network, source), first, second, scale1, scale2


def test_the_arithmetic_merge_has_the_moments_of_the_mixture_of_both_passes():
    found, first, second, scale1, scale2 = merged("arithmetic", normal(1, 1, 3, 5, 5))
    np.testing.assert_allclose(found[:, :1], (first + second) / 2, atol=1e-6)
    mean = (first + second) / 2
    variance = sum(2 * b**2 + (m - mean) ** 2 for m, b in ((first, scale1), (second, scale2))) / 2
    np.testing.assert_allclose(found[:, 1:], np.sqrt(variance / 2), rtol=1e-5)


def test_the_geometric_merge_is_clamped_at_zero():
    found, first, second, scale1, scale2 = merged("geometric", normal(1, 1, 3, 5, 5))
    np.testing.assert_allclose(found[:, :1], np.sqrt(first.clip(0) * second.clip(0)), atol=1e-6)
    np.testing.assert_allclose(found[:, 1:], np.maximum(scale1, scale2), rtol=1e-6)
    assert 0.05 < np.mean(found[:, 0] > 0) < 0.95


@pytest.mark.parametrize(("merge", "n", "probabilistic"), [("arithmetic", 2, True), ("geometric", 1, False)])
def test_the_graph_equals_torch_at_every_size(merge, n, probabilistic):
    network = IsotropicNetwork(unet("YX", n, depth=2, probabilistic=probabilistic), FACTOR, merge)
    check_graph_equals_torch(network, [(1, n, 1, 4, 4), (1, n, 2, 8, 4), (1, n, 7, 4, 12), (2, n, 3, 8, 8)])


def test_channels_are_restored_together():
    network, source = IsotropicNetwork(unet("YX", 2), Fraction(2)), normal(1, 2, 3, 4, 4)
    other = source.copy()
    other[:, 1] += 1
    assert np.abs(evaluated(network, other)[:, 0] - evaluated(network, source)[:, 0]).max() > 1e-3


def test_weights_are_stored_once_for_both_passes():
    network = IsotropicNetwork(unet("YX"), FACTOR)
    graph = onnx.load_from_string(to_onnx(network)).graph
    assert sorted(each.name for each in graph.initializer) == sorted(name for name, _ in network.named_parameters())
    loops = [node for node in graph.node if node.op_type == "Loop"]
    assert len(loops) == 2
    assert not any(attribute.g.initializer for node in loops for attribute in node.attribute)


def test_tiled_equals_whole_and_differs_with_a_short_halo(tmp_path):
    network = IsotropicNetwork(unet("YX", probabilistic=True), FACTOR)
    assert network.geometry.rules["Y"] == network.geometry.rules["X"] == AxisRule(2, 2, 10)
    package = packed(network, "isotropic", (1, 5, 32, 32), tmp_path)
    pixels = (1000 * np.random.default_rng(1).random((3, 31, 45))).astype(np.uint16)
    whole, tiled = (restored(package, pixels, "ZYX", tile=tile) for tile in ("whole", 26))
    assert tiled.report.provenance.n_tiles > 4
    for name in ("mean", "scale"):
        np.testing.assert_allclose(
            tiled.images[name].array(), whole.images[name].array(), rtol=1e-5, atol=1e-3, err_msg=name
        )
    assert tiled.images["mean"].shape == (30, 31, 45)

    rules = {
        letter: replace(rule, halo=2) if rule.halo else rule for letter, rule in package.manifest.input.rules.items()
    }
    manifest = replace(package.manifest, input=replace(package.manifest.input, rules=rules))
    short = restored(replace(package, manifest=manifest), pixels, "ZYX", tile=26)
    assert np.abs(short.mean - whole.mean).max() > 0.1


def test_the_measured_halo_is_within_the_computed_one(tmp_path):
    network = IsotropicNetwork(unet("YX"), Fraction(2))
    package = packed(network, "isotropic", (1, 5, 32, 32), tmp_path)
    measured = measure_halo(session(network), package.manifest, np.random.default_rng(2))
    assert set(measured) == {"Y", "X"}
    for letter, halo in measured.items():
        assert 4 <= halo <= network.geometry.rules[letter].halo


def test_other_networks_are_refused():
    with pytest.raises(RecipeError, match="a 2D network, found one for ZYX"):
        IsotropicNetwork(unet("ZYX"), FACTOR)
    with pytest.raises(RecipeError, match="Z factor 1/2"):
        IsotropicNetwork(unet("YX"), Fraction(1, 2))
