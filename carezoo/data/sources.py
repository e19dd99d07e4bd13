"""What a recipe says about its images: which files form pairs, and which of them the model never sees."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from carezoo import axes as axes_
from carezoo.data.simulation import Simulation
from carezoo.errors import AxesError, RecipeError


@dataclass(frozen=True, kw_only=True)
class Split:
    """Three parts by scene: all files with one target, all planes and frames of a file, stay together.

    Without patterns the scenes are dealt out by the seed of the recipe.
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


@dataclass(frozen=True, kw_only=True)
class FileSet:
    """Registered pairs of files. A source and its target have the same file name and lie in different folders."""

    source: tuple[str, ...]
    """Degraded images: a folder, several folders (several noise levels of the same scenes may share a target), or \
files."""
    target: tuple[str, ...]
    """Clean images: a folder, or files. Lists of single files on both sides are paired in the order given."""
    name: str = ""
    """What messages, the model card and the training data record call the set; empty: data1, data2, ..."""
    pattern: str = "*.tif*"
    """Which files of a folder are images."""
    axes: str | None = None
    """Axes of the files over STCZYX; null: from their metadata. The first letters are dropped for a file with fewer \
dimensions, such as a YX target of a TYX series."""
    average: int = 1
    """Frames (T) of a source whose mean the model restores, as `carezoo restore --average` does; targets have one \
frame for each mean, or one for all. 1: every frame alone."""
    register: bool = False
    """Whether every target is moved onto its source by the shift between them, measured to parts of a pixel. Where a \
stage drifts between two exposures, a network learns to move images, or to blur them. One shift for a file: that of \
its first channel in the middle frame."""
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
        if self.axes is not None:
            try:
                object.__setattr__(self, "axes", axes_.parse(self.axes))
            except AxesError as error:
                raise RecipeError(str(error)) from None
        for name, channels in (("source_channels", self.source_channels), ("target_channels", self.target_channels)):
            if any(channel < 0 for channel in channels):
                raise RecipeError(f"{name}: channels are counted from 0, found {list(channels)}")


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

    simulate: Simulation
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
    """Which clean images, or which parts of them, fit, choose and report; structures have no need of it."""

    def __post_init__(self) -> None:
        if not self.share > 0:
            raise RecipeError(f"share: expected a number above 0, found {self.share:g}")
        for name, lowest in (("patches_per_image", 1), ("n_choose", 0), ("n_report", 0)):
            if getattr(self, name) < lowest:
                raise RecipeError(f"{name}: expected at least {lowest}, found {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Data:
    """The images."""

    sets: tuple[FileSet, ...] = ()
    """One or several sets of acquired pairs; patches are drawn evenly over all their images."""
    simulated: tuple[SimulatedSet, ...] = ()
    """One or several sets of computed pairs, instead of or besides `sets`."""
    folder: str = ""
    """Where relative paths start; empty: the folder of the recipe. `--data DIR` overrides it. Not kept in packages."""
    channels: tuple[str, ...] = ("signal",)
    """Names of the channels the model takes, in the order of the files; one name for files without C axis."""
    target_channels: tuple[str, ...] = ()
    """Names of the channels the model restores, if they are others; empty: as `channels`."""

    def __post_init__(self) -> None:
        if not self.every_set:
            raise RecipeError("expected at least one set of pairs: sets (files), simulated (computed), or both")
        named = tuple(
            each if each.name else replace(each, name=f"data{number}") for number, each in enumerate(self.sets, start=1)
        )
        computed = tuple(
            each if each.name else replace(each, name=f"simulated{number}")
            for number, each in enumerate(self.simulated, start=1)
        )
        object.__setattr__(self, "sets", named)
        object.__setattr__(self, "simulated", computed)
        names = [each.name for each in self.every_set]
        if len(set(names)) < len(names):
            raise RecipeError(f"sets: every set needs a name of its own, found {', '.join(names)}")
        for name, channels in (("channels", self.channels), ("target_channels", self.restored)):
            if not channels or len(set(channels)) < len(channels):
                raise RecipeError(f"{name}: expected different names, at least one, found {list(channels)}")
        for each in named:
            _check_channels(each, "source_channels", each.source_channels, self.channels)
            _check_channels(each, "target_channels", each.target_channels, self.restored)

    @property
    def every_set(self) -> tuple[FileSet | SimulatedSet, ...]:
        """All sets, acquired and computed."""
        return (*self.sets, *self.simulated)

    @property
    def restored(self) -> tuple[str, ...]:
        """Names of the channels the model restores."""
        return self.target_channels or self.channels


def _check_channels(each: FileSet, key: str, chosen: tuple[int, ...], names: tuple[str, ...]) -> None:
    if chosen and len(chosen) != len(names):
        raise RecipeError(
            f"set {each.name} takes {len(chosen)} channel(s) from its files ({key}: {list(chosen)}), but the model has "
            f"{len(names)}: {', '.join(names)}; give one name for each channel"
        )
