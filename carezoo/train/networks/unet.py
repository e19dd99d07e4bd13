"""CARE's residual U-Net in 2D and 3D (Weigert et al. 2018, Nature Methods 15, 1090; CSBDeep's `custom_unet`)."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, expm1, log
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from carezoo.tiling import AxisRule
from carezoo.train.networks.graph import Graph, Value
from carezoo.train.networks.network import Geometry, Kind, Network, OutputChannel

_SMALLEST_SCALE = 1e-3
"""In normalized intensities; CSBDeep's `eps_scale`. A Laplace scale of 0 would have an infinite likelihood."""

_FIRST_SCALE = 0.05
"""What the scale begins at, in normalized intensities: about the noise of an image. With a bias of 0 it would begin at
0.7, and for hundreds of steps the shared layers would learn little but to lower it."""

Pooling = Literal["max", "mean"]

_CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_POOLING: dict[tuple[Pooling, int], Callable[[Tensor, int], Tensor]] = {
    ("max", 2): functional.max_pool2d,
    ("max", 3): functional.max_pool3d,
    ("mean", 2): functional.avg_pool2d,
    ("mean", 3): functional.avg_pool3d,
}


class UNet(Network):
    """U-Net whose output is added to its input, with a Laplace scale for every pixel if wanted.

    Two convolutions on each level, pooling and nearest upsampling by 2 along every spatial axis, zero padding,
    neither normalization nor dropout. The output has the size of the input and channels mean, then scale.

    Parameters
    ----------
    axes
        Spatial axes: two such as YX, or three such as ZYX.
    n_in, n_out
        Channels of source and target.
    depth
        How often the image is halved, at least once.
    kernel
        Odd side of the convolutions.
    n_first
        Filters on the finest level; each coarser one has twice as many.
    is_residual
        Whether the input is added to the mean, which needs ``n_in == n_out``.
    is_probabilistic
        Whether `n_out` further channels hold the Laplace scale b of each mean.
    """

    is_relu_last = False
    """Whether negative means become 0 after the input was added; some models trained elsewhere want that."""

    pooling: Pooling = "max"
    """What a pixel of the next coarser level shows of its block."""

    def __init__(
        self,
        axes: str,
        n_in: int,
        n_out: int,
        *,
        depth: int,
        kernel: int,
        n_first: int,
        is_residual: bool,
        is_probabilistic: bool = False,
    ) -> None:
        super().__init__()
        kinds: tuple[Kind, ...] = ("mean", "scale") if is_probabilistic else ("mean",)
        self.geometry = Geometry({letter: axis_rule(depth, kernel) for letter in axes})
        self.outputs = tuple(OutputChannel(kind, target) for kind in kinds for target in range(n_out))
        self.n_in = n_in
        self.is_residual = is_residual
        dimensions = len(axes)
        width = [n_first * 2**level for level in range(depth + 1)]
        finer = [n_first, *width]  # filters of the next finer level; the finest one is its own

        def pair(channels: int, between: int, result: int) -> _Pair:
            return _Pair(_CONVOLUTION[dimensions], kernel, (channels, between, result))

        self.encoder = nn.ModuleList(pair(finer[n] if n else n_in, width[n], width[n]) for n in range(depth))
        self.bottom = pair(width[depth - 1], width[depth], width[depth - 1])
        self.decoder = nn.ModuleList(pair(2 * width[n], width[n], finer[n]) for n in range(depth))
        self.mean = _CONVOLUTION[dimensions](n_first, n_out, 1)
        self.scale = _CONVOLUTION[dimensions](n_first, n_out, 1) if is_probabilistic else None
        self.calibration: Tensor
        self.register_buffer("calibration", torch.ones(()), persistent=False)
        """Factor on the scale, fitted after the training."""
        self.apply(_initialize)
        if self.scale is not None and self.scale.bias is not None:
            nn.init.constant_(self.scale.bias, log(expm1(_FIRST_SCALE)))  # the inverse of softplus

    def forward(self, source: Tensor) -> Tensor:
        """Return mean, or mean and scale, of `source` (BC(Z)YX)."""
        features, skips = source, []
        for level in self.encoder:
            skips.append(level(features))
            features = _POOLING[self.pooling, len(self.geometry.rules)](skips[-1], 2)
        features = self.bottom(features)
        for level in reversed(self.decoder):
            upsampled = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = level(torch.cat([upsampled, skips.pop()], dim=1))
        mean: Tensor = self.mean(features)
        if self.is_residual:
            mean = mean + source
        if self.is_relu_last:
            mean = functional.relu(mean)
        if self.scale is None:
            return mean
        scale = (functional.softplus(self.scale(features)) + _SMALLEST_SCALE) * self.calibration
        return torch.cat([mean, scale], dim=1)

    def write_graph(self, graph: Graph, source: Value) -> Value:
        """Write what `forward` computes."""
        twice = [2] * len(self.geometry.rules)
        features, skips = source, []
        level: Any
        for level in self.encoder:
            skips.append(level.write_graph(graph, features))
            features = skips[-1].max_pool(twice) if self.pooling == "max" else skips[-1].mean_pool(twice)
        features = self.bottom.write_graph(graph, features)
        for level in reversed(self.decoder):
            features = level.write_graph(graph, graph.cat([features.upsample(twice), skips.pop()], 1))
        mean = graph.conv(self.mean, features)
        if self.is_residual:
            mean = mean + source
        if self.is_relu_last:
            mean = mean.relu()
        if self.scale is None:
            return mean
        scale = (graph.conv(self.scale, features).softplus() + _SMALLEST_SCALE) * self.calibration.item()
        return graph.cat([mean, scale], 1)


class _Pair(nn.Module):
    """Two convolutions, each followed by a ReLU."""

    def __init__(
        self, convolution: type[nn.Conv2d] | type[nn.Conv3d], kernel: int, channels: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.first = convolution(channels[0], channels[1], kernel, padding=kernel // 2)
        self.second = convolution(channels[1], channels[2], kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(functional.relu(self.first(x))))

    def write_graph(self, graph: Graph, x: Value) -> Value:
        return graph.conv(self.second, graph.conv(self.first, x).relu()).relu()


def axis_rule(depth: int, kernel: int) -> AxisRule:
    """Return what a U-Net asks of each axis.

    Across a tile border on the grid of ``2**depth`` pixels, an output pixel sees at most
    ``(kernel - 1) * (3 * 2**depth - 1)`` input pixels; a U-Net of depth 3 or more attains that.
    """
    step = 2**depth
    reach = (kernel - 1) * (3 * step - 1)
    return AxisRule(min_size=step, step=step, halo=ceil(reach / step) * step)


def _initialize(module: nn.Module) -> None:
    """Glorot-uniform kernels and zero biases, Keras' default, with which CARE was published."""
    if isinstance(module, nn.Conv2d | nn.Conv3d) and module.bias is not None:
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
