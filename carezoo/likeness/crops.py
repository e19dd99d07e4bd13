"""The crops of an image that are looked at: a few with structure, read one by one from images of any size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from carezoo.image import Image
from carezoo.likeness.features import SMALLEST

SIDE = 256
"""Pixels: crops are squares of this side, and what the image has where it is smaller."""

_READ_WHOLE = 2048**2
"""Pixels of a plane that is read at once."""


def informative(image: Image, channel: int, n_kept: int, *, step: int = SIDE // 2) -> list[NDArray[np.float64]]:
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

    Returns
    -------
    list of NDArray
        YX; none if the image is smaller than `SMALLEST` along Y or X.
    """
    sizes = image.sizes
    sides = [min(sizes[letter], SIDE) for letter in "YX"]
    if min(sides) < SMALLEST:
        return []
    starts = [_starts(sizes[letter], side, step) for letter, side in zip("YX", sides, strict=True)]
    candidates = [
        np.asarray(crop, np.float64)
        for position in _positions(image)
        for crop in _crops(image, {**position, "C": channel}, starts, sides)
    ]
    structure = np.array([_structure(crop) for crop in candidates])
    best = np.argsort(-structure, kind="stable")[:n_kept]
    return [candidates[i] for i in best if structure[i] >= structure.max() / 2]


def _starts(size: int, side: int, step: int) -> list[int]:
    n = min(1 + -(-(size - side) // step), 5)
    return [int(start) for start in np.linspace(0, size - side, n)] if n > 1 else [(size - side) // 2]


def _positions(image: Image) -> list[dict[str, int]]:
    """Return up to three positions along the axes besides C, Y and X, off the ends, which often are empty."""
    letters = [letter for letter in image.axes if letter not in "CYX"]
    shape = tuple(image.sizes[letter] for letter in letters)
    n = int(np.prod(shape, dtype=np.int64))
    chosen = sorted({int((i + 0.5) * n / min(n, 3)) for i in range(min(n, 3))})
    return [dict(zip(letters, map(int, np.unravel_index(i, shape)), strict=True)) if letters else {} for i in chosen]


def _crops(
    image: Image, position: dict[str, int], starts: list[list[int]], sides: list[int]
) -> Iterator[NDArray[np.generic]]:
    whole = image.sizes["Y"] * image.sizes["X"] <= _READ_WHOLE
    plane = _read(image, position, slice(None), slice(None)) if whole else None
    for y, x in itertools.product(*starts):
        rows, columns = slice(y, y + sides[0]), slice(x, x + sides[1])
        yield _read(image, position, rows, columns) if plane is None else plane[rows, columns]


def _read(image: Image, position: dict[str, int], rows: slice, columns: slice) -> NDArray[np.generic]:
    bounds: dict[str, int | slice] = {**position, "Y": rows, "X": columns}
    plane = np.asarray(image.pixels[tuple(bounds[letter] for letter in image.axes)])
    return plane if image.axes.index("Y") < image.axes.index("X") else plane.T


def _structure(crop: NDArray[np.float64]) -> float:
    """Return the standard deviation of means over 8 x 8 pixels, in which there is little noise left."""
    rows, columns = (n // 8 * 8 for n in crop.shape)
    blocks = crop[:rows, :columns].reshape(rows // 8, 8, columns // 8, 8)
    return float(blocks.mean(axis=(1, 3)).std())
