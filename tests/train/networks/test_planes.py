"""Interpolation along Z: exact positions and sizes for every depth, and the border rule."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from graphs import Pointwise, session

from carezoo import tiling
from carezoo.errors import RecipeError
from carezoo.train.networks import planes
from carezoo.train.networks.upsampling import Upsampling


def ramp(n_planes):
    return np.arange(n_planes, dtype=np.float32).reshape(1, 1, -1, 1, 1)


@pytest.mark.parametrize("factor", [Fraction(51, 5), Fraction(1), Fraction(7, 3), Fraction(3141, 1000)])
def test_every_plane_of_every_depth_stands_where_it_belongs(factor):
    graph = session(Upsampling(Pointwise("ZYX", lambda x: x + 0.0, step=4), factor))
    tested = range(1, 4097) if factor == Fraction(51, 5) else [*range(1, 60), 1000, 2047, 4095, 4096]
    for n_planes in tested:
        (found,) = graph.run(ramp(n_planes))
        n = n_planes * factor.numerator // factor.denominator
        assert found.shape == (1, 1, n, 1, 1), n_planes
        numerator, denominator = factor.as_integer_ratio()
        position = ((2 * np.arange(n) + 1) * denominator - numerator) / (2 * numerator)
        assert np.abs(found.ravel() - position.clip(0, n_planes - 1)).max() <= 1e-6 + 2e-7 * n_planes, n_planes


@pytest.mark.parametrize("step", [1, 2, 8, 16])
def test_planes_are_padded_by_the_border_rule(step):
    """As `carezoo.tiling` pads the other axes: by reflection, half in front; by the edge where planes are too few."""
    for n_planes in range(1, 40):
        found = (
            planes.interpolate_planes(torch.from_numpy(ramp(n_planes)), planes.locate(n_planes, (1, 1), step))
            .numpy()
            .ravel()
        )
        axis = tiling.plan([n_planes], [None], [tiling.AxisRule(step, step)]).axes[0]
        np.testing.assert_array_equal(found, axis.source_index(slice(0, axis.padded)))
        back = planes.crop_planes(torch.from_numpy(found), n_planes, (1, 1), 0)
        np.testing.assert_array_equal(back, np.arange(n_planes))


def test_a_factor_that_would_remove_planes_is_refused():
    with pytest.raises(RecipeError, match="Z factor 1/2: expected at least 1"):
        Upsampling(Pointwise("ZYX", lambda x: x), Fraction(1, 2))
