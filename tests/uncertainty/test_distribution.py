from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from carezoo.errors import InputError
from carezoo.uncertainty.laplace import Laplace

MEAN, SCALE = (array.ravel() for array in np.meshgrid([-50.0, 0.0, 0.3, 1000.0], [1e-3, 0.7, 30.0]))
Y = MEAN + SCALE * np.linspace(-20, 20, MEAN.size)


def laplace(dtype: type = np.float64) -> Laplace:
    return Laplace(MEAN.astype(dtype), SCALE.astype(dtype))


SCIPY = stats.laplace(MEAN, SCALE)


@pytest.mark.parametrize("p", [1e-9, 0.01, 0.25, 0.5, 0.75, 0.99, 1 - 1e-9])
def test_quantile_is_scipys(p):
    np.testing.assert_allclose(laplace().quantile(p), SCIPY.ppf(p), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.5, 0.9, 0.95, 0.999])
def test_interval_is_scipys(level):
    np.testing.assert_allclose(laplace().interval(level), SCIPY.interval(level), rtol=1e-6, atol=1e-6)


def test_interval_half_widths_by_name():
    one = Laplace(np.zeros(1), np.ones(1))
    assert [round(one.interval(level)[1].item(), 4) for level in (0.5, 0.9, 0.95)] == [0.6931, 2.3026, 2.9957]


def test_densities_probabilities_and_moments_are_scipys():
    ours = laplace()
    np.testing.assert_allclose(ours.cdf(Y), SCIPY.cdf(Y), rtol=1e-6)
    np.testing.assert_allclose(ours.probability(above=Y), SCIPY.sf(Y), rtol=1e-6)
    np.testing.assert_allclose(ours.nll(Y), -SCIPY.logpdf(Y), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.entropy, SCIPY.entropy(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.std, SCIPY.std(), rtol=1e-6)


def test_upper_tail_keeps_its_digits():
    above = Laplace(np.zeros(1), np.ones(1)).probability(above=60.0)
    assert above == pytest.approx(0.5 * np.exp(-60.0), rel=1e-12, abs=0)


def test_crps_is_the_integral_it_stands_for():
    ours, y = Laplace(np.array([0.4]), np.array([0.8])), 1.3
    x = np.linspace(-30, 30, 600_001)
    integral = np.trapezoid((stats.laplace.cdf(x, 0.4, 0.8) - (x >= y)) ** 2, x)
    assert ours.crps(y).item() == pytest.approx(integral, abs=1e-4)


@given(p=st.floats(1e-12, 1 - 1e-12), mean=st.floats(-1e4, 1e4), scale=st.floats(1e-3, 1e3))
def test_cdf_undoes_quantile(p, mean, scale):
    ours = Laplace(np.array([mean]), np.array([scale]))
    assert ours.cdf(ours.quantile(p)).item() == pytest.approx(p, abs=1e-7)


def test_float32_stays_float32():
    ours, exact = laplace(np.float32), laplace()
    y = (MEAN + SCALE).astype(np.float32)
    results = {
        "quantile": (ours.quantile(0.95), exact.quantile(0.95)),
        "lower": (ours.interval(0.9)[0], exact.interval(0.9)[0]),
        "cdf": (ours.cdf(MEAN.astype(np.float32)), exact.cdf(MEAN)),
        "above": (ours.probability(above=100.0), exact.probability(above=100.0)),
        "nll": (ours.nll(y), exact.nll(y)),
        "crps": (ours.crps(MEAN.astype(np.float32)), exact.crps(MEAN)),
        "std": (ours.std, exact.std),
        "entropy": (ours.entropy, exact.entropy),
    }
    for name, (single, double) in results.items():
        assert single.dtype == np.float32, name
        # At mean 1000 and scale 0.001 one step of float32 is 0.06 of the scale.
        np.testing.assert_allclose(single, double, rtol=1e-5, atol=0.1, err_msg=name)
    assert ours.sample(np.random.default_rng(0)).dtype == np.float32


def test_samples_follow_the_distribution():
    n = 40_000
    ours = Laplace(np.full(n, 12.0, np.float32), np.full(n, 3.0, np.float32))
    draws = ours.sample(np.random.default_rng(7))
    assert stats.kstest(draws, stats.laplace(12, 3).cdf).pvalue > 0.01
    assert np.corrcoef(draws[1:], draws[:-1])[0, 1] == pytest.approx(0, abs=0.02)


def test_samples_are_seeded():
    ours = laplace()
    first, same, other = (ours.sample(np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert (first != other).all()


@pytest.mark.parametrize(
    ("mean", "scale", "words"),
    [
        (np.zeros(3), np.ones(4), r"one shape; found \(3,\) and \(4,\)"),
        (np.zeros(3, int), np.ones(3), "floating-point; found int64 and float64"),
        (np.zeros(2), np.array([1.0, 0.0]), "must be positive"),
        (np.zeros(2), np.array([1.0, np.nan]), "must be positive"),
    ],
)
def test_impossible_parameters_are_told(mean, scale, words):
    with pytest.raises(InputError, match=words):
        Laplace(mean, scale)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, float("nan")])
def test_impossible_probability_is_told(p):
    with pytest.raises(InputError, match="both excluded; found"):
        laplace().quantile(p)


@pytest.mark.parametrize("level", [1.0, -0.1, float("nan")])
def test_impossible_level_is_told(level):
    with pytest.raises(InputError, match="at least 0 and below 1; found"):
        laplace().interval(level)
