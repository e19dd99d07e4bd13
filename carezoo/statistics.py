"""Exact statistics of images of any size, pixel blocks in, numbers out.

Percentiles are NumPy's linear definition, found by counting (two passes over blocks, a few hundred kilobytes), so a
stack larger than memory gets the numbers a small one gets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

REFERENCE_PERCENTILE = 99.9
"""Percentile of an image, in percent, that numbers of photons refer to."""

Blocks = Callable[[], Iterable[NDArray[np.generic]]]
"""Each call goes over the same pixels once more, in blocks of any shape."""


def moments(blocks: Blocks) -> tuple[float, float]:
    """Return mean and standard deviation of all pixels, in double precision.

    The squares are taken about the mean of the first block, so that a large offset costs no digits.
    """
    n, total, squares, about = 0, 0.0, 0.0, None
    for block in blocks():
        values = block.astype(np.float64).ravel()
        about = float(values.mean()) if about is None else about
        values -= about
        n, total, squares = n + values.size, total + float(values.sum()), squares + float(values @ values)
    mean = total / n
    return mean + (about or 0.0), float(np.sqrt(max(squares / n - mean * mean, 0.0)))


def percentiles(blocks: Blocks, wanted: Sequence[float]) -> tuple[float, ...]:
    """Return exact percentiles of all pixels (NumPy's ``linear`` method), in double precision.

    Parameters
    ----------
    blocks
        The pixels. Floating-point values and integers of more than 16 bits are taken as float32. No NaN.
    wanted
        Percent, 0 to 100.
    """
    order_statistics = _order_statistics_16bit if _is_16bit(blocks) else _order_statistics_float
    n = sum(block.size for block in blocks())
    ranks = np.asarray(wanted, np.float64) / 100.0 * (n - 1)
    lower = np.floor(ranks).astype(np.int64)
    upper = np.minimum(lower + 1, n - 1)
    values = order_statistics(blocks, np.concatenate([lower, upper]))
    at_lower, at_upper = values[: len(lower)], values[len(lower) :]
    return tuple((at_lower + (at_upper - at_lower) * (ranks - lower)).tolist())


def _is_16bit(blocks: Blocks) -> bool:
    dtype = next(iter(blocks())).dtype
    return dtype.kind in "ui" and dtype.itemsize <= 2


def _order_statistics_16bit(blocks: Blocks, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the pixel values of `ranks` from one histogram of all possible values."""
    counts, lowest = np.zeros(1 << 16, np.int64), 0
    for block in blocks():
        lowest = np.iinfo(block.dtype).min  # type: ignore[type-var]
        counts += np.bincount(block.ravel().astype(np.int32) - lowest, minlength=1 << 16)
    return (np.searchsorted(np.cumsum(counts), ranks, side="right") + lowest).astype(np.float64)


def _order_statistics_float(blocks: Blocks, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the pixel values of `ranks`: the upper 16 bits of their keys in one pass, the lower ones in a second."""
    counts = _count_upper_halves(blocks)
    cumulative = np.cumsum(counts)
    upper = np.searchsorted(cumulative, ranks, side="right")
    before = cumulative[upper] - counts[upper]
    fine = {key: np.cumsum(found) for key, found in _count_lower_halves(blocks, set(upper.tolist())).items()}
    lower = [
        np.searchsorted(fine[key], rank, side="right") for key, rank in zip(upper.tolist(), ranks - before, strict=True)
    ]
    return np.array([_from_key((key << 16) | int(low)) for key, low in zip(upper.tolist(), lower, strict=True)])


def _count_upper_halves(blocks: Blocks) -> NDArray[np.int64]:
    counts = np.zeros(1 << 16, np.int64)
    for block in blocks():
        counts += np.bincount(_keys(block) >> np.uint32(16), minlength=1 << 16)
    return counts


def _count_lower_halves(blocks: Blocks, uppers: Collection[int]) -> dict[int, NDArray[np.int64]]:
    """Count the lower halves of the keys with each of some upper halves."""
    counts = {upper: np.zeros(1 << 16, np.int64) for upper in uppers}
    for block in blocks():
        keys = _keys(block)
        halves = keys >> np.uint32(16)
        for upper, found in counts.items():
            found += np.bincount(keys[halves == upper] & np.uint32(0xFFFF), minlength=1 << 16)
    return counts


def _keys(block: NDArray[np.generic]) -> NDArray[np.uint32]:
    """Return unsigned integers that sort as the float32 values do (sign bit flipped; negative numbers inverted)."""
    bits = np.ascontiguousarray(block, dtype=np.float32).ravel().view(np.uint32)
    negative = (bits >> np.uint32(31)).astype(bool)
    keys: NDArray[np.uint32] = np.where(negative, ~bits, bits | np.uint32(0x80000000))
    return keys


def _from_key(key: int) -> float:
    bits = key & 0x7FFFFFFF if key & 0x80000000 else ~key & 0xFFFFFFFF
    return float(np.array(bits, np.uint32).view(np.float32))
