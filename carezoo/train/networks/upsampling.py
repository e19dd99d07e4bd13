"""Upsampling: planes between the planes, then a 3D network on the finer grid, as one graph."""

from __future__ import annotations

from fractions import Fraction

from torch import Tensor

from carezoo.errors import RecipeError
from carezoo.tiling import AxisRule
from carezoo.train.networks import planes
from carezoo.train.networks.graph import Graph, Value
from carezoo.train.networks.network import Geometry, Network


class Upsampling(Network):
    """A 3D network behind a linear interpolation along its first axis.

    The interpolated stack is padded to what `network` accepts and cropped afterwards, all inside the graph: any number
    of planes will do, and the axis is never tiled. The other axes are those of `network`.

    Parameters
    ----------
    network
        Maps BCZYX to BCZYX of the same size; trained on interpolated stacks.
    factor
        Output planes for one input plane, at least 1; ``floor(planes * factor)`` come out.
    """

    def __init__(self, network: Network, factor: Fraction) -> None:
        super().__init__()
        planes.check_factor(factor)
        (depth_axis, rule), *others = network.geometry.rules.items()
        if len(others) != 2:
            raise RecipeError(f"upsampling needs a network for three axes, found one for {network.geometry.axes}")
        self.network = network
        self.geometry = Geometry({depth_axis: AxisRule(is_tileable=False), **dict(others)}, {depth_axis: factor})
        self.outputs = network.outputs
        self.n_in = network.n_in
        self._factor = factor.as_integer_ratio()
        self._step = rule.step

    def forward(self, source: Tensor) -> Tensor:
        """Return the restored stack (BCZYX), with ``floor(planes * factor)`` planes."""
        n_planes = source.shape[2]
        stack = planes.interpolate_planes(source, planes.locate(n_planes, self._factor, self._step, source.device))
        return planes.crop_planes(self.network(stack), n_planes, self._factor, 2)

    def write_graph(self, graph: Graph, source: Value) -> Value:
        """Write what `forward` computes."""
        n_planes = source.size(2)
        stack = planes.write_interpolated(source, planes.write_located(graph, n_planes, self._factor, self._step), 5)
        return planes.write_cropped(self.network.write_graph(graph, stack), n_planes, self._factor, 2)
