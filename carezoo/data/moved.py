"""Pixels of an image that is moved by parts of a pixel, computed when they are read."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo.image import Pixels

_MARGIN = 12
"""Pixels read around a region: a cubic spline carries an error at their end by no more than 0.27**12 = 1e-7."""


@dataclass(frozen=True, eq=False)
class Moved:
    """Other pixels, moved; interpolated by cubic splines, and continued at their borders by the pixel there."""

    pixels: Pixels
    shift: tuple[float, ...]
    """By how many pixels along each dimension, towards higher indices."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        return tuple(self.pixels.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel."""
        return np.dtype(np.float32)

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[np.float32]:
        """Read one region."""
        read, cut = [], []
        for item, length, shift in zip(key, self.shape, self.shift, strict=True):
            positions = range(length)[item if isinstance(item, slice) else slice(item, item + 1)]
            margin = ceil(abs(shift)) + _MARGIN if shift else 0
            first = max(0, positions.start - margin)
            read.append(slice(first, min(length, positions.stop + margin)))
            inside = slice(positions.start - first, positions.stop - first)
            cut.append(inside if isinstance(item, slice) else inside.start)
        around = np.asarray(self.pixels[tuple(read)], np.float32)
        moved: NDArray[np.float32] = ndimage.shift(around, self.shift, order=3, mode="nearest")
        return moved[tuple(cut)]
