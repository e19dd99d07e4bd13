"""Errors estimated from noisy images are those that are there, and as far off as they are said to be."""

import numpy as np
import pytest
from scipy import ndimage

from carezoo.noise.estimate import (
    SHARE,
    compute_squared_errors,
    compute_thinned_errors,
    estimate_mse,
    summarize,
)
from carezoo.noise.measure import fit_planes
from carezoo.noise.thin import Noise, thin

NOISE = Noise(gain=2.0, offset=20.0)

METHODS = {
    "none": lambda image: image,
    "fine Gaussian": lambda image: ndimage.gaussian_filter(image, 0.6),
    "coarse Gaussian": lambda image: ndimage.gaussian_filter(image, 2.0),
    "very coarse Gaussian": lambda image: ndimage.gaussian_filter(image, 5.0),
    "median": lambda image: ndimage.median_filter(image, 5),
}


def scene(seed, side=192):
    """Smooth background with spots: expected grey levels."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random((side, side)), 4)
    spots = ndimage.gaussian_filter((rng.random((side, side)) > 0.997).astype(float), 1.5)
    photons = 2 + 30 * (0.6 * ((smooth - smooth.min()) / np.ptp(smooth)) ** 2 + 0.6 * spots / spots.max())
    return NOISE.gain * photons + NOISE.offset


def record(clean, rng):
    return (NOISE.gain * rng.poisson((clean - NOISE.offset) / NOISE.gain) + NOISE.offset).astype(np.float32)


def estimate_from_one(method, noisy, noise, rng):
    parts = thin(noisy, noise, SHARE, rng)
    return summarize(compute_thinned_errors(method(noisy), method(parts[0]), noisy, parts, noise))


def test_errors_are_estimated_from_one_frame_or_from_a_second_one():
    ratios = {name: [] for name in METHODS}
    pulls = []
    for seed in range(8):
        rng, clean = np.random.default_rng(seed), scene(seed)
        noisy, second = record(clean, rng), record(clean, rng)
        for name, method in METHODS.items():
            true = np.mean((method(noisy) - clean) ** 2)
            one = estimate_from_one(method, noisy, NOISE, rng)
            other, se = estimate_mse(method(noisy), second, NOISE)
            ratios[name].append((one.value / true, other / true))
            pulls += [(one.value - true) / one.se, (other - true) / se]
    for name, each in ratios.items():
        assert np.abs(10 * np.log10(np.mean(each, axis=0))).max() < 0.2, name
        assert np.abs(10 * np.log10(each)).mean() < 0.5, name
    assert np.mean(np.abs(pulls) < 1.64) > 0.8
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1, abs=0.4)


def test_methods_are_ranked_as_by_the_truth():
    for seed in range(5):
        rng, clean = np.random.default_rng(50 + seed), scene(50 + seed, side=256)
        noisy = record(clean, rng)
        true = [np.mean((method(noisy) - clean) ** 2) for method in METHODS.values()]
        found = [estimate_from_one(method, noisy, NOISE, rng).value for method in METHODS.values()]
        assert np.argsort(true).tolist() == np.argsort(found).tolist()


def test_noise_that_a_method_lets_through_is_not_taken_for_a_small_error():
    """Without its last term the estimate says that the input itself is perfect, and better than that."""
    rng, clean = np.random.default_rng(0), scene(0)
    noisy = record(clean, rng)
    assert compute_squared_errors(noisy, noisy, NOISE).mean() < 0
    assert estimate_from_one(METHODS["none"], noisy, NOISE, rng).value == pytest.approx(
        np.mean((noisy - clean) ** 2), rel=0.05
    )


def test_what_was_held_out_of_the_light_can_be_compared_with():
    rng, clean = np.random.default_rng(3), scene(3, side=512)
    source, target = thin(record(clean, rng), NOISE, 0.5, rng)
    restored = METHODS["coarse Gaussian"](source)
    mse, se = estimate_mse(restored, target, NOISE, share=0.5)
    assert mse == pytest.approx(np.mean((restored - clean) ** 2), abs=3 * se)
    assert se < 0.5 * mse


def test_a_measured_noise_adds_its_own_error():
    rng, clean = np.random.default_rng(4), scene(4)
    noisy, second = record(clean, rng), record(clean, rng)
    fit = fit_planes([noisy])
    restored = METHODS["fine Gaussian"](noisy)
    known, known_se = estimate_mse(restored, second, NOISE)
    measured, measured_se = estimate_mse(restored, second, fit)
    assert measured_se > 1.2 * known_se
    assert abs(measured - known) < 3 * measured_se
    assert fit.noise.gain == fit.gain.value


def test_slightly_correlated_noise_is_taken_into_account():
    """A quarter of the charge of every pixel is read with the next one, as slow detectors do."""
    rng, clean = np.random.default_rng(6), scene(6, side=512)
    late = np.random.default_rng(7).poisson((clean - NOISE.offset) / NOISE.gain)
    noisy = (NOISE.gain * (0.95 * late + 0.05 * np.roll(late, 1, axis=1)) + NOISE.offset).astype(np.float32)
    fit = fit_planes([noisy])
    share = 0.95**2 + 0.05**2
    at = np.array(60.0)
    assert float(fit.variance(at)) == pytest.approx(share * float(NOISE.variance(at)), abs=3 * fit.variance_se(60.0))
    method = METHODS["fine Gaussian"]
    restored, true = method(noisy), np.mean((method(noisy) - clean) ** 2)
    known = Noise(gain=share * NOISE.gain, offset=NOISE.offset)
    parts = thin(noisy, known, SHARE, rng)
    correlation = (0.95 * 0.05 / share, 0.0)
    blind = compute_thinned_errors(restored, method(parts[0]), noisy, parts, known).mean()
    seen = compute_thinned_errors(restored, method(parts[0]), noisy, parts, known, correlation).mean()
    assert seen == pytest.approx(true, rel=0.03)
    assert blind < 0.93 * true


def test_volumes_and_small_images_have_standard_errors_too():
    rng = np.random.default_rng(5)
    clean = np.full((4, 30, 21), 60.0)
    for shape in (clean.shape, (20, 10)):
        noisy = record(np.full(shape, 60.0), rng)
        mse, se = estimate_mse(np.full(shape, 60.0), noisy, NOISE)
        assert abs(mse) < 4 * se
