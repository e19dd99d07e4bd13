"""Noise that is not independent from pixel to pixel is found, and structure is not taken for it."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from carezoo.errors import DataError
from carezoo.image import Image
from carezoo.noise.assumption import check_assumption, measure_correlation, measure_lines


def record(photons=20.0, *, sharpness=2.0, side=384, seed=0):
    """Poisson noise on structure as fine as an objective shows it."""
    rng = np.random.default_rng(seed)
    scene = ndimage.gaussian_filter(rng.random((side, side)), sharpness)
    scene = 1 + photons * (scene - scene.min()) / np.ptp(scene)
    return rng.poisson(scene).astype(np.float32)


def check(*planes):
    check_assumption([Image(plane, "YX") for plane in planes])


@pytest.mark.parametrize("photons", [2, 20, 200])
@pytest.mark.parametrize("sharpness", [1.2, 6])
def test_independent_noise_passes(photons, sharpness):
    check(record(photons, sharpness=sharpness))


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


def test_small_images_are_not_judged():
    with pytest.raises(DataError, match="at least 64 x 64"):
        check(record(side=40))


@pytest.mark.skipif("CAREZOO_DATA" not in os.environ, reason="needs CAREZOO_DATA, the folder with the public images")
def test_real_images_pass_or_are_refused_as_their_descriptions_say():
    data = Path(os.environ["CAREZOO_DATA"])
    good = [*(data / "fmd_confocal_nuclei" / "low").glob("*.tif"), *(data / "w2s_widefield" / "low").glob("*.tif")]
    good += [*(data / "photon_counting_repeats").glob("*.tif"), *(data / "fmd_mixed" / "low").glob("*.tif")]
    assert len(good) > 40
    for path in good:
        pixels = tifffile.imread(path)
        check_assumption([Image(pixels, "TYX"[-pixels.ndim :])])
    camera_pattern = tifffile.imread(data / "noisy_only" / "embryo_transmission_fluorescence_cyx.tif")
    with pytest.raises(DataError, match="lines along X"):
        check_assumption([Image(camera_pattern, "CYX")], channel=1)
