"""Integer geometry of tiled inference: which pixels a tile reads, which it writes, what is cut off.

A padded axis of length 16, step 4, halo 4, tile 12 (``-`` read, ``o`` written, positions in the padded axis)::

    0       4       8       12      16
    oooooooo----                          tile 0   read 0:12   write 0:8
        ----oooooooo                      tile 1   read 4:16   write 8:16

Three rules make a tiled result equal to the untiled one:

1. The image is padded by reflection only up to the next size the network accepts, never by a halo (CSBDeep's border
   rule): ``floor(pad / 2)`` before, the rest after. An axis too short to reflect repeats its edge.
2. Tiles start on the step grid of the padded image, so that pooling sees the same pairs of pixels in every tile.
3. A tile discards `halo` pixels on each side that is not a border of the padded image.

All tiles of a plan have one shape, so that a graphics card plans its convolutions once; the last tile of an axis is
shifted back, and tiles are balanced: no tile is larger than it needs to be for their number.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AxisRule:
    """What a network asks of one axis of its input."""

    min_size: int = 1
    """Smallest size the network accepts."""
    step: int = 1
    """Accepted sizes are ``min_size + n * step``; 0: only `min_size`."""
    halo: int = 0
    """Input pixels on each side of a tile whose result is not the untiled one; a multiple of `step`."""
    is_tileable: bool = True
    """False: a tile always spans the whole axis."""
    margin: int = 0
    """Input pixels the network cuts off each side of what it sees; the image is padded by them. Within the halo."""

    def round_up(self, size: int) -> int:
        """Return the smallest accepted size that is at least `size`."""
        if self.step == 0:
            return self.min_size
        return self.min_size + max(0, ceil((size - self.min_size) / self.step)) * self.step

    @property
    def grid(self) -> int:
        """Distance of allowed tile starts."""
        return max(self.step, 1)


@dataclass(frozen=True)
class TileSpan:
    """One tile along one axis, in pixels of the padded axis."""

    read: slice
    """What the network sees."""
    write: slice
    """What is kept of it; the writes of all tiles cover the image once, without the padding."""

    @property
    def crop(self) -> slice:
        """`write` counted from the start of `read`."""
        return slice(self.write.start - self.read.start, self.write.stop - self.read.start)


@dataclass(frozen=True)
class AxisPlan:
    """All tiles along one axis."""

    size: int
    """Pixels of the image."""
    pad_before: int
    """Pixels of padding before the first pixel of the image."""
    padded: int
    """Length with padding on both sides."""
    spans: tuple[TileSpan, ...]

    @property
    def tile(self) -> int:
        """Length of every tile."""
        first = self.spans[0].read
        return int(first.stop - first.start)

    def source_index(self, read: slice) -> NDArray[np.intp]:
        """Return, for each pixel of `read`, which pixel of the image it shows (mirror without repeating the edge)."""
        position: NDArray[np.intp] = np.arange(read.start, read.stop, dtype=np.intp) - self.pad_before
        longest_pad = max(self.pad_before, self.padded - self.size - self.pad_before)
        if longest_pad < self.size:
            last = self.size - 1
            position = last - np.abs(last - np.abs(position))
        return position.clip(0, self.size - 1)


@dataclass(frozen=True)
class Tile:
    """One tile in all axes of a plan."""

    read: tuple[slice, ...]
    """In pixels of the padded image."""
    write: tuple[slice, ...]
    """In pixels of the padded image."""
    crop: tuple[slice, ...]
    """`write`, counted from the start of `read`."""


@dataclass(frozen=True)
class Plan:
    """All tiles of an image."""

    axes: tuple[AxisPlan, ...]

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Shape that every tile has."""
        return tuple(axis.tile for axis in self.axes)

    @property
    def n_tiles(self) -> int:
        """How many tiles there are."""
        return prod(len(axis.spans) for axis in self.axes)

    @property
    def halo_share(self) -> float:
        """Share of all computed pixels that is thrown away as halo, between 0 and 1 (padding is not counted)."""
        computed = prod(axis.tile * len(axis.spans) for axis in self.axes)
        return 1.0 - prod(axis.padded for axis in self.axes) / computed

    def __iter__(self) -> Iterator[Tile]:
        for spans in itertools.product(*(axis.spans for axis in self.axes)):
            yield Tile(
                read=tuple(span.read for span in spans),
                write=tuple(span.write for span in spans),
                crop=tuple(span.crop for span in spans),
            )


def plan(shape: Sequence[int], tile: Sequence[int | None], rules: Sequence[AxisRule]) -> Plan:
    """Cut an image into tiles.

    Parameters
    ----------
    shape
        Size of the image along each axis, at least 1.
    tile
        Largest tile wanted along each axis, halo included; None: the whole axis in one tile. Where the network needs
        more (two halos and one step, or its minimum), the smallest possible tile is taken.
    rules
        What the network asks of each axis.

    Returns
    -------
    Plan
        Tiles of one shape whose writes cover the image exactly once.
    """
    return Plan(
        tuple(_plan_axis(size, most, rule) for size, most, rule in zip(shape, tile, rules, strict=True)),
    )


def _plan_axis(size: int, most: int | None, rule: AxisRule) -> AxisPlan:
    if rule.step == 0 and rule.is_tileable and size + 2 * rule.margin > rule.min_size:
        return _plan_fixed(size, rule)
    padded = rule.round_up(size + 2 * rule.margin)
    pad_before = (padded - size) // 2
    tile = padded if most is None or not rule.is_tileable else _tile_size(padded, most, rule)
    return AxisPlan(size, pad_before, padded, _spans(padded, tile, rule, slice(pad_before, pad_before + size)))


def _plan_fixed(size: int, rule: AxisRule) -> AxisPlan:
    """Plan a network that takes one size only: where the image is larger, only its margin needs padding."""
    padded, image = size + 2 * rule.margin, slice(rule.margin, rule.margin + size)
    return AxisPlan(size, rule.margin, padded, _spans(padded, rule.min_size, rule, image))


def _tile_size(padded: int, most: int, rule: AxisRule) -> int:
    """Return the smallest tile that needs no more tiles than one of size `most` does."""
    most = max(most, smallest_tile(rule))
    if padded <= most:
        return padded
    halos = 2 * rule.halo
    core = (most - halos) // rule.grid * rule.grid
    n_tiles = ceil((padded - halos) / core)
    balanced = ceil((padded - halos) / n_tiles)
    return min(padded, rule.round_up(max(ceil(balanced / rule.grid) * rule.grid + halos, rule.min_size)))


def smallest_tile(rule: AxisRule) -> int:
    """Return the smallest useful tile: one step between two halos, in a size the network accepts."""
    return rule.round_up(2 * rule.halo + rule.grid)


def _spans(padded: int, tile: int, rule: AxisRule, image: slice) -> tuple[TileSpan, ...]:
    core = tile - 2 * rule.halo
    starts = [0]
    while starts[-1] + tile < padded:
        starts.append(min(starts[-1] + core // rule.grid * rule.grid, padded - tile))
    spans, written = [], image.start
    for start in starts:
        stop = image.stop if start + tile >= padded else min(start + tile - rule.halo, image.stop)
        if stop > written:
            spans.append(TileSpan(slice(start, start + tile), slice(written, stop)))
            written = stop
    return tuple(spans)


def scale_slice(region: slice, factor: Fraction) -> slice:
    """Return `region` of an input axis in pixels of an output axis that is `factor` times as long.

    Raises
    ------
    ValueError
        If a border of the region does not fall on an output pixel.
    """
    start, stop = region.start * factor, region.stop * factor
    if start.denominator != 1 or stop.denominator != 1:
        raise ValueError(f"region {region.start}:{region.stop} times {factor} does not end on whole pixels")
    return slice(int(start), int(stop))
