"""Anisotropic pairs: half-pixel geometry, exact factors, borders that stay bright, noise as asked."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carezoo.errors import DataError
from carezoo.schema.span import Span
from carezoo.simulate import sampling
from carezoo.simulate.camera import Camera
from carezoo.simulate.isotropic import degrade_laterally
from carezoo.simulate.psf import Gaussian, make_kernel, take_anisotropic_part

FACTORS = [Fraction(2), Fraction(3), Fraction(4), Fraction(51, 5), Fraction(7, 3), Fraction(1)]


@settings(deadline=None, max_examples=60)
@given(factor=st.sampled_from(FACTORS), n=st.integers(25, 120), slope=st.floats(-3, 3), offset=st.floats(-10, 10))
def test_a_ramp_survives_sampling_and_interpolation_in_place(factor, n, slope, offset):
    """Where pixels are areas, a linear ramp comes back where it was: nothing is shifted or stretched."""
    ramp = (slope * np.arange(n) + offset).astype(np.float32)[None]
    coarse = sampling.subsample(ramp, factor, axis=1)
    assert coarse.shape[1] == int(n / factor)
    back = sampling.upsample(coarse, factor, axis=1)
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
    fine = sampling.upsample(coarse, factor, axis=1)
    for j in range(fine.shape[1]):
        x = min(max((j + 0.5) / float(factor) - 0.5, 0), 8)
        left = min(int(x), 7)
        expected = coarse[:, left] * (left + 1 - x) + coarse[:, left + 1] * (x - left)
        assert fine[:, j] == pytest.approx(expected, abs=1e-5)


def test_the_axis_can_be_any():
    volume = np.random.default_rng(0).random((24, 10, 11)).astype(np.float32)
    assert sampling.subsample(volume, Fraction(4), axis=0).shape == (6, 10, 11)
    moved = sampling.upsample(np.moveaxis(volume, 0, 2), Fraction(2), axis=2)
    assert np.moveaxis(moved, 2, 0) == pytest.approx(sampling.upsample(volume, Fraction(2), axis=0))


@pytest.mark.parametrize("psf", [take_anisotropic_part(1.5, 0.3), make_kernel(np.ones((1, 21)), (0.25, 0.25))])
@pytest.mark.parametrize("factor", [Fraction(4), Fraction(51, 5)])
def test_borders_do_not_darken(psf, factor):
    made = degrade_laterally(np.full((60, 130), 50.0), factor, [psf], (0.25, 0.25), None, np.random.default_rng(0))
    assert made.source == pytest.approx(np.full(made.target.shape, 50.0), rel=1e-4)


def test_source_and_target_lie_on_each_other():
    y, x = np.mgrid[:128, :153]
    image = 100 * np.exp(-((x - 70.3) ** 2 + (y - 60.0) ** 2) / (2 * 15.0**2))
    factor = Fraction(51, 5)
    made = degrade_laterally(image, factor, [Gaussian((0.0, 0.5))], (0.25, 0.25), None, np.random.default_rng(0))
    assert made.source.shape == made.target.shape == (128, 153)
    along = np.arange(153)
    centres = [(each.sum(axis=0) * along).sum() / each.sum() for each in (made.source, made.target)]
    assert centres[0] == pytest.approx(centres[1], abs=0.15)


def test_only_x_is_degraded():
    rng = np.random.default_rng(1)
    image = rng.random((100, 120)) * 50
    made = degrade_laterally(image, Fraction(4), [take_anisotropic_part(0.8, 0.2)], (0.2, 0.2), None, rng)
    roughness = [
        np.abs(np.diff(made.source, axis=axis)).mean() / np.abs(np.diff(image, axis=axis)).mean() for axis in (0, 1)
    ]
    assert roughness[1] < 0.1 < roughness[0]


def test_each_channel_has_its_own_psf_and_its_own_light():
    image = np.random.default_rng(0).random((2, 64, 80)) * 100
    psfs = [Gaussian((0.0, 0.01)), Gaussian((0.0, 1.0))]
    clean = degrade_laterally(image, Fraction(1), psfs, (0.2, 0.2), None, np.random.default_rng(0))
    assert clean.source[0] == pytest.approx(image[0], abs=1e-3)
    assert clean.source[1].std() < 0.4 * image[1].std()
    camera = Camera(photons=Span(10, 1000))
    noisy = degrade_laterally(image, Fraction(2), psfs, (0.2, 0.2), camera, np.random.default_rng(0))
    assert noisy.parameters["photons_0"] != noisy.parameters["photons_1"]


def test_noise_is_that_of_the_camera_and_correlated_along_x_only():
    camera = Camera(
        photons=Span(100, 100), gain=Span(2, 2), offset=Span(100, 100), read_noise=Span(3, 3), bit_depth=None
    )
    image = np.full((400, 400), 50.0)
    image[0, :2] = 0
    made = degrade_laterally(
        image, Fraction(4), [Gaussian((0.0, 0.01))], (1.0, 1.0), camera, np.random.default_rng(0), [(0.0, 50.0)]
    )
    samples = sampling.subsample(made.source, Fraction(4), axis=1)[2:]
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
        degrade_laterally(
            np.ones((3, 50, 50)),
            Fraction(2),
            [Gaussian((0.0, 1.0))] * n_psfs,
            (1.0, 1.0),
            None,
            np.random.default_rng(0),
        )
