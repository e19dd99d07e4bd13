"""Pixels on their way into an uncompressed TIFF file: where a region lies in the file, and whether all were written."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from carezoo import axes as axes_
from carezoo.errors import RestoreError
from carezoo.files.stored_pixels import bounds

_STORED_ORDER = "STZCYX"
"""ImageJ's order, after the sample axis that ImageJ does not have."""
_PAGE_BYTES = 512
"""At most what one page costs beside its pixels."""


class FileLayout:
    """Where pixels of an image lie in the file: ImageJ's order, Y and X last and always there."""

    def __init__(self, axes: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.axes = axes_.check(axes, shape, "the image to write")
        self.shape = tuple(int(n) for n in shape)
        self.dtype = np.dtype(dtype).newbyteorder("=")
        lengths = axes_.sizes(self.axes, self.shape)
        self.stored_axes = "".join(letter for letter in _STORED_ORDER if letter in self.axes + "YX")
        self.stored_shape = tuple(lengths.get(letter, 1) for letter in self.stored_axes)
        self.stored_dtype = self.dtype.newbyteorder("<")

    @property
    def n_bytes(self) -> int:
        """Size of all pixels."""
        return prod(self.stored_shape) * self.dtype.itemsize

    @property
    def plane_bytes(self) -> int:
        """Size of the pixels of one plane."""
        return prod(self.stored_shape[-2:]) * self.dtype.itemsize

    @property
    def file_bytes(self) -> int:
        """Size of the file, rather too large than too small."""
        return self.n_bytes + prod(self.stored_shape[:-2]) * _PAGE_BYTES + 2**16


class TiffTarget:
    """A TIFF file whose pixels are being written: ``target[region] = array``.

    A region is a tuple of integers and slices with step 1, one for each axis; `array` has the region's shape
    without the integers. Every pixel is written once. Threads may write different regions.
    """

    def __init__(self, file: BinaryIO, offset: int, layout: FileLayout, name: str) -> None:
        self._file = file
        self._offset = offset
        self._layout = layout
        self._name = name
        self._coverage = Coverage(layout.stored_shape)
        self._lock = threading.Lock()

    def __setitem__(self, key: tuple[int | slice, ...], values: NDArray[Any]) -> None:
        """Write one region.

        Raises ValueError if `values` have another shape, TypeError if they could overflow the type of the file.
        """
        layout = self._layout
        region = bounds(key, layout.shape)
        values = np.asarray(values)
        wanted = tuple(b.stop - b.start for item, b in zip(key, region, strict=True) if isinstance(item, slice))
        if values.shape != wanted:
            raise ValueError(f"region of {self._name} has shape {wanted}, values have {values.shape}")
        if not (np.can_cast(values.dtype, layout.dtype) or (values.dtype.kind == "f" == layout.dtype.kind)):
            raise TypeError(f"{self._name} has pixels of type {layout.dtype}; convert the {values.dtype} values first")
        block = values.reshape([bound.stop - bound.start for bound in region])
        stored = axes_.move(block, layout.axes, layout.stored_axes).astype(layout.stored_dtype, copy=False)
        place = self._place(region)
        with self._lock:
            self._write(stored, place)
            self._coverage.add(place)

    def forget(self, key: tuple[int | slice, ...]) -> None:
        """Take back what was written to a region of whole planes, so that it can be written again."""
        with self._lock:
            self._coverage.forget(self._place(bounds(key, self._layout.shape)))

    def finish(self) -> None:
        """Hand all pixels to the system; `RestoreError` if some are missing or were written twice."""
        self._coverage.require_complete(self._name)
        self._file.flush()

    def _place(self, region: Sequence[slice]) -> tuple[slice, ...]:
        """Return where a region lies along the stored axes."""
        by_letter = dict(zip(self._layout.axes, region, strict=True))
        return tuple(by_letter.get(letter, slice(0, 1)) for letter in self._layout.stored_axes)

    def _write(self, stored: NDArray[Any], place: tuple[slice, ...]) -> None:
        *counting, height, width = self._layout.stored_shape
        *planes, rows, columns = place
        itemsize = stored.itemsize
        is_full_width = columns.stop - columns.start == width
        for index in itertools.product(*(range(bound.start, bound.stop) for bound in planes)):
            page = int(np.ravel_multi_index(index, counting)) if counting else 0
            block = stored[tuple(i - bound.start for i, bound in zip(index, planes, strict=True))]
            first = self._offset + ((page * height + rows.start) * width + columns.start) * itemsize
            pieces = [block] if is_full_width else block
            for number, piece in enumerate(pieces):
                self._file.seek(first + number * width * itemsize)
                self._file.write(np.ascontiguousarray(piece).data)


class Coverage:
    """Counts the pixels written to each plane, and adds up a random weight of each.

    The count alone would take a pixel written twice for one that is missing. The weight of pixel (y, x) is the product
    of two random 64-bit numbers, of its row and of its column, so that a rectangle's weight is the product of two
    sums. Modulo 2^64, another set of regions reaches the weight of the whole plane by chance only.

    Parameters
    ----------
    shape
        Of the array: dimensions that count planes, then Y and X.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self._counting = tuple(shape[:-2])
        self._n_pixels = prod(shape[-2:])
        # The weights guard against mistakes, not against an adversary: any fixed seed serves.
        rng = np.random.default_rng(20180926)
        self._row_sums, self._column_sums = (_running_sum(rng, n) for n in shape[-2:])
        self._written = np.zeros(self._counting, np.int64)
        self._weights = np.zeros(self._counting, np.uint64)

    def add(self, region: Sequence[slice]) -> None:
        """Note that `region` (start and stop in every dimension) was written."""
        *counting, rows, columns = region
        planes = tuple(counting)
        self._written[planes] += (rows.stop - rows.start) * (columns.stop - columns.start)
        with np.errstate(over="ignore"):  # modulo 2^64 on purpose
            self._weights[planes] += self._weight(rows, columns)

    def forget(self, region: Sequence[slice]) -> None:
        """Take back whatever was written to the planes that `region` holds, each of them whole."""
        planes = tuple(region[:-2])
        self._written[planes] = 0
        self._weights[planes] = 0

    def require_complete(self, name: str) -> None:
        """Raise `RestoreError` that names the planes of `name` where not every pixel was written exactly once."""
        whole = self._weight(slice(0, len(self._row_sums) - 1), slice(0, len(self._column_sums) - 1))
        is_wrong = (self._written != self._n_pixels) | (self._weights != whole)
        if not is_wrong.any():
            return
        first = tuple(int(i) for i in np.argwhere(is_wrong)[0])
        n_written = int(self._written[first])
        raise RestoreError(
            f"{name} is not complete: {int(is_wrong.sum())} of {is_wrong.size} plane(s) were not written exactly once; "
            f"of plane {first}, {n_written} of {self._n_pixels} pixels were written"
            f"{' (some of them twice)' if n_written >= self._n_pixels else ''}. No file was left"
        )

    def _weight(self, rows: slice, columns: slice) -> np.uint64:
        with np.errstate(over="ignore"):
            height = self._row_sums[rows.stop] - self._row_sums[rows.start]
            width = self._column_sums[columns.stop] - self._column_sums[columns.start]
            return np.uint64(height * width)


def _running_sum(rng: np.random.Generator, n: int) -> NDArray[np.uint64]:
    weights = rng.integers(0, 2**64 - 1, n, dtype=np.uint64, endpoint=True)
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(weights, dtype=np.uint64)])
