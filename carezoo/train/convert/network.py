"""CSBDeep's networks as carezoo's: the same layers, the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch
from torch import nn

from carezoo.tasks import ISOTROPIC, PROJECT, UPSAMPLE
from carezoo.train.convert import weights
from carezoo.train.convert.config import Config
from carezoo.train.networks.isotropic import IsotropicNetwork
from carezoo.train.networks.network import Network
from carezoo.train.networks.projection import ProjectionNetwork, Surface
from carezoo.train.networks.unet import UNet
from carezoo.train.networks.upsampling import Upsampling


def load(config: Config, path: Path, task: str, factor: Fraction) -> Network:
    """Return the network that restores as CSBDeep's class for `task` does, with the weights in `path`.

    Parameters
    ----------
    factor
        Of the Z interpolation, for the tasks that have one.

    Raises
    ------
    ConversionError
        If the weights cannot be read, or are those of another network.
    """
    with torch.device("meta"):  # shapes alone: what a file says must not decide how much memory is taken
        shapes = [_keras_shape(layer) for layer in _convolutions(_build_trained(config, task))]
    # Along which axis a side of a kernel lies is config.json's choice; carezoo's tensors are always ZYX.
    order = _axis_order(config, task)
    found = weights.read(path, [_reorder(shape, _inverse(order[len(shape) - 2])) for shape in shapes])
    network = _build_trained(config, task).eval()
    with torch.no_grad():
        for layer, (kernel, bias) in zip(_convolutions(network), found, strict=True):
            n_sides = kernel.ndim - 2
            moved = kernel.transpose(n_sides + 1, n_sides, *order[n_sides])
            layer.weight.copy_(torch.from_numpy(moved.copy()))
            assert layer.bias is not None
            layer.bias.copy_(torch.from_numpy(bias))
    if task == ISOTROPIC.name:
        return IsotropicNetwork(network, factor, merge="geometric")
    return Upsampling(network, factor) if task == UPSAMPLE.name else network


def _build_trained(config: Config, task: str) -> Network:
    """Return the network that was trained, freshly initialized."""
    kept = "ZYX" if task != PROJECT.name and "Z" in config.axes else "YX"
    network = UNet(
        kept,
        config.n_in,
        config.n_out,
        depth=config.depth,
        kernel=config.kernel,
        n_first=config.n_first,
        is_residual=config.is_residual,
        is_probabilistic=config.is_probabilistic,
    )
    network.is_relu_last = config.is_relu_last
    if config.surface is None:
        return network
    z, y, x = (config.surface.kernel[config.axes.index(letter)] for letter in "ZYX")
    surface = Surface(
        config.n_in,
        depth=config.surface.depth,
        n_filters=config.surface.n_filters,
        n_convolutions=config.surface.n_convolutions,
        kernel=(z, y, x),
    )
    return ProjectionNetwork(surface, network)


def _convolutions(network: Network) -> list[nn.Conv2d | nn.Conv3d]:
    """Return the convolutions in Keras' order: from input to output, the head of the mean before that of the scale."""
    if isinstance(network, ProjectionNetwork):
        return [*network.surface.convolutions, *_convolutions(network.network)]
    assert isinstance(network, UNet)
    pairs = [*network.encoder, network.bottom, *reversed(network.decoder)]
    heads = [network.mean] if network.scale is None else [network.mean, network.scale]
    return [convolution for pair in pairs for convolution in (pair.first, pair.second)] + heads


def _keras_shape(layer: nn.Conv2d | nn.Conv3d) -> tuple[int, ...]:
    n_out, n_in, *sides = layer.weight.shape
    return (*sides, n_in, n_out)


def _axis_order(config: Config, task: str) -> dict[int, tuple[int, ...]]:
    """Return where carezoo's axes stand in the kernels, by number of sides.

    Isotropic prediction turns every slice so that Z is the last axis, whatever the configuration calls it.
    """
    if task == ISOTROPIC.name:
        return {2: (0, 1)}
    lateral = config.axes.replace("Z", "")
    return {
        2: tuple(lateral.index(letter) for letter in "YX"),
        3: tuple(config.axes.index(letter) for letter in "ZYX") if "Z" in config.axes else (),
    }


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    return tuple(order.index(i) for i in range(len(order)))


def _reorder(shape: tuple[int, ...], order: Sequence[int]) -> tuple[int, ...]:
    return (*(shape[i] for i in order), *shape[-2:])
