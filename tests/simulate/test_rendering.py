"""Rendered points are Gaussians where they should be: against direct evaluation, anywhere below a pixel."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carezoo.simulate import psf, rendering
from carezoo.simulate.psf import Gaussian
from carezoo.simulate.rendering import Emitters, FieldOfView


def direct(position_um, light, field, sigma_um):
    """The same points, each Gaussian evaluated at every pixel centre."""
    image = np.zeros(field.shape)
    for point, brightness in zip(position_um, light, strict=True):
        lines = []
        for n, size, at, sigma in zip(field.shape, field.pixel_size_um, point, sigma_um, strict=True):
            centre = (np.arange(n) + 0.5) * size
            lines.append(np.exp(-((centre - at) ** 2) / (2 * sigma**2)) * size / (math.sqrt(2 * math.pi) * sigma))
        product = lines[0]
        for line in lines[1:]:
            product = product[..., None] * line
        image += brightness * product
    return image


def rendered(position_um, light, field, sigma_um, kind=None):
    canvas = rendering.plan_canvas(field, sigma_um, tuple(4 * s for s in sigma_um))
    moved = position_um + np.array(canvas.margin_um)
    emitters = Emitters(moved.astype(np.float32), np.asarray(light, np.float32))
    return rendering.render(rendering.compute_spectrum(emitters, canvas), kind or Gaussian(sigma_um), canvas)


@settings(deadline=None, max_examples=25)
@given(
    n_axes=st.sampled_from([2, 3]),
    sigma_px=st.floats(0.7, 2.5),
    seed=st.integers(0, 2**32),
    sizes=st.tuples(st.integers(9, 24), st.integers(9, 40), st.integers(9, 40)),
)
def test_points_are_where_they_are_to_a_hundredth_of_a_pixel(n_axes, sigma_px, seed, sizes):
    field = FieldOfView(sizes[-n_axes:], (0.3, 0.1, 0.1)[-n_axes:])
    sigma_um = tuple(sigma_px * size for size in field.pixel_size_um)
    rng = np.random.default_rng(seed)
    # Some of them outside of the image: their light must come in.
    position = rng.uniform(-0.2, 1.2, (6, n_axes)) * np.array(field.extent_um)
    reachable = (position > -3.5 * np.array(sigma_um)) & (
        position < np.array(field.extent_um) + 3.5 * np.array(sigma_um)
    )
    position = position[reachable.all(axis=1)]
    light = rng.uniform(1, 2, len(position))
    expected = direct(position, light, field, sigma_um)
    peak = 2.0 * math.prod(1 / (math.sqrt(2 * math.pi) * sigma_px) for _ in range(n_axes))
    assert np.abs(rendered(position, light, field, sigma_um) - expected).max() < 0.008 * peak


def test_moving_a_point_by_a_tenth_of_a_pixel_moves_its_image_as_far():
    field, sigma = FieldOfView((31, 31), (0.1, 0.1)), (0.12, 0.12)
    for shift in np.linspace(0, 1, 11):
        image = rendered(np.array([[1.5 + 0.1 * shift, 1.5]]), [1.0], field, sigma)
        centre = (image.sum(axis=1) * np.arange(31)).sum() / image.sum()
        assert centre == pytest.approx(14.5 + shift, abs=0.005)


@pytest.mark.parametrize("sigma", [0.07, 0.1, 0.15, 0.25])
def test_the_width_of_a_point_is_the_width_of_the_psf(sigma):
    field = FieldOfView((61, 61), (0.1, 0.1))
    position = np.array([[3.03, 3.07]])
    image = rendered(position, [1.0], field, (sigma, sigma))
    assert image.sum() == pytest.approx(1.0, rel=1e-3)
    for axis in (0, 1):
        line = image.sum(axis=1 - axis)
        at = (np.arange(61) + 0.5) * 0.1
        variance = (line * (at - position[0, axis]) ** 2).sum()
        assert math.sqrt(variance) == pytest.approx(sigma, rel=0.02)


def test_a_sampled_psf_renders_as_the_gaussian_it_samples():
    field, sigma = FieldOfView((40, 40), (0.1, 0.1)), (0.15, 0.15)
    axis = np.arange(-20, 21) * 0.05
    bell = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 0.15**2))
    position = np.random.default_rng(0).uniform(0.5, 3.5, (10, 2))
    gaussian = rendered(position, np.ones(10), field, sigma)
    sampled = rendered(position, np.ones(10), field, sigma, psf.make_kernel(bell, (0.05, 0.05)))
    assert np.abs(gaussian - sampled).max() < 0.01 * gaussian.max()


def test_density_and_points_add_up():
    field, sigma = FieldOfView((30, 30), (0.1, 0.1)), (0.1, 0.1)
    canvas = rendering.plan_canvas(field, sigma, (0.5, 0.5))
    density = np.zeros(canvas.field.shape, np.float32)
    density[15, 18] = 2.0
    nothing = np.zeros((0, 2), np.float32)
    drawn = rendering.render(
        rendering.compute_spectrum(Emitters(nothing, nothing[:, 0], density), canvas), Gaussian(sigma), canvas
    )
    point = np.array([[15.5, 18.5]], np.float32) * np.float32(0.1)
    both = Emitters(point, np.array([3.0], np.float32), density)
    image = rendering.render(rendering.compute_spectrum(both, canvas), Gaussian(sigma), canvas)
    assert np.abs(image - 2.5 * drawn).max() < 0.01 * image.max()


def test_images_are_never_negative():
    rng = np.random.default_rng(1)
    field = FieldOfView((50, 50), (0.1, 0.1))
    image = rendered(rng.uniform(0, 5, (40, 2)), 10 ** rng.uniform(0, 6, 40), field, (0.07, 0.07))
    assert image.min() == 0


def test_the_margin_is_as_wide_as_the_psf_reaches():
    canvas = rendering.plan_canvas(FieldOfView((20, 64, 64), (0.5, 0.1, 0.1)), (0.4, 0.06, 0.2), (2.0, 0.5, 0.55))
    assert canvas.margin_px == (4, 5, 6)
    assert all(n >= m + 2 * k for n, m, k in zip(canvas.field.shape, canvas.image.shape, canvas.margin_px, strict=True))
    assert canvas.oversampling == (2, 2, 1)


@settings(deadline=None, max_examples=50)
@given(thickness=st.floats(0.1, 30), planes=st.integers(3, 40))
def test_a_slab_lies_in_the_middle_of_the_image_and_inside_it(thickness, planes):
    canvas = rendering.plan_canvas(FieldOfView((planes, 20, 20), (0.5, 0.1, 0.1)), (0.4, 0.1, 0.1), (1.7, 0.4, 0.4))
    top, bottom = canvas.slab_um(thickness)
    first = canvas.margin_um[0]
    assert first - 1e-9 <= top < bottom <= first + planes * 0.5 + 1e-9
    assert top + bottom == pytest.approx(2 * first + planes * 0.5)
    assert bottom - top == pytest.approx(min(thickness, planes * 0.5))
