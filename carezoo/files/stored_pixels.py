"""Lazy pixels of a file: reading a region touches only the planes and rows, or the chunks, it needs."""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil, prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from carezoo.files.file_axes import StoredAxes, assign
from carezoo.image import Image, Metadata

Array = NDArray[Any]
Region = tuple[slice, ...]
"""Start and stop in each stored dimension."""


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


class StoredPixels(ABC):
    """What a file stores, shown without some dimensions of length 1; see `carezoo.image.Pixels`."""

    stored_shape: tuple[int, ...]
    """Shape in the file."""
    kept: tuple[int, ...]
    """Which stored dimensions this array shows; all others have length 1."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        return tuple(self.stored_shape[dimension] for dimension in self.kept)

    def __getitem__(self, key: tuple[int | slice, ...]) -> Array:
        """Read one region: a tuple of integers and slices with step 1, one for each dimension."""
        region = bounds(key, self.shape)
        stored = [slice(0, 1)] * len(self.stored_shape)
        for dimension, bound in zip(self.kept, region, strict=True):
            stored[dimension] = bound
        shown = self._read(tuple(stored)).reshape([bound.stop - bound.start for bound in region])
        return shown[tuple(0 if isinstance(item, int | np.integer) else slice(None) for item in key)]

    @abstractmethod
    def _read(self, region: tuple[slice, ...]) -> Array:
        """Return a region of what is stored."""


@dataclass(frozen=True, eq=False)
class PlanePixels(StoredPixels):
    """The planes of a file as one array of more dimensions.

    The first stored dimensions count planes, the last are those of a plane.
    """

    pages: Pages
    stored_shape: tuple[int, ...]
    kept: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel."""
        return self.pages.dtype

    def _read(self, region: tuple[slice, ...]) -> Array:
        n_counting = len(self.stored_shape) - len(self.pages.page_shape)
        counting, inside = region[:n_counting], region[n_counting:]
        block = np.empty([bound.stop - bound.start for bound in region], self.dtype)
        for index in itertools.product(*(range(bound.start, bound.stop) for bound in counting)):
            page = _page_number(index, self.stored_shape[:n_counting])
            place = tuple(i - bound.start for i, bound in zip(index, counting, strict=True))
            block[place] = self.pages.read(page, inside)
        return block


@dataclass(frozen=True, eq=False)
class ChunkedPixels(StoredPixels):
    """An array in chunks; each is read whole, and kept for a while."""

    read: Callable[[Region], Array]
    stored_shape: tuple[int, ...]
    kept: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk: tuple[int, ...] | None
    """Shape of a chunk; None: any region is read as it is."""
    token: object = field(default_factory=object)
    """Tells the chunks of this file from those of others."""

    def _read(self, region: tuple[slice, ...]) -> Array:
        if self.chunk is None:
            return self.read(region)
        block = np.empty([bound.stop - bound.start for bound in region], self.dtype)
        for pieces in itertools.product(*map(_pieces, self.stored_shape, self.chunk, region)):
            place = tuple(piece.chunk for piece in pieces)
            values = DECODED.get((self.token, *(bound.start for bound in place)), partial(self.read, place))
            block[tuple(piece.target for piece in pieces)] = values[tuple(piece.source for piece in pieces)]
        return block


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An image as a file stores it, before its dimensions have their letters."""

    axes: StoredAxes
    dtype: np.dtype[Any]
    """Of a pixel, in native byte order."""
    read: Callable[[Region], Array]
    """Return a region; no file handle stays open between two calls, and threads may call."""
    chunk: tuple[int, ...] | None = None
    """Shape of what is read whole and kept for a while; None: any region is read as it is."""
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    metadata: Metadata = field(default_factory=Metadata)

    def to_image(self, asked: str | None) -> Image:
        """Return the image with the axes that are asked for, or those the file names (`file_axes.assign`)."""
        letters, kept = assign(self.axes, asked)
        pixels = ChunkedPixels(self.read, self.axes.shape, kept, self.dtype, self.chunk)
        n_channels = dict(zip(letters, pixels.shape, strict=True)).get("C", 1)
        sizes = {letter: size for letter, size in self.pixel_size_um.items() if letter in letters}
        return Image(pixels, letters, sizes, self.metadata.for_channels(n_channels), self.axes.name)


@dataclass(frozen=True)
class StoredFile:
    """The images of a file that is not TIFF."""

    scenes: tuple[str, ...]
    """Names of the images, in the order of the file."""
    read: Callable[[int], StoredImage]
    """Return the image of a number."""


@dataclass(frozen=True)
class _Piece:
    """The part of a region that lies in one chunk, along one dimension."""

    chunk: slice
    """The chunk in the array."""
    source: slice
    """The part in the chunk."""
    target: slice
    """The part in the region."""


def _pieces(length: int, step: int, asked: slice) -> Iterator[_Piece]:
    for number in range(asked.start // step, ceil(asked.stop / step)):
        start, stop = number * step, min((number + 1) * step, length)
        first, last = max(start, asked.start), min(stop, asked.stop)
        source, target = (slice(first - origin, last - origin) for origin in (start, asked.start))
        yield _Piece(slice(start, stop), source, target)


def bounds(key: Sequence[int | slice], shape: Sequence[int]) -> tuple[slice, ...]:
    """Return `key` as one slice with start and stop for each dimension of `shape`.

    Raises IndexError where an index lies outside, a slice is empty or has another step than 1, or one is missing.
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


class DecodedCache:
    """Keeps the most recently used arrays, up to a number of bytes. Threads may share it.

    Of arrays larger than that, such as a plane of one compressed strip, the last one is kept, so that tile after tile
    does not decode it again.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._n_bytes = 0
        self._arrays: OrderedDict[Hashable, Array] = OrderedDict()
        self._large: tuple[Hashable, Array] | None = None
        self._lock = threading.Lock()

    @property
    def n_bytes(self) -> int:
        """Size of all arrays that are kept, but for the large one."""
        return self._n_bytes

    def get(self, key: Hashable, make: Callable[[], Array]) -> Array:
        """Return the read-only array of `key`, made by `make` if it is not here.

        Two threads that miss the same key at once both make it: cheaper than one waiting while it holds the lock.
        """
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
            if self._large is not None and self._large[0] == key:
                return self._large[1]
        array = np.ascontiguousarray(make())
        array.flags.writeable = False
        if array.nbytes <= self._most_bytes:
            self._keep(key, array)
        else:
            self._large = (key, array)
        return array

    def _keep(self, key: Hashable, array: Array) -> None:
        with self._lock:
            if key in self._arrays:
                return
            self._arrays[key] = array
            self._n_bytes += array.nbytes
            while self._n_bytes > self._most_bytes:
                _, oldest = self._arrays.popitem(last=False)
                self._n_bytes -= oldest.nbytes


DECODED = DecodedCache(most_bytes=256 * 2**20)
"""Shared by all open files, so that many open files do not add up."""
