"""Three parts of the pairs: to fit the network, to choose the checkpoint, to report scores; a scene is in one."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, get_args

import numpy as np

from carezoo.errors import DataError
from carezoo.pairs.find import ImageKey, Pair
from carezoo.pairs.section import FRAMES, FileSet

log = logging.getLogger("carezoo")

Part = Literal["fit", "choose", "report"]
PARTS: tuple[Part, ...] = get_args(Part)

LEAST_FRAMES = 10
"""Of a movie that is cut along time."""

Assignment = dict[ImageKey, Part | None]
"""Part by target image; None for a scene that is left out."""


@dataclass(frozen=True)
class PairParts:
    """The three parts of the data."""

    fit: tuple[Pair, ...]
    choose: tuple[Pair, ...]
    report: tuple[Pair, ...]

    def all(self) -> tuple[tuple[Part, Pair], ...]:
        """Return every pair with the name of its part."""
        named: tuple[tuple[Part, tuple[Pair, ...]], ...] = (
            ("fit", self.fit),
            ("choose", self.choose),
            ("report", self.report),
        )
        return tuple((part, pair) for part, pairs in named for pair in pairs)


def split_pairs(
    pairs: Sequence[Pair],
    sets: Sequence[FileSet],
    seed: int,
    *,
    elsewhere: Collection[Part] = (),
    least: Mapping[str, int] | None = None,
) -> PairParts:
    """Split pairs by scene.

    A scene is a target image: a file, or one of several images in it. All its sources go to the same part, and all its
    planes, frames and samples stay together. A set with fewer than three scenes is cut: every movie along time, every
    other image into strips along Y. Where a set names no files for its parts, its scenes are dealt out by `seed`. The
    order in which the file system lists them does not matter.

    Parameters
    ----------
    pairs
        As `find_pairs` returns them.
    sets
        The sets they come from.
    seed
        Decides which scenes go where.
    elsewhere
        Parts that other data serve, so that no file has to.
    least
        Pixels by axis letter that a part has to have: those of a patch.

    Raises
    ------
    DataError
        If a split names a file that does not exist, a scene belongs to two parts, or there are too few scenes.
    """
    cut = {
        each.name: _cut_scenes([pair for pair in pairs if pair.dataset == each.name], each, least or {})
        for each in sets
        if not each.split.is_by_name and _has_few_scenes(each.name, pairs)
    }
    pairs = [pair for pair in pairs if pair.dataset not in cut]
    sets = [each for each in sets if each.name not in cut]
    parts: Assignment = {}
    # Sets that name files first: a set that is dealt out follows them where it shares scenes.
    for each in sorted(sets, key=lambda one: not one.split.is_by_name):
        members = [pair for pair in pairs if pair.dataset == each.name]
        if each.split.is_by_name:
            parts.update(_assign_by_name(each, members, parts))
        else:
            parts.update(_assign_by_seed(each, members, parts, seed))
    by_part = {
        part: (
            *(pair for pair in pairs if parts[pair.target_key] == part),
            *(pair for pieces in cut.values() for pair in pieces[part]),
        )
        for part in PARTS
    }
    for part, members_of_part in by_part.items():
        if not members_of_part and part not in elsewhere:
            raise DataError(
                f"no file is left to {part}; name files for it under split in one of data.sets, or remove the three "
                "lists there, so that the scenes are dealt out"
            )
    return PairParts(**by_part)


def cut_axis(n: int, choose_fraction: float, report_fraction: float, least: int = 0) -> dict[Part, slice]:
    """Cut an axis of `n` pixels or frames: the first part fits, the next chooses, the last reports.

    Parameters
    ----------
    choose_fraction, report_fraction
        Shares of the axis.
    least
        What these two parts have at least.
    """
    n_choose, n_report = (max(least, round(share * n)) for share in (choose_fraction, report_fraction))
    first, second = n - n_report - n_choose, n - n_report
    return {"fit": slice(0, first), "choose": slice(first, second), "report": slice(second, n)}


def _has_few_scenes(name: str, pairs: Sequence[Pair]) -> bool:
    """Whether a set has scenes of its own, but too few to give each part one."""
    scenes = {pair.target_key for pair in pairs if pair.dataset == name}
    others = {pair.target_key for pair in pairs if pair.dataset != name}
    return 0 < len(scenes) < len(PARTS) and not scenes & others


def _cut_scenes(pairs: Sequence[Pair], each: FileSet, least: Mapping[str, int]) -> dict[Part, list[Pair]]:
    """Cut every pair of a set into the three parts, by time or by place."""
    pieces: dict[Part, list[Pair]] = {part: [] for part in PARTS}
    n_frames = 1 + each.distance if each.target == FRAMES else 1
    for pair in pairs:
        lengths = pair.source.sizes
        is_movie = lengths.get("T", 1) >= max(LEAST_FRAMES, 3 * n_frames) and pair.target.sizes.get("T", 1) > 1
        axis = "T" if is_movie else "Y"
        smallest = n_frames if is_movie else max(1, least.get(axis, 1))
        bounds = cut_axis(lengths[axis], each.split.choose_fraction, each.split.report_fraction, smallest)
        if bounds["fit"].stop < smallest:
            takes = f"{smallest} frame(s) for each" if is_movie else f"{len(PARTS)} patches of {smallest} pixels"
            remedy = "lower choose_fraction or report_fraction" if is_movie else "take smaller patches (patches.size)"
            raise DataError(
                f"{pair.name}: a set with fewer than {len(PARTS)} scenes is cut along {axis} to fit, to choose and to "
                f"report on, which takes {takes}, and {axis} has {lengths[axis]}; add images, or {remedy}"
            )
        log.info("%s is cut along %s to fit, to choose and to report on: fewer than 3 scenes", pair.name, axis)
        for part, bound in bounds.items():
            piece = {axis: bound}
            pieces[part].append(
                replace(
                    pair,
                    name=f"{pair.name}, {axis} {bound.start}:{bound.stop}",
                    source=pair.source.crop(piece),
                    target=pair.target.crop(piece),
                )
            )
    return pieces


def _assign_by_name(each: FileSet, pairs: Sequence[Pair], earlier: Assignment) -> Assignment:
    """Assign the scenes of a set by the file names it lists."""
    patterns: dict[Part, tuple[str, ...]] = {
        "fit": each.split.fit,
        "choose": each.split.choose,
        "report": each.split.report,
    }
    _check_patterns(each, patterns, sorted({pair.source_path.name for pair in pairs}))
    assigned: Assignment = {}
    for pair in pairs:
        name = pair.source_path.name
        named = [part for part, listed in patterns.items() if any(fnmatchcase(name, one) for one in listed)]
        part = named[0] if named else (None if patterns["fit"] else "fit")
        before = {**earlier, **assigned}.get(pair.target_key, part)
        if len(named) > 1 or before != part:
            both = named if len(named) > 1 else (before, part)
            raise DataError(
                f"{pair.name}: its scene would belong to {' and to '.join(one or 'none' for one in both)}, and scores "
                f"on a scene that was trained on mean nothing; give {pair.target_path.name} to one part"
            )
        if part is None:
            log.info("%s is left out: no part of the split names it", pair.name)
        assigned[pair.target_key] = part
    return assigned


def _check_patterns(each: FileSet, patterns: Mapping[Part, Sequence[str]], names: Sequence[str]) -> None:
    for part, listed in patterns.items():
        for pattern in listed:
            if not any(fnmatchcase(name, pattern) for name in names):
                near = difflib.get_close_matches(pattern, names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"its first file is {names[0]}"
                raise DataError(
                    f"set {each.name}: split.{part} names {pattern!r}, which is not a file of the set; {hint}"
                )


def _assign_by_seed(each: FileSet, pairs: Sequence[Pair], earlier: Assignment, seed: int) -> Assignment:
    """Deal the scenes out at random; scenes that an earlier set has assigned stay where they are."""
    scenes = sorted({pair.target_key for pair in pairs} - set(earlier), key=lambda key: (key[0].name, *map(str, key)))
    if not scenes:
        return {}
    if len(scenes) < len(PARTS):
        raise DataError(
            f"set {each.name}: expected at least 3 scenes, to fit, to choose and to report on, found {len(scenes)} "
            f"({', '.join(path.name for path, _ in scenes)}); add images, or cut them into files that do not overlap, "
            "or name under split which part they serve, if other sets serve the other parts"
        )
    n_choose = max(1, round(each.split.choose_fraction * len(scenes)))
    n_report = max(1, round(each.split.report_fraction * len(scenes)))
    n_fit = max(1, len(scenes) - n_choose - n_report)
    counts: dict[Part, int] = {"fit": n_fit, "choose": n_choose, "report": n_report}
    dealt = [part for part, n in counts.items() for _ in range(n)]
    order = np.random.default_rng(seed).permutation(len(scenes))
    return {scenes[i]: part for i, part in zip(order, dealt, strict=False)}
