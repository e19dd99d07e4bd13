"""How good a restoration is: the scores of the CARE paper, and errors of gain and offset.

The scores of `score` follow the evaluation scripts of Weigert et al. 2018 (Nature Methods 15, 1090): the target y is
normalized by its percentiles 0.1 and 99.9, the restored image x is fitted to it by least squares,

    y' = (y - P0.1(y)) / (P99.9(y) - P0.1(y)),    x' = gain * x + offset,

and PSNR, NRMSE and SSIM compare x' with y' at data range 1. They do not change when x is multiplied by a number or
shifted, so they say nothing about intensities: that is what `intensity_errors` is for.

All sums are taken in double precision over small blocks; an image is never copied as a whole, save once in its own type
for the percentiles.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError, MissingExtraError, PixelError
from carezoo.regression import fit_line

PERCENTILES = (0.1, 99.9)
"""The percentiles of the target that become 0 and 1."""

_WINDOW = 7
"""Side of SSIM's uniform window along every axis; scikit-image's default."""

_SSIM_BLOCK = {2: 1024, 3: 96}
"""Side of the blocks SSIM is computed in, by number of axes: some 120 MB of temporary arrays."""

Array = NDArray[Any]
"""Real numbers of any type."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class AffineFit:
    """``fitted = gain * values + offset``."""

    gain: float
    offset: float


@dataclass(frozen=True)
class Scores:
    """Scores of one restored image against its target after the affine fit, as in the CARE paper."""

    psnr_db: float
    """``-20 log10(nrmse)``; infinite for a perfect fit."""
    nrmse: float
    """Root of the mean squared difference, in units of the target's range between percentiles 0.1 and 99.9."""
    ssim: float | None
    """Structural similarity at data range 1, 7-pixel uniform window along every axis, means kept. None if a side is
    shorter than the window (a stack of fewer than 7 planes), or if it was not asked for."""
    ssim_care2018: float | None
    """The same after the means of both images are removed, as in the scripts of 2018; higher or lower than `ssim`,
    because SSIM depends on the mean. None as `ssim`."""
    gain: float
    """Slope of the fit, in normalized units of the target per unit of the restored image. Zero: the restored image is
    constant or unrelated to the target; negative: its contrast is inverted. The other scores do not show this."""
    offset: float
    """Constant of the fit, in normalized units of the target."""


@dataclass(frozen=True)
class IntensityErrors:
    """How far restored intensities are from expected ones, in the same units and without any fit in the scores."""

    gain_error: float
    """``gain - 1`` of the fit ``restored = gain * expected + offset``, which allows for noise in `expected`."""
    offset_error: float
    """Value of that fit at the mean expected level, minus that level: how much too bright the image is on average, as a
    fraction of the expected image's range between percentiles 0.1 and 99.9. (Intensity 0 may be far outside of the
    image, below the camera offset, and the fit there says nothing.)"""
    raw_psnr_db: float
    """PSNR at that range; infinite if both are equal."""
    raw_nrmse: float
    """Root of the mean squared difference, in units of that range."""


S = TypeVar("S", Scores, IntensityErrors)


@dataclass(frozen=True)
class MeanScores(Generic[S]):
    """Mean of scores over images, field by field."""

    n: int
    """Number of images."""
    mean: S
    """A field that one of the images does not have (None) is None here too: a mean over other images is another
    quantity."""
    standard_error: S | None
    """Sample standard deviation over the square root of `n`; None for a single image, NaN where a score is infinite."""


def fit_affine(values: Array, reference: Array) -> AffineFit:
    """Return the least-squares gain and offset that map `values` onto `reference`.

    Parameters
    ----------
    values, reference
        Arrays of one shape, any real type.

    Returns
    -------
    AffineFit
        ``gain = cov(values, reference) / var(values)``; 0 if `values` are constant. Negative if they are
        anticorrelated.

    Raises
    ------
    InputError
        If the shapes differ.
    PixelError
        If a pixel is NaN or infinite.
    """
    values, reference = _comparable(values, reference, ("values", "reference"))
    return _fit(values, reference)


def fit_units(target: Array, image: Array) -> AffineFit:
    """Return the gain and offset that map `target` into the units of `image`, whatever the noise of both.

    `fit_affine` is least squares, which the scores of the paper ask for; noise in its `values` makes its gain too small
    (`carezoo.regression`).

    Raises
    ------
    InputError, PixelError
        As `fit_affine`.
    """
    target, image = _comparable(target, image, ("target", "image"))
    line = fit_line(image, target)
    return AffineFit(float(line.gain[0]), float(line.offset[0]))


def score(restored: Array, target: Array, *, with_ssim: bool = True, name: str = "restored image") -> Scores:
    """Return PSNR, NRMSE and SSIM of `restored` against `target` after the paper's affine fit.

    Parameters
    ----------
    restored, target
        One channel each, YX or ZYX and of one shape, any real type and any units; singleton axes are dropped. The noisy
        input or a baseline is scored in the same way, in place of `restored`.
    with_ssim
        False leaves both SSIM None; scikit-image is then not needed.
    name
        What messages call `restored`.

    Raises
    ------
    InputError
        If the shapes differ, there are more than three axes, or the target is constant between its percentiles.
    PixelError
        If a pixel is NaN or infinite.
    MissingExtraError
        If scikit-image is not installed and `with_ssim` is true.
    """
    restored, target = _comparable(restored, target, (name, "target"))
    if target.ndim > 3:
        raise InputError(
            f"scores are of one channel and one time point, YX or ZYX; found shape {target.shape}. "
            "Score them one by one and take mean_scores"
        )
    low, width = _range(target, "target")
    raw = _fit(restored, target)
    fit = AffineFit(raw.gain / width, (raw.offset - low) / width)
    nrmse = math.sqrt(_mean_squared_difference(restored, target, raw)) / width
    ssim, ssim_care2018 = _both_ssim(restored, target, fit, low, width) if with_ssim else (None, None)
    return Scores(_psnr_db(nrmse), nrmse, ssim, ssim_care2018, fit.gain, fit.offset)


def intensity_errors(restored: Array, expected: Array) -> IntensityErrors:
    """Return how far the intensities of `restored` are from those of `expected`.

    Parameters
    ----------
    restored, expected
        Arrays of one shape in the same intensity units, usually those of the input: for `expected`, map the target
        there first (`fit_units(target, noisy)`).

    Notes
    -----
    The fit runs from expected to restored. The best possible estimate of an image from a noisy one has less contrast
    than the image, by the share of variance it cannot explain; a gain error down to minus that share is not a bias.

    Raises
    ------
    InputError
        If the shapes differ, or `expected` is constant between its percentiles.
    PixelError
        If a pixel is NaN or infinite.
    """
    restored, expected = _comparable(restored, expected, ("restored image", "expected image"))
    _, width = _range(expected, "expected image")
    fit = fit_units(expected, restored)
    raw_nrmse = math.sqrt(_mean_squared_difference(restored, expected, AffineFit(1.0, 0.0))) / width
    level = float(expected.mean(dtype=np.float64))
    too_bright = fit.gain * level + fit.offset - level
    return IntensityErrors(fit.gain - 1.0, too_bright / width, _psnr_db(raw_nrmse), raw_nrmse)


def mean_scores(scores: Sequence[S]) -> MeanScores[S]:
    """Return the mean and its standard error over images, field by field.

    Raises
    ------
    InputError
        If there are no scores.
    """
    if not scores:
        raise InputError("the mean of scores needs at least one image; found none")
    kind, n = type(scores[0]), len(scores)
    means: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        column = [getattr(s, field.name) for s in scores]
        is_known = None not in column
        means[field.name] = math.fsum(column) / n if is_known else None
        errors[field.name] = _standard_error(column) if is_known else None
    return MeanScores(n, kind(**means), kind(**errors) if n > 1 else None)


def _comparable(first: Array, second: Array, names: tuple[str, str]) -> tuple[Array, Array]:
    """Return both without singleton axes, once they are known to be finite real arrays of one shape."""
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape:
        raise InputError(
            f"{names[0]} and {names[1]} must have the same shape to be compared pixel by pixel; "
            f"found {first.shape} and {second.shape}"
        )
    for array, name in zip((first, second), names, strict=True):
        if array.dtype.kind not in "uifb" or not array.size:
            raise InputError(f"{name} must hold real numbers; found {array.dtype} of shape {array.shape}")
        if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
            where = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), array.shape))
            n_bad = int(array.size - np.count_nonzero(finite))
            raise PixelError(f"{name} has {n_bad} NaN or infinite pixel(s), the first at {where}; expected finite ones")
    return first.squeeze(), second.squeeze()


def _range(array: Array, name: str) -> tuple[float, float]:
    """Return the lower percentile and the distance to the upper one."""
    values = array.astype(np.uint8) if array.dtype.kind == "b" else array
    low, high = (float(p) for p in np.percentile(values, PERCENTILES))
    if low == high:
        raise InputError(
            f"{name} is constant: its percentiles {PERCENTILES[0]} and {PERCENTILES[1]} are both {low:g} "
            f"(values {float(values.min()):g} to {float(values.max()):g}). There is no structure to score against; "
            "leave this image out or crop it to the object"
        )
    return low, high - low


def _blocks(first: Array, second: Array) -> Iterator[tuple[Float64, Float64]]:
    """Yield all pixels of both in flat blocks of double precision, in the same order."""
    yield from np.nditer(
        (first, second),
        flags=["external_loop", "buffered"],
        op_flags=[["readonly"], ["readonly"]],
        op_dtypes=[np.float64, np.float64],
        buffersize=1 << 16,
    )


def _fit(values: Array, reference: Array) -> AffineFit:
    # Sums of products instead of dot products here and below: BLAS takes threads for those, and waits for them a
    # hundred times longer than the sum takes where other programs keep the processor busy.
    if values.min() == values.max():
        return AffineFit(0.0, float(reference.mean(dtype=np.float64)))
    mean_v = float(values.mean(dtype=np.float64))
    mean_r = float(reference.mean(dtype=np.float64))
    covariance = variance = 0.0
    for v, r in _blocks(values, reference):
        centered = v - mean_v
        covariance += float((centered * (r - mean_r)).sum())
        variance += float((centered * centered).sum())
    gain = covariance / variance
    return AffineFit(gain, mean_r - gain * mean_v)


def _mean_squared_difference(values: Array, reference: Array, fit: AffineFit) -> float:
    total = 0.0
    for v, r in _blocks(values, reference):
        difference = fit.gain * v + (fit.offset - r)
        total += float((difference * difference).sum())
    return total / values.size


def _psnr_db(nrmse: float) -> float:
    return -20.0 * math.log10(nrmse) if nrmse > 0 else math.inf


def _both_ssim(
    restored: Array, target: Array, fit: AffineFit, low: float, width: float
) -> tuple[float | None, float | None]:
    """Return SSIM of the fitted image with means kept and with means removed.

    The window of a pixel reaches 3 pixels to each side and scikit-image averages only pixels with a whole window, so
    the mean over blocks that overlap by 6 is the mean over the image.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise MissingExtraError.of("scikit-image", "evaluate", "to compute SSIM") from error
    if target.ndim not in _SSIM_BLOCK or min(target.shape) < _WINDOW:
        return None, None
    similarity = cast(Callable[..., float], structural_similarity)
    # The fit goes through the means, so both images have this one.
    mean = (float(target.mean(dtype=np.float64)) - low) / width
    kept = removed = 0.0
    n_windows = 0
    for block in _overlapping_blocks(target.shape):
        x = restored[block].astype(np.float64) * fit.gain + fit.offset
        y = (target[block].astype(np.float64) - low) / width
        n = math.prod(size - _WINDOW + 1 for size in y.shape)
        kept += n * float(similarity(x, y, win_size=_WINDOW, data_range=1.0))
        removed += n * float(similarity(x - mean, y - mean, win_size=_WINDOW, data_range=1.0))
        n_windows += n
    return kept / n_windows, removed / n_windows


def _overlapping_blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    overlap, side = _WINDOW - 1, _SSIM_BLOCK[len(shape)]
    yield from itertools.product(
        *([slice(start, start + side + overlap) for start in range(0, size - overlap, side)] for size in shape)
    )


def _standard_error(column: list[float]) -> float:
    if len(column) < 2 or not all(map(math.isfinite, column)):
        return math.nan
    return float(np.std(column, ddof=1) / math.sqrt(len(column)))
