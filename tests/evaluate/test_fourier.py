from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from carezoo.evaluate import fourier
from carezoo.evaluate.fourier import Correlation, Spectrum, correlations, mean_correlation, mean_spectrum, spectra

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(128, 128))


def test_a_wave_stands_at_its_frequency_along_its_axis():
    wave = np.sin(2 * np.pi * 0.125 * np.arange(128))[np.newaxis, :] + 0.001 * NOISE
    found = spectra(wave)
    assert found["X"].frequency[int(np.argmax(found["X"].power))] == pytest.approx(0.125, abs=0.01)
    assert max(found["X"].power) > 1000 * max(found["Y"].power)


def test_white_noise_has_its_variance_at_every_frequency():
    power = np.array(spectra(3 * NOISE)["Y"].power)
    assert power.mean() == pytest.approx(9, rel=0.1)
    assert power[:20].mean() == pytest.approx(power[-20:].mean(), rel=0.2)


def test_long_lines_are_summed_up_in_few_points():
    found = spectra(RNG.normal(size=(16, 1000)))
    assert len(found["X"].frequency) == fourier.N_FREQUENCIES
    assert found["X"].frequency[-1] > 0.49


def test_an_image_agrees_with_itself_whatever_gain_and_offset():
    (found,) = correlations(NOISE, 5 - 3 * NOISE).values()
    np.testing.assert_allclose(found.value, -1, atol=1e-9)
    (found,) = correlations(NOISE, 5 + 3 * NOISE).values()
    np.testing.assert_allclose(found.value, 1, atol=1e-9)
    assert found.is_limited_by_pixels
    assert found.resolution == pytest.approx(2)


def test_unrelated_images_do_not():
    (found,) = correlations(NOISE, RNG.normal(size=NOISE.shape)).values()
    assert np.abs(found.value[8:]).mean() < 0.15
    assert found.resolution is None or found.resolution > 20


def test_the_resolution_is_where_common_detail_ends():
    """Two images share all waves longer than 8 pixels, and have noise of their own at shorter ones."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    common = RNG.normal(size=(256, 256))

    def image():
        own = np.fft.fft2(RNG.normal(size=(256, 256)))
        return np.fft.ifft2(np.where(frequency < 1 / 8, np.fft.fft2(common), own)).real

    first, second = image(), image()
    found = correlations(first, second)["XY"]
    assert found.unit == "pixel"
    assert found.resolution == pytest.approx(8, rel=0.06)
    in_um = correlations(first, second, {"Y": 0.1, "X": 0.1})["XY"]
    assert (in_um.unit, in_um.nyquist) == ("µm", pytest.approx(5))
    assert in_um.resolution == pytest.approx(0.1 * found.resolution)


def test_volumes_are_judged_along_z_apart():
    clean = RNG.normal(size=(48, 48, 48))
    blurred = gaussian_filter(clean, (2.5, 0.4, 0.4)) + 0.05 * RNG.normal(size=clean.shape)
    found = correlations(blurred, clean)
    assert set(found) == {"XY", "Z"}
    assert found["Z"].resolution > 2 * found["XY"].resolution


def test_thin_volumes_say_nothing_along_z():
    thin = RNG.normal(size=(6, 32, 32))
    assert set(spectra(thin)) == {"Y", "X"}
    assert set(correlations(thin, thin)) == {"XY"}
    assert correlations(thin[:, :8, :8], thin[:, :8, :8]) == {}


def test_a_constant_image_correlates_with_nothing():
    (found,) = correlations(np.ones((32, 32)), NOISE[:32, :32]).values()
    assert set(found.value) == {0.0}
    assert found.resolution is None


def test_the_crossing_is_interpolated_by_hand():
    found = Correlation((0.1, 0.2, 0.3), (1.0, 0.5, 0.0), "pixel", 0.5)
    assert found.resolution == pytest.approx(1 / (0.2 + 0.1 * (0.5 - 1 / 7) / 0.5))


def test_means_over_images_of_different_size():
    mean = mean_spectrum([Spectrum((0.1, 0.5), (1.0, 3.0)), Spectrum((0.1, 0.3, 0.5), (2.0, 2.0, 5.0))])
    assert mean == Spectrum((0.1, 0.5), (1.5, 4.0))
    first = Correlation((0.1, 0.5), (1.0, 0.0), "pixel", 0.5)
    other_unit = Correlation((1.0, 5.0), (0.0, 0.0), "µm", 5.0)
    assert mean_correlation([first, other_unit]) == first
