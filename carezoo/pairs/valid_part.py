"""The part of training and test pairs that holds valid pixels only: what is trained on, measured and scored."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from carezoo.errors import DataError
from carezoo.pairs.find import Pair
from carezoo.valid import Mask, ValidPixels

log = logging.getLogger("carezoo")

_SMALLEST = 16
"""Pixels along Y and X below which nothing can be learnt from what is left."""


def keep_valid_parts(pairs: Sequence[Pair], *, is_blank_kept: bool = True) -> tuple[Pair, ...]:
    """Return the pairs without padding, NaN and infinite pixels: both images cropped to one rectangle in Y and X.

    Every pixel is read once. Pairs that share a target are cut alike. Planes without a valid pixel count for nothing.

    Parameters
    ----------
    is_blank_kept
        False leaves out the frames (T) in which a channel of source or target has no valid pixel.

    Raises
    ------
    DataError
        If hardly anything is left of a pair.
    """
    by_target: dict[object, list[Pair]] = {}
    for pair in pairs:
        by_target.setdefault(pair.target_key, []).append(pair)
    kept: dict[Pair, Pair] = {}
    for members in by_target.values():
        target = ValidPixels(members[0].target, members[0].nodata)
        sources = [ValidPixels(pair.source, pair.nodata) for pair in members]
        box = _find_box(members[0].name, [target, *sources])
        kept |= {pair: _crop(pair, box) if box else pair for pair in members}
        if not is_blank_kept:
            blank = [_list_blank(pair, source, target) for pair, source in zip(members, sources, strict=True)]
            if target.image.sizes.get("T", 1) > 1:
                blank = [sorted({t for each in blank for t in each})] * len(members)
            kept |= {pair: _leave_out(frames, kept[pair]) for pair, frames in zip(members, blank, strict=True)}
    return tuple(kept[pair] for pair in pairs)


def _crop(pair: Pair, box: tuple[slice, slice]) -> Pair:
    region = dict(zip("YX", box, strict=True))
    return replace(pair, source=pair.source.crop(region), target=pair.target.crop(region))


def _list_blank(pair: Pair, source: ValidPixels, target: ValidPixels) -> list[int]:
    """Return the frames in which a channel that is used has no valid pixel."""
    used = ((source, pair.source_channels), (target, pair.target_channels))
    return [t for t in range(source.image.sizes.get("T", 1)) if any(_is_blank(*each, t) for each in used)]


def _is_blank(valid: ValidPixels, channels: Sequence[int], t: int) -> bool:
    sizes = valid.image.sizes
    if sizes.get("T", 1) == 1:  # one for all frames
        return False
    samples, planes = range(sizes.get("S", 1)), range(sizes.get("Z", 1))
    return any(
        all(valid.is_blank({"S": s, "T": t, "C": c, "Z": z}) for z in planes)
        for s, c in itertools.product(samples, channels)
    )


def _leave_out(frames: Sequence[int], pair: Pair) -> Pair:
    """Return a pair without some frames; unless these are all."""
    n = pair.source.sizes.get("T", 1)
    if not 0 < len(frames) < n:
        return pair
    named = ", ".join(map(str, frames[:5])) + (f" and {len(frames) - 5} more" if len(frames) > 5 else "")
    log.warning("%s: frame(s) %s have no valid pixel, and are left out", pair.name, named)
    left = [t for t in range(n) if t not in set(frames)]
    is_series = pair.target.sizes.get("T", 1) > 1
    target = pair.target.pick_frames(left) if is_series else pair.target
    return replace(pair, source=pair.source.pick_frames(left), target=target)


def _find_box(name: str, images: Sequence[ValidPixels]) -> tuple[slice, slice] | None:
    """Return the rectangle of valid pixels in all of several images; None: everything."""
    sizes = {(valid.image.sizes["Y"], valid.image.sizes["X"]) for valid in images}
    if len(sizes) > 1:
        return None
    invalid = None
    for valid in images:
        found = _find_invalid(valid)
        invalid = found if invalid is None else invalid if found is None else invalid | found
    if invalid is None:
        return None
    rows, columns = trim(invalid)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if min(height, width) < min(_SMALLEST, *invalid.shape):
        raise DataError(
            f"{name}: too little of it is valid: {invalid.mean():.0%} of the pixels are padding, NaN or infinite in "
            "some plane. Repair the image, or leave it out (split)"
        )
    log.warning(
        "%s: %.2g %% of the pixels are padding, NaN or infinite in some plane; used are y=%d:%d, x=%d:%d",
        name,
        100 * invalid.mean(),
        rows.start,
        rows.stop,
        columns.start,
        columns.stop,
    )
    return rows, columns


def _find_invalid(valid: ValidPixels) -> Mask | None:
    """Return which pixels (YX) are invalid in any plane that has valid ones; None: no pixel."""
    together = None
    letters = [letter for letter in valid.image.axes if letter not in "YX"]
    for index in itertools.product(*(range(valid.image.sizes[letter]) for letter in letters)):
        invalid = valid.invalid(dict(zip(letters, index, strict=True)))
        if invalid is not None and not invalid.all():
            together = invalid if together is None else together | invalid
    return together


def trim(invalid: Mask) -> tuple[slice, slice]:
    """Return a large rectangle without invalid pixels: the side with most of them goes, until none is left."""
    sums = np.pad(invalid.astype(np.int64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    top, bottom, left, right = 0, invalid.shape[0], 0, invalid.shape[1]

    def count(y0: int, y1: int, x0: int, x1: int) -> int:
        return int(sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0])

    while top < bottom and left < right and count(top, bottom, left, right):
        height, width = bottom - top, right - left
        shares = (
            count(top, top + 1, left, right) / width,
            count(bottom - 1, bottom, left, right) / width,
            count(top, bottom, left, left + 1) / height,
            count(top, bottom, right - 1, right) / height,
        )
        side = int(np.argmax(shares))
        top, bottom, left, right = top + (side == 0), bottom - (side == 1), left + (side == 2), right - (side == 3)
    return slice(top, bottom), slice(left, right)
