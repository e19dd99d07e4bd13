"""Planes far apart and planes close together: sampling and interpolation along one axis.

Half-pixel convention everywhere, as in the graphs: pixels are areas, sample ``k`` of a coarse axis covers the fine
pixels from ``k * factor`` to ``(k + 1) * factor`` and its centre lies at fine coordinate ``(k + 1/2) * factor - 1/2``::

    fine    | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |        factor 4
    coarse  |       0       |       1       |        centres at 1.5 and 5.5

End points are not aligned with end points: that would stretch an axis of 10 planes by 10 % (`scipy.ndimage.zoom`
without ``grid_mode`` does). Factors are exact fractions and are never rounded; what does not fill a coarse pixel is cut
off.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo.errors import DataError, RecipeError


def check_factor(factor: Fraction) -> None:
    """Raise `RecipeError` if `factor` is below 1."""
    if factor < 1:
        raise RecipeError(f"factor: expected 1 or more, found {factor}; did you mean {1 / factor}?")


def check_coarse(n_fine: int, factor: Fraction) -> int:
    """Return how many whole coarse pixels `n_fine` fine ones hold.

    Fewer than two, between which nothing can be interpolated, are a `DataError`.
    """
    n = math.floor(n_fine / factor)
    if n < 2:
        raise DataError(
            f"factor {float(factor):g} leaves {n} of {n_fine} pixels or planes; expected at least 2. Use larger "
            "images, or a smaller factor"
        )
    return n


def count_fine(n_coarse: int, factor: Fraction) -> int:
    """Return how many whole fine pixels `n_coarse` coarse ones hold."""
    return math.floor(n_coarse * factor)


def subsample(image: NDArray[np.float32], factor: Fraction, axis: int) -> NDArray[np.float32]:
    """Return `image` at the centres of the coarse pixels of `axis`; points are sampled, not areas averaged."""
    n = check_coarse(image.shape[axis], factor)
    at = np.array([float((k + Fraction(1, 2)) * factor - Fraction(1, 2)) for k in range(n)])
    # A cubic spline through the samples: exact at whole pixels, without the smoothing of linear interpolation between.
    return _interpolate(image, at, axis, order=3)


def upsample(image: NDArray[np.float32], factor: Fraction, axis: int) -> NDArray[np.float32]:
    """Return `image` interpolated linearly along `axis`, as the graph does before its network.

    Beyond the centres of the first and the last pixel values are constant (ONNX Resize, linear, half_pixel).
    """
    n = count_fine(image.shape[axis], factor)
    at = np.array([float((j + Fraction(1, 2)) / factor - Fraction(1, 2)) for j in range(n)])
    return _interpolate(image, np.clip(at, 0, image.shape[axis] - 1), axis, order=1)


def magnify(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return `image` (YX) resampled to `shape`: smoothed first where it shrinks, so that no detail folds back."""
    factors = [want / have for want, have in zip(shape, image.shape, strict=True)]
    widths = [0.5 * max(1 / factor - 1, 0) for factor in factors]
    smooth = ndimage.gaussian_filter(image, widths) if max(widths) > 0 else image
    resampled: NDArray[np.float32] = ndimage.zoom(smooth, factors, order=3, mode="reflect", grid_mode=True)
    return resampled


def _interpolate(image: NDArray[np.float32], at: NDArray[np.float64], axis: int, *, order: int) -> NDArray[np.float32]:
    """Return `image` at coordinates `at` of `axis`."""
    coefficients = image
    if order == 3:
        coefficients = ndimage.spline_filter1d(image, 3, axis=axis, output=np.float64, mode="mirror")
    moved = np.moveaxis(coefficients, axis, 0)
    base = np.floor(at).astype(int)
    t = at - base
    taps = {
        1: [(0, 1 - t), (1, t)],
        3: [
            (-1, (1 - t) ** 3 / 6),
            (0, (3 * t**3 - 6 * t**2 + 4) / 6),
            (1, (3 * (1 - t) ** 3 - 6 * (1 - t) ** 2 + 4) / 6),
            (2, t**3 / 6),
        ],
    }[order]
    n = moved.shape[0]
    result = np.zeros((len(at), *moved.shape[1:]))
    for offset, weight in taps:
        index = np.abs(base + offset)
        index = np.where(index > n - 1, 2 * (n - 1) - index, index)
        result += weight.reshape(-1, *(1,) * (moved.ndim - 1)) * moved[index]
    return np.ascontiguousarray(np.moveaxis(result, 0, axis), np.float32)
