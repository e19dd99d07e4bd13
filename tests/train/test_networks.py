"""CARE's networks: known sizes, and properties that do not depend on training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from carezoo.tasks import TASKS
from carezoo.train.losses import laplace
from carezoo.train.networks import NETWORKS
from carezoo.train.networks.unet import UNet, axis_rule


def unet(axes: str, depth: int, kernel: int, n_first: int, channels: int = 1, *, probabilistic: bool = False) -> UNet:
    return UNet(
        axes,
        channels,
        channels,
        depth=depth,
        kernel=kernel,
        n_first=n_first,
        is_residual=True,
        is_probabilistic=probabilistic,
    )


def test_every_task_has_a_network():
    assert set(NETWORKS) == set(TASKS)


# Counted for CSBDeep's networks: axes, depth, kernel, first filters, channels, parameters, those with a scale head.
COUNTS = [
    ("YX", 1, 3, 16, 1, 18_705, 18_722),
    ("YX", 2, 3, 32, 1, 332_641, 332_674),
    ("YX", 2, 5, 32, 1, 922_977, 923_010),
    ("YX", 2, 5, 32, 2, 923_810, 923_876),
    ("YX", 2, 7, 32, 1, 1_808_481, 1_808_514),
    ("YX", 3, 3, 32, 1, 1_365_473, 1_365_506),
    ("YX", 3, 5, 32, 1, 3_790_817, 3_790_850),
    ("ZYX", 2, 3, 16, 1, 249_553, 249_570),
    ("ZYX", 2, 3, 32, 1, 996_769, 996_802),
    ("ZYX", 2, 5, 32, 1, 4_612_577, 4_612_610),
    ("ZYX", 3, 3, 32, 1, 4_093_985, 4_094_018),
]


@pytest.mark.parametrize(("axes", "depth", "kernel", "n_first", "channels", "mean_only", "with_scale"), COUNTS)
def test_parameter_counts_are_those_of_csbdeep(axes, depth, kernel, n_first, channels, mean_only, with_scale):
    for probabilistic, expected in ((False, mean_only), (True, with_scale)):
        network = unet(axes, depth, kernel, n_first, channels, probabilistic=probabilistic)
        assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize(("axes", "shape"), [("YX", (2, 2, 24, 16)), ("ZYX", (1, 2, 4, 8, 12))])
def test_a_residual_network_with_an_empty_head_is_the_identity(axes, shape):
    network = unet(axes, 2, 3, 4, channels=2)
    nn.init.zeros_(network.mean.weight)
    source = torch.randn(shape)
    assert torch.equal(network(source), source)
    assert not torch.equal(unet(axes, 2, 3, 4, channels=2)(source), source)


@pytest.mark.parametrize("axes", ["YX", "ZYX"])
def test_scales_begin_near_the_noise_of_images(axes):
    network = unet(axes, 2, 3, 4, channels=2, probabilistic=True)
    _, scale = torch.chunk(network(torch.zeros(1, 2, *[8] * len(axes))), 2, dim=1)
    assert torch.allclose(scale, torch.tensor(0.051), rtol=1e-3)


def test_without_residual_the_channels_may_differ():
    network = UNet("YX", 2, 3, depth=1, kernel=3, n_first=4, is_residual=False)
    nn.init.zeros_(network.mean.weight)
    assert torch.equal(network(torch.randn(1, 2, 8, 8)), torch.zeros(1, 3, 8, 8))


def test_the_scale_follows_the_means_and_stays_above_its_limit():
    network = unet("YX", 1, 3, 4, channels=2, probabilistic=True)
    assert [(channel.kind, channel.target) for channel in network.outputs] == [
        ("mean", 0),
        ("mean", 1),
        ("scale", 0),
        ("scale", 1),
    ]
    nn.init.constant_(network.scale.bias, -50.0)
    nn.init.zeros_(network.scale.weight)
    output = network(torch.randn(1, 2, 8, 8))
    assert torch.allclose(output[:, 2:], torch.tensor(1e-3))


def test_kernels_start_glorot_uniform_and_biases_at_zero():
    network = unet("YX", 1, 3, 64)
    weight = network.encoder[0].second.weight
    limit = (6 / (2 * 64 * 9)) ** 0.5
    assert weight.abs().max() <= limit
    assert float(weight.detach().std()) == pytest.approx(limit / 3**0.5, rel=0.02)
    assert not any(p.any() for name, p in network.named_parameters() if name.endswith("bias"))


# (kernel - 1) * (3 * 2**depth - 1), rounded up to the step.
@pytest.mark.parametrize(
    ("depth", "kernel", "halo"), [(1, 3, 10), (1, 7, 30), (2, 3, 24), (2, 5, 44), (3, 3, 48), (4, 5, 192)]
)
def test_the_halo_is_the_reach_across_a_border_on_the_grid(depth, kernel, halo):
    rule = axis_rule(depth, kernel)
    assert (rule.halo, rule.step, rule.min_size, rule.is_tileable) == (halo, 2**depth, 2**depth, True)


def test_names_of_parameters_say_where_they_stand():
    names = dict(unet("YX", 2, 3, 4, probabilistic=True).named_parameters())
    assert {
        "encoder.0.first.weight",
        "bottom.second.bias",
        "decoder.1.first.weight",
        "mean.bias",
        "scale.weight",
    } <= set(names)


def test_a_network_is_trainable_in_every_parameter():
    network = unet("YX", 2, 3, 4, probabilistic=True)
    laplace(network(torch.randn(2, 1, 16, 16)), torch.randn(2, 1, 16, 16)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
