"""Isotropic restoration: a 2D network applied to a stack along two directions, 3D in and 3D out, as one graph.

The network has learned to restore images blurred and sub-sampled along X. An axial slice is such an image once Z stands
where X stood: YZ slices in the first pass, XZ slices in the second. The passes are merged voxel by voxel.

Shape suffixes: N slices of one stack, everything else the axes of the stack.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from carezoo.errors import RecipeError
from carezoo.tiling import AxisRule
from carezoo.train.networks import planes
from carezoo.train.networks.graph import Graph, Value
from carezoo.train.networks.network import Geometry, Network

Merge = Literal["arithmetic", "geometric"]


class IsotropicNetwork(Network):
    """Interpolation along Z, both orthogonal passes of a 2D network, and their merge.

    Slices go through the network one by one (in the graph: in a loop), so that memory holds a few copies of
    the result and the network's own for one slice. The stack may be tiled along Y and X, with the rule of `network` in
    both: each of them is an image axis in one of the passes. Z is padded to what `network` accepts and cropped inside
    the graph, and never tiled.

    Parameters
    ----------
    network
        Maps BCYX to BCYX of the same size, the degraded axis last. The numbers of several channels are restored
        together.
    factor
        Output planes for one input plane, at least 1; ``floor(planes * factor)`` come out.
    merge
        `arithmetic`: the merged distribution has mean and variance of the equal mixture of both passes, so that the
        mean is the average (as in the paper) and the scale ``sqrt((b1**2 + b2**2) / 2 + (mean1 - mean2)**2 / 8)`` also
        covers what the passes disagree about. `geometric`: mean ``sqrt(max(mean1, 0) * max(mean2, 0))``, scale
        ``max(b1, b2)``, as CSBDeep computes for models trained with it.
    """

    def __init__(self, network: Network, factor: Fraction, merge: Merge = "arithmetic") -> None:
        super().__init__()
        planes.check_factor(factor)
        if len(network.geometry.rules) != 2:
            raise RecipeError(f"isotropic restoration needs a 2D network, found one for {network.geometry.axes}")
        rows, columns = network.geometry.rules.values()
        if rows != columns:
            raise RecipeError(f"isotropic restoration needs a network with one rule for both axes: {rows}, {columns}")
        self.network = network
        self.geometry = Geometry({"Z": AxisRule(is_tileable=False), "Y": rows, "X": rows}, {"Z": factor})
        self.outputs = network.outputs
        self.n_in = network.n_in
        self.is_geometric = merge == "geometric"
        self.has_scale = network.n_means < len(network.outputs)
        self._factor = factor.as_integer_ratio()
        self._step = rows.step

    def forward(self, source: Tensor) -> Tensor:
        """Return the restored stack (BCZYX), with ``floor(planes * factor)`` planes."""
        n_planes = source.shape[2]
        sampled = planes.locate(n_planes, self._factor, self._step, source.device)

        def first_pass(x: int) -> Tensor:
            image_BCYZ = planes.interpolate_planes(source[..., x], sampled).transpose(2, 3)
            # Z upside down in one of the passes, as in CSBDeep: no direction is preferred.
            restored: Tensor = self.network(image_BCYZ.flip(3))
            return restored.flip(3)

        first_NBCYZ = torch.stack([first_pass(x) for x in range(source.shape[4])])

        def second_pass(y: int) -> Tensor:
            image_BCXZ = planes.interpolate_planes(source[:, :, :, y], sampled).transpose(2, 3)
            merged_BCXZ = self._merge(first_NBCYZ[:, :, :, y].permute(1, 2, 0, 3), self.network(image_BCXZ))
            return planes.crop_planes(merged_BCXZ, n_planes, self._factor, 3).transpose(2, 3)

        return torch.stack([second_pass(y) for y in range(source.shape[3])], dim=3)

    def write_graph(self, graph: Graph, source: Value) -> Value:
        """Write what `forward` computes."""
        n_planes = source.size(2)
        sampled = planes.write_located(graph, n_planes, self._factor, self._step)

        def first_pass(x: Value) -> Value:
            image_BCYZ = planes.write_interpolated(source.select(4, x), sampled, 4).permute(0, 1, 3, 2)
            restored: Value = self.network.write_graph(graph, image_BCYZ.flip(3))
            return restored.flip(3)

        first_NBCYZ = graph.loop(source.size(4), first_pass)

        def second_pass(y: Value) -> Value:
            image_BCXZ = planes.write_interpolated(source.select(3, y), sampled, 4).permute(0, 1, 3, 2)
            restored = self.network.write_graph(graph, image_BCXZ)
            merged_BCXZ = self._write_merged(graph, first_NBCYZ.select(3, y).permute(1, 2, 0, 3), restored)
            return planes.write_cropped(merged_BCXZ, n_planes, self._factor, 3).permute(0, 1, 3, 2)

        return graph.loop(source.size(3), second_pass).permute(1, 2, 3, 0, 4)

    def _merge(self, first: Tensor, second: Tensor) -> Tensor:
        if not self.has_scale:
            return self._merge_means(first, second)
        mean1, scale1 = torch.chunk(first, 2, dim=1)
        mean2, scale2 = torch.chunk(second, 2, dim=1)
        if self.is_geometric:
            scale = torch.maximum(scale1, scale2)
        else:
            scale = torch.sqrt((scale1 * scale1 + scale2 * scale2) / 2 + (mean1 - mean2) * (mean1 - mean2) / 8)
        return torch.cat([self._merge_means(mean1, mean2), scale], dim=1)

    def _write_merged(self, graph: Graph, first: Value, second: Value) -> Value:
        if not self.has_scale:
            return self._write_merged_means(first, second)
        mean1, scale1 = first.chunk(2, 1)
        mean2, scale2 = second.chunk(2, 1)
        if self.is_geometric:
            scale = graph.maximum(scale1, scale2)
        else:
            apart = mean1 - mean2
            scale = ((scale1 * scale1 + scale2 * scale2) / 2 + apart * apart / 8).sqrt()
        return graph.cat([self._write_merged_means(mean1, mean2), scale], 1)

    def _merge_means(self, mean1: Tensor, mean2: Tensor) -> Tensor:
        if self.is_geometric:
            return torch.sqrt(functional.relu(mean1) * functional.relu(mean2))
        return (mean1 + mean2) / 2

    def _write_merged_means(self, mean1: Value, mean2: Value) -> Value:
        if self.is_geometric:
            return (mean1.relu() * mean2.relu()).sqrt()
        return (mean1 + mean2) / 2
