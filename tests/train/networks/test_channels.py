"""Other channels out than in: one to two and two to one, through every task's graph, package and restoration."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from graphs import draft, restored

from carezoo.package.draft import Percentiles
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.train.networks.isotropic import IsotropicNetwork
from carezoo.train.networks.projection import ProjectionNetwork, Surface
from carezoo.train.networks.unet import UNet
from carezoo.train.networks.upsampling import Upsampling
from carezoo.train.pack import draft_tools


def core(axes, n_in, n_out):
    torch.manual_seed(0)
    return UNet(axes, n_in, n_out, depth=1, kernel=3, n_first=2, is_residual=False, is_probabilistic=True).eval()


NETWORKS = {
    "denoise": lambda n_in, n_out: core("YX", n_in, n_out),
    "upsample": lambda n_in, n_out: Upsampling(core("ZYX", n_in, n_out), Fraction(3, 2)),
    "isotropic": lambda n_in, n_out: IsotropicNetwork(core("YX", n_in, n_out), Fraction(3, 2)),
    "project": lambda n_in, n_out: ProjectionNetwork(Surface(n_in, depth=1, n_filters=2), core("YX", n_in, n_out)),
}


@pytest.mark.parametrize("task", NETWORKS)
@pytest.mark.parametrize(("n_in", "n_out"), [(1, 2), (2, 1)])
def test_channels_that_go_in_and_others_that_come_out(task, n_in, n_out, tmp_path):
    network = NETWORKS[task](n_in, n_out).eval()
    shape = (n_in, *(24 if letter == "Z" else 36 for letter in network.geometry.axes))
    meanings = draft_tools.meanings(network, [f"target {i}" for i in range(n_out)])
    made = draft(network, task, shape, normalization=Percentiles(mode="own"), output_channels=meanings)
    package = open_package(write_package(made, tmp_path / "package"))
    pixels = np.random.default_rng(0).poisson(50, (2, n_in, 4, 24, 20)).astype(np.uint16)
    whole, tiled = (restored(package, pixels, "TCZYX", tile=tile) for tile in ("whole", 14))
    planes = {"denoise": (4,), "upsample": (6,), "isotropic": (6,), "project": ()}[task]
    for name in ("mean", "scale"):
        assert whole.images[name].shape == (2, n_out, *planes, 24, 20)
        np.testing.assert_allclose(tiled.images[name].array(), whole.images[name].array(), rtol=1e-4, atol=1e-4)
    assert np.ptp(whole.mean) > 0
