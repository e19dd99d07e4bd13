from __future__ import annotations

import numpy as np
import pytest

from carezoo.errors import InputError
from carezoo.evaluate.calibration import LEVELS, MeasuredCalibration, calibration, coverage, pool_calibrations
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.mixture import Mixture


@pytest.fixture(scope="module")
def truth() -> tuple[Laplace, np.ndarray]:
    rng = np.random.default_rng(11)
    predicted = Laplace(rng.uniform(0, 500, (300, 400)), rng.uniform(1, 60, (300, 400)))
    return predicted, predicted.sample(rng)


def test_data_from_the_distribution_itself_are_covered_as_promised(truth):
    np.testing.assert_allclose(coverage(*truth), LEVELS, atol=0.01)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_wrong_widths_show(truth, factor):
    predicted, target = truth
    observed = coverage(Laplace(predicted.mean, predicted.scale * factor), target)
    # |z| is exponential, so an interval of f times the right width holds 1 - (1 - c)^f.
    np.testing.assert_allclose(observed, 1 - (1 - np.array(LEVELS)) ** factor, atol=0.01)
    np.testing.assert_array_less(LEVELS, observed) if factor > 1 else np.testing.assert_array_less(observed, LEVELS)


def test_single_precision_gives_the_same_coverage(truth):
    predicted, target = truth
    single = Laplace(predicted.mean.astype(np.float32), predicted.scale.astype(np.float32))
    np.testing.assert_allclose(coverage(single, target.astype(np.float32)), coverage(predicted, target), atol=1e-4)


def test_scores_are_means_over_pixels_and_best_at_the_right_width(truth):
    predicted, target = truth
    right = calibration(predicted, target, (0.5, 0.9))
    assert right.levels == (0.5, 0.9)
    assert right.observed == pytest.approx((0.5, 0.9), abs=0.01)
    assert right.n_pixels == 120_000
    # Expected values: entropy, and E[CRPS] = b + b/2 - 3b/4.
    assert right.nll == pytest.approx(predicted.entropy.mean(), abs=0.02)
    assert right.crps == pytest.approx(0.75 * predicted.scale.mean(), rel=0.02)
    for factor in (0.7, 1.4):
        wrong = calibration(Laplace(predicted.mean, predicted.scale * factor), target)
        assert wrong.nll > right.nll
        assert wrong.crps > right.crps


def test_foreground_is_judged_by_its_own_pixels(truth):
    predicted, target = truth
    mask = predicted.mean > 250
    too_narrow = np.where(mask, predicted.scale / 4, predicted.scale)
    (foreground,) = coverage(Laplace(predicted.mean[mask], too_narrow[mask]), target[mask], (0.9,))
    (background,) = coverage(Laplace(predicted.mean[~mask], too_narrow[~mask]), target[~mask], (0.9,))
    assert foreground == pytest.approx(1 - 0.1**0.25, abs=0.01)
    assert background == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("levels", [(), (0.0, 0.5), (0.5, 1.0), (0.9, 0.5), (0.5, 0.5)])
def test_impossible_levels_are_told(truth, levels):
    with pytest.raises(InputError, match="must ascend between 0 and 1; found"):
        coverage(*truth, levels)


def test_other_shape_is_told(truth):
    with pytest.raises(InputError, match=r"shape \(300, 400\), the target \(300, 1\)"):
        calibration(truth[0], truth[1][:, :1])


def test_pooled_images_are_as_one_image():
    rng = np.random.default_rng(5)
    mean, scale = rng.normal(size=400), rng.uniform(0.5, 2, 400)
    true = rng.laplace(mean, 1.5 * scale)
    whole = calibration(Laplace(mean, scale), true)
    parts = [calibration(Laplace(mean[part], scale[part]), true[part]) for part in (slice(0, 100), slice(100, 400))]
    found = pool_calibrations(parts)
    np.testing.assert_allclose(found.observed, whole.observed)
    assert (found.nll, found.crps, found.n_pixels) == pytest.approx((whole.nll, whole.crps, whole.n_pixels))
    assert pool_calibrations([]) is None
    with pytest.raises(InputError, match="different levels"):
        pool_calibrations([whole, calibration(Laplace(mean, scale), true, (0.5,))])


def test_a_mixture_is_judged_by_its_own_distribution():
    rng = np.random.default_rng(6)
    means = np.stack([np.full(20_000, -4.0), np.full(20_000, 4.0)])
    members = Laplace(means, np.ones_like(means))
    true = Mixture(members).sample(rng)
    found = calibration(Mixture(members), true)
    assert found.error < 0.01
    assert found.crps is None
    single = calibration(Laplace(np.zeros(20_000), Mixture(members).scale), true)
    assert single.error > 0.05  # the same mean and variance, another distribution


def test_the_distance_from_nominal_levels():
    found = MeasuredCalibration((0.5, 0.9), (0.4, 0.95), 0.0, 0.0, 10)
    assert found.error == pytest.approx((0.1 + 0.05) / 2)
    assert found.at(0.9) == 0.95


def test_no_pixels():
    with pytest.raises(InputError, match="at least one pixel"):
        calibration(Laplace(np.zeros(0), np.ones(0)), np.zeros(0))
