"""Planes of an ImagePlus to and from numpy: one copy, no conversion, any number of planes.

ImageJ numbers planes from 1, channels fastest, then slices, then frames: the C order of an array (T, Z, C, Y, X).
Signed 16-bit images are unsigned ones with an offset of 32768 and a calibration that takes it away.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError
from carezoo_fiji.java import jpype, load

AXES = "TZCYX"
"""Axes of a hyperstack in the order of its planes."""

DTYPES: dict[int, np.dtype[Any]] = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16), 32: np.dtype(np.float32)}
"""By ImageJ's bit depth."""

_SIGN = np.uint16(32768)


@dataclass(frozen=True, eq=False)
class StackPixels:
    """The pixels of an ImagePlus, read plane by plane when asked: also of virtual stacks, whose planes are in files."""

    stack: Any
    """ij.ImageStack"""
    sizes: tuple[int, int, int, int, int]
    """Along `AXES`."""
    axes: str
    """Those of `AXES` that are shown; the others have length 1."""
    is_signed: bool
    bit_depth: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each shown axis."""
        return tuple(size for letter, size in zip(AXES, self.sizes, strict=True) if letter in self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel."""
        return np.dtype(np.int16) if self.is_signed else DTYPES[self.bit_depth]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read one region."""
        bounds = dict(zip(self.axes, key, strict=True))
        full = [bounds.get(letter, 0) for letter in AXES]
        ranges = [_range(item, size) for item, size in zip(full[:3], self.sizes[:3], strict=True)]
        shape_yx = tuple(len(_range(item, size)) for item, size in zip(full[3:], self.sizes[3:], strict=True))
        region = np.empty((*map(len, ranges), *shape_yx), DTYPES[self.bit_depth])
        inside = tuple(slice(r.start, r.stop) for r in map(_range, full[3:], self.sizes[3:]))
        flat = region.reshape(-1, *shape_yx)
        for out, (t, z, c) in zip(flat, itertools.product(*ranges), strict=True):
            out[...] = self.plane(t, z, c)[inside]
        dropped = tuple(0 if not isinstance(item, slice) else slice(None) for item in full)
        result = region[dropped]
        return np.asarray(np.bitwise_xor(result, _SIGN).view(np.int16) if self.is_signed else result)

    def plane(self, t: int, z: int, c: int) -> NDArray[Any]:
        """Read one plane as ImageJ stores it, axes YX."""
        _, n_slices, n_channels, height, width = self.sizes
        pixels = self.stack.getPixels(1 + c + n_channels * (z + n_slices * t))
        return np.asarray(pixels).view(DTYPES[self.bit_depth]).reshape(int(height), int(width))


def _range(item: int | slice, size: int) -> range:
    if isinstance(item, slice):
        return range(*item.indices(size))
    return range(item, item + 1)


def to_stack(array: NDArray[Any]) -> Any:
    """Return an ij.ImageStack with the pixels of `array`.

    Parameters
    ----------
    array
        Axes TZCYX; uint8, uint16, int16 or float32.

    Raises
    ------
    InputError
        If ImageJ has no such pixels.
    """
    kind, get = _JAVA.get(array.dtype.name, (None, None))
    if kind is None or get is None:
        raise InputError(
            f"ImageJ has no images of type {array.dtype}; it has {', '.join(_JAVA)}. Convert with array.astype(...)"
        )
    height, width = array.shape[-2:]
    stack = load("ij.ImageStack")(width, height)
    order = load("java.nio.ByteOrder").nativeOrder()
    for plane in _planes(array):
        buffer = jpype.nio.convertToDirectBuffer(memoryview(plane.reshape(-1).view(np.uint8).data)).order(order)
        pixels = jpype.JArray(kind)(width * height)
        get(buffer).get(pixels)
        stack.addSlice(None, pixels)
    return stack


_JAVA: dict[str, tuple[Any, Any]] = {
    "uint8": (jpype.JByte, lambda buffer: buffer),
    "uint16": (jpype.JShort, lambda buffer: buffer.asShortBuffer()),
    "int16": (jpype.JShort, lambda buffer: buffer.asShortBuffer()),
    "float32": (jpype.JFloat, lambda buffer: buffer.asFloatBuffer()),
}
"""Java's type of a pixel, and the view of a byte buffer that reads it."""


def _planes(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield contiguous planes as ImageJ stores them."""
    for index in np.ndindex(array.shape[:-2]):
        plane = np.ascontiguousarray(array[index])
        yield np.bitwise_xor(plane.view(np.uint16), _SIGN) if array.dtype == np.int16 else plane
