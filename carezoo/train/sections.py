"""The sections of a recipe: images, network, training, and what the package shows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from carezoo import axes as axes_
from carezoo.errors import AxesError, RecipeError
from carezoo.pairs.section import FileSet
from carezoo.simulate.sets import SimulatedSet


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
    def is_noisy(self) -> bool:
        """Whether there are only noisy images."""
        return any(each.is_noisy for each in self.sets)

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


@dataclass(frozen=True, kw_only=True)
class ProjectionSection:
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
        check_at_least("n_filters", self.n_filters, 1)
        check_at_least("n_convolutions", self.n_convolutions, 1)
        if len(self.kernel) != 3 or any(side % 2 == 0 or not 1 <= side <= 15 for side in self.kernel):
            raise RecipeError(f"kernel: expected three odd numbers from 1 to 15, found {list(self.kernel)}")


@dataclass(frozen=True, kw_only=True)
class NetworkSection:
    """CARE's residual U-Net, and what a task puts around it."""

    depth: int = 2
    """How often the resolution is halved; sizes are padded to multiples of 2^depth."""
    kernel: int | None = None
    """Edge of the convolution kernels, odd; null: 5 for patches YX, 3 for patches ZYX."""
    n_first: int = 32
    """Filters of the first level; every further level has twice as many."""
    pooling: Literal["max", "mean"] = "max"
    """How the resolution is halved. max: as CARE. mean: averages of 2 x 2 pixels (2 x 2 x 2 in 3D), which keep \
brightness in noise, where a maximum follows the noise."""
    probabilistic: bool = False
    """Restore a Laplace distribution (mean and scale) instead of a value alone."""
    residual: bool | None = None
    """Learn the difference from the input; null: where input and output have the same channels."""
    projection: ProjectionSection = field(default_factory=ProjectionSection)
    """Task project: what makes one plane of the stack, before the U-Net."""
    merge: Literal["arithmetic", "geometric"] = "arithmetic"
    """Task isotropic: mean of the passes along YZ and XZ slices; geometric (of values above 0) as in CSBDeep."""

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= 6:
            raise RecipeError(f"depth: expected 1 to 6, found {self.depth}")
        if self.kernel is not None and not (self.kernel % 2 == 1 and 1 <= self.kernel <= 15):
            raise RecipeError(f"kernel: expected an odd number from 1 to 15, found {self.kernel}")
        check_at_least("n_first", self.n_first, 1)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the network is fitted."""

    loss: Literal["auto", "mae", "mse", "laplace", "faithful", "noisy"] = "auto"
    """auto: laplace (negative log-likelihood, as CARE) for a probabilistic network, else mae; where there are only \
noisy images noisy, else mse. faithful: the same distributions as laplace, but their means are fitted by squared \
errors; better PSNR in short trainings. noisy: as faithful, with the noise of the targets in the likelihood, so that \
scales are the errors of restored images."""
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
            check_at_least(name, getattr(self, name), 1)
        check_at_least("early_stop", self.early_stop, 0)
        if self.n_workers is not None:
            check_at_least("n_workers", self.n_workers, 0)
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
class PixelSize:
    """Distance of neighbouring pixels in micrometers."""

    y: float
    """Along Y."""
    x: float
    """Along X."""
    z: float | None = None
    """Along Z."""

    def __post_init__(self) -> None:
        for letter, size in self.by_axis.items():
            if not (size > 0 and math.isfinite(size)):
                raise RecipeError(f"{letter.lower()}: expected a length above 0, found {size:g}")

    @property
    def by_axis(self) -> dict[str, float]:
        """Length by axis letter, in the order (Z)YX."""
        sizes = {"Y": self.y, "X": self.x}
        return sizes if self.z is None else {"Z": self.z, **sizes}


@dataclass(frozen=True, kw_only=True)
class SampleSection:
    """An image whose pixels everybody may see."""

    source: str
    """Degraded image: a file."""
    target: str = ""
    """Its clean image, for the cover; empty: the cover shows source and restored image alone."""
    axes: str | None = None
    """Axes of the files over STCZYX; null: from their metadata."""
    license: str = ""
    """Licence of the image."""
    origin: str = ""
    """Where it comes from and whom to credit."""

    def __post_init__(self) -> None:
        if self.axes is not None:
            try:
                object.__setattr__(self, "axes", axes_.parse(self.axes))
            except AxesError as error:
                raise RecipeError(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class Packing:
    """What the package shows and says beyond the network."""

    sample: SampleSection | None = None
    """Image for test tensors, sample files and cover, whose licence must allow that; null: the first file to report."""
    pixel_size_um: PixelSize | None = None
    """Pixel size the model is made for; null: from the metadata of the files."""
    ensemble_name: str = ""
    """Name of the package with all members; empty: NAME-ensemble."""


def check_at_least(name: str, value: int, lowest: int) -> None:
    """Raise `RecipeError` if the number called `name` is below `lowest`."""
    if value < lowest:
        raise RecipeError(f"{name}: expected at least {lowest}, found {value}")
