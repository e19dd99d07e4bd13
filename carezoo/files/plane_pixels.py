"""Lazy pixels of a file that stores planes: reading a region touches only the planes, and the rows, it needs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Pages(Protocol):
    """Planes in file order, each readable on its own. No file handle stays open between two calls; threads may call."""

    @property
    def page_shape(self) -> tuple[int, ...]:
        """Shape of one plane as stored: (Y, X), with colour samples before or after."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel, in native byte order."""

    def read(self, page: int, region: tuple[slice, ...]) -> Array:
        """Return a region (start and stop in each dimension of the plane) of plane number `page`."""


@dataclass(frozen=True, eq=False)
class PlanePixels:
    """The planes of a file as one array of more dimensions; see `carezoo.image.Pixels`."""

    pages: Pages
    stored_shape: tuple[int, ...]
    """Shape in the file: one dimension or more that count planes, then those of a plane."""
    kept: tuple[int, ...]
    """Which stored dimensions this array shows; all others have length 1."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        return tuple(self.stored_shape[dimension] for dimension in self.kept)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel."""
        return self.pages.dtype

    def __getitem__(self, key: tuple[int | slice, ...]) -> Array:
        """Read one region: a tuple of integers and slices with step 1, one for each dimension."""
        region = bounds(key, self.shape)
        stored = [slice(0, 1)] * len(self.stored_shape)
        for dimension, bound in zip(self.kept, region, strict=True):
            stored[dimension] = bound
        block = self._read(tuple(stored))
        shown = block.reshape([bound.stop - bound.start for bound in region])
        return shown[tuple(0 if isinstance(item, int | np.integer) else slice(None) for item in key)]

    def _read(self, region: tuple[slice, ...]) -> Array:
        n_counting = len(self.stored_shape) - len(self.pages.page_shape)
        counting, inside = region[:n_counting], region[n_counting:]
        block = np.empty([bound.stop - bound.start for bound in region], self.dtype)
        for index in itertools.product(*(range(bound.start, bound.stop) for bound in counting)):
            page = _page_number(index, self.stored_shape[:n_counting])
            place = tuple(i - bound.start for i, bound in zip(index, counting, strict=True))
            block[place] = self.pages.read(page, inside)
        return block


def bounds(key: Sequence[int | slice], shape: Sequence[int]) -> tuple[slice, ...]:
    """Return `key` as one slice with start and stop for each dimension of `shape`.

    Raises
    ------
    IndexError
        If an index lies outside, a slice is empty or has another step than 1, or their number is not that of `shape`.
    """
    if len(key) != len(shape):
        raise IndexError(f"expected {len(shape)} indices for shape {tuple(shape)}, found {len(key)}")
    region = []
    for item, size in zip(key, shape, strict=True):
        if isinstance(item, slice):
            start, stop, step = item.indices(size)
            if step != 1 or start >= stop:
                raise IndexError(f"expected a slice with step 1 and at least one pixel of {size}, found {item}")
        else:
            start = int(item) + size if item < 0 else int(item)
            stop = start + 1
            if not 0 <= start < size:
                raise IndexError(f"index {item} is outside a dimension of length {size}")
        region.append(slice(start, stop))
    return tuple(region)


def n_pages(stored_shape: Sequence[int], page_shape: Sequence[int]) -> int:
    """Return how many planes an array has."""
    return prod(stored_shape[: len(stored_shape) - len(page_shape)])


def _page_number(index: tuple[int, ...], shape: tuple[int, ...]) -> int:
    return int(np.ravel_multi_index(index, shape)) if shape else 0
