"""Three parts of the pairs: to fit the network, to choose the checkpoint, to report scores; a scene is in one."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from carezoo.errors import DataError
from carezoo.pairs.find import Pair
from carezoo.pairs.section import FileSet

log = logging.getLogger("carezoo")

Part = Literal["fit", "choose", "report"]
PARTS: tuple[Part, ...] = get_args(Part)

Assignment = dict[Path, Part | None]
"""Part by target file; None for a scene that is left out."""


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
    pairs: Sequence[Pair], sets: Sequence[FileSet], seed: int, *, elsewhere: Collection[Part] = ()
) -> PairParts:
    """Split pairs by scene.

    A scene is a target file. All its sources go to the same part, and all planes, frames and samples of a file stay
    together. Where a set names no files for its parts, its scenes are dealt out by `seed`. The order in which the file
    system lists them does not matter.

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

    Raises
    ------
    DataError
        If a split names a file that does not exist, a scene belongs to two parts, or there are too few scenes.
    """
    parts: Assignment = {}
    # Sets that name files first: a set that is dealt out follows them where it shares scenes.
    for each in sorted(sets, key=lambda one: not one.split.is_by_name):
        members = [pair for pair in pairs if pair.dataset == each.name]
        if each.split.is_by_name:
            parts.update(_assign_by_name(each, members, parts))
        else:
            parts.update(_assign_by_seed(each, members, parts, seed))
    by_part = {part: tuple(pair for pair in pairs if parts[pair.target_path] == part) for part in PARTS}
    for part, members_of_part in by_part.items():
        if not members_of_part and part not in elsewhere:
            raise DataError(
                f"no file is left to {part}; name files for it under split in one of data.sets, or remove the three "
                "lists there, so that the scenes are dealt out"
            )
    return PairParts(**by_part)


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
        before = {**earlier, **assigned}.get(pair.target_path, part)
        if len(named) > 1 or before != part:
            both = named if len(named) > 1 else (before, part)
            raise DataError(
                f"{pair.name}: its scene would belong to {' and to '.join(one or 'none' for one in both)}, and scores "
                f"on a scene that was trained on mean nothing; give {pair.target_path.name} to one part"
            )
        if part is None:
            log.info("%s is left out: no part of the split names it", pair.name)
        assigned[pair.target_path] = part
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
    scenes = sorted({pair.target_path for pair in pairs} - set(earlier), key=lambda path: (path.name, str(path)))
    if not scenes:
        return {}
    if len(scenes) < len(PARTS):
        raise DataError(
            f"set {each.name}: expected at least 3 scenes, to fit, to choose and to report on, found {len(scenes)} "
            f"({', '.join(path.name for path in scenes)}); add images, or cut them into files that do not overlap, or "
            "name under split which part they serve, if other sets serve the other parts"
        )
    n_choose = max(1, round(each.split.choose_fraction * len(scenes)))
    n_report = max(1, round(each.split.report_fraction * len(scenes)))
    n_fit = max(1, len(scenes) - n_choose - n_report)
    counts: dict[Part, int] = {"fit": n_fit, "choose": n_choose, "report": n_report}
    dealt = [part for part, n in counts.items() for _ in range(n)]
    order = np.random.default_rng(seed).permutation(len(scenes))
    return {scenes[i]: part for i, part in zip(order, dealt, strict=False)}
