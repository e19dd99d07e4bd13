"""Whether the acquired pairs of a training match, measured and told before it begins; and making them match."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carezoo.data.moved import Moved
from carezoo.data.pair_axes import ONE, PairAxes
from carezoo.data.pairs import Pair
from carezoo.data.raw import read
from carezoo.data.registration import PairMatch, RegistrationReport, check_pair
from carezoo.data.sources import FileSet
from carezoo.errors import DataError
from carezoo.files.atomic import replacing
from carezoo.image import Image

log = logging.getLogger("carezoo")

MOST_PAIRS = 40
"""Pairs that are measured, spread evenly over the data: a second each for large images."""

N_TOLD = 10
"""Pairs told one by one; all of them stand in the table."""


def registered(pairs: Sequence[Pair], sets: Sequence[FileSet], axes: PairAxes) -> tuple[Pair, ...]:
    """Return `pairs` with targets moved onto their sources where their set asks for that (`FileSet.register`).

    Parameters
    ----------
    pairs
        As `find_pairs` returns them. Of each that is moved, one frame of one channel is read.
    sets
        The sets they come from.
    axes
        How sources and targets go together.

    Raises
    ------
    DataError
        If targets are to be moved whose planes are not those of their sources, or a source and its target do not show
        the same scene clearly enough.
    """
    asked = {each.name for each in sets if each.register}
    if asked and _have_other_planes(axes):
        raise DataError(
            f"set {min(asked)}: register moves targets that have the planes of their sources; for tasks upsample and "
            "project register the images before, and leave register out"
        )
    return tuple(_moved(pair, axes) if pair.dataset in asked else pair for pair in pairs)


def check_files(pairs: Sequence[Pair], axes: PairAxes) -> RegistrationReport | None:
    """Measure shift, similarity and intensity relation of pairs, and tell them; warn of those that do not match.

    Of a file with many frames or samples the middle one is measured, of channels the first.

    Parameters
    ----------
    axes
        Pairs whose targets have other planes than their sources (tasks upsample and project) are left alone.

    Returns
    -------
    RegistrationReport or None
        None if there is nothing to measure.
    """
    if not pairs or _have_other_planes(axes):
        return None
    chosen = [pairs[i] for i in sorted({int(i) for i in np.linspace(0, len(pairs) - 1, MOST_PAIRS)})]
    matches = []
    for pair in chosen:
        try:
            matches.append(_measured(pair, axes))
        except DataError as error:
            log.warning("%s", error)
    if not matches:
        return None
    report = RegistrationReport(tuple(matches))
    for match in matches[:N_TOLD]:
        log.info(
            "%s: shift (%s) px, PSNR %.1f dB, source = %.4g * target %+.4g",
            match.name, _told(match.shift_px), match.psnr_db, match.gain, match.offset,
        )  # fmt: skip
    if len(matches) > N_TOLD:
        log.info("and %d pairs more", len(matches) - N_TOLD)
    if len(chosen) < len(pairs):
        log.info("registration was checked on %d of %d pairs", len(chosen), len(pairs))
    log.log(logging.INFO if report.is_fine else logging.WARNING, "%s", report.verdict)
    return report


def write_table(report: RegistrationReport, path: Path) -> None:
    """Write what was measured of every pair as CSV."""
    n_axes = max(len(match.shift_px) for match in report.pairs)
    letters = "ZYX"[-n_axes:].lower()
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    shifts = [f"shift_{letter}_px" for letter in letters]
    table.writerow(["pair", *shifts, "shift_se_px", "psnr_db", "gain", "offset", "correlation", "problems"])
    for match in report.pairs:
        numbers = (match.shift_se_px, match.psnr_db, match.gain, match.offset, match.correlation)
        rounded = [f"{value:.5g}" for value in (*match.shift_px, *numbers)]
        table.writerow([match.name, *rounded, "; ".join(match.problems)])
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _have_other_planes(axes: PairAxes) -> bool:
    return axes.is_projected or axes.factor != ONE


def _moved(pair: Pair, axes: PairAxes) -> Pair:
    match = _measured(pair, axes)
    if match.mismatch:
        raise DataError(f"{pair.name}: cannot be registered: {match.mismatch}; leave it out (split)")
    by_axis = dict(zip(axes.source, match.shift_px, strict=True))
    shift = tuple(by_axis.get(letter, 0.0) for letter in pair.target.axes)
    log.info("%s: target moved by (%s) px", pair.name, _told(match.shift_px))
    return dataclasses.replace(pair, target=dataclasses.replace(pair.target, pixels=Moved(pair.target.pixels, shift)))


def _told(shift_px: Sequence[float]) -> str:
    return ", ".join(f"{value:+.2f}" for value in shift_px)


def _measured(pair: Pair, axes: PairAxes) -> PairMatch:
    source = _middle(pair.source, pair.source_channels[0], axes.source, pair.source)
    target = _middle(pair.target, pair.target_channels[0], axes.source, pair.source)
    return check_pair(source, target, pair.name)


def _middle(image: Image, channel: int, spatial: str, like: Image) -> NDArray[np.generic]:
    """Return the middle frame of one channel: where `like` has its middle, or the only one there is."""
    region = {}
    for letter in "STZ":
        if letter not in spatial and letter in image.axes:
            at = like.sizes.get(letter, 1) // 2 if image.sizes[letter] > 1 else 0
            region[letter] = slice(at, at + 1)
    pixels: NDArray[np.generic] = read(image, region)[channel]
    return pixels if "Z" in spatial else np.asarray(pixels[0])
