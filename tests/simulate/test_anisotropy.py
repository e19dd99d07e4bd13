"""Anisotropic pairs: half-pixel geometry, exact factors, borders that stay bright, noise as asked."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carezoo.errors import DataError, RecipeError
from carezoo.schema.span import Span
from carezoo.simulate import anisotropy
from carezoo.simulate.camera import Camera
from carezoo.simulate.psf import Gaussian, anisotropic_part, kernel

FACTORS = [Fraction(2), Fraction(3), Fraction(4), Fraction(51, 5), Fraction(7, 3), Fraction(1)]


@pytest.mark.parametrize(
    ("value", "factor"),
    [(10.2, Fraction(51, 5)), ("10.2", Fraction(51, 5)), ("51/5", Fraction(51, 5)), (4, Fraction(4))],
)
def test_a_factor_is_exactly_what_is_written(value, factor):
    assert anisotropy.factor_of(value) == factor


@pytest.mark.parametrize(("value", "message"), [(0.25, "did you mean its inverse"), ("ten", "fraction such as 51/5")])
def test_no_factor_below_one(value, message):
    with pytest.raises(RecipeError, match=message):
        anisotropy.factor_of(value)


@settings(deadline=None, max_examples=60)
@given(factor=st.sampled_from(FACTORS), n=st.integers(25, 120), slope=st.floats(-3, 3), offset=st.floats(-10, 10))
def test_a_ramp_survives_sampling_and_interpolation_in_place(factor, n, slope, offset):
    """Where pixels are areas, a linear ramp comes back where it was: nothing is shifted or stretched."""
    ramp = (slope * np.arange(n) + offset).astype(np.float32)[None]
    coarse = anisotropy.subsample(ramp, factor, axis=1)
    assert coarse.shape[1] == int(n / factor)
    back = anisotropy.upsample(coarse, factor, axis=1)
    assert back.shape[1] == int(coarse.shape[1] * factor)
    # Outside of the first and the last centre values are constant.
    edge = int(factor / 2) + 2
    inner = slice(edge, back.shape[1] - edge)
    # The cubic spline ends flat at the border, which a ramp is not: felt for a few pixels.
    assert back[0, inner] == pytest.approx(ramp[0, : back.shape[1]][inner], abs=0.35 * abs(slope) + 1e-3)
    middle = slice(back.shape[1] // 2 - 3, back.shape[1] // 2 + 3)
    if n > 12 * factor:
        assert back[0, middle] == pytest.approx(ramp[0, middle], abs=0.02 * abs(slope) + 1e-4)


@pytest.mark.parametrize("factor", FACTORS)
def test_interpolation_equals_resize_of_onnx(factor):
    """Linear, half_pixel: computed here from the formula of the ONNX operator."""
    coarse = np.random.default_rng(0).random((3, 9)).astype(np.float32)
    fine = anisotropy.upsample(coarse, factor, axis=1)
    for j in range(fine.shape[1]):
        x = min(max((j + 0.5) / float(factor) - 0.5, 0), 8)
        left = min(int(x), 7)
        expected = coarse[:, left] * (left + 1 - x) + coarse[:, left + 1] * (x - left)
        assert fine[:, j] == pytest.approx(expected, abs=1e-5)


def test_the_axis_can_be_any():
    volume = np.random.default_rng(0).random((24, 10, 11)).astype(np.float32)
    assert anisotropy.subsample(volume, Fraction(4), axis=0).shape == (6, 10, 11)
    moved = anisotropy.upsample(np.moveaxis(volume, 0, 2), Fraction(2), axis=2)
    assert np.moveaxis(moved, 2, 0) == pytest.approx(anisotropy.upsample(volume, Fraction(2), axis=0))


@pytest.mark.parametrize("psf", [anisotropic_part(1.5, 0.3), kernel(np.ones((1, 21)), (0.25, 0.25))])
@pytest.mark.parametrize("factor", [Fraction(4), Fraction(51, 5)])
def test_borders_do_not_darken(psf, factor):
    made = anisotropy.degrade_laterally(
        np.full((60, 130), 50.0), factor, [psf], (0.25, 0.25), None, np.random.default_rng(0)
    )
    assert made.source == pytest.approx(np.full(made.target.shape, 50.0), rel=1e-4)


def test_source_and_target_lie_on_each_other_and_the_factor_is_returned():
    y, x = np.mgrid[:128, :153]
    image = 100 * np.exp(-((x - 70.3) ** 2 + (y - 60.0) ** 2) / (2 * 15.0**2))
    factor = Fraction(51, 5)
    made = anisotropy.degrade_laterally(
        image, factor, [Gaussian((0.0, 0.5))], (0.25, 0.25), None, np.random.default_rng(0)
    )
    assert made.factor == factor
    assert made.source.shape == made.target.shape == (128, 153)
    along = np.arange(153)
    centres = [(each.sum(axis=0) * along).sum() / each.sum() for each in (made.source, made.target)]
    assert centres[0] == pytest.approx(centres[1], abs=0.15)


def test_only_x_is_degraded():
    rng = np.random.default_rng(1)
    image = rng.random((100, 120)) * 50
    made = anisotropy.degrade_laterally(image, Fraction(4), [anisotropic_part(0.8, 0.2)], (0.2, 0.2), None, rng)
    roughness = [
        np.abs(np.diff(made.source, axis=axis)).mean() / np.abs(np.diff(image, axis=axis)).mean() for axis in (0, 1)
    ]
    assert roughness[1] < 0.1 < roughness[0]


def test_each_channel_has_its_own_psf_and_its_own_light():
    image = np.random.default_rng(0).random((2, 64, 80)) * 100
    psfs = [Gaussian((0.0, 0.01)), Gaussian((0.0, 1.0))]
    clean = anisotropy.degrade_laterally(image, Fraction(1), psfs, (0.2, 0.2), None, np.random.default_rng(0))
    assert clean.source[0] == pytest.approx(image[0], abs=1e-3)
    assert clean.source[1].std() < 0.4 * image[1].std()
    camera = Camera(photons=Span(10, 1000))
    noisy = anisotropy.degrade_laterally(image, Fraction(2), psfs, (0.2, 0.2), camera, np.random.default_rng(0))
    assert noisy.parameters["photons_0"] != noisy.parameters["photons_1"]


def test_noise_is_that_of_the_camera_and_correlated_along_x_only():
    camera = Camera(
        photons=Span(100, 100), gain=Span(2, 2), offset=Span(100, 100), read_noise=Span(3, 3), bit_depth=None
    )
    image = np.full((400, 400), 50.0)
    image[0, :2] = 0
    made = anisotropy.degrade_laterally(
        image, Fraction(4), [Gaussian((0.0, 0.01))], (1.0, 1.0), camera, np.random.default_rng(0), [(0.0, 50.0)]
    )
    samples = anisotropy.subsample(made.source, Fraction(4), axis=1)[2:]
    # Linear interpolation at the centres between samples mixes neighbours; the mean stays.
    assert samples.mean() == pytest.approx(100 + 2 * 100, rel=0.005)
    rows = made.source[2:] - made.source[2:].mean()
    along, across = (rows[:, 1:] * rows[:, :-1]).mean(), (rows[1:] * rows[:-1]).mean()
    assert along > 0.6 * rows.var()
    assert abs(across) < 0.05 * rows.var()
    assert made.target[5, 5] == pytest.approx(300.0)


@pytest.mark.parametrize("n_psfs", [0, 2])
def test_as_many_psfs_as_channels_or_one(n_psfs):
    with pytest.raises(DataError, match=f"found shape .* and {n_psfs} PSFs"):
        anisotropy.degrade_laterally(
            np.ones((3, 50, 50)),
            Fraction(2),
            [Gaussian((0.0, 1.0))] * n_psfs,
            (1.0, 1.0),
            None,
            np.random.default_rng(0),
        )


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_dropped_planes_and_target_lie_on_each_other(factor):
    """A ramp along Z: the target at every output plane is what interpolation of the kept planes gives."""
    stack = np.arange(37.0)[:, None, None] * np.ones((1, 4, 5))
    made = anisotropy.drop_planes(stack, stack, Fraction(factor))
    n = 37 // factor
    assert made.source.shape == (n, 4, 5)
    assert made.target.shape == (n * factor, 4, 5)
    assert set(np.unique(made.source)) <= set(range(37)), "planes are kept, not mixed"
    back = anisotropy.upsample(made.source, Fraction(factor), axis=0)
    inner = slice(factor + 2, n * factor - factor - 2)
    assert back[inner] == pytest.approx(made.target[inner], abs=0.01)


def test_dropped_planes_keep_their_noise():
    rng = np.random.default_rng(0)
    stack = rng.normal(100, 5, (40, 60, 60))
    made = anisotropy.drop_planes(stack, np.full((40, 60, 60), 100.0), Fraction(4))
    assert made.source.std() == pytest.approx(5, rel=0.05)
    assert np.abs(made.target - 100).max() < 1e-3


def test_channels_may_come_first():
    stack = np.random.default_rng(0).random((2, 12, 5, 6))
    made = anisotropy.drop_planes(stack, stack, Fraction(3))
    assert made.source == pytest.approx(stack[:, 1::3], rel=1e-6)


@pytest.mark.parametrize(
    ("shapes", "factor", "message"),
    [
        (((12, 5, 5), (12, 5, 5)), Fraction(51, 5), "by a whole factor only, found 10.2; use 10"),
        (((12, 5, 5), (11, 5, 5)), Fraction(2), "of one shape"),
        (((5, 5), (5, 5)), Fraction(2), "ZYX or CZYX"),
        (((12, 5, 5), (12, 5, 5)), Fraction(7), "leaves 1 of 12"),
    ],
)
def test_stacks_that_cannot_lose_planes_are_refused(shapes, factor, message):
    with pytest.raises(DataError, match=message):
        anisotropy.drop_planes(*(np.ones(shape) for shape in shapes), factor)
