"""The typed view of a package's `rdf.yaml`: everything the runtime needs to know of a model, and nothing it guesses.

Axes are carezoo's letters here (``B`` for the batch axis); bioimage.io's names appear only in `rdf.py`, which parses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any, Literal

from carezoo.intensity import Operation
from carezoo.tiling import AxisRule
from carezoo.uncertainty.levels import Recalibration

Plain = Mapping[str, Any]
"""Values as YAML holds them, by name."""

Undo = Literal["affine", "gain", "none"]
"""How a result returns to the intensities of the input: as a value, as a width, or not at all."""


@dataclass(frozen=True)
class OutputAxis:
    """How the size of one output axis follows from the input axis of the same name.

    ``output size = floor(input size * factor) + offset``
    """

    factor: Fraction = Fraction(1)
    """Output pixels for one input pixel."""
    offset: int = 0
    """Negative for networks that cut off their own border, half of it on each side."""


@dataclass(frozen=True)
class InputTensor:
    """The one input of the graph."""

    name: str
    axes: str
    """Layout of the tensor, letters ``B``, ``C``, ``Z``, ``Y``, ``X``, ``T``: for example BCZYX."""
    channels: tuple[str, ...]
    """Names; one entry for a tensor without channel axis."""
    rules: Mapping[str, AxisRule]
    """For every axis but B and C: accepted sizes, halo in input pixels, and whether it may be tiled."""
    preprocessing: tuple[Operation, ...] = ()
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    """What the model was trained on, where the manifest says it."""


@dataclass(frozen=True)
class OutputTensor:
    """One output of the graph."""

    name: str
    axes: str
    channels: tuple[str, ...]
    sizes: Mapping[str, OutputAxis]
    """For every axis but B and C. An input axis that is missing here has been projected away."""
    postprocessing: tuple[Operation, ...] = ()

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Return the shape of the tensor for one image of `sizes`, by axis letter."""
        known = {"B": 1, "C": len(self.channels)}
        for letter, axis in self.sizes.items():
            known[letter] = floor(sizes[letter] * axis.factor) + axis.offset
        return tuple(known.get(letter, 1) for letter in self.axes)

    def factor(self, letter: str) -> Fraction:
        """Return output pixels for one input pixel along an axis: 1 where it keeps its pixels or is projected away."""
        return self.sizes[letter].factor if letter in self.sizes else Fraction(1)

    def restored_size(self, letter: str, size: int) -> int:
        """Return how many pixels an image of `size` pixels has along a spatial axis once it is restored."""
        return max(1, floor(size * self.factor(letter))) if letter in self.sizes else 1


@dataclass(frozen=True)
class Result:
    """A set of output channels that means one thing to the user."""

    name: str
    """`mean`, `scale`, `disagreement`; for models made elsewhere the tensor's own name after the first, `mean`."""
    tensor: int
    """Which of `Manifest.outputs`."""
    channels: tuple[int, ...]
    """Which channels of that tensor."""
    undo: Undo
    """How it returns to the intensities of the input."""
    of: tuple[int, ...] = ()
    """Input channels whose units the channels have; empty: in the same order."""


@dataclass(frozen=True)
class ChannelMeaning:
    """What one output channel is."""

    kind: str
    """mean, scale or disagreement."""
    of: int | None
    """Input channel whose intensity units it has; None: none of them."""
    name: str


@dataclass(frozen=True)
class IntensityUse:
    """How a package normalizes, and how its results return to the intensities of the input."""

    mode: str
    """How training related the target's intensities to the source's: matched, own or fixed."""
    undo: str
    """input_range, in_rdf (by the package's own postprocessing) or none."""


@dataclass(frozen=True)
class Members:
    """What the members of an ensemble say one by one."""

    output: str
    """Name of the unlisted last output of the graph."""
    n: int


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far the scales can be trusted: what was measured on images kept for that. None: not known."""

    factor: float = 1.0
    """On all scales, in the graph already."""
    nll_before: float | None = None
    """Mean negative log-likelihood, nats in normalized intensities, without the factor."""
    nll: float | None = None
    """The same with it."""
    n_pixels: int | None = None
    """On which it was measured."""
    levels: Recalibration | None = None
    """At which levels to ask for intervals so that they hold."""
    coverage: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """How often the true value lies in central intervals, by part of the image and level in percent."""


@dataclass(frozen=True)
class Architecture:
    """The network behind the graph."""

    name: str
    settings: Plain = field(default_factory=dict)
    """Of the recipe's section `network`."""
    n_parameters: int | None = None
    """Of all members together."""


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A set of images a model was made from."""

    name: str
    license: str
    origin: str
    n_files: Mapping[str, int] = field(default_factory=dict)
    """Or pairs, by what they served for: fit, choose, report."""
    parts: str = ""
    """The same in words."""


@dataclass(frozen=True, kw_only=True)
class FitSummary:
    """How one member was trained."""

    n_steps: int
    n_epochs: int
    best_epoch: int
    best_validation_loss: float


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """How a model was trained."""

    data: tuple[DataSource, ...] = ()
    members: tuple[FitSummary, ...] = ()
    precision: str = ""
    device: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Versions by name."""
    python: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """How a model was made and what was measured on it. Without any of it, a package runs all the same."""

    parity: Plain | None = None
    """How far the graph is from the network it was exported from."""
    fast: Plain | None = None
    """How far fast precision is from exact; `unmeasured` with the reason where that is not known."""
    converted: Plain | None = None
    """Where the weights come from, if they were not trained here."""
    network: Architecture | None = None
    training: TrainingSummary | None = None
    training_images: Plain | None = None
    """What the inputs of the training looked like: the record of `carezoo.domain_check`, which writes and reads it."""
    calibration: Calibration | None = None
    halo_measured: Mapping[str, int] | None = None
    """Input pixels that really matter beside each output pixel, by axis."""
    scores: Mapping[str, float | None] | None = None
    """Means over images the model has not seen, by name."""


@dataclass(frozen=True, kw_only=True)
class Section(Record):
    """`config.carezoo`, what the format has no place for. As it is by default, the package was made elsewhere."""

    schema: int = 0
    """Version of the section."""
    carezoo_version: str = ""
    """Who wrote it."""
    task: str = ""
    """A name of `carezoo.tasks`."""
    channels: tuple[ChannelMeaning, ...] = ()
    """Of the output."""
    intensity: IntensityUse | None = None
    members: Members | None = None
    """Of an ensemble."""
    bytes_per_pixel: int | None = None
    """Peak working memory of the graph for each input pixel of a tile, on the CPU provider in float32."""
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 of every file besides the manifest."""


@dataclass(frozen=True)
class Weights:
    """The graph."""

    path: str
    """Relative to the package folder."""
    opset: int | None = None
    external_data: str | None = None
    """A second file with the numbers, for graphs made elsewhere."""


@dataclass(frozen=True)
class Manifest:
    """What a package says of itself."""

    id: str
    name: str
    version: str
    description: str
    input: InputTensor
    outputs: tuple[OutputTensor, ...]
    results: tuple[Result, ...]
    weights: Weights
    hashes: Mapping[str, str]
    """sha256 by relative path, of every file that the manifest gives a hash for."""
    test_input: str | None = None
    """Relative path of the raw test tensor (.npy)."""
    test_outputs: tuple[str, ...] = ()
    """Relative paths, one for each output, uncropped (.npy)."""
    carezoo: Section = field(default_factory=Section)
    """What only packages made by carezoo say."""
    rdf: Plain = field(default_factory=dict)
    """The whole file as parsed."""
    remarks: tuple[str, ...] = ()
    """What a person should know of how the manifest was understood, where it leaves something open."""

    @property
    def spatial_axes(self) -> str:
        """Input axes other than batch and channel, in the order of the tensor: YX or ZYX (T may stand for Z)."""
        return "".join(letter for letter in self.input.axes if letter not in "BC")

    @property
    def main(self) -> OutputTensor:
        """The output that holds the restored image: that of the first result."""
        return self.tensor(self.results[0])

    def tensor(self, result: Result) -> OutputTensor:
        """Return the output that holds a result."""
        return self.outputs[result.tensor]

    def factor(self, letter: str) -> Fraction:
        """Return how many pixels along an axis the restored image has for each of the input."""
        return self.main.factor(letter)

    def loses(self, letter: str) -> bool:
        """Whether the network projects an axis away: the input has it, the restored image does not."""
        return letter in self.spatial_axes and letter not in self.main.sizes

    @property
    def recalibration(self) -> Recalibration | None:
        """At which levels to ask for intervals so that they hold; None: as the distribution promises."""
        return self.carezoo.calibration.levels if self.carezoo.calibration else None

    @property
    def is_by_carezoo(self) -> bool:
        """Whether the package was made by carezoo, and so says what every channel means and lists every file."""
        return self.carezoo.schema > 0

    @property
    def reference(self) -> str:
        """Name and version, as recorded in everything restored with the model."""
        return f"{self.id} {self.version}"
