"""The recipe: everything that decides what a training makes, as one typed value.

A recipe is written as YAML, one key for each field below; `carezoo train --explain` prints them all. Sections that
belong to the data are declared where they are used: `carezoo.pairs.section`, `carezoo.pairs.intensity`,
`carezoo.patches.files`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from carezoo.errors import RecipeError
from carezoo.package.draft import Author, Citation
from carezoo.pairs.intensity import Intensity
from carezoo.pairs.section import ONE, FileSet, PairAxes
from carezoo.patches.files import Patches
from carezoo.schema import yaml_file
from carezoo.schema.build import build, to_plain
from carezoo.tasks import DENOISE, TASKS, TaskName
from carezoo.train.sections import Data, NetworkSection, Packing, Training, check_at_least


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is made."""

    name: str
    """Name of the package: lower-case letters, digits, hyphens."""
    data: Data
    """The images."""
    version: str = "0.1.0"
    """Version of the package, MAJOR.MINOR.PATCH: patch = words only, minor = new weights, major = another contract."""
    title: str = ""
    """Name for people: 5 to 128 letters, digits, spaces and _ + - ( ); empty: made from `name`."""
    description: str = ""
    """One or two sentences, at most 1024 letters: which structure, which microscope, what is restored."""
    authors: tuple[Author, ...] = ()
    """Who made the model."""
    license: str = "CC-BY-4.0"
    """Licence of the model, an SPDX identifier."""
    cite: tuple[Citation, ...] = ()
    """What to cite besides the CARE paper: data, methods."""
    tags: tuple[str, ...] = ()
    """Words to find it by: structure, microscope, organism."""
    task: TaskName = DENOISE.name
    """denoise: source and target are of one size. upsample: targets have `factor` times the planes of their sources. \
isotropic: pairs YX of one size, sources blurred and sampled along X as stacks are along Z; the model takes stacks and \
gives `factor` times the planes. project: sources are stacks, targets the clean surface in them, YX."""
    factor: Fraction | None = None
    """Tasks upsample and isotropic: planes that come out for one that goes in (for isotropic: distance of the planes \
over pixel size), at least 1, such as 4, 10.2 or 51/5."""
    seed: int = 1
    """Decides the split, the initial weights, the patches and their order."""
    members: int = 1
    """Networks in the package, trained one after the other from other weights on other patches; their mean is better, \
and where they disagree they should not be trusted. `--member N` trains and packs one of them alone."""
    intensity: Intensity = field(default_factory=Intensity)
    """How intensities are normalized."""
    patches: Patches = field(default_factory=Patches)
    """How patches are drawn."""
    network: NetworkSection = field(default_factory=NetworkSection)
    """What is trained."""
    training: Training = field(default_factory=Training)
    """How it is trained."""
    package: Packing = field(default_factory=Packing)
    """What the package shows."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise RecipeError(f"name: expected lower-case letters, digits and single hyphens, found {self.name!r}")
        if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", self.version):
            raise RecipeError(f"version: expected MAJOR.MINOR.PATCH, such as 0.1.0, found {self.version!r}")
        # What the package format asks of words is asked here: the package is written after hours of training.
        if self.title and not re.fullmatch(r"[A-Za-z0-9_+\- ()]{5,128}", self.title):
            raise RecipeError(f"title: expected 5 to 128 letters, digits, spaces and _ + - ( ), found {self.title!r}")
        if len(self.description) > 1024:
            raise RecipeError(f"description: expected at most 1024 letters, found {len(self.description)}")
        _check_credits(self.authors, self.cite)
        check_at_least("members", self.members, 1)
        check_at_least("seed", self.seed, 0)
        if self.data.is_noisy:
            _check_noisy(self)
        _check_loss(self)
        _check_task(self)
        _check_sizes(self)
        if self.intensity.mode != "own" and len(self.data.restored) != len(self.data.channels):
            raise RecipeError(
                f"intensity.mode: {self.intensity.mode} gives each target channel the units of its source channel, but "
                f"data has {len(self.data.channels)} source and {len(self.data.restored)} target channel(s); use mode: "
                "own"
            )
        if self.network.residual and len(self.data.restored) != len(self.data.channels):
            raise RecipeError("network.residual: needs as many target channels as source channels; remove it")

    @property
    def pair_axes(self) -> PairAxes:
        """Spatial axes of sources and targets, as the network that is trained takes and gives them."""
        source, row = "".join(self.patches.size.by_axis), TASKS[self.task]
        target = source.replace("Z", "") if row.is_projecting else source
        return PairAxes(source, target, self.factor if self.factor and row.learns_factor else ONE)

    @property
    def spatial_axes(self) -> str:
        """Axes of the images that the packed model takes: YX or ZYX."""
        return self.model_axes.source

    @property
    def model_axes(self) -> PairAxes:
        """Spatial axes of whole images before and after the packed model."""
        axes = TASKS[self.task].model_axes
        return PairAxes(axes, factor=self.factor or ONE) if axes else self.pair_axes

    @classmethod
    def load(cls, path: str | Path, data_folder: str | Path | None = None) -> Recipe:
        """Read a recipe file.

        Parameters
        ----------
        path
            YAML file.
        data_folder
            Where relative paths of the recipe start, instead of its own choice (`data.folder`, or its folder).

        Raises
        ------
        RecipeError
            If the file cannot be read, or says something that is not understood or contradicts itself: with file, key
            and the nearest known key.
        """
        path = Path(path)
        values = yaml_file.read(path)
        try:
            recipe = cls.from_dict(values)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None
        folder = path.parent / recipe.data.folder if data_folder is None else Path(data_folder)
        return replace(recipe, data=replace(recipe.data, folder=str(folder.resolve())))

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Recipe:
        """Build a recipe from nested dictionaries and lists, as parsed from YAML.

        Raises
        ------
        RecipeError
            As `load`, without the name of a file.
        """
        return build(cls, values, "recipe")

    def to_dict(self) -> dict[str, Any]:
        """Return every field but `data.folder`, defaults included, as nested dictionaries and lists."""
        values: dict[str, Any] = to_plain(self)
        del values["data"]["folder"]
        return values

    def dumps(self) -> str:
        """Return `to_dict` as YAML: the record of a training, whatever the defaults of later versions are."""
        return yaml_file.dumps(self.to_dict())

    def path(self, name: str) -> Path:
        """Return the file or folder that the recipe calls `name`."""
        return Path(self.data.folder) / name


def _check_credits(authors: Sequence[Author], cite: Sequence[Citation]) -> None:
    for i, author in enumerate(authors):
        if author.orcid and not re.fullmatch(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]", author.orcid):
            raise RecipeError(f"authors[{i}].orcid: expected the form 0000-0001-2345-6789, found {author.orcid!r}")
    for i, citation in enumerate(cite):
        if not (citation.doi or citation.url):
            raise RecipeError(f"cite[{i}], {citation.text!r}: expected a doi or a url")
        if citation.doi and not re.fullmatch(r"10\.\d{4,}/\S+", citation.doi):
            raise RecipeError(f"cite[{i}].doi: expected the form 10.1038/s41592-018-0216-7, found {citation.doi!r}")


def _check_loss(recipe: Recipe) -> None:
    loss, probabilistic = recipe.training.loss, recipe.network.probabilistic
    if loss != "auto" and (loss in ("laplace", "faithful", "noisy")) != probabilistic:
        raise RecipeError(
            f"training.loss: {loss} does not fit network.probabilistic: {str(probabilistic).lower()}; laplace, "
            "faithful and noisy are losses of a probabilistic network and of no other (loss: auto takes the right one)"
        )
    if loss == "noisy" and not recipe.data.is_noisy:
        raise RecipeError("training.loss: noisy goes with target: thinned or target: frames; use faithful or auto")


def _check_noisy(recipe: Recipe) -> None:
    """Refuse what asks for clean targets, and decide on the loss."""
    if not all(isinstance(each, FileSet) and each.is_noisy for each in recipe.data.every_set):
        raise RecipeError(
            "data: sets with target thinned or frames stand alone, because a clean target and a noisy one are fitted "
            "by different losses; make two recipes, and fine-tune with --from"
        )
    if recipe.task != DENOISE.name:
        raise RecipeError(f"task: noisy images alone teach to denoise, found task {recipe.task}")
    if recipe.intensity.mode == "own":
        raise RecipeError("intensity.mode: source and target are one image with the same units; use matched or fixed")
    if recipe.training.loss == "auto":
        loss: Literal["noisy", "mse"] = "noisy" if recipe.network.probabilistic else "mse"
        object.__setattr__(recipe, "training", replace(recipe.training, loss=loss))
    if recipe.training.loss not in ("noisy", "mse"):
        raise RecipeError(
            f"training.loss: {recipe.training.loss} takes the noise of the targets for errors; noisy images are fitted "
            "by noisy (network.probabilistic: true) or mse (loss: auto takes the right one)"
        )


def _check_task(recipe: Recipe) -> None:
    row, found = TASKS[recipe.task], "".join(recipe.patches.size.by_axis)
    if found not in row.patch_axes:
        expected = " or ".join(row.patch_axes)
        raise RecipeError(f"patches.size: task {recipe.task} is trained on patches {expected}, found {found}")
    if row.has_factor and (recipe.factor is None or recipe.factor < 1):
        given = "none" if recipe.factor is None else str(recipe.factor)
        raise RecipeError(f"factor: task {recipe.task} needs one of at least 1, such as 4, 10.2 or 51/5; found {given}")
    if recipe.factor is not None and not row.has_factor:
        raise RecipeError(f"factor: has no meaning for task {recipe.task}; remove it")
    if not row.may_turn and recipe.patches.rotate:
        object.__setattr__(recipe, "patches", replace(recipe.patches, rotate=False))


def _check_sizes(recipe: Recipe) -> None:
    steps = dict.fromkeys("ZYX", 2**recipe.network.depth)
    why = "2^network.depth"
    if TASKS[recipe.task].is_projecting:
        steps = dict.fromkeys("YX", max(steps["Y"], 2**recipe.network.projection.depth)) | {"Z": 1}
        why = "2^depth of network and network.projection"
    if recipe.pair_axes.factor != 1:
        steps["Z"] = recipe.pair_axes.factor.denominator
        why += f"; along z the denominator of factor {recipe.factor}"
    sizes = recipe.patches.size.by_axis
    wrong = [letter for letter, size in sizes.items() if size % steps[letter]]
    if wrong:
        expected = " and ".join(dict.fromkeys(str(steps[letter]) for letter in wrong))
        found = ", ".join(f"{letter.lower()}: {sizes[letter]}" for letter in wrong)
        raise RecipeError(f"patches.size: expected multiples of {expected} ({why}), found {found}")
