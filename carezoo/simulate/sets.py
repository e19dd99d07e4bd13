"""Sets of computed pairs in a training: checked and split, and their pairs to report on as files."""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import numpy as np

from carezoo.errors import RecipeError
from carezoo.pairs.section import FileSet, Split
from carezoo.pairs.split import PARTS, Part, cut_axis
from carezoo.simulate.clean_images import CleanImage, check_size
from carezoo.simulate.files import SOURCES, TARGETS, count_written, write_pairs
from carezoo.simulate.pairs import AnySimulation, make_whole_pair, prepare
from carezoo.simulate.section import PreparedSimulation

log = logging.getLogger("carezoo")


@dataclass(frozen=True, kw_only=True)
class ImageSplit:
    """Three parts of clean images that are degraded: by file, or by place where there are few files.

    With names, files that neither list names fit. Without, every image is cut into three strips along `axis`: the first
    fits, the next chooses, the last reports.
    """

    choose: tuple[str, ...] = ()
    """Names of image files (or patterns) that choose the checkpoint, the learning rate and the calibration."""
    report: tuple[str, ...] = ()
    """Names of image files (or patterns) on which nothing but the scores of the model card is measured."""
    axis: Literal["Z", "Y", "X"] = "Y"
    """Along which axis images are cut where no file is named."""
    choose_fraction: float = 0.15
    """Share of the axis for `choose`."""
    report_fraction: float = 0.25
    """Share of the axis for `report`."""

    def __post_init__(self) -> None:
        shares = (self.choose_fraction, self.report_fraction)
        if not (all(0 <= share < 1 for share in shares) and sum(shares) < 1):
            raise RecipeError(
                "choose_fraction and report_fraction: expected shares from 0 that leave something to fit, found "
                f"{shares[0]:g} and {shares[1]:g}"
            )

    @property
    def is_by_name(self) -> bool:
        """Whether the parts are given as file names."""
        return bool(self.choose or self.report)


@dataclass(frozen=True, kw_only=True)
class SimulatedSet:
    """Pairs that are computed. Those to fit are made while training, without end; the others once, as files."""

    simulate: AnySimulation
    """How pairs are made: the section that `carezoo simulate` takes."""
    name: str = ""
    """What messages, the model card and the training data record call the set; empty: simulated1, simulated2, ..."""
    license: str = ""
    """Licence of the clean images, for the training data record; for structures from nothing that of the model."""
    origin: str = ""
    """Where the clean images come from and whom to credit."""
    share: float = 1.0
    """How many patches come from this set, compared with the other simulated sets and with all files together, whose \
share is 1."""
    patches_per_image: int = 4
    """Patches cut from an image before the next one is made: more are faster and less varied."""
    n_choose: int = 4
    """Pairs from which patches are cut to choose on; 0 where another set does that."""
    n_report: int = 8
    """Pairs to report on, made once as files, clean images whole (their part of `split`); 0 where another set does \
that. Task isotropic: stacks, of structures in 3D, or of stacks of images that are turned so that their X becomes Z."""
    split: ImageSplit = field(default_factory=ImageSplit)
    """Which clean images, or which parts of them, fit, choose and report; structures do not need it."""

    def __post_init__(self) -> None:
        if not self.share > 0:
            raise RecipeError(f"share: expected a number above 0, found {self.share:g}")
        for name, lowest in (("patches_per_image", 1), ("n_choose", 0), ("n_report", 0)):
            if getattr(self, name) < lowest:
                raise RecipeError(f"{name}: expected at least {lowest}, found {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class OpenSet:
    """A set of computed pairs, ready to make them."""

    described: SimulatedSet
    parts: Mapping[Part, PreparedSimulation]
    """What makes the pairs of each part: of structures the same for all, of clean images other files or places."""
    seeds: Mapping[Part, int]

    @property
    def n_channels(self) -> int:
        """Channels of the pairs."""
        images = self.parts["fit"].images
        return images[0].image.sizes.get("C", 1) if images else 1

    @property
    def clean_files(self) -> Mapping[Part, tuple[Path, ...]]:
        """The clean images behind each part."""
        return {part: tuple(each.path for each in prepared.images) for part, prepared in self.parts.items()}


def open_set(described: SimulatedSet, folder: Path, seed: int) -> OpenSet:
    """Check a set and split its clean images.

    Parameters
    ----------
    folder
        Where relative paths start.
    seed
        Of the recipe.

    Raises
    ------
    RecipeError
        If the description cannot be followed, or a part has no image.
    DataError
        If an image, or the part of it that is used, cannot be used.
    """
    try:
        prepared = prepare(described.simulate, folder)
        parts = {part: _prepare_part(prepared, described, part) for part in PARTS}
    except RecipeError as error:
        raise RecipeError(f"set {described.name}: {error}") from None
    numbers = (seed, described.simulate.seed, zlib.crc32(described.name.encode()))
    states = np.random.SeedSequence(numbers).generate_state(len(PARTS))
    return OpenSet(described, parts, dict(zip(PARTS, (int(state) for state in states), strict=True)))


def _prepare_part(prepared: PreparedSimulation, described: SimulatedSet, part: Part) -> PreparedSimulation:
    simulation = prepared.simulation
    if part != "fit":
        # What is written is taken whole: scores are of images, not of patches.
        shape = () if prepared.images and not simulation.is_magnified else simulation.shape
        n_pairs = max(1, described.n_choose if part == "choose" else described.n_report)
        simulation = replace(simulation, n_pairs=n_pairs, shape=shape)
    images = _choose_images(prepared.images, described.split, part)
    if prepared.images and not images:
        raise RecipeError(f"split: no image is left to {part}; name fewer, or none, so that images are cut into strips")
    for image in images:
        check_size(image, simulation.piece)
    chosen = replace(prepared, simulation=simulation, images=images)
    if part == "report" and described.n_report:
        simulation.check_whole(chosen)
    else:
        simulation.check(chosen)
    return chosen


def _choose_images(images: tuple[CleanImage, ...], split: ImageSplit, part: Part) -> tuple[CleanImage, ...]:
    if not split.is_by_name:
        return tuple(replace(each, bounds=_cut_strip(each, split, part)) for each in images)
    named: dict[Part, tuple[str, ...]] = {"choose": split.choose, "report": split.report}
    for patterns in named.values():
        for pattern in patterns:
            if not any(fnmatchcase(each.path.name, pattern) for each in images):
                raise RecipeError(f"split: {pattern!r} is none of {', '.join(each.path.name for each in images)}")

    def parts_of(each: CleanImage) -> list[Part]:
        return [one for one, names in named.items() if any(fnmatchcase(each.path.name, name) for name in names)]

    for each in images:
        if len(parts_of(each)) > 1:
            raise RecipeError(f"split: {each.path.name} cannot choose and report; give it to one part")
    return tuple(each for each in images if (parts_of(each) or ["fit"]) == [part])


def _cut_strip(image: CleanImage, split: ImageSplit, part: Part) -> dict[str, slice]:
    if split.axis not in image.sizes:
        raise RecipeError(f"split.axis: {image.path.name} has axes {image.image.axes}, not {split.axis}")
    n = image.sizes[split.axis]
    strip = cut_axis(n, split.choose_fraction, split.report_fraction)[part]
    if strip.start == strip.stop:
        raise RecipeError(f"split: nothing of {image.path.name} is left to {part}; give it a larger fraction")
    return {split.axis: strip}


def write_report_files(opened: OpenSet, cache: Path) -> FileSet | None:
    """Write the pairs to report on, unless they are there, and return them as a set; None if there is none.

    They are what the packed model takes and gives: whole stacks for task isotropic.
    """
    described, prepared = opened.described, opened.parts["report"]
    if described.n_report == 0:
        return None
    folder = _choose_folder(opened, cache)
    n_missing = described.n_report - count_written(folder)
    if n_missing > 0:
        log.info("set %s: making %d pairs to report on in %s", described.name, n_missing, folder)
    write_pairs(prepared, folder, opened.seeds["report"], prefix="report-", make=make_whole_pair)
    return FileSet(
        name=described.name,
        source=(str(folder / SOURCES),),
        target=(str(folder / TARGETS),),
        split=Split(report=("*",)),
        license=described.license,
        origin=described.origin,
    )


def _choose_folder(opened: OpenSet, cache: Path) -> Path:
    """Return a folder of its own for every description, seed and state of the clean images."""
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in opened.clean_files["report"]]
    key = f"{opened.described}|{opened.seeds['report']}|{states}"
    return cache / "simulated" / f"{opened.described.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
