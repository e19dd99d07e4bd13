"""The line that relates two noisy images of one scene."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from carezoo.metrics import fit_affine, intensity_errors
from carezoo.regression import Scatter, fit_line

IMAGES = Path(__file__).parent / "images"


def scene(seed=0, shape=(256, 256)):
    """Blobs between 0 and about 3, mean 1."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2.5)
    bright = np.exp(smooth / smooth.std())
    return bright / bright.mean()


def acquire(photons, seed, *, gain=1.0, offset=0.0, read_noise=0.0):
    rng = np.random.default_rng(seed)
    return gain * (rng.poisson(photons) + rng.normal(0, read_noise, photons.shape)) + offset


@pytest.mark.parametrize("n_photons", [2, 10, 100])
@pytest.mark.parametrize("gain", [0.2, 0.5, 1.0, 2.0, 5.0])
def test_known_gains_are_found_with_noise_on_both_sides(gain, n_photons):
    photons = n_photons * scene()
    source = acquire(photons, 1, gain=gain, offset=100, read_noise=1.5)
    target = acquire(photons, 2, offset=30, read_noise=1.5)
    line = fit_line(source, target)
    assert line.gain[0] == pytest.approx(gain, rel=0.02)
    assert line.offset[0] == pytest.approx(100 - 30 * gain, abs=0.01 * np.ptp(source))
    if n_photons <= 10:
        assert fit_affine(target, source).gain < 0.95 * gain


def test_repeats_of_a_real_scene_are_related_by_one():
    frames = tifffile.imread(IMAGES / "photons_tyx_imagej.tif")
    scatter = Scatter()
    for i in range(len(frames)):
        scatter.add(frames[i][None], frames[i - 1][None])
    line = scatter.fit()
    assert line.gain[0] == pytest.approx(1, abs=0.02)
    assert line.offset[0] == pytest.approx(0, abs=0.01 * np.ptp(np.percentile(frames, (0.1, 99.9))))
    assert fit_affine(frames[:-1], frames[1:]).gain < 0.85


@pytest.mark.parametrize("n_photons", [2, 10, 100])
@pytest.mark.parametrize("name", ["nuclei_zyx_imagej.tif", "hela_cyx_imagej.tif"])
def test_clean_targets_are_fitted_by_least_squares(name, n_photons):
    clean = tifffile.imread(IMAGES / name)[0].astype(float)
    source = acquire(n_photons * clean / clean.mean(), 3, gain=0.7, offset=50, read_noise=1)
    assert fit_line(source, clean).gain[0] == pytest.approx(fit_affine(clean, source).gain, rel=1e-3)


def test_noise_that_touching_pixels_share_is_noise():
    kernel = np.array([[1.0, 0.6]])
    noise = [ndimage.convolve(np.random.default_rng(k).standard_normal((256, 256)), kernel) for k in (8, 9)]
    source, target = (10 * scene() + 6 * each for each in noise)
    assert fit_line(3 * source, target).gain[0] == pytest.approx(3, rel=0.02)


def test_a_frame_that_is_part_of_its_average_changes_nothing():
    frames = np.stack([acquire(5 * scene(), k) for k in range(4)])
    assert fit_line(frames[0], frames.mean(axis=0)).gain[0] == pytest.approx(1, abs=0.02)


def test_white_structure_without_neighbours_alike_is_fitted_by_least_squares():
    target = np.random.default_rng(0).gamma(2, 100, (60, 70))
    source = 2 * target + np.random.default_rng(1).normal(0, 50, target.shape)
    assert fit_line(source, target).gain[0] == pytest.approx(fit_affine(target, source).gain, rel=1e-12)


def test_a_blurred_source_has_no_gain_beyond_what_noise_can_explain():
    target = (np.random.default_rng(0).random((200, 200)) > 0.98) * 100.0
    source = ndimage.gaussian_filter(target, 1.5)
    gain = fit_line(source, target).gain[0]
    assert fit_affine(target, source).gain < gain <= (1 + 1e-9) / fit_affine(source, target).gain


@pytest.mark.parametrize("shape", [(3, 4), (1, 40), (40, 1), (7,), (2, 3, 4)])
def test_images_without_such_neighbours_are_fitted(shape):
    target = np.random.default_rng(0).random(shape)
    line = fit_line(3 * target + 1, target)
    assert (line.gain[0], line.offset[0]) == (pytest.approx(3), pytest.approx(1))


def test_pieces_and_channels_are_put_together():
    target = np.stack([scene(k, (600, 40)) for k in range(2)])
    factor = np.array([2.0, 5.0])[:, None, None]
    scatter = Scatter(2)
    for rows in (slice(0, 350), slice(350, 600)):
        scatter.add(factor * target[:, rows] + 1e6, target[:, rows])
    np.testing.assert_allclose(scatter.fit().gain, [2, 5], rtol=1e-9)
    assert scatter.n == 600 * 40


def test_the_gain_error_of_a_right_restoration_is_none_where_targets_are_noisy():
    clean = 8 * scene()
    errors = intensity_errors(clean, acquire(clean, 5))
    assert errors.gain_error == pytest.approx(0, abs=0.02)
    assert errors.offset_error == pytest.approx(0, abs=0.01)
    assert intensity_errors(0.8 * clean, acquire(clean, 5)).gain_error == pytest.approx(-0.2, abs=0.02)
