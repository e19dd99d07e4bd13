"""Whether a predicted distribution holds what it promises, on true values it has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.levels import Recalibration
from carezoo.uncertainty.mixture import Mixture

LEVELS = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Levels of a coverage curve: 0.05 to 0.95."""


@dataclass(frozen=True)
class MeasuredCalibration:
    """Coverage and proper scores of predicted distributions, over all pixels they were compared on."""

    levels: tuple[float, ...]
    """Nominal levels of central intervals."""
    observed: tuple[float, ...]
    """Fraction of pixels whose true value lies inside the central interval, one for each level."""
    nll: float
    """Mean negative log-likelihood, nats."""
    crps: float | None
    """Mean continuous ranked probability score, in the units of the image; None for mixtures, which have no formula."""
    n_pixels: int

    @property
    def error(self) -> float:
        """Mean distance of observed from nominal coverage over the levels (expected calibration error)."""
        return math.fsum(abs(o - c) for o, c in zip(self.observed, self.levels, strict=True)) / len(self.levels)

    def at(self, level: float) -> float:
        """Return the observed coverage of the central interval of `level`, one of `levels`."""
        return self.observed[self.levels.index(level)]


def calibration(
    predicted: Laplace | Mixture,
    target: NDArray[Any],
    levels: Sequence[float] = LEVELS,
    recalibration: Recalibration | None = None,
) -> MeasuredCalibration:
    """Compare predicted distributions with true values.

    Parameters
    ----------
    predicted
        One distribution per pixel of `target`; for ensembles their mixture.
    target
        True values in the same intensity units (map the target there first: `carezoo.metrics.fit_units`). Background
        outnumbers everything else in most images; to judge foreground apart, give only its pixels.
    levels
        Ascending, between 0 and 1.
    recalibration
        At which levels intervals are asked for; None: at `levels`.

    Raises
    ------
    InputError
        If the shapes differ or the levels do not ascend between 0 and 1.
    """
    if not target.size:
        raise InputError("a calibration needs at least one pixel; found none")
    if predicted.mean.shape != target.shape:
        raise InputError(f"predicted distributions have shape {predicted.mean.shape}, the target {target.shape}")
    asked = [recalibration.level(level) for level in levels] if recalibration else levels
    return MeasuredCalibration(
        levels=tuple(float(level) for level in levels),
        observed=tuple(coverage(predicted, target, asked).tolist()),
        nll=float(predicted.nll(target).mean(dtype=np.float64)),
        crps=float(predicted.crps(target).mean(dtype=np.float64)) if isinstance(predicted, Laplace) else None,
        n_pixels=target.size,
    )


def pool_calibrations(each: Sequence[MeasuredCalibration]) -> MeasuredCalibration | None:
    """Return the calibration over all pixels of several images with the same levels; None of none.

    Raises
    ------
    InputError
        If the levels differ.
    """
    if not each:
        return None
    if any(one.levels != each[0].levels for one in each):
        raise InputError("calibrations at different levels cannot be pooled")
    n = sum(one.n_pixels for one in each)
    shares = [one.n_pixels / n for one in each]
    observed = np.average([one.observed for one in each], axis=0, weights=shares)
    crps = [one.crps for one in each]
    return MeasuredCalibration(
        each[0].levels,
        tuple(observed.tolist()),
        math.fsum(one.nll * share for one, share in zip(each, shares, strict=True)),
        None if None in crps else math.fsum((c or 0.0) * share for c, share in zip(crps, shares, strict=True)),
        n,
    )


def coverage(
    predicted: Laplace | Mixture, target: NDArray[Any], levels: Sequence[float] = LEVELS
) -> NDArray[np.float64]:
    """Return the fraction of pixels of `target` inside the central interval of `predicted`, one for each level.

    Parameters and errors as in `calibration`.
    """
    ladder = np.asarray(levels, np.float64)
    if not ladder.size or ladder[0] <= 0 or ladder[-1] >= 1 or (np.diff(ladder) <= 0).any():
        raise InputError(f"levels of intervals must ascend between 0 and 1; found {list(levels)}")
    # y is inside the central interval of level c exactly if |2 F(y) - 1| <= c.
    smallest_level = np.abs(2.0 * predicted.cdf(target) - 1.0).ravel()
    n_by_level = np.bincount(np.searchsorted(ladder, smallest_level), minlength=len(ladder) + 1)
    inside: NDArray[np.float64] = np.cumsum(n_by_level)[:-1] / smallest_level.size
    return inside


REMOVED = tuple(round(0.05 * i, 2) for i in range(20))
"""Shares of the pixels that are taken away: 0 to 0.95."""

N_BINS = 10
"""Bins of equally many pixels, from the most certain to the least certain."""


@dataclass(frozen=True)
class Sparsification:
    """Error against a predicted uncertainty (scale, disagreement) on one image, or averaged over images."""

    removed: tuple[float, ...]
    by_uncertainty: tuple[float, ...]
    """Root mean square error of what remains when the least certain pixels are taken away, as a share of that of the
    whole image; one for each share removed."""
    by_error: tuple[float, ...]
    """The same when the pixels with the largest errors are taken away: the best any uncertainty could do."""
    ause: float
    """Area between the two curves over the area between the best one and a constant 1: 0 for an uncertainty that sorts
    pixels as their errors do, 1 for one that knows nothing, above 1 for a misleading one."""
    bin_uncertainty: tuple[float, ...]
    """Mean uncertainty in each bin."""
    bin_error: tuple[float, ...]
    """Mean absolute error in each bin. For a calibrated Laplace distribution it is the scale."""


def sparsification(error: NDArray[Any], uncertainty: NDArray[Any]) -> Sparsification:
    """Return how well `uncertainty` sorts the pixels by their errors.

    Parameters
    ----------
    error
        Differences of restored and true values, any shape.
    uncertainty
        The same shape; larger is less certain.

    Raises
    ------
    InputError
        If the shapes differ, or there are fewer than 20 pixels.
    """
    if error.shape != uncertainty.shape or error.size < len(REMOVED):
        raise InputError(
            f"errors and uncertainties must have one shape of at least {len(REMOVED)} pixels; found {error.shape} and "
            f"{uncertainty.shape}"
        )
    absolute = np.abs(error.ravel()).astype(np.float64)
    certainty = uncertainty.ravel().astype(np.float64)
    order = np.argsort(certainty, kind="stable")
    by_uncertainty, by_error = _measure_remaining(absolute[order]), _measure_remaining(np.sort(absolute))
    room = float(np.mean(1.0 - by_error))
    bins = np.array_split(order, N_BINS)
    return Sparsification(
        REMOVED,
        tuple(by_uncertainty.tolist()),
        tuple(by_error.tolist()),
        float(np.mean(by_uncertainty - by_error)) / room if room > 0 else 0.0,
        tuple(float(certainty[each].mean()) for each in bins),
        tuple(float(absolute[each].mean()) for each in bins),
    )


def mean_sparsification(each: Sequence[Sparsification]) -> Sparsification:
    """Return the average over images, number by number."""
    columns = [
        np.mean([getattr(one, name) for one in each], axis=0).tolist()
        for name in ("by_uncertainty", "by_error", "bin_uncertainty", "bin_error")
    ]
    by_uncertainty, by_error, bin_uncertainty, bin_error = map(tuple, columns)
    ause = float(np.mean([one.ause for one in each]))
    return Sparsification(each[0].removed, by_uncertainty, by_error, ause, bin_uncertainty, bin_error)


def _measure_remaining(ascending: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the relative root mean square of the first part of sorted errors, for each share removed from the end."""
    sums = np.cumsum(ascending**2)
    counts = [max(1, round((1.0 - share) * len(ascending))) for share in REMOVED]
    whole = sums[-1] / len(ascending)
    if whole == 0:
        return np.ones(len(REMOVED))
    return np.asarray(np.sqrt(np.array([sums[n - 1] / n for n in counts]) / whole))
