"""Where patches may start: everywhere, or only where the target shows something."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carezoo.files.atomic import replacing
from carezoo.image import Image
from carezoo.pairs.cache import RawPixels, channel_blocks, read
from carezoo.statistics import percentiles

AXES = "STZYX"
"""Axes along which a patch starts somewhere. Along S and T it has length 1, and along Z in 2D."""


@dataclass(frozen=True)
class Starts:
    """The places of one image where a patch may start.

    They are kept as runs of neighbouring places along X in a file: a few bytes for each row of the image.
    """

    grid: tuple[int, ...]
    """How many places there are along each of STZYX, eligible or not."""
    n: int
    """How many are eligible."""
    runs: RawPixels | None
    """n_runs x 2: first place of each run in the flat grid, and how many eligible places come before it. None: all
    places are eligible."""

    def place(self, k: int) -> dict[str, int]:
        """Return the `k`-th eligible place, by axis letter."""
        flat = k
        if self.runs is not None:
            runs = self.runs.map_pixels()
            first, before = runs[int(np.searchsorted(runs[:, 1], k, side="right")) - 1]
            flat = int(first) + k - int(before)
        return dict(zip(AXES, map(int, np.unravel_index(flat, self.grid)), strict=True))


def list_all_starts(image: Image, size: Mapping[str, int]) -> Starts:
    """Return the starts of all patches of `size` (1 along missing axes) that lie inside `image`."""
    lengths = image.sizes
    grid = tuple(lengths.get(letter, 1) - size.get(letter, 1) + 1 for letter in AXES)
    return Starts(grid, math.prod(grid), None)


def measure_bright_limits(
    image: Image, channels: Sequence[int], threshold: float, percentile: float
) -> NDArray[np.float64]:
    """Return above which intensity a pixel counts as bright, for each sample (index along S) and channel.

    It is ``threshold`` times the `percentile` of the sample, so that an image may have a camera offset only as far as
    that stays below (CSBDeep's rule).
    """
    return np.array(
        [
            [threshold * percentiles(channel_blocks(image, channel, s), (percentile,))[0] for channel in channels]
            for s in range(image.sizes.get("S", 1))
        ]
    )


def find_foreground_starts(
    image: Image, channels: Sequence[int], size: Mapping[str, int], limits: NDArray[np.float64], path: Path
) -> Starts:
    """Return the starts of the patches whose middle shows something.

    The middle is half of the patch along each axis. It must hold a bright pixel in any channel (CSBDeep's
    `no_background_patches` looks at the middle channel alone).

    Parameters
    ----------
    image
        Target of a pair, read plane by plane.
    channels
        Which of its channels count.
    size
        Length of a patch by axis letter; 1 along missing axes.
    limits
        As `measure_bright_limits` returns them.
    path
        File for the runs, replaced if it exists.
    """
    grid = list_all_starts(image, size).grid
    n_runs, n = 0, 0
    with replacing(path) as temporary, temporary.open("wb") as file:
        for index, plane in enumerate(_find_eligible(image, channels, size, limits)):
            first, length = _find_runs(plane)
            first += index * plane.size
            before = n + np.cumsum(length) - length
            file.write(np.stack([first, before], axis=1).astype(np.int64).tobytes())
            n_runs, n = n_runs + len(first), n + int(length.sum())
    return Starts(grid, n, RawPixels(path, 0, (n_runs, 2), np.dtype(np.int64)))


def _find_eligible(
    image: Image, channels: Sequence[int], size: Mapping[str, int], limits: NDArray[np.float64]
) -> Iterator[NDArray[np.bool_]]:
    """Yield which starts in Y and X are eligible, for each of the starts in S, T and Z."""
    middle = _locate_middle(size.get("Z", 1))
    beyond = size.get("Z", 1) - middle.stop
    lengths = image.sizes
    for s, t in itertools.product(range(lengths.get("S", 1)), range(lengths.get("T", 1))):
        # The middle planes of one patch, sliding along Z.
        window: deque[NDArray[np.bool_]] = deque(maxlen=middle.stop - middle.start)
        for z in range(middle.start, lengths.get("Z", 1) - beyond):
            plane = read(image, {"S": slice(s, s + 1), "T": slice(t, t + 1), "Z": slice(z, z + 1)})
            bright = (plane[list(channels), 0] > limits[s][:, None, None]).any(axis=0)
            window.append(_dilate(_dilate(bright, 0, size["Y"]), 1, size["X"]))
            if z >= middle.stop - 1:
                yield np.logical_or.reduce(list(window))


def _locate_middle(size: int) -> slice:
    """Return the middle half of a patch of length `size`, as a slice of it; the whole of a patch of length 1."""
    half = max(1, size // 2)
    start = size // 2 - half // 2
    return slice(start, start + half)


def _dilate(bright: NDArray[np.bool_], axis: int, size: int) -> NDArray[np.bool_]:
    """Return for every start of a patch along `axis` whether its middle half holds a bright pixel."""
    middle, n_starts = _locate_middle(size), bright.shape[axis] - size + 1
    counts = np.cumsum(bright, axis=axis, dtype=np.int32)
    counts = np.concatenate([np.zeros_like(np.take(counts, [0], axis)), counts], axis)
    upper = np.take(counts, range(middle.stop, middle.stop + n_starts), axis)
    return np.asarray(upper > np.take(counts, range(middle.start, middle.start + n_starts), axis))


def find_bright_windows(bright: NDArray[np.bool_], size: Sequence[int]) -> NDArray[np.bool_]:
    """Return for every start of a patch of `size` (axes of `bright`) whether its middle half holds a bright pixel."""
    eligible = bright
    for axis, length in enumerate(size):
        eligible = _dilate(eligible, axis, length)
    return eligible


def _find_runs(plane: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first flat index and length of the runs of True along the rows of `plane`."""
    padded = np.pad(plane, ((0, 0), (1, 1))).astype(np.int8)
    row, start = np.nonzero(np.diff(padded, axis=1) == 1)
    _, stop = np.nonzero(np.diff(padded, axis=1) == -1)
    return row * plane.shape[1] + start, stop - start
