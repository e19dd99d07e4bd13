from __future__ import annotations

import numpy as np
import pytest

from carezoo.errors import InputError
from carezoo.evaluate.calibration import REMOVED, mean_sparsification, sparsification

ERROR = np.random.default_rng(0).laplace(size=(100, 100))


def test_an_uncertainty_that_is_the_error_is_perfect():
    found = sparsification(ERROR, np.abs(ERROR))
    assert found.ause == pytest.approx(0, abs=1e-12)
    assert found.by_uncertainty == found.by_error
    np.testing.assert_allclose(found.bin_error, found.bin_uncertainty)


def test_one_that_knows_nothing_is_one_and_the_opposite_is_worse():
    assert sparsification(ERROR, np.random.default_rng(1).random(ERROR.shape)).ause == pytest.approx(1, abs=0.1)
    assert sparsification(ERROR, -np.abs(ERROR)).ause > 1.5


def test_curves_worked_out_by_hand():
    error = np.arange(1.0, 21.0)
    found = sparsification(error, error[::-1])
    whole = np.sqrt(np.mean(error**2))
    half = REMOVED.index(0.5)
    assert found.by_error[half] == pytest.approx(np.sqrt(np.mean(error[:10] ** 2)) / whole)
    assert found.by_uncertainty[half] == pytest.approx(np.sqrt(np.mean(error[10:] ** 2)) / whole)
    assert found.bin_uncertainty[0] == 1.5
    assert found.bin_error[0] == 19.5


def test_a_laplace_scale_is_the_mean_error():
    rng = np.random.default_rng(2)
    scale = rng.uniform(0.5, 5, (300, 300))
    found = sparsification(rng.laplace(0, scale), scale)
    np.testing.assert_allclose(found.bin_error, found.bin_uncertainty, rtol=0.06)


def test_no_error_at_all():
    found = sparsification(np.zeros(50), np.arange(50))
    assert found.ause == 0
    assert set(found.by_uncertainty) == {1.0}


def test_mean_over_images():
    both = [sparsification(ERROR, np.abs(ERROR)), sparsification(2 * ERROR, -np.abs(ERROR))]
    mean = mean_sparsification(both)
    assert mean.ause == pytest.approx((both[0].ause + both[1].ause) / 2)
    assert mean.bin_error[3] == pytest.approx((both[0].bin_error[3] + both[1].bin_error[3]) / 2)


def test_shapes_must_be_one():
    with pytest.raises(InputError, match="one shape"):
        sparsification(ERROR, ERROR[:50])
    with pytest.raises(InputError, match="at least 20 pixels"):
        sparsification(ERROR[0, :5], ERROR[0, :5])
