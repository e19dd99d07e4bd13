"""Intervals hold after recalibration, whatever the errors' real distribution is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from carezoo.errors import InputError
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.levels import WANTED, Recalibration
from carezoo.uncertainty.mixture import Mixture


def _normal(n, rng):
    """Errors that are normal, where the model says Laplace."""
    mean = np.zeros(n, np.float32)
    scale = np.exp(rng.normal(0, 0.5, n)).astype(np.float32)
    return Laplace(mean, scale), scale * rng.normal(0, 1.2, n)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_intervals_hold_on_values_that_did_not_measure_them(level):
    rng = np.random.default_rng(3)
    found = Recalibration.measure(*_normal(200_000, rng))
    predicted, true = _normal(200_000, rng)
    lower, upper = predicted.interval(level)
    promised = ((lower <= true) & (true <= upper)).mean()
    lower, upper = predicted.interval(found.level(level))
    assert ((lower <= true) & (true <= upper)).mean() == pytest.approx(level, abs=0.01)
    assert abs(promised - level) > 0.02
    assert (true <= predicted.quantile(found.probability(0.5 + level / 2))).mean() == pytest.approx(
        0.5 + level / 2, abs=0.01
    )


def test_what_holds_already_stays():
    rng = np.random.default_rng(0)
    members = Laplace(rng.normal(0, 1, (3, 100_000)), np.exp(rng.normal(0, 0.3, (3, 100_000))))
    found = Recalibration.measure(Mixture(members), Mixture(members).sample(rng))
    assert found.asked == pytest.approx(WANTED, abs=0.01)
    assert found.level(0.0) == 0
    assert found.probability(0.5) == 0.5


@given(st.sets(st.integers(10, 990), min_size=1, max_size=8), st.floats(0.0, 0.9999))
@example({990}, 0.9999)
def test_levels_ascend_and_their_inverse_undoes_them(per_mille, level):
    asked = [each / 1000 for each in sorted(per_mille)]
    found = Recalibration(tuple(np.linspace(0, 1, len(asked) + 2)[1:-1].tolist()), tuple(asked))
    lost = 1e-15 / (1 - found.level(level))  # a level close to 1 has few digits for its distance from 1
    assert found.holds(found.level(level)) == pytest.approx(level, abs=1e-9 + lost)
    assert found.level(level) <= found.level(min(0.99999, level + 1e-3)) < 1


def test_values_in_steps_are_no_obstacle():
    found = Recalibration.measure(Laplace(np.zeros(1000), np.ones(1000)), np.repeat([0.0, 1.0], 500))
    assert all(a < b for a, b in zip(found.asked, found.asked[1:], strict=False))
    assert Recalibration.from_plain(found.to_plain()).asked == pytest.approx(found.asked, abs=1e-11)


@pytest.mark.parametrize("rows", [[], [[0.5]], [[0.5, 0.6], [0.4, 0.7]], [[0.5, 1.0]], [[0.5, 0.6], [0.9, 0.6]]])
def test_levels_that_make_no_sense_are_refused(rows):
    with pytest.raises(InputError, match="level"):
        Recalibration.from_plain(rows)


def test_values_far_outside_of_every_interval_leave_levels_that_ascend():
    rng = np.random.default_rng(0)
    predicted, true = _normal(10_000, rng)
    true[:400] = 1000 * predicted.scale[:400]
    found = Recalibration.measure(predicted, true)
    assert found.level(0.99) > found.level(0.95)
    assert Recalibration.from_plain(found.to_plain()).wanted == WANTED
