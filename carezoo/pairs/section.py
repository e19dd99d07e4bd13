"""What a recipe says about its images: which files form pairs, and which of them the model never sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from carezoo import axes as axes_
from carezoo.errors import AxesError, InputError, RecipeError
from carezoo.noise.thin import Noise
from carezoo.settings import Nodata, Settings


@dataclass(frozen=True, kw_only=True)
class Split:
    """Three parts by scene: all files with one target, all planes and frames of a file, stay together.

    Without patterns the scenes are dealt out by the seed of the recipe; of fewer than three, movies are cut along time,
    other images into strips along Y.
    """

    fit: tuple[str, ...] = ()
    """Names of source files (patterns such as "fov0[1-5].tif") whose pixels train the network. Empty, if another part \
is given: all files that no other part names."""
    choose: tuple[str, ...] = ()
    """Names of source files that choose the checkpoint, the learning rate and the calibration."""
    report: tuple[str, ...] = ()
    """Names of source files on which nothing but the scores of the model card is measured."""
    choose_fraction: float = 0.1
    """Share of the scenes for `choose` where no patterns are given; at least one scene."""
    report_fraction: float = 0.2
    """Share of the scenes for `report` where no patterns are given; at least one scene."""

    def __post_init__(self) -> None:
        shares = (self.choose_fraction, self.report_fraction)
        if not (all(0 < share < 1 for share in shares) and sum(shares) < 1):
            raise RecipeError(
                "choose_fraction and report_fraction: expected numbers above 0 that leave something to fit, found "
                f"{self.choose_fraction:g} and {self.report_fraction:g}"
            )

    @property
    def is_by_name(self) -> bool:
        """Whether the parts are given as file names."""
        return bool(self.fit or self.choose or self.report)


THINNED: tuple[str, ...] = ("thinned",)
FRAMES: tuple[str, ...] = ("frames",)
"""What stands for the targets of sets that have only noisy images; a folder of that name is written ./thinned."""


@dataclass(frozen=True, kw_only=True)
class FileSet:
    """Registered pairs of files: source and target have one name before the suffix, and lie in different folders."""

    source: tuple[str, ...]
    """Degraded images: a folder, several folders (several noise levels of the same scenes may share a target), or \
files."""
    target: tuple[str, ...]
    """Clean images: a folder, or files. Lists of single files on both sides are paired in the order given. Or, where \
there are only noisy images, one of two words: thinned (the photoelectrons of every image are dealt out to a source \
and a target, anew for each patch) or frames (the target is another frame of a scene that stands still)."""
    noise: Noise | str | None = None
    """Targets thinned and frames: the noise of the detector. null: measured on the images, channel by channel. Or \
numbers for all channels, or the file that `carezoo simulate fit-noise` wrote (relative paths start as those of images \
do)."""
    distance: int = 1
    """Target frames: how many frames (T) lie from a source to its target."""
    name: str = ""
    """What messages, the model card and the training data record call the set; empty: data1, data2, ..."""
    pattern: str = "*"
    """Narrows the images of the folders by their file names, such as "*_c0.tif"; by default every image."""
    axes: str | None = None
    """Axes of the files over STCZYX; null: from their metadata. The first letters are dropped for a file with fewer \
dimensions, such as a YX target of a TYX series."""
    scene: str | int | None = None
    """Name or number (from 0) of the image in files that hold several, or "all", a pair for each; null: the first. A \
file with one image has no choice, and as a target serves every image of the source."""
    average: int = 1
    """Frames (T) of a source whose mean the model restores, as `carezoo restore --average` does; targets have one \
frame for each mean, or one for all. 1: every frame alone."""
    nodata: Nodata = "auto"
    """Value of pixels that are no image. auto: padding, which is an exactly constant region at the border, and planes \
of one value; none: every pixel counts. As `carezoo restore --nodata`."""
    register: bool = False
    """Whether every target is moved onto its source by the shift between them, measured to parts of a pixel. Where a \
stage drifts between two exposures, a network learns to move images, or to blur them. One shift for a file: that of \
its first channel in the middle frame."""
    accept: bool = False
    """Whether to train although the check of the pairs refuses the set: targets noisier than their sources, or pairs \
that hardly show the same scene."""
    source_channels: tuple[int, ...] = ()
    """Which channels of the source files are used, counted from 0; empty: all."""
    target_channels: tuple[int, ...] = ()
    """Which channels of the target files are used, counted from 0; empty: all."""
    split: Split = field(default_factory=Split)
    """Which files fit, choose and report."""
    license: str = ""
    """Licence of the images, for the training data record."""
    origin: str = ""
    """Where the images come from and whom to credit: address, paper, accession number."""

    def __post_init__(self) -> None:
        if not (self.source and self.target):
            raise RecipeError("source and target: expected at least one folder or file each")
        if self.average < 1:
            raise RecipeError(f"average: expected a number of frames, 1 or more, found {self.average}")
        _check_noise(self)
        try:
            object.__setattr__(self, "nodata", Settings(nodata=self.nodata).nodata)
        except InputError as error:
            raise RecipeError(str(error)) from None
        if self.axes is not None:
            try:
                object.__setattr__(self, "axes", axes_.parse(self.axes))
            except AxesError as error:
                raise RecipeError(str(error)) from None
        for name, channels in (("source_channels", self.source_channels), ("target_channels", self.target_channels)):
            if any(channel < 0 for channel in channels):
                raise RecipeError(f"{name}: channels are counted from 0, found {list(channels)}")

    @property
    def is_noisy(self) -> bool:
        """Whether there are only noisy images."""
        return self.target in {THINNED, FRAMES}


def _check_noise(each: FileSet) -> None:
    word = each.target[0]
    if not each.is_noisy:
        if each.noise is not None or each.distance != 1:
            raise RecipeError("noise and distance: go with target: thinned or target: frames; remove them")
        return
    if each.distance < 1:
        raise RecipeError(f"distance: expected a number of frames, 1 or more, found {each.distance}")
    if each.distance != 1 and each.target != FRAMES:
        raise RecipeError("distance: goes with target: frames; remove it")
    if each.average > 1:
        raise RecipeError(f"average: target {word} takes frames as they were acquired; remove average")
    if each.register:
        raise RecipeError(f"register: target {word} has no target of its own to move; remove it")
    if each.target_channels:
        raise RecipeError(f"target_channels: the target {word} has the channels of its source; remove it")


class Acquired(Protocol):
    """The part of a recipe's section `data` that pairs are found by."""

    @property
    def sets(self) -> Sequence[FileSet]:
        """Sets of registered pairs of files."""

    @property
    def folder(self) -> str:
        """Where relative paths start."""

    @property
    def channels(self) -> Sequence[str]:
        """Names of the channels of a source."""

    @property
    def restored(self) -> Sequence[str]:
        """Names of the channels of a target."""


ONE = Fraction(1)


@dataclass(frozen=True)
class PairAxes:
    """Spatial axes of sources and targets, and how their sizes are related."""

    source: str
    """YX or ZYX."""
    target: str = ""
    """Those of the source, or YX for targets that are one plane of a whole stack; empty: those of the source."""
    factor: Fraction = ONE
    """Target planes for one source plane, at least 1; ``floor(planes * factor)`` in all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", self.target or self.source)

    @property
    def is_projected(self) -> bool:
        """Whether a target is one plane made of all planes of its source, which are never cut."""
        return self.target != self.source

    def fits(self, source: Mapping[str, int], target: Mapping[str, int]) -> bool:
        """Whether images of these sizes by axis letter may be a pair."""
        if any(letter not in source for letter in self.source) or any(letter not in target for letter in self.target):
            return False
        expected = {letter: source.get(letter, 1) for letter in "ZYX"} | self.target_size(source)
        if self.is_projected:
            expected["Z"] = 1
        return all(expected[letter] == target.get(letter, 1) for letter in "ZYX")

    def target_size(self, size: Mapping[str, int]) -> dict[str, int]:
        """Return the pixels of a target along each of its axes, given those of its source."""
        kept = {letter: size[letter] for letter in self.target}
        return kept | ({"Z": int(kept["Z"] * self.factor)} if "Z" in kept else {})

    def align_planes(self, target_plane: int) -> tuple[int, int]:
        """Return the planes of source and target at which a patch starts that should start at `target_plane`."""
        # Source and target planes start at the same depth only every `factor.numerator` target planes; round down to
        # the last such plane.
        aligned = target_plane // self.factor.numerator * self.factor.numerator
        return int(aligned / self.factor), aligned
