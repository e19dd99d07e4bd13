"""The recipe: everything that decides what a training makes, as one typed value.

A recipe is written as YAML, one key for each field below; `carezoo train --explain` prints them all. Sections that
belong to the data are declared where they are used: `carezoo.data.sources`, `carezoo.data.matching`,
`carezoo.data.patches`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from carezoo.data.description import build, plain
from carezoo.data.matching import Intensity
from carezoo.data.pair_axes import ONE, PairAxes
from carezoo.data.patches import Patches
from carezoo.data.sources import Data
from carezoo.errors import RecipeError
from carezoo.train import recipe_file
from carezoo.train.credits import Author, Citation
from carezoo.train.shown import Packing
from carezoo.train.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class Projection:
    """The 3D network that weighs the planes of a stack (task project)."""

    depth: int = 4
    """How often the stack is halved along Y and X; sizes are padded to multiples of 2^depth."""
    n_filters: int = 8
    """Filters of every convolution."""
    n_convolutions: int = 1
    """Convolutions on each level, on the way down and again on the way up."""
    kernel: tuple[int, ...] = (3, 3, 3)
    """Edges of the convolution kernels along Z, Y and X, odd."""

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 6:
            raise RecipeError(f"depth: expected 1 to 6, found {self.depth}")
        _check_at_least("n_filters", self.n_filters, 1)
        _check_at_least("n_convolutions", self.n_convolutions, 1)
        if len(self.kernel) != 3 or any(side % 2 == 0 or not 1 <= side <= 15 for side in self.kernel):
            raise RecipeError(f"kernel: expected three odd numbers from 1 to 15, found {list(self.kernel)}")


@dataclass(frozen=True, kw_only=True)
class Network:
    """CARE's residual U-Net, and what a task puts around it."""

    depth: int = 2
    """How often the resolution is halved; sizes are padded to multiples of 2^depth."""
    kernel: int | None = None
    """Edge of the convolution kernels, odd; null: 5 for patches YX, 3 for patches ZYX."""
    n_first: int = 32
    """Filters of the first level; every further level has twice as many."""
    probabilistic: bool = False
    """Restore a Laplace distribution (mean and scale) instead of a value alone."""
    residual: bool | None = None
    """Learn the difference from the input; null: where input and output have the same channels."""
    projection: Projection = field(default_factory=Projection)
    """Task project: what makes one plane of the stack, before the U-Net."""
    merge: Literal["arithmetic", "geometric"] = "arithmetic"
    """Task isotropic: mean of the passes along YZ and XZ slices; geometric (of values above 0) as in CSBDeep."""

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 6:
            raise RecipeError(f"depth: expected 1 to 6, found {self.depth}")
        if self.kernel is not None and not (self.kernel % 2 == 1 and 1 <= self.kernel <= 15):
            raise RecipeError(f"kernel: expected an odd number from 1 to 15, found {self.kernel}")
        _check_at_least("n_first", self.n_first, 1)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the network is fitted."""

    loss: Literal["auto", "mae", "mse", "laplace", "faithful"] = "auto"
    """auto: laplace (negative log-likelihood, as CARE) for a probabilistic network, else mae. faithful: the same \
distributions, but their means are fitted by squared errors; better PSNR in short trainings."""
    likelihood_from: float = 1.0
    """Loss faithful: the share of the training after which the means, too, are fitted by the likelihood, as with \
laplace. With 0.65 members of an ensemble agree in dark background, which their disagreement needs; 1: never."""
    n_epochs: int = 100
    """Epochs at most. After each, the loss on the validation patches is measured and a checkpoint is written."""
    steps_per_epoch: int = 400
    """Updates of the weights in an epoch."""
    batch_size: int = 16
    """Patches in one update."""
    learning_rate: float = 4e-4
    """Of the Adam optimizer, at the start."""
    schedule: Literal["plateau", "cosine"] = "plateau"
    """How the learning rate falls. plateau: when the validation loss stands still, as CARE's. cosine: along half a \
cosine, after a short rise, to 0 at the end of n_epochs or max_minutes, whatever comes first; better for short \
trainings."""
    max_gradient_norm: float | None = None
    """Larger gradients (root of the sum of squares over all weights) are scaled down to it; null: never, as CARE. 1 \
tames the spikes of probabilistic networks at high learning rates."""
    plateau_factor: float = 0.5
    """The learning rate is multiplied by this when the validation loss stands still."""
    plateau_patience: int = 10
    """Epochs without a lower validation loss before that happens."""
    early_stop: int = 0
    """Stop after so many epochs without a lower validation loss; 0: never."""
    max_minutes: float | None = None
    """Stop after this time, interruptions not counted, and pack the best checkpoint; null: no limit. Each member of \
an ensemble has it. `--max-minutes` overrides it."""
    n_validation_patches: int = 64
    """Patches of the files to choose on, always the same."""
    averaging: float = 0.0
    """Keep an exponential moving average of the weights with this decay (such as 0.999) and use it; 0: none."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Number format of the forward and backward pass; auto: bf16 where the hardware is fast at it. The loss and the \
package are float32."""
    n_workers: int | None = None
    """Processes that draw patches; 0: none, the training draws them itself; null: chosen from the device."""

    def __post_init__(self) -> None:
        for name in ("n_epochs", "steps_per_epoch", "batch_size", "plateau_patience", "n_validation_patches"):
            _check_at_least(name, getattr(self, name), 1)
        _check_at_least("early_stop", self.early_stop, 0)
        if self.n_workers is not None:
            _check_at_least("n_workers", self.n_workers, 0)
        for name in ("learning_rate", "max_minutes", "max_gradient_norm"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise RecipeError(f"{name}: expected a number above 0, found {value:g}")
        if not 0 < self.likelihood_from <= 1:
            raise RecipeError(f"likelihood_from: expected a share above 0 and up to 1, found {self.likelihood_from:g}")
        if self.likelihood_from < 1 and self.loss != "faithful":
            raise RecipeError(f"likelihood_from: goes with loss: faithful, found loss: {self.loss}; leave it out")
        if not 0 < self.plateau_factor < 1:
            raise RecipeError(f"plateau_factor: expected a number between 0 and 1, found {self.plateau_factor:g}")
        if not 0 <= self.averaging < 1:
            raise RecipeError(f"averaging: expected 0 <= decay < 1, found {self.averaging:g}")


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
    task: Literal["denoise", "upsample", "isotropic", "project"] = "denoise"
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
    network: Network = field(default_factory=Network)
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
        _check_at_least("members", self.members, 1)
        _check_at_least("seed", self.seed, 0)
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
        values = recipe_file.read(path)
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
        values: dict[str, Any] = plain(self)
        del values["data"]["folder"]
        return values

    def dumps(self) -> str:
        """Return `to_dict` as YAML: the record of a training, whatever the defaults of later versions are."""
        return recipe_file.dumps(self.to_dict())

    def path(self, name: str) -> Path:
        """Return the file or folder that the recipe calls `name`."""
        return Path(self.data.folder) / name


def _check_loss(recipe: Recipe) -> None:
    loss, probabilistic = recipe.training.loss, recipe.network.probabilistic
    if loss != "auto" and (loss in ("laplace", "faithful")) != probabilistic:
        raise RecipeError(
            f"training.loss: {loss} does not fit network.probabilistic: {str(probabilistic).lower()}; laplace and "
            "faithful are losses of a probabilistic network and of no other (loss: auto takes the right one)"
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


def _check_at_least(name: str, value: int, lowest: int) -> None:
    if value < lowest:
        raise RecipeError(f"{name}: expected at least {lowest}, found {value}")
