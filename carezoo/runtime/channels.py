"""One result image written by several models, a channel each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import AxesError, OutOfMemoryError
from carezoo.runtime.targets import MakeTarget, Outline, Target


class Erasable(Target, Protocol):
    """A target in which whole planes can be written again."""

    def forget(self, key: tuple[int | slice, ...], /) -> None:
        """Take back what was written to a region of whole planes, so that it can be written again."""


class ChannelTargets:
    """Targets with all channels, opened when the first model says what they look like.

    Parameters
    ----------
    n_channels
        Channels of the results.
    names
        Results to keep: those that every model gives.
    make_target
        Makes the target for all channels.
    """

    def __init__(
        self, n_channels: int, names: Sequence[str], make_target: Callable[[Outline], AbstractContextManager[Erasable]]
    ) -> None:
        self._n_channels, self._names, self._make_target = n_channels, names, make_target
        self._stack = ExitStack()
        self._open: dict[str, tuple[Outline, Erasable]] = {}

    def __enter__(self) -> ChannelTargets:
        self._stack.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def of_channel(self, channel: int) -> MakeTarget:
        """Return what makes the targets of the model for one channel."""

        @contextmanager
        def make(outline: Outline) -> Iterator[Target]:
            if outline.name not in self._names:
                yield _Nowhere()
                return
            axis = outline.axes.index("C")
            whole = replace(outline, shape=(*outline.shape[:axis], self._n_channels, *outline.shape[axis + 1 :]))
            if outline.name not in self._open:
                self._open[outline.name] = (whole, self._stack.enter_context(self._make_target(whole)))
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
