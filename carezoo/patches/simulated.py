"""Patches of pairs that are made while training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import DataError
from carezoo.pairs.intensity import EPS, Intensity, Levels, Scaling, list_percents, make_identity
from carezoo.pairs.section import PairAxes
from carezoo.patches.files import (
    Float,
    Patch,
    Patches,
    augment,
    draw_percentiles,
    make_rng,
    normalize,
    stack_patches,
)
from carezoo.patches.foreground import find_bright_windows
from carezoo.simulate.pairs import make_pair, make_pairs
from carezoo.simulate.section import PreparedSimulation

_N_ATTEMPTS = 20
"""Images without contrast or foreground in a row before that is an error."""

_APART = 1 << 40
"""Distance of the numbers of images that replace one another; no training makes so many."""

_PATCH, _FIXED = 1, 2
"""What a random number is for."""


@dataclass(frozen=True, eq=False)
class _MadePair:
    """One pair, and what all its patches share."""

    source: NDArray[np.generic]
    """C(Z)YX."""
    target: Float
    """C(Z)YX."""
    scaling: Scaling
    starts: NDArray[np.intp]
    """Where patches may start in the target: flat numbers in the grid `grid`."""
    grid: tuple[int, ...]


class SimulatedSampler:
    """Draws normalized patches from pairs that are made when they are needed (`carezoo.patches.files.Sampler`).

    Patch k depends on the seed and on k alone. Patches with neighbouring numbers are cut from the same pair.
    """

    def __init__(
        self,
        prepared: PreparedSimulation,
        axes: PairAxes,
        settings: Patches,
        intensity: Intensity,
        seed: int,
        *,
        n_per_image: int,
        constants: Levels | None = None,
    ) -> None:
        """Intensity mode `fixed` needs the constants."""
        self.prepared, self.axes, self.settings, self.intensity = prepared, axes, settings, intensity
        self.seed, self.n_per_image, self.constants = seed, n_per_image, constants
        self._last: tuple[int, _MadePair] | None = None

    def patch(self, number: int) -> Patch:
        """Return the `number`-th patch of the training.

        Raises
        ------
        DataError
            If many images in a row have no contrast or no foreground.
        """
        rng = make_rng(self.seed, _PATCH, number)
        percentiles = draw_percentiles(rng) if self.intensity.percentile_jitter else None
        made = self._image(number // self.n_per_image)
        return augment(*self._cut(made, made.starts, rng, percentiles), self.settings, rng)

    def fixed_patches(self, n: int, *, is_anywhere: bool = False) -> Patch:
        """Return `n` patches that are always the same, turned nowhere, with the percentiles of restoration.

        Parameters and result as of `patches.Sampler`; cut from the first ``n_pairs`` pairs of the description, in turn.
        """
        n_images = self.prepared.simulation.n_pairs
        cut = []
        for number in sorted(range(n), key=lambda one: one % n_images):
            made = self._image(number % n_images)
            starts = np.arange(math.prod(made.grid)) if is_anywhere else made.starts
            cut.append(self._cut(made, starts, make_rng(self.seed, _FIXED, number), None))
        return stack_patches(cut)

    def _image(self, number: int) -> _MadePair:
        if self._last is None or self._last[0] != number:
            self._last = (number, self._make(number))
        return self._last[1]

    def _make(self, number: int) -> _MadePair:
        for attempt in range(_N_ATTEMPTS):
            pair = make_pair(self.prepared, self.seed, number + attempt * _APART)
            source = pair.source if self.prepared.has_channels else pair.source[None]
            target = pair.target if self.prepared.has_channels else pair.target[None]
            scaling = _measure_scaling(source, target, self.intensity, self.constants)
            starts, grid = self._starts(target)
            if scaling is not None and len(starts):
                return _MadePair(source, target, scaling, starts, grid)
        raise DataError(
            f"{_N_ATTEMPTS} simulated images in a row have no contrast, or no patch with a bright middle: look at them "
            "(carezoo simulate --preview), give more photons or denser structures, or lower "
            "patches.background_threshold"
        )

    def _starts(self, target: Float) -> tuple[NDArray[np.intp], tuple[int, ...]]:
        """Return where patches may start, and the grid these numbers count in."""
        sizes = list(self.axes.target_size(self.settings.size.by_axis).values())
        grid = tuple(n - size + 1 for n, size in zip(target.shape[1:], sizes, strict=True))
        if min(grid) < 1:
            raise DataError(
                f"simulated targets of {_format_sizes(target.shape[1:])} are smaller than a patch of "
                f"{_format_sizes(sizes)}; enlarge shape, or take smaller patches (patches.size)"
            )
        threshold = self.settings.background_threshold
        if threshold == 0:
            return np.arange(math.prod(grid)), grid
        spatial = tuple(range(1, target.ndim))
        # The darkest pixel of a simulated target is black, so that the offset of the camera does not count as light.
        dark = target.min(axis=spatial, keepdims=True)
        bright = np.percentile(target, self.settings.background_percentile, axis=spatial, keepdims=True)
        is_bright = (target > dark + threshold * (bright - dark)).any(axis=0)
        return np.flatnonzero(find_bright_windows(is_bright, sizes)), grid

    def _cut(
        self,
        made: _MadePair,
        starts: NDArray[np.intp],
        rng: np.random.Generator,
        percentiles: tuple[float, float] | None,
    ) -> tuple[Float, Float]:
        at = np.unravel_index(int(starts[int(rng.integers(len(starts)))]), made.grid)
        place = dict(zip(self.axes.target, (int(i) for i in at), strict=True))
        size, (z_source, z_target) = self.settings.size.by_axis, self.axes.align_planes(place.get("Z", 0))
        source = _cut_piece(made.source, place | {"Z": z_source}, size)
        target = _cut_piece(made.target, place | {"Z": z_target}, self.axes.target_size(size))
        return normalize(source, target, made.scaling.ranges(percentiles))


def _cut_piece(image: NDArray[np.generic], place: dict[str, int], size: dict[str, int]) -> NDArray[np.generic]:
    """Return the piece of `size` (axes in the order of `image` behind C) that starts at `place`."""
    return image[(slice(None), *(slice(place[letter], place[letter] + n) for letter, n in size.items()))]


def _measure_scaling(
    source: NDArray[np.generic], target: Float, intensity: Intensity, constants: Levels | None
) -> Scaling | None:
    """Return how a pair is normalized; None if it has no contrast."""
    n_channels = len(source)
    units = make_identity(n_channels)
    if constants is not None:
        return Scaling(constants, None, units, (0.0, 100.0))
    own = _measure_levels(target, intensity) if intensity.mode == "own" else None
    scaling = Scaling(
        _measure_levels(source, intensity), own, units, (intensity.percentiles[0], intensity.percentiles[1])
    )
    ranges = scaling.ranges()
    widths = (ranges.source_high - ranges.source_low, ranges.target_high - ranges.target_low)
    return scaling if min(width.min() for width in widths) > 2 * EPS else None


def _measure_levels(channels: NDArray[np.generic], intensity: Intensity) -> Levels:
    wanted = list_percents(intensity)
    values = np.percentile(channels.reshape(len(channels), -1).astype(np.float64), wanted, axis=1).T
    return Levels(np.array(wanted), values)


def measure_constants(prepared: PreparedSimulation, intensity: Intensity, seed: int) -> Levels:
    """Return the two intensities of each channel that become 0 and 1 (mode `fixed`), from 16 sources.

    Sources without a range of intensities are a `DataError`.
    """
    sources = [pair.source for pair in make_pairs(prepared, seed, range(16))]
    n_channels = len(sources[0]) if prepared.has_channels else 1
    pixels = np.concatenate([source.reshape(n_channels, -1) for source in sources], axis=1)
    limits = intensity.range or np.percentile(pixels.astype(np.float64), intensity.percentiles, axis=1).T
    values = np.broadcast_to(np.asarray(limits, np.float64), (n_channels, 2))
    if not (values[:, 0] < values[:, 1]).all():
        raise DataError("simulated sources have no range of intensities; give more photons, or intensity.range")
    return Levels(np.array([0.0, 100.0]), values)


def _format_sizes(sizes: Sequence[int]) -> str:
    return " x ".join(str(size) for size in sizes)
