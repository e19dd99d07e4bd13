"""What every network says of itself, so that nothing outside has to know its layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from torch import nn

from carezoo.package.draft import OUTPUT_NAME
from carezoo.tiling import AxisRule
from carezoo.train.networks.graph import Graph, Value

Kind = Literal["mean", "scale", "disagreement"]


@dataclass(frozen=True)
class Geometry:
    """What a graph asks of the spatial axes of its input, and what it makes of them."""

    rules: Mapping[str, AxisRule]
    """By axis letter, in the order of the tensor: true minimum, step, halo, whether it may be tiled."""
    factors: Mapping[str, Fraction] = field(default_factory=dict)
    """Output size over input size, for the axes where that is not 1."""
    projected: str = ""
    """Input axes that the output does not have."""

    @property
    def axes(self) -> str:
        """Spatial axes of the input in the order of the tensor: YX or ZYX (T may stand for Z)."""
        return "".join(self.rules)

    @property
    def output_axes(self) -> str:
        """Spatial axes of the output."""
        return "".join(letter for letter in self.rules if letter not in self.projected)


@dataclass(frozen=True)
class OutputChannel:
    """The meaning of one channel of the output tensor."""

    kind: Kind
    target: int
    """Which channel of the training target it tells of."""


class Network(nn.Module, ABC):
    """A network that can be trained, exported and packed.

    It maps one tensor BC(Z)YX, float32 and normalized, to another, at every size that `geometry` allows. The names of
    its parameters become the names of the numbers in the ONNX file.
    """

    geometry: Geometry
    outputs: tuple[OutputChannel, ...]
    """One for every channel of the output: all means first, then scales, then disagreements."""
    n_in: int
    """Channels of the input."""
    output_names: tuple[str, ...] = (OUTPUT_NAME,)
    """Of the graph. Where there are several, the network returns as many tensors; `outputs` tells of the first."""

    @abstractmethod
    def write_graph(self, graph: Graph, source: Value) -> Any:
        """Write what `forward` computes of `source`, and return its Value; a tuple where it returns several tensors."""

    @property
    def n_channels(self) -> tuple[int, ...]:
        """Channels of each output of the graph."""
        return (len(self.outputs),)

    @property
    def n_means(self) -> int:
        """Leading output channels that restore the target."""
        return sum(channel.kind == "mean" for channel in self.outputs)
