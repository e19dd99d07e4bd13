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
    carezoo: Mapping[str, Any] = field(default_factory=dict)
    """The section `config.carezoo` as it stands; empty for packages made elsewhere."""
    recalibration: Recalibration | None = None
    """At which levels to ask for intervals so that they hold; None: as the distribution promises."""
    rdf: Mapping[str, Any] = field(default_factory=dict)
    """The whole file as parsed."""
    remarks: tuple[str, ...] = ()
    """What a person should know of how the manifest was understood, where it leaves something open."""

    @property
    def spatial_axes(self) -> str:
        """Input axes other than batch and channel, in the order of the tensor: YX or ZYX (T may stand for Z)."""
        return "".join(letter for letter in self.input.axes if letter not in "BC")

    @property
    def reference(self) -> str:
        """Name and version, as recorded in everything restored with the model."""
        return f"{self.id} {self.version}"
