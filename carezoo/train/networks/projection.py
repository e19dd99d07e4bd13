"""Projection of a curved surface out of a noisy stack, and its restoration, in one network (Weigert et al. 2018)."""

from __future__ import annotations

import itertools
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional

from carezoo.errors import RecipeError
from carezoo.tiling import AxisRule
from carezoo.train.networks.graph import Graph, Value
from carezoo.train.networks.network import Geometry, Network


class Surface(nn.Module):
    """A stack as one plane: a convex combination of its planes that differs from pixel to pixel.

    A small 3D network without skip connections finds how much each voxel belongs to the surface, and a softmax along Z
    makes that weights, one set for all channels. No intensity can come out that was not there.

    Parameters
    ----------
    depth
        How often the stack is halved, along Y and X only.
    n_convolutions
        On each level, on the way down and again on the way up.
    kernel
        Odd sides of the convolutions along Z, Y, X.
    """

    def __init__(
        self,
        n_in: int,
        *,
        depth: int = 4,
        n_filters: int = 8,
        n_convolutions: int = 1,
        kernel: tuple[int, int, int] = (3, 3, 3),
    ) -> None:
        super().__init__()
        if any(side % 2 == 0 for side in kernel):
            raise RecipeError(f"projection kernel: expected odd sides, found {kernel}")
        self.n_in = n_in
        self.depth = depth
        self.n_convolutions = n_convolutions
        self.kernel = kernel
        n_hidden = (2 * depth + 1) * n_convolutions
        widths = [n_in, *[n_filters] * n_hidden, 1]
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.convolutions = nn.ModuleList(
            nn.Conv3d(before, after, kernel, padding=padding) for before, after in itertools.pairwise(widths)
        )
        self.apply(_initialize)

    def forward(self, source: Tensor) -> Tensor:
        """Return the projection (BCYX) of `source` (BCZYX), whose Y and X are multiples of ``2**depth``."""
        return (self.weights(source) * source).sum(dim=2)

    def weights(self, source: Tensor) -> Tensor:
        """Return how much each voxel counts, B1ZYX; along Z they add up to 1."""
        features = source
        hidden, last = self.convolutions[:-1], self.convolutions[-1]
        for i, convolution in enumerate(hidden):
            level = i // self.n_convolutions
            if i % self.n_convolutions == 0 and 0 < level <= self.depth:
                features = functional.max_pool3d(features, (1, 2, 2))
            elif i % self.n_convolutions == 0 and level > self.depth:
                features = _double(features)
            features = functional.relu(convolution(features))
        return torch.softmax(last(features), dim=2)

    def write_graph(self, graph: Graph, source: Value) -> Value:
        """Write what `forward` computes."""
        features = source
        hidden, last = self.convolutions[:-1], self.convolutions[-1]
        for i, convolution in enumerate(hidden):
            level = i // self.n_convolutions
            if i % self.n_convolutions == 0 and 0 < level <= self.depth:
                features = features.max_pool((1, 2, 2))
            elif i % self.n_convolutions == 0 and level > self.depth:
                features = features.upsample((1, 2, 2))
            features = graph.conv(convolution, features).relu()
        weights = graph.conv(last, features).softmax(2)
        return (weights * source).sum(2)

    def reach(self, axis: int) -> int:
        """Return how far a pixel at a tile border on the grid of ``2**depth`` sees along axis 0 (Z), 1 (Y) or 2 (X)."""
        n_pixels: int = 1 + self.n_convolutions * (3 * 2**self.depth - 2)
        return self.kernel[axis] // 2 * n_pixels


class ProjectionNetwork(Network):
    """A stack projected onto its surface, then restored by a 2D network; trained as one, with a loss on the result.

    Parameters
    ----------
    surface
        Turns BCZYX into BCYX.
    network
        Restores BCYX.
    axis
        The letter of the axis that is projected: Z, or T.
    """

    def __init__(self, surface: Surface, network: Network, axis: str = "Z") -> None:
        super().__init__()
        if len(network.geometry.rules) != 2:
            raise RecipeError(f"a projection is restored by a 2D network, found one for {network.geometry.axes}")
        self.surface = surface
        self.network = network
        rules = {axis: AxisRule(is_tileable=False)}
        for dimension, (letter, rule) in enumerate(network.geometry.rules.items(), start=1):
            rules[letter] = _rule(surface, dimension, rule)
        self.geometry = Geometry(rules, projected=axis)
        self.outputs = network.outputs
        self.n_in = surface.n_in

    def forward(self, source: Tensor) -> Tensor:
        """Return the restored projection (BCYX) of `source` (BCZYX), with any number of planes."""
        restored: Tensor = self.network(self.surface(source))
        return restored

    def write_graph(self, graph: Graph, source: Value) -> Value:
        """Write what `forward` computes."""
        restored: Value = self.network.write_graph(graph, self.surface.write_graph(graph, source))
        return restored


def _rule(surface: Surface, axis: int, network: AxisRule) -> AxisRule:
    """Return the rule of both parts together: what the second sees of the first, the first sees of the stack.

    The reach of the first part counts from its own grid, so the halo of the second is rounded up to that grid before
    the two are added.
    """
    grid = 2**surface.depth
    step = max(grid, network.step)
    reach = ceil(network.halo / grid) * grid + surface.reach(axis)
    return AxisRule(min_size=step, step=step, halo=ceil(reach / step) * step)


def _double(features: Tensor) -> Tensor:
    """Return `features` with every pixel doubled along Y and X."""
    doubled: Tensor = functional.interpolate(features, scale_factor=(1.0, 2.0, 2.0), mode="nearest")
    return doubled


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv3d) and module.bias is not None:
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
