"""Whether a predicted uncertainty points at the errors: what is left of the error when the least certain pixels go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError

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
    by_uncertainty, by_error = _remaining(absolute[order]), _remaining(np.sort(absolute))
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


def _remaining(ascending: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the relative root mean square of the first part of sorted errors, for each share removed from the end."""
    sums = np.cumsum(ascending**2)
    counts = [max(1, round((1.0 - share) * len(ascending))) for share in REMOVED]
    whole = sums[-1] / len(ascending)
    if whole == 0:
        return np.ones(len(REMOVED))
    return np.asarray(np.sqrt(np.array([sums[n - 1] / n for n in counts]) / whole))
