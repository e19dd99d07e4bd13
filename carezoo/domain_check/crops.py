"""The crops of an image that are looked at: a few with structure, read one by one from images of any size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from carezoo.domain_check.features import SMALLEST
from carezoo.image import Image
from carezoo.valid import ValidPixels, read_plane

SIDE = 256
"""Pixels: crops are squares of this side, and what the image has where it is smaller."""

_BLOCK = 8
"""Pixels: means over squares of this side hold structure and little noise; crops start on their grid."""

_READ_WHOLE = 2048**2
"""Pixels of a plane that is read at once."""


def informative(
    image: Image, channel: int, n_kept: int, *, step: int = SIDE // 2, valid: ValidPixels | None = None
) -> list[NDArray[np.generic]]:
    """Return crops of one channel with the most structure; those with less than half of the most are left out.

    Parameters
    ----------
    image
        Axes with Y and X; over others three positions at most are looked at, evenly spaced.
    channel
        Index along C.
    n_kept
        Crops at most.
    step
        Pixels between neighbouring candidates in an image that has few; there are at most five along each axis.
    valid
        Which pixels may be looked at; None: all.

    Returns
    -------
    list of NDArray
        YX, in the data type of the image, of valid pixels only; none if the image is smaller than `SMALLEST` along Y or
        X, or has no such crop.
    """
    sizes = image.sizes
    sides = [min(sizes[letter], SIDE) for letter in "YX"]
    if min(sides) < SMALLEST:
        return []
    starts = [_starts(sizes[letter], side, step) for letter, side in zip("YX", sides, strict=True)]
    found = [
        each
        for position in _positions(image)
        for region in _regions(image, valid, {**position, "C": channel}, starts, sides)
        for each in region
    ]
    structure = np.array([amount for amount, _ in found])
    best = np.argsort(-structure, kind="stable")[:n_kept]
    return [found[i][1] for i in best if structure[i] >= structure.max() / 2]


def _starts(size: int, side: int, step: int) -> list[int]:
    n = min(1 + -(-(size - side) // step), 5)
    starts = np.linspace(0, size - side, n) if n > 1 else np.array([(size - side) // 2])
    return [int(start) // _BLOCK * _BLOCK for start in starts]


def _positions(image: Image) -> list[dict[str, int]]:
    """Return up to three positions along the axes besides C, Y and X, off the ends, which often are empty."""
    letters = [letter for letter in image.axes if letter not in "CYX"]
    shape = tuple(image.sizes[letter] for letter in letters)
    n = int(np.prod(shape, dtype=np.int64))
    chosen = sorted({int((i + 0.5) * n / min(n, 3)) for i in range(min(n, 3))})
    return [dict(zip(letters, map(int, np.unravel_index(i, shape)), strict=True)) if letters else {} for i in chosen]


def _regions(
    image: Image,
    valid: ValidPixels | None,
    position: dict[str, int],
    starts: list[list[int]],
    sides: list[int],
) -> Iterator[list[tuple[float, NDArray[np.generic]]]]:
    """Read a plane at once, or crop by crop if it is large; leave out crops with invalid pixels."""
    height, width = sides
    corners = [
        (y, x)
        for y, x in itertools.product(*starts)
        if valid is None or valid.invalid(position, slice(y, y + height), slice(x, x + width)) is None
    ]
    if image.sizes["Y"] * image.sizes["X"] <= _READ_WHOLE:
        yield _crops(read_plane(image, position), corners, sides)
    else:
        for y, x in corners:
            crop = read_plane(image, position, slice(y, y + height), slice(x, x + width))
            yield _crops(crop, [(0, 0)], sides)


def _crops(
    plane: NDArray[np.generic], corners: Sequence[tuple[int, ...]], sides: list[int]
) -> list[tuple[float, NDArray[np.generic]]]:
    """Return crops of a plane, each after how much structure it has: the standard deviation of means over blocks."""
    height, width = sides
    means = _block_means(plane)
    cut = ((means[y // _BLOCK : (y + height) // _BLOCK, x // _BLOCK : (x + width) // _BLOCK], y, x) for y, x in corners)
    return [(float(each.std()), plane[y : y + height, x : x + width]) for each, y, x in cut]


def _block_means(plane: NDArray[np.generic]) -> NDArray[np.float64]:
    rows, columns = (n // _BLOCK * _BLOCK for n in plane.shape)
    summed = plane[:rows, :columns].reshape(rows // _BLOCK, _BLOCK, columns).sum(axis=1, dtype=np.float64)
    means: NDArray[np.float64] = summed.reshape(rows // _BLOCK, columns // _BLOCK, _BLOCK).sum(axis=2) / _BLOCK**2
    return means
