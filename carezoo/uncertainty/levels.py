"""How wide an interval must be to hold: levels that were observed, in place of those a distribution promises.

Errors of restored pixels are rarely Laplace distributed, and one factor on the scale cannot mend a shape: with the best
factor, intervals of 50 % may hold 43 % of the true values, and those of 90 % hold 95 %. So the level at which an
interval has to be asked for, to hold what is wanted, is measured on images kept for that (Kuleshov et al. 2018,
Accurate uncertainties for deep learning using calibrated regression, ICML), for central intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carezoo.errors import InputError
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.mixture import Mixture

WANTED = (*(round(0.05 * i, 2) for i in range(1, 20)), 0.98, 0.99)
"""Levels that are measured."""

_MOST_SURE = 1.0 - 1e-9
"""Levels beyond cannot be told from certainty."""

_HIGHEST = 1.0 - 1e-15
"""The last level that is asked for: the numbers between it and 1 are too few to say how wide an interval is."""


@dataclass(frozen=True)
class Recalibration:
    """Levels of central intervals, wanted and to be asked for. Both ascend between 0 and 1 (excluded).

    Between them the width of the interval is interpolated, in scales of a Laplace distribution; beyond the last one it
    keeps its proportion.

    Raises
    ------
    InputError
        If the levels do not ascend between 0 and 1.
    """

    wanted: tuple[float, ...]
    asked: tuple[float, ...]
    """Of the distribution, so that the true value lies inside as often as wanted."""

    def __post_init__(self) -> None:
        if len(self.wanted) != len(self.asked):
            raise InputError(f"as many levels wanted as asked for: found {len(self.wanted)} and {len(self.asked)}")
        for name, levels in (("wanted", self.wanted), ("asked for", self.asked)):
            steps = np.diff([0.0, *levels, 1.0])
            if not levels or not (steps > 0).all():
                raise InputError(f"levels {name} must ascend between 0 and 1; found {list(levels)}")

    @classmethod
    def measure(cls, predicted: Laplace | Mixture, target: NDArray[Any]) -> Recalibration:
        """Measure it on true values of the shape of `predicted`."""
        # y is inside the central interval of level c exactly if |2 F(y) - 1| <= c.
        least = np.abs(2.0 * np.asarray(predicted.cdf(target), np.float64) - 1.0).ravel()
        # Ties, as whole numbers of photons and values far outside make them, would stand still.
        apart = 1e-9 * np.arange(len(WANTED))
        asked = np.maximum.accumulate(np.quantile(least, WANTED).clip(1e-6, _MOST_SURE - apart[-1]) + apart)
        return cls(WANTED, tuple(float(level) for level in asked))

    @classmethod
    def from_plain(cls, rows: Sequence[Sequence[float]]) -> Recalibration:
        """Return what `to_plain` wrote."""
        if not all(len(row) == 2 for row in rows):
            raise InputError(f"a recalibration is a list of two levels each, found {rows!r}")
        return cls(tuple(float(row[0]) for row in rows), tuple(float(row[1]) for row in rows))

    def to_plain(self) -> list[list[float]]:
        """Return rows of wanted and asked level."""
        return [[wanted, float(f"{asked:.12g}")] for wanted, asked in zip(self.wanted, self.asked, strict=True)]

    def level(self, wanted: float) -> float:
        """Return the level to ask the distribution for, so that an interval holds with probability `wanted`."""
        asked = -np.expm1(-_interpolate(_width(wanted), _width(self.wanted), _width(self.asked)))
        return min(float(asked), _HIGHEST)

    def probability(self, p: float) -> float:
        """Return the probability to ask the distribution for, to get the quantile that is wanted; the median stays."""
        return (1.0 + math.copysign(self.level(abs(2.0 * p - 1.0)), p - 0.5)) / 2.0

    def holds(self, asked: ArrayLike) -> NDArray[np.float64]:
        """Return how often the intervals of levels `asked` of the distribution hold: the inverse of `level`."""
        widths = _interpolate(_width(asked), _width(self.asked), _width(self.wanted))
        held: NDArray[np.float64] = -np.expm1(-widths)
        return held


def _width(level: ArrayLike) -> NDArray[np.float64]:
    """Return half the width of the interval of a Laplace distribution, in scales."""
    width: NDArray[np.float64] = -np.log1p(-np.minimum(np.asarray(level, np.float64), _HIGHEST))
    return width


def _interpolate(at: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = np.concatenate([[0.0], x]), np.concatenate([[0.0], y])
    return np.where(at <= x[-1], np.interp(at, x, y), at * (y[-1] / x[-1]))
