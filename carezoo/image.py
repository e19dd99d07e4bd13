"""Image: pixels with axes, pixel size and the metadata a microscopist wants back."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo.errors import AxesError, InputError


@runtime_checkable
class Pixels(Protocol):
    """What an array must offer to be an image: a NumPy array does, and so does a lazily read file.

    Indexing takes a tuple of integers and slices with step 1, one for each dimension, and returns a NumPy array
    (integers drop their dimension). Nothing is read before that.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel."""

    def __getitem__(self, key: Any, /) -> Any:
        """Read one region."""


@dataclass(frozen=True)
class Metadata:
    """What a file says of its pixels beyond their values. Every field may be unknown."""

    channel_names: tuple[str, ...] = ()
    """One name a channel, or empty."""
    frame_interval_s: float | None = None
    """Time between two frames."""
    origin_um: Mapping[str, float] = field(default_factory=dict)
    """Position of the centre of the first pixel, by axis letter."""
    luts: tuple[NDArray[np.uint8], ...] = ()
    """One look-up table of shape (3, 256) a channel, or empty."""
    display_ranges: tuple[tuple[float, float], ...] = ()
    """Lowest and highest displayed value of each channel, or empty."""
    display_mode: str | None = None
    """ImageJ's mode for several channels: composite, color or grayscale."""
    notes: str = ""
    """Free text of the file (ImageJ's Info, OME's description)."""

    def take_channels(self, kept: slice, n_channels: int) -> Metadata:
        """Return the metadata of some of `n_channels` channels."""
        cut = {
            name: getattr(self, name)[kept]
            for name in ("channel_names", "luts", "display_ranges")
            if len(getattr(self, name)) == n_channels
        }
        return dataclasses.replace(self, **cut)

    def for_channels(self, n_channels: int) -> Metadata:
        """Return the metadata without what was said of another number of channels."""
        per_channel = ("channel_names", "luts", "display_ranges")
        other: dict[str, Any] = {name: () for name in per_channel if len(getattr(self, name)) != n_channels}
        return dataclasses.replace(self, **other, display_mode=self.display_mode if n_channels > 1 else None)


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels with axes; frozen, and lazy where the pixels are."""

    pixels: Pixels
    """NumPy array or lazily read file; shape in the order of `axes`."""
    axes: str
    """Upper-case letters over STCZYX, one for each dimension."""
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    """Distance of neighbouring pixel centres by axis letter (Z, Y, X); unknown axes are missing."""
    metadata: Metadata = field(default_factory=Metadata)
    name: str = "image"
    """What messages call it: a file name, or "image"."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", axes_.check(self.axes, self.pixels.shape, self.name))
        if 0 in self.shape:
            raise InputError(f"{self.name} is empty: shape {self.shape} for axes {self.axes}")
        kind = np.dtype(self.pixels.dtype).kind
        if kind not in "uifb":
            raise InputError(
                f"{self.name} has pixels of type {self.pixels.dtype}; expected integer or floating-point numbers"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension, in the order of `axes`."""
        return tuple(int(n) for n in self.pixels.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel."""
        return np.dtype(self.pixels.dtype)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis by its letter."""
        return axes_.sizes(self.axes, self.shape)

    def array(self) -> NDArray[np.generic]:
        """Read all pixels into memory."""
        return np.asarray(self.pixels[(slice(None),) * len(self.axes)])

    def crop(self, region: Mapping[str, slice]) -> Image:
        """Return the image restricted to `region`, without reading it.

        Parameters
        ----------
        region
            Slices with step 1 by axis letter; missing axes stay whole.

        Raises
        ------
        InputError
            If a slice lies outside the image or is empty.
        """
        bounds = []
        for letter, size in self.sizes.items():
            asked = region.get(letter, slice(None))
            start, stop = asked.start or 0, size if asked.stop is None else asked.stop
            if asked.step not in {None, 1} or not 0 <= start < stop <= size:
                raise InputError(f"crop {letter}={start}:{stop} is not inside {self.name}, whose {letter} is 0:{size}")
            bounds.append(slice(start, stop))
        missing = set(region) - set(self.axes)
        if missing:
            raise InputError(f"crop names axes {axes_.sort(missing)}, but {self.name} has axes {self.axes}")
        origin = dict(self.metadata.origin_um)
        for letter, bound in zip(self.axes, bounds, strict=True):
            if letter in self.pixel_size_um and bound.start:
                origin[letter] = origin.get(letter, 0.0) + bound.start * self.pixel_size_um[letter]
        metadata = dataclasses.replace(self.metadata, origin_um=origin)
        if "C" in self.axes:
            metadata = metadata.take_channels(bounds[self.axes.index("C")], self.sizes["C"])
        return dataclasses.replace(self, pixels=Window(self.pixels, tuple(bounds)), metadata=metadata)

    def pick_frames(self, positions: Sequence[int]) -> Image:
        """Return the image with some of its frames (T), without reading them."""
        return dataclasses.replace(self, pixels=Picked(self.pixels, self.axes.index("T"), tuple(positions)))

    def average_frames(self, n: int) -> Image:
        """Return the means of `n` consecutive frames, each of its pixels that are not masked, without reading them.

        To leave out padding and NaN, too, use `carezoo.valid.average_frames`.
        Frames at the end that fill no mean are left out. The time between frames becomes `n` times as long.

        Parameters
        ----------
        n
            Frames of T in one mean; 1 returns the image as it is.

        Returns
        -------
        Image
            Pixels float32, or float64 where float32 holds fewer digits than the pixels have.

        Raises
        ------
        InputError
            If `n` is not a whole number from 1 on, or the image has fewer frames.
        AxesError
            If the image has no T axis.
        """
        if not isinstance(n, int) or n < 1:
            raise InputError(f"average: expected a number of frames, 1 or more, found {n!r}")
        if n == 1:
            return self
        if "T" not in self.axes:
            planes = f", such as {self.axes.replace('Z', 'T')} if its planes are frames" if "Z" in self.axes else ""
            raise AxesError(
                f"average {n}: means are taken over frames (T), but {self.name} has axes {self.axes} {self.shape}. "
                f"Name its axes (--axes){planes}, or leave the average out"
            )
        if n > self.sizes["T"]:
            raise InputError(
                f"average {n}: {self.name} has {self.sizes['T']} frame(s). Average fewer, or choose an image with more"
            )
        interval = self.metadata.frame_interval_s
        metadata = dataclasses.replace(self.metadata, frame_interval_s=None if interval is None else n * interval)
        return dataclasses.replace(self, pixels=Averages(self.pixels, self.axes.index("T"), n), metadata=metadata)


@dataclass(frozen=True, eq=False)
class DerivedPixels(ABC):
    """Pixels made from others when they are read, by default of their shape and type."""

    pixels: Pixels

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        return tuple(self.pixels.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel."""
        return np.dtype(self.pixels.dtype)

    @abstractmethod
    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read one region."""


@dataclass(frozen=True, eq=False)
class Window(DerivedPixels):
    """A region of other pixels."""

    bounds: tuple[slice, ...]
    """Start and stop of every dimension, inside `pixels`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension of the region."""
        return tuple(bound.stop - bound.start for bound in self.bounds)

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[np.generic]:
        """Read a region of the region; of a masked array, a masked one."""
        return np.asanyarray(
            self.pixels[tuple(_shift(item, bound) for item, bound in zip(key, self.bounds, strict=True))]
        )


@dataclass(frozen=True, eq=False)
class Picked(DerivedPixels):
    """Some positions along one dimension of other pixels."""

    dimension: int
    positions: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        full = self.pixels.shape
        return (*full[: self.dimension], len(self.positions), *full[self.dimension + 1 :])

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read one region."""
        return _read_along(key, self.dimension, self._read, len(self.positions))

    def _read(self, key: tuple[int | slice, ...], index: int) -> NDArray[Any]:
        return np.asanyarray(self.pixels[(*key[: self.dimension], self.positions[index], *key[self.dimension + 1 :])])


@dataclass(frozen=True, eq=False)
class Averages(DerivedPixels):
    """Means of consecutive positions along one dimension of other pixels."""

    dimension: int
    n: int
    """Positions in one mean; what is left at the end is not shown."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        full = self.pixels.shape
        return (*full[: self.dimension], full[self.dimension] // self.n, *full[self.dimension + 1 :])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one mean."""
        return np.result_type(self.pixels.dtype, np.float32)

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[np.floating[Any]]:
        """Read one region; of the pixels below, one position is in memory at a time."""
        return _read_along(key, self.dimension, self._mean, self.shape[self.dimension])

    def _mean(self, key: tuple[int | slice, ...], index: int) -> NDArray[np.floating[Any]]:
        before, after = key[: self.dimension], key[self.dimension + 1 :]
        positions = range(index * self.n, (index + 1) * self.n)
        total: NDArray[np.float64] = np.zeros(())
        hidden_total, n_hidden = np.zeros(()), np.zeros((), np.int64)
        with np.errstate(over="ignore", invalid="ignore"):  # hidden pixels may be infinite
            for i in positions:
                frame = np.asanyarray(self.pixels[(*before, i, *after)])
                values, is_hidden = np.asarray(frame, np.float64), np.ma.getmask(frame)
                if is_hidden is not np.ma.nomask:
                    hidden_total = hidden_total + np.where(is_hidden, values, 0)
                    n_hidden = n_hidden + is_hidden
                    values = np.where(is_hidden, 0, values)
                total = total + values
            is_hidden = n_hidden == self.n
            means = np.where(is_hidden, hidden_total / self.n, total / np.maximum(self.n - n_hidden, 1))
            means = np.asarray(means, self.dtype)
        return np.ma.masked_array(means, np.broadcast_to(is_hidden, means.shape)) if is_hidden.any() else means


def _read_along(
    key: tuple[int | slice, ...], dimension: int, read: Callable[[tuple[int | slice, ...], int], NDArray[Any]], n: int
) -> NDArray[Any]:
    """Return a region that `read` gives position by position along one dimension of length `n`."""
    asked = key[dimension]
    if not isinstance(asked, slice):
        return read(key, range(n)[asked])
    found = [read(key, i) for i in range(*asked.indices(n))]
    stack = np.ma.stack if any(isinstance(each, np.ma.MaskedArray) for each in found) else np.stack
    return np.asanyarray(stack(found, axis=sum(isinstance(item, slice) for item in key[:dimension])))


def _shift(item: int | slice, bound: slice) -> int | slice:
    if isinstance(item, slice):
        start, stop, _ = item.indices(bound.stop - bound.start)
        return slice(bound.start + start, bound.start + stop)
    return int(bound.start) + item
