"""Invalid pixels of one frame: filled on their way into a network, and given back as they were in what comes out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.intensity import MatchMoments
from carezoo.package.manifest import Result
from carezoo.runtime.layout import Index, Layout
from carezoo.runtime.predict import Piece
from carezoo.valid import WINDOW, Mask, fill, read_plane

_LEAST_REACH = 32
"""Pixels that are filled around valid ones where a network does not say how far it sees."""


def read_filled(
    layout: Layout, position: Index, region: tuple[slice, ...], dark: NDArray[np.float64]
) -> NDArray[np.generic]:
    """Read one region of one frame, with invalid pixels filled from valid ones.

    Nearer to valid pixels than the halo they mirror those, farther away they are `dark`; planes without valid pixels
    mirror the nearest plane with some. What a pixel is filled with does not depend on the region.

    Parameters
    ----------
    layout, position, region
        As for `Layout.read`.
    dark
        One number a channel.
    """
    block = layout.read(position, region)
    rows, columns = (region[layout.spatial.index(letter)] for letter in "YX")
    holes = [
        (channel, plane, invalid)
        for channel in range(layout.n_channels)
        for plane in _planes(layout, {"C": channel, **position}, region)
        if (invalid := layout.valid.invalid(plane, rows, columns)) is not None
    ]
    if not holes:
        return block
    block = block.astype(np.result_type(block.dtype, np.float32))
    for channel, plane, invalid in holes:
        filled = _fill_region(layout, plane, rows, columns, float(dark[channel]))
        _plane_of(block[channel], layout, plane, region)[invalid] = filled[invalid]
    return block


def _planes(layout: Layout, position: Index, region: tuple[slice, ...]) -> Iterator[Index]:
    """Yield the planes of one channel that a region touches."""
    stacked = {letter: bound for letter, bound in zip(layout.spatial, region, strict=True) if letter not in "YX"}
    for found in itertools.product(*(range(bound.start, bound.stop) for bound in stacked.values())):
        yield {**position, **dict(zip(stacked, found, strict=True))}


def _plane_of(
    block: NDArray[np.generic], layout: Layout, plane: Index, region: tuple[slice, ...]
) -> NDArray[np.generic]:
    """Return a view of one plane (YX) of a block with the axes `spatial`."""
    spatial = layout.spatial
    key = tuple(
        slice(None) if letter in "YX" else plane[letter] - bound.start
        for letter, bound in zip(spatial, region, strict=True)
    )
    return block[key] if spatial.index("Y") < spatial.index("X") else block[key].T


def _fill_region(layout: Layout, plane: Index, rows: slice, columns: slice, dark: float) -> NDArray[np.generic]:
    reach = max(_LEAST_REACH, *(rule.halo for rule in layout.rules()))
    shown = _nearest_plane(layout, plane)
    sizes, wide = layout.image.sizes, WINDOW * reach
    around = [
        slice(max(0, bound.start - wide), min(sizes[letter], bound.stop + wide))
        for letter, bound in zip("YX", (rows, columns), strict=True)
    ]
    pixels = np.array(read_plane(layout.image, shown, *around))
    pixels = pixels.astype(np.result_type(pixels.dtype, np.float32))
    invalid = layout.valid.invalid(shown, *around)
    if invalid is not None:
        pixels[fill(pixels, invalid, reach)] = dark
    inside = (
        slice(bound.start - wider.start, bound.stop - wider.start)
        for bound, wider in zip((rows, columns), around, strict=True)
    )
    return np.asarray(pixels[tuple(inside)])


def _nearest_plane(layout: Layout, plane: Index) -> Index:
    """Return the plane to fill `plane` from: itself, or if it is blank, its mirror image at the nearest other one."""
    stacked = _stack_axis(layout)
    if not stacked or not layout.valid.is_blank(plane):
        return plane
    at, n = plane[stacked], layout.image.sizes[stacked]
    for edge in (at + sign * distance for distance in range(1, n) for sign in (-1, 1)):
        if 0 <= edge < n and not layout.valid.is_blank({**plane, stacked: edge}):
            mirrored = {**plane, stacked: 2 * edge - at}
            is_there = 0 <= mirrored[stacked] < n and not layout.valid.is_blank(mirrored)
            return mirrored if is_there else {**plane, stacked: edge}
    return plane


def _stack_axis(layout: Layout) -> str:
    """Return the axis of the network along which planes follow each other: Z, for some models T, or none."""
    return layout.spatial.replace("Y", "").replace("X", "")[:1]


def give_back(layout: Layout, piece: Piece, position: Index, *, is_nan_zeroed: bool = False) -> Piece:
    """Return a piece of a result with invalid pixels as the image has them.

    Results in the units of the image get the image's own values, others (scale, disagreement) zero. A plane made
    between others is invalid where the nearest one is; without Z a pixel is invalid where its whole column is.

    Parameters
    ----------
    layout, position
        The frame.
    piece
        A region of it, of any result.
    is_nan_zeroed
        Whether NaN comes back as zero.
    """
    found = list(_invalid_planes(layout, piece, position))
    if not found:
        return piece
    values = piece.values.copy()
    for key, invalid, original in found:
        if not _has_units_of_image(layout, piece.result):
            original = np.zeros_like(original)
        elif is_nan_zeroed:
            original = np.where(np.isfinite(original), original, np.float32(0))
        _view(values, key, layout)[invalid] = original[invalid]
    return replace(piece, values=values)


def _has_units_of_image(layout: Layout, result: Result) -> bool:
    operations = layout.manifest.tensor(result).postprocessing
    return result.undo == "affine" or any(isinstance(each, MatchMoments) for each in operations)


def find_invalid(layout: Layout, piece: Piece, position: Index) -> Mask | None:
    """Return which pixels of a piece `give_back` would replace; None: no pixel."""
    together: Mask | None = None
    for key, invalid, _ in _invalid_planes(layout, piece, position):
        together = np.zeros(piece.values.shape, np.bool_) if together is None else together
        _view(together, key, layout)[invalid] = True
    return together


def _view(values: NDArray[Any], key: tuple[int | slice, ...], layout: Layout) -> NDArray[Any]:
    """Return one plane of a piece, YX."""
    return values[key] if layout.spatial.index("Y") < layout.spatial.index("X") else values[key].T


_Found = tuple[tuple[int | slice, ...], Mask, NDArray[np.float32]]


def _invalid_planes(layout: Layout, piece: Piece, position: Index) -> Iterator[_Found]:
    """Yield each plane of a piece with invalid pixels: where it is, which those are, and what the image holds there."""
    sources, stacked = _sources(layout, piece), _stack_axis(layout)
    if not {"Y", "X"} <= sources.keys():
        return
    rows, columns = (slice(int(sources[letter][0]), int(sources[letter][-1]) + 1) for letter in "YX")
    shown = sources["Y"][:, None] - rows.start, sources["X"][None, :] - columns.start
    for number, channel in enumerate(_channels(layout, piece.result)):
        for i, at in enumerate(sources.get(stacked, [0])):
            plane = {"C": channel, **({stacked: int(at)} if stacked else {}), **position}
            is_column = bool(stacked) and stacked not in sources
            depth: list[Index] = (
                [{**plane, stacked: each} for each in range(layout.image.sizes[stacked])] if is_column else [plane]
            )
            invalid = _invalid_throughout(layout, depth, rows, columns)
            if invalid is not None:
                key = tuple(i if letter == stacked else slice(None) for letter in layout.spatial if letter in sources)
                with np.errstate(over="ignore"):  # what float32 cannot hold is invalid, and infinite in it
                    original = np.asarray(read_plane(layout.image, plane, rows, columns), np.float32)
                yield (number, *key), invalid[shown], original[shown]


def _sources(layout: Layout, piece: Piece) -> Mapping[str, NDArray[np.intp]]:
    """Return for each axis of a piece which pixel of the image each of its pixels shows."""
    output = layout.manifest.tensor(piece.result)
    found = {}
    for letter in layout.spatial:
        if letter in output.sizes:
            size, factor = layout.image.sizes[letter], output.factor(letter)
            at = np.arange(output.restored_size(letter, size))[piece.region.get(letter, slice(None))]
            found[letter] = (at * factor.denominator // factor.numerator).clip(0, size - 1)
    return found


def _channels(layout: Layout, result: Result) -> list[int]:
    """Return which channel of the image each channel of a result comes from."""
    channels = result.of or tuple(range(len(result.channels)))
    return [min(channel, layout.n_channels - 1) for channel in channels]


def _invalid_throughout(layout: Layout, planes: Sequence[Index], rows: slice, columns: slice) -> Mask | None:
    """Return which pixels of a region are invalid in all planes; None: no pixel."""
    together: Mask | None = None
    for plane in planes:
        invalid = layout.valid.invalid(plane, rows, columns)
        if invalid is None:
            return None
        together = invalid if together is None else together & invalid
    return together
