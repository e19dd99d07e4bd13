"""Noise that is not independent from pixel to pixel is found, and structure is not taken for it."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import fft, ndimage

from carezoo.errors import DataError
from carezoo.image import Image
from carezoo.noise import measure
from carezoo.noise.assumption import check_assumption, measure_correlation, measure_lines
from carezoo.noise.thin import Noise


def record(photons=20.0, *, sharpness=2.0, side=384, seed=0):
    """Poisson noise on structure as fine as an objective shows it."""
    rng = np.random.default_rng(seed)
    scene = ndimage.gaussian_filter(rng.random((side, side)), sharpness)
    scene = 1 + photons * (scene - scene.min()) / np.ptp(scene)
    return rng.poisson(scene).astype(np.float32)


def check(*planes, noise=None):
    check_assumption([Image(plane, "YX") for plane in planes], noise=noise)


@pytest.mark.parametrize("photons", [2, 20, 200])
@pytest.mark.parametrize("sharpness", [1.2, 6])
def test_independent_noise_passes(photons, sharpness):
    check(record(photons, sharpness=sharpness), noise=Noise(gain=1.0))


@pytest.mark.parametrize("sigma", [0.5, 0.7, 1.0])
def test_blurred_noise_is_refused(sigma):
    with pytest.raises(DataError, match=r"along X is correlated by 0\.\d+ \+- .*target: frames"):
        check(ndimage.gaussian_filter(record(), sigma))


def test_the_axis_is_named():
    with pytest.raises(DataError, match="along Y is correlated"):
        check(ndimage.gaussian_filter1d(record(), 0.5, axis=0))


def test_sharpened_noise_is_refused():
    noisy = record(sharpness=8)
    with pytest.raises(DataError, match="sharpened or deconvolved"):
        check(noisy + 0.5 * (noisy - ndimage.gaussian_filter(noisy, 1)))


def test_resampled_images_are_refused():
    with pytest.raises(DataError, match="correlated"):
        check(ndimage.shift(record(), (0.4, 0.4), order=1, mode="reflect"))


@pytest.mark.parametrize("photons", [5, 20, 100])
def test_lines_that_are_off_are_refused(photons):
    rng = np.random.default_rng(1)
    noisy = record(photons)
    off = rng.normal(0, 0.05 * noisy.mean(), (len(noisy), 1))
    with pytest.raises(DataError, match="lines along X are brighter or darker"):
        check(noisy + off)
    with pytest.raises(DataError, match="lines along Y are brighter or darker"):
        check(noisy + off.T)


def test_correlation_is_measured_as_large_as_it_is():
    """A quarter of the charge of every pixel is read with the next one: 0.75 and 0.25 of independent noise."""
    noisy = record(200, sharpness=8)
    found = measure_correlation([0.9 * noisy[:, 1:] + 0.1 * noisy[:, :-1]])
    true = 0.9 * 0.1 / (0.9**2 + 0.1**2)
    assert found["X"].value == pytest.approx(true, abs=0.03)
    assert abs(found["Y"].value) < 3 * found["Y"].se


def test_lines_are_measured_as_large_as_they_are():
    rng = np.random.default_rng(2)
    noisy = rng.normal(100, 10, (512, 512)) + rng.normal(0, 2, (512, 1))
    found = measure_lines([noisy])
    assert found["X"].value == pytest.approx(0.04, rel=0.25)
    assert abs(found["Y"].value) < 0.001


def test_saturated_images_are_refused():
    with pytest.raises(DataError, match=r"% of the pixels are at the upper limit 15, expected at most 0\.5 %"):
        check(np.minimum(record().astype(np.uint8), 15))


@pytest.mark.parametrize(("gain", "read_noise"), [(1.0, 3.0), (2.0, 3.0), (0.5, 2.0)])
def test_dark_pixels_that_were_cut_off_are_refused(gain, read_noise):
    rng = np.random.default_rng(0)
    scene = ndimage.gaussian_filter(rng.random((384, 384)), 6)
    light = 80 * np.maximum((scene - np.median(scene)) / np.ptp(scene), 0)
    grey = gain * (rng.poisson(light) + rng.normal(0, read_noise, light.shape))
    check((grey + 100).round().astype(np.uint16))
    with pytest.raises(DataError, match="dark pixels were cut off"):
        check(np.maximum(grey, 0).round().astype(np.uint16))


def test_dark_photon_counts_are_not_taken_for_cut_off():
    rng = np.random.default_rng(0)
    scene = ndimage.gaussian_filter(rng.random((384, 384)), 6)
    counts = rng.poisson(20 * np.maximum((scene - np.median(scene)) / np.ptp(scene), 0.002)).astype(np.uint8)
    assert (counts == 0).mean() > 0.4
    check(counts)


@pytest.mark.parametrize("quality", [4, 12])
def test_compressed_images_are_refused(quality):
    """The squares of JPEG: cosine transform, rounded to steps that grow with frequency."""
    noisy = record(150, side=256, sharpness=4)
    steps = quality * (1 + np.add.outer(np.arange(8), np.arange(8)))
    squares = noisy.reshape(32, 8, 32, 8).transpose(0, 2, 1, 3)
    coefficients = fft.dctn(squares, axes=(2, 3), norm="ortho")
    coarse = fft.idctn(np.round(coefficients / steps) * steps, axes=(2, 3), norm="ortho")
    with pytest.raises(DataError, match="compressed as JPEG"):
        check(coarse.transpose(0, 2, 1, 3).reshape(256, 256))


def test_stretched_contrast_is_refused_and_a_detector_with_steps_is_not():
    counts = record(40).astype(np.uint16)
    check(4 * counts + 7)
    with pytest.raises(DataError, match=r"\d+ % of the grey levels between dark and bright are never used"):
        check((1.4 * counts).astype(np.uint16))


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_a_noise_that_is_not_that_of_the_images_is_refused(gain):
    check(record(), noise=Noise(gain=1.0))
    with pytest.raises(DataError, match=r"predict a variance of .* the images have .*noise: auto"):
        check(record(), noise=Noise(gain=gain))


def test_a_noise_that_is_not_known_well_is_refused():
    noisy = record(5, side=64)
    with pytest.raises(DataError, match="variance does not grow with the mean"):
        check(noisy)
    with pytest.raises(DataError, match=r"expected to be known to 25 %"):
        check(noisy, noise=dataclasses.replace(measure.fit_planes([record()]), covariance=np.eye(2)))


def test_averages_that_were_rounded_are_refused():
    averaged = np.mean([record(5, seed=seed) for seed in range(30)], axis=0)
    with pytest.raises(DataError, match="lost in rounding"):
        check(averaged.round().astype(np.uint16), noise=Noise(gain=1 / 30))


def test_small_images_are_not_judged():
    with pytest.raises(DataError, match="at least 64 x 64"):
        check(record(side=40))


@pytest.mark.skipif("CAREZOO_DATA" not in os.environ, reason="needs CAREZOO_DATA, the folder with the public images")
def test_real_images_pass_or_are_refused_as_their_descriptions_say():
    data = Path(os.environ["CAREZOO_DATA"])
    good = [*(data / "fmd_confocal_nuclei" / "low").glob("*.tif"), *(data / "fmd_mixed" / "low").glob("*.tif")]
    good += [*(data / "photon_counting_repeats").glob("*.tif")]
    assert len(good) > 15
    for path in good:
        pixels = tifffile.imread(path)
        images = [Image(pixels, "TYX"[-pixels.ndim :])]
        check_assumption(images, noise=measure.measure_noise(images))
    for path, reason in (
        ("w2s_widefield/low/fov001_ch0.tif", "grey levels"),
        ("bpae_exposure/low/mito_60x.tif", "limit 255"),
    ):
        with pytest.raises(DataError, match=reason):
            check(tifffile.imread(data / path))
    camera_pattern = tifffile.imread(data / "noisy_only" / "embryo_transmission_fluorescence_cyx.tif")
    with pytest.raises(DataError, match="lines along X"):
        check_assumption([Image(camera_pattern, "CYX")], 1, noise=Noise(gain=0.3, offset=100))
