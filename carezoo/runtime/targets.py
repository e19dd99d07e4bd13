"""Where restored pixels go: arrays in memory, or whatever the caller makes for an outline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from carezoo.errors import AxesError, InputError, OutOfMemoryError
from carezoo.image import Image
from carezoo.package.manifest import Result
from carezoo.runtime.layout import Index, Layout
from carezoo.runtime.predict import Piece
from carezoo.runtime.restoration import Provenance


class Target(Protocol):
    """Where results are written, region by region."""

    def __setitem__(self, key: Any, value: NDArray[np.generic], /) -> None:
        """Write one region."""


@dataclass(frozen=True)
class Outline:
    """A result before its pixels are known: what a target has to be made for."""

    name: str
    shape: tuple[int, ...]
    axes: str
    dtype: np.dtype[Any]
    pixel_size_um: Mapping[str, float]
    provenance: Provenance
    source: Image
    """The image that is restored, for its metadata; its origin is already that of the result."""


MakeTarget = Callable[[Outline], AbstractContextManager[Target]]


class Targets:
    """Where each result of an image goes, and how many pixels had to be clipped on the way."""

    def __init__(
        self, stack: ExitStack, layout: Layout, dtype: DTypeLike, provenance: Provenance, make_target: MakeTarget | None
    ) -> None:
        self.n_clipped = 0
        self._layout = layout
        self._outlines = {result.name: outline(layout, result, dtype, provenance) for result in layout.manifest.results}
        self._arrays = {} if make_target else {name: np.empty(o.shape, o.dtype) for name, o in self._outlines.items()}
        self._targets: dict[str, Target] = dict(self._arrays)
        if make_target:
            self._targets = {name: stack.enter_context(make_target(o)) for name, o in self._outlines.items()}

    def write(self, piece: Piece, position: Index) -> None:
        """Write one piece of the frame at `position`."""
        outline = self._outlines[piece.result.name]
        values, n_clipped = convert(piece.values, outline.dtype)
        self.n_clipped += n_clipped
        key = self._layout.result_key(piece.result, position, piece.region)
        self._targets[piece.result.name][key] = self._lay_out(values, piece.result, outline.axes, position)

    def _lay_out(self, values: NDArray[np.generic], result: Result, axes: str, position: Index) -> NDArray[np.generic]:
        """Return a piece (channel first) in the order of the image's axes, without those that `position` fixes."""
        output = self._layout.manifest.tensor(result)
        have = "C" + "".join(letter for letter in self._layout.spatial if letter in output.sizes)
        want = "".join(letter for letter in axes if letter not in position)
        if "C" not in want:
            values, have = values[0], have[1:]
        return values.transpose([have.index(letter) for letter in want])

    def images(self) -> dict[str, Image]:
        """Return what was restored into memory."""
        return {
            name: replace(o.source, pixels=self._arrays[name], axes=o.axes, pixel_size_um=o.pixel_size_um)
            for name, o in self._outlines.items()
            if name in self._arrays
        }


def outline(layout: Layout, result: Result, dtype: DTypeLike, provenance: Provenance) -> Outline:
    """Return what a target for `result` has to be made for; only restored values get `dtype`, the rest is float32."""
    image = layout.image
    metadata = replace(image.metadata, origin_um=layout.result_origin_um(result))
    return Outline(
        name=result.name,
        shape=layout.result_shape(result),
        axes=layout.result_axes(result),
        dtype=np.dtype(dtype if result.undo == "affine" or result.name == "mean" else np.float32),
        pixel_size_um=layout.result_pixel_size_um(result),
        provenance=provenance,
        source=replace(image, metadata=metadata),
    )


def result_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return the type of restored values; one that cannot hold intensities is an `InputError`."""
    found = np.dtype(dtype)
    if found.kind not in "fiu":
        raise InputError(f"restored values cannot be of type {found}; ask for float32 or uint8")
    return found


def convert(values: NDArray[np.float32], dtype: np.dtype[Any]) -> tuple[NDArray[np.generic], int]:
    """Return `values` in another type, and how many of them had to be clipped to fit.

    Integers are rounded to the nearest, half to even; NaN becomes zero.
    """
    if dtype.kind == "f":
        return values.astype(dtype, copy=False), 0
    limits = np.iinfo(dtype)
    rounded = np.nan_to_num(np.rint(values.astype(np.float64)), nan=0.0, posinf=np.inf, neginf=-np.inf)
    n_clipped = int(np.count_nonzero((rounded < limits.min) | (rounded > limits.max)))
    return rounded.clip(limits.min, limits.max).astype(dtype), n_clipped


class Erasable(Target, Protocol):
    """A target in which whole planes can be written again."""

    def forget(self, key: tuple[int | slice, ...], /) -> None:
        """Take back what was written to a region of whole planes, so that it can be written again."""


class ChannelTargets(ExitStack):
    """Targets with all channels, opened when the first model says what they look like.

    `make_target` makes the target for all `n_channels`. Results in `names`, which every model gives, are kept.
    """

    def __init__(
        self, n_channels: int, names: Sequence[str], make_target: Callable[[Outline], AbstractContextManager[Erasable]]
    ) -> None:
        self._n_channels, self._names, self._make_target = n_channels, names, make_target
        super().__init__()
        self._open: dict[str, tuple[Outline, Erasable]] = {}

    def make_for(self, channel: int) -> MakeTarget:
        """Return what makes the targets of the model for one channel."""

        @contextmanager
        def make(outline: Outline) -> Iterator[Target]:
            if outline.name not in self._names:
                yield _Nowhere()
                return
            axis = outline.axes.index("C")
            whole = replace(outline, shape=(*outline.shape[:axis], self._n_channels, *outline.shape[axis + 1 :]))
            if outline.name not in self._open:
                self._open[outline.name] = (whole, self.enter_context(self._make_target(whole)))
            first, target = self._open[outline.name]
            if first.shape != whole.shape:
                raise AxesError(
                    f"the models of the channels make images of different sizes: {first.shape} and {whole.shape}; "
                    "restore the channels one by one (--crop)"
                )
            try:
                yield _OneChannel(target, axis, channel)
            except OutOfMemoryError:
                # This channel comes again in smaller tiles; the others, in the same target, are not restored twice.
                key = [slice(0, length) for length in whole.shape]
                key[axis] = slice(channel, channel + 1)
                target.forget(tuple(key))
                raise

        return make


@dataclass(frozen=True)
class _OneChannel:
    target: Target
    axis: int
    channel: int

    def __setitem__(self, key: tuple[int | slice, ...], value: NDArray[np.generic]) -> None:
        bounds = list(key)
        bounds[self.axis] = slice(self.channel, self.channel + 1)
        self.target[tuple(bounds)] = value


class _Nowhere:
    """Takes the results that not every model gives."""

    def __setitem__(self, key: Any, value: NDArray[np.generic]) -> None:
        """Drop the pixels."""
