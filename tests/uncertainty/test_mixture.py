"""Mixtures of Laplace distributions against independent integration, and what must hold of any of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.stats import laplace

from carezoo.errors import InputError
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.mixture import Mixture, quadrature


def mixture(means, scales, dtype=np.float64):
    return Mixture(Laplace(np.asarray(means, dtype), np.asarray(scales, dtype)))


def random_mixture(seed, spread=10.0, n_members=5, n=400, dtype=np.float64):
    """Members whose scales differ by up to a factor of `spread`, and whose means are near or far."""
    rng = np.random.default_rng(seed)
    scales = 0.01 * np.exp(rng.uniform(0, math.log(spread), (n_members, n)))
    distance = 0.01 * np.exp(rng.uniform(-2, 5, n))
    return mixture(rng.normal(0, 1, (n_members, n)) * distance, scales, dtype)


@st.composite
def mixtures(draw):
    n_members = draw(st.integers(2, 5))
    return random_mixture(draw(st.integers(0, 2**32)), draw(st.floats(1, 1000)), n_members, n=7)


def test_moments_and_disagreement_equal_numerical_integration():
    each = random_mixture(1, n_members=3, n=4)
    for pixel in range(4):
        means, scales = (values[:, pixel] for values in (each.members.mean, each.members.scale))
        y = np.linspace((means - 40 * scales).min(), (means + 40 * scales).max(), 400_001)
        density = laplace.pdf(y, means[:, np.newaxis], scales[:, np.newaxis]).mean(axis=0)
        mean = trapezoid(y * density, y)
        variance = trapezoid((y - mean) ** 2 * density, y)
        entropy = trapezoid(-density * np.log(density + 1e-300), y)
        own = np.mean(1 + np.log(2 * scales))
        assert each.mean[pixel] == pytest.approx(mean, abs=1e-7)
        assert each.std[pixel] == pytest.approx(np.sqrt(variance), rel=1e-5)
        assert each.exact_disagreement()[pixel] == pytest.approx((entropy - own) / math.log(3), abs=1e-5)
        assert each.nll(y[200_000])[pixel] == pytest.approx(-math.log(density[200_000]), rel=1e-9)
        assert each.cdf(y[200_000])[pixel] == pytest.approx(trapezoid(density[:200_001], y[:200_001]), abs=1e-6)


def test_the_scale_is_that_of_a_laplace_distribution_with_the_same_variance():
    each = random_mixture(2)
    assert np.allclose(Laplace(each.mean, each.scale).std, each.std)


def test_the_variance_keeps_its_digits_in_float32():
    each = mixture([[60000.0], [60000.5], [60001.0]], [[0.1], [0.1], [0.1]], np.float32)
    assert each.std[0] == pytest.approx(math.sqrt(2 * 0.01 + 1 / 6), rel=1e-4)


@settings(deadline=None, max_examples=50)
@given(mixtures(), st.floats(1e-6, 1 - 1e-6))
def test_quantiles_invert_the_distribution_function(each, p):
    y = each.quantile(p)
    assert np.allclose(each.cdf(y), p, atol=1e-9)
    assert np.allclose(each.cdf(y) + each.probability(above=y), 1)
    bounds = each.members.quantile(p)
    assert np.all((bounds.min(axis=0) <= y + 1e-12) & (y <= bounds.max(axis=0) + 1e-12))


def test_quantiles_of_members_far_apart_fall_on_one_of_them():
    each = mixture([[0.0], [1000.0]], [[1.0], [1.0]])
    low, high = each.interval(0.9)
    assert low[0] == pytest.approx(Laplace(np.zeros(1), np.ones(1)).quantile(0.1)[0])
    assert high[0] == pytest.approx(1000 + Laplace(np.zeros(1), np.ones(1)).quantile(0.9)[0])


def test_intervals_hold_the_share_of_draws_they_claim():
    each = random_mixture(3, n=10_000)
    draws = each.sample(np.random.default_rng(4))
    for level in (0.5, 0.9):
        low, high = each.interval(level)
        assert np.mean((draws >= low) & (draws <= high)) == pytest.approx(level, abs=0.01)
    assert np.mean(draws <= each.quantile(0.2)) == pytest.approx(0.2, abs=0.01)


def test_draws_have_the_moments_of_the_mixture():
    means, scales = np.array([0.0, 3.0, 4.0]), np.array([0.5, 0.1, 1.0])
    each = mixture(np.repeat(means[:, None], 200_000, 1), np.repeat(scales[:, None], 200_000, 1))
    draws = each.sample(np.random.default_rng(5))
    assert draws.mean() == pytest.approx(each.mean[0], abs=0.02)
    assert draws.std() == pytest.approx(each.std[0], rel=0.01)


@pytest.mark.parametrize("spread", [1.01, 30, 10_000])
@pytest.mark.parametrize("n_members", [2, 3, 5])
def test_the_quadrature_is_near_dense_integration_whatever_the_scales(spread, n_members):
    each = random_mixture(6, spread, n_members, n=1000)
    exact = each.exact_disagreement()
    assert np.abs(each.disagreement() - exact).max() <= 0.005
    assert np.ptp(exact) > 0.5


def test_the_quadrature_averages_over_a_laplace_distribution():
    t, weight = quadrature()
    assert len(t) == 20
    assert weight.sum() == pytest.approx(1, abs=1e-12)
    assert weight @ np.abs(t) == pytest.approx(1, abs=1e-3)
    assert weight @ np.exp(-np.abs(t)) == pytest.approx(0.5, abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(mixtures(), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_disagreement_does_not_depend_on_units_or_order(each, gain, offset):
    members, first = each.members, each.disagreement()
    turned = mixture(members.mean * gain + offset, members.scale * gain)
    assert np.allclose(turned.disagreement(), first, atol=1e-6)
    assert np.allclose(mixture(members.mean[::-1], members.scale[::-1]).disagreement(), first, atol=0.01)
    assert np.all((first >= 0) & (first <= 1))


def test_members_that_agree_and_members_that_share_nothing():
    same = mixture([[0.3]] * 4, [[0.02]] * 4)
    apart = mixture([[0.0], [1.0], [2.0], [3.0]], [[0.001]] * 4)
    for name in ("disagreement", "exact_disagreement"):
        assert getattr(same, name)()[0] == pytest.approx(0, abs=1e-6)
        assert getattr(apart, name)()[0] == pytest.approx(1, abs=1e-3)


def test_images_keep_shape_and_type():
    rng = np.random.default_rng(7)
    each = mixture(rng.normal(0, 1, (3, 2, 5, 4)), rng.uniform(0.1, 1, (3, 2, 5, 4)), np.float32)
    for values in (each.mean, each.scale, each.quantile(0.3), each.disagreement(), each.sample(rng), each.cdf(0.5)):
        assert values.shape == (2, 5, 4)
        assert values.dtype == np.float32


def test_one_member_is_no_mixture():
    with pytest.raises(InputError, match=r"two or more members.*\(1, 4\)"):
        mixture([[0.0] * 4], [[1.0] * 4])
    each = mixture([[0.0], [1.0]], [[1.0], [1.0]])
    with pytest.raises(InputError, match="between 0 and 1"):
        each.quantile(0.0)
    with pytest.raises(InputError, match="level of an interval"):
        each.interval(1.0)


def test_newton_that_runs_in_a_circle_is_caught():
    means = [[1022.34387207], [965.55206299], [997.99108887], [1011.49029541], [998.85333252]]
    scales = [[8.25705338], [5.92711926], [23.85616112], [33.19177628], [2.39464664]]
    assert mixture(means, scales).quantile(0.5)[0] == pytest.approx(999.3628850970523, abs=1e-9)
    assert mixture(means, scales, np.float32).quantile(0.5)[0] == pytest.approx(999.36288, abs=2e-4)


@pytest.mark.parametrize("p", [1e-4, 0.05, 0.5, 0.9])
def test_float32_quantiles_are_right_to_a_ten_thousandth_of_the_scale(p):
    each = random_mixture(8, spread=30, n=40_000)
    found = mixture(each.members.mean, each.members.scale, np.float32).quantile(p)
    rounded = np.spacing(np.abs(each.members.mean).max(axis=0).astype(np.float32))
    assert np.all(np.abs(found - each.quantile(p)) <= 1e-4 * each.members.scale.min(axis=0) + 4 * rounded)
