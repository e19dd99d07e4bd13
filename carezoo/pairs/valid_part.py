"""The part of training and test pairs that holds valid pixels only: what is trained on, measured and scored."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from carezoo.errors import DataError
from carezoo.image import Image
from carezoo.pairs.find import Pair
from carezoo.valid import Mask, ValidPixels

log = logging.getLogger("carezoo")

_SMALLEST = 16
"""Pixels along Y and X below which nothing can be learnt from what is left."""


def keep_valid_parts(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Return the pairs without padding, NaN and infinite pixels: both images cropped to one rectangle in Y and X.

    Every pixel is read once. Pairs that share a target are cropped alike. Planes of one value count for nothing.

    Raises
    ------
    DataError
        If hardly anything is left of a pair.
    """
    by_target: dict[object, list[Pair]] = {}
    for pair in pairs:
        by_target.setdefault(pair.target_path, []).append(pair)
    boxes = {target: _find_box(members) for target, members in by_target.items()}
    return tuple(_crop(pair, box) if (box := boxes[pair.target_path]) else pair for pair in pairs)


def _crop(pair: Pair, box: tuple[slice, slice]) -> Pair:
    region = dict(zip("YX", box, strict=True))
    return replace(pair, source=pair.source.crop(region), target=pair.target.crop(region))


def _find_box(pairs: Sequence[Pair]) -> tuple[slice, slice] | None:
    """Return the rectangle of valid pixels of pairs with one target; None: everything."""
    images = [pairs[0].target, *(pair.source for pair in pairs)]
    sizes = {(image.sizes["Y"], image.sizes["X"]) for image in images}
    if len(sizes) > 1:
        return None
    invalid = None
    for image in images:
        found = _find_invalid(image)
        invalid = found if invalid is None else invalid if found is None else invalid | found
    if invalid is None:
        return None
    rows, columns = trim(invalid)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if min(height, width) < min(_SMALLEST, *invalid.shape):
        raise DataError(
            f"{pairs[0].name}: too little of it is valid: {invalid.mean():.0%} of the pixels are padding, NaN or "
            "infinite in some plane. Repair the image, or leave it out (split)"
        )
    log.warning(
        "%s: %.2g %% of the pixels are padding, NaN or infinite in some plane; used are y=%d:%d, x=%d:%d",
        pairs[0].name,
        100 * invalid.mean(),
        rows.start,
        rows.stop,
        columns.start,
        columns.stop,
    )
    return rows, columns


def _find_invalid(image: Image) -> Mask | None:
    """Return which pixels (YX) are invalid in any plane that has valid ones; None: no pixel."""
    valid, together = ValidPixels(image), None
    letters = [letter for letter in image.axes if letter not in "YX"]
    for index in itertools.product(*(range(image.sizes[letter]) for letter in letters)):
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
