"""Projection pairs: the projection follows the surface, the volume is noisy, the second structure stays out."""

import numpy as np
import pytest

from carezoo.errors import DataError
from carezoo.schema.span import Span
from carezoo.simulate import project, rendering
from carezoo.simulate.camera import Camera
from carezoo.simulate.psf import Gaussian
from carezoo.simulate.rendering import FieldOfView
from carezoo.simulate.structures.background import Background
from carezoo.simulate.structures.epithelium import Epithelium


def fixed(value):
    return Span(value, value)


QUIET = Background(level=fixed(0), texture=fixed(0), haze=fixed(0), vesicle_density=fixed(0))


def simulated(seed=0, photons=1e5, second="below", background=QUIET):
    canvas = rendering.plan_canvas(FieldOfView((32, 96, 96), (0.5, 0.2, 0.2)), (0.5, 0.15, 0.15), (2.0, 0.6, 0.6))
    both = Gaussian((0.5, 0.15, 0.15)), Gaussian((0.5, 0.15, 0.15))
    camera = Camera(photons=fixed(photons), gain=fixed(2.0), offset=fixed(100.0), read_noise=fixed(1.0), bit_depth=None)
    described = Epithelium(second=second, second_brightness=fixed(0.8), relief_um=fixed(4.0))
    return project.render_sheet(described, canvas, both, background, camera, np.random.default_rng(seed))


def test_projection_takes_each_pixel_from_its_plane():
    volume = np.arange(5.0)[:, None, None] * np.ones((1, 3, 4))
    height = np.linspace(0, 4, 12).reshape(3, 4)
    assert project.project(volume, height) == pytest.approx(height, abs=1e-6)
    assert project.project(volume[:1], np.zeros((3, 4))) == pytest.approx(np.zeros((3, 4)))


@pytest.mark.parametrize(
    ("height", "message"),
    [
        (np.zeros((3, 5)), "of the same field"),
        (np.full((3, 4), 5.0), "planes from 0 to 4, found 5 to 5; planes are counted from 0"),
        (np.full((3, 4), -1.0), "found -1 to -1"),
        (np.where(np.eye(3, 4) > 0, np.nan, 1.0), "values that are not finite"),
    ],
)
def test_height_maps_that_leave_the_stack_are_refused(height, message):
    with pytest.raises(DataError, match=message):
        project.project(np.zeros((5, 3, 4)), height)


def test_in_bright_light_the_volume_at_the_surface_is_the_target():
    made = simulated(second="none")
    assert made.source.shape == (32, 96, 96)
    assert made.target.shape == made.height_px.shape == (96, 96)
    seen = project.project(made.source, made.height_px)
    bright = made.target > np.percentile(made.target, 90)
    brightest = made.source.max(axis=0)
    assert (seen[bright] - 100).mean() > 0.9 * (brightest[bright] - 100).mean(), "the surface is where the light is"
    # What differs is shot noise of up to 1e5 electrons, a third of a per cent.
    assert np.abs(seen - made.target).max() < 0.03 * np.ptp(made.target)


def test_the_second_structure_is_in_the_volume_and_not_in_the_target():
    alone, with_second = simulated(second="none"), simulated(second="above")
    assert with_second.source.sum() > alone.source.sum()
    outside = with_second.source.max(axis=0) - with_second.target
    assert outside.max() > 0.3 * np.ptp(with_second.target)
    seen = project.project(with_second.source, with_second.height_px)
    assert np.corrcoef(seen.ravel(), with_second.target.ravel())[0, 1] > 0.98


def test_noise_is_in_the_source_only_and_uniform_light_in_both():
    dim = simulated(photons=20.0, background=Background(level=fixed(0.3)))
    assert dim.parameters["camera.photons"] == 20.0
    assert dim.target.min() == pytest.approx(100.0 + 2 * 0.3 * 20, abs=1.0)
    assert np.median(dim.source) > 100 + 2 * 0.25 * 20
    assert dim.target.max() < 100 + 2 * 20 * 3


def test_a_real_stack_is_projected_along_its_own_map():
    rng = np.random.default_rng(0)
    _, x = np.mgrid[:40, :50]
    height = 6 + 3 * np.sin(x / 12)
    texture = rng.random((40, 50)) * 90 + 10
    z = np.arange(16)[:, None, None]
    stack = texture * np.exp(-((z - height) ** 2) / 4)
    camera = Camera(photons=fixed(1e6), gain=fixed(1.0), offset=fixed(0.0), read_noise=fixed(0.0), bit_depth=None)
    made = project.degrade_stack(stack, height, camera, rng, black_white=(0.0, 100.0))
    assert made.target == pytest.approx(project.project(stack, height) * 1e4, rel=1e-4)
    assert made.source == pytest.approx(stack * 1e4, abs=6 * np.sqrt(1e6))
