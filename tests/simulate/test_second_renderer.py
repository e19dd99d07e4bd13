"""The second renderer agrees with the first where both draw the same thing, and draws what it says."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from carezoo.simulate import rendering
from carezoo.simulate.psf import Gaussian
from carezoo.simulate.rendering import Emitters, FieldOfView
from carezoo.simulate.structures import granules
from zoo.tools import renderer


def test_a_straight_piece_looks_the_same_from_both():
    start, end, sigma = np.array([[2.03, 1.0]]), np.array([[4.0, 5.37]]), 0.12
    direct = renderer._segments(start, end, np.array([3.0]), sigma, (64, 64)) * 0.1**2
    t = (np.arange(400)[:, None] + 0.5) / 400
    canvas = rendering.plan_canvas(FieldOfView((64, 64), (0.1, 0.1)), (sigma, sigma), (0.6, 0.6))
    points = start + t * (end - start) + np.array(canvas.margin_um)
    splat = Emitters(points.astype(np.float32), np.full(400, 3.0 / 400, np.float32))
    image = rendering.render(rendering.compute_spectrum(splat, canvas), Gaussian((sigma, sigma)), canvas)
    assert np.abs(image - direct).max() < 0.01 * direct.max()


def test_a_ball_looks_the_same_from_both():
    centre, radius, sigma = np.array([[3.21, 3.04]]), np.array([0.35]), 0.12
    direct = renderer._discs(centre, radius, np.array([2.0]), sigma, (64, 64)) * 0.1**2
    canvas = rendering.plan_canvas(FieldOfView((64, 64), (0.1, 0.1)), (sigma, sigma), (0.6, 0.6))
    balls = granules.fill_balls(centre + np.array(canvas.margin_um), radius, np.array([2.0]), np.zeros(1, bool), 0.1)
    image = rendering.render(rendering.compute_spectrum(balls, canvas), Gaussian((sigma, sigma)), canvas)
    assert direct.sum() == pytest.approx(2.0, rel=0.01)
    assert np.abs(image - direct).max() < 0.03 * direct.max()


@pytest.mark.parametrize("profile", [renderer._ball_profile, renderer._shell_profile])
def test_blurred_balls_and_shells_keep_their_light(profile):
    """The integral over space of a blurred ball is its volume; the blurred shell's follows from its closed form."""
    radius, sigma = 1.5, 0.3
    r = np.linspace(1e-3, 5, 20001)
    light = np.trapezoid(4 * math.pi * r**2 * profile(r, radius, sigma), r)
    shell = 4 * math.pi * radius**2 * math.sqrt(2 * math.pi) * sigma
    assert light == pytest.approx(4 / 3 * math.pi * radius**3 if profile is renderer._ball_profile else shell, rel=0.01)


def test_pairs_are_seeded_and_those_outside_lie_outside_the_training_ranges():
    first, again, other = (renderer.tubule_pair(seed, (96, 96), outside=True) for seed in (0, 0, 2))
    np.testing.assert_array_equal(first.source, again.source)
    assert (first.source != other.source).any()
    assert first.numbers["density"] < 0.3
    assert renderer.granule_pair(0, (96, 96), outside=True).numbers["density"] < 0.1
    assert first.numbers["sigma_um"] > 0.18
    assert np.corrcoef(first.source.ravel(), first.target.ravel())[0, 1] > 0.4


def test_spheres_are_isotropic_and_an_axial_psf_changes_z_only():
    isotropic = renderer.spheres_and_shells(1, (48, 48, 48))
    slopes = [np.abs(np.diff(isotropic, axis=axis)).mean() for axis in range(3)]
    assert max(slopes) < 1.3 * min(slopes)
    stretched = renderer.spheres_and_shells(1, (48, 48, 48), axial_sigma_um=1.0)
    assert np.abs(np.diff(stretched, axis=0)).mean() < 0.7 * slopes[0]
    assert stretched.mean() == pytest.approx(isotropic.mean(), rel=0.01)
    sparse = renderer.sparse_planes(stretched, 4, photons=1e6, seed=0)
    assert sparse == pytest.approx((stretched[1::4] + stretched[2::4]) / 2, abs=0.02 * float(stretched.max()))


def test_the_sheet_of_an_epithelium_is_where_its_height_says():
    made = renderer.epithelium(1, (40, 96, 96))
    assert made.volume.shape == (40, 96, 96)
    assert made.projection.shape == made.height_px.shape == (96, 96)
    plane = np.clip(np.rint(made.height_px).astype(int), 0, 39)
    at_height = np.take_along_axis(made.volume, plane[None], axis=0)[0]
    away = np.take_along_axis(made.volume, np.clip(plane + 8, 0, 39)[None], axis=0)[0]
    correlations = [np.corrcoef(each.ravel(), made.projection.ravel())[0, 1] for each in (at_height, away)]
    assert correlations[0] > 0.6 > 2 * abs(correlations[1])
