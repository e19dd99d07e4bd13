"""Calibration: the factor that was hidden is found, and intervals hold afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from carezoo.evaluate.calibration import coverage
from carezoo.train import calibrate
from carezoo.train.networks.unet import UNet
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.mixture import Mixture


@pytest.mark.parametrize("hidden", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("n_members", [1, 4])
def test_the_factor_makes_intervals_hold(hidden, n_members):
    rng = np.random.default_rng(5)
    mean = rng.normal(0, 0.05, (n_members, 60_000)).astype(np.float32)
    scale = (0.02 * 3 ** rng.random(mean.shape)).astype(np.float32)
    true = Laplace(mean, scale * np.float32(hidden))
    target = true.sample(rng)[0] if n_members == 1 else Mixture(true).sample(rng)
    found = calibrate.fit_scale_factor(Laplace(mean, scale), target.astype(np.float32))
    assert found.factor == pytest.approx(hidden, rel=0.02)
    assert found.nll <= found.nll_before + 1e-6
    assert found.n_pixels == 60_000
    if n_members == 1:
        observed = coverage(Laplace(mean[0], scale[0] * np.float32(found.factor)), target, (0.5, 0.9, 0.95))
        np.testing.assert_allclose(observed, (0.5, 0.9, 0.95), atol=0.01)


class _Patches:
    """Targets are Laplace about what the network says, ten times wider than it says."""

    def __init__(self, network):
        self.network = network

    def patch(self, number):
        raise AssertionError("calibration takes fixed patches alone")

    def fixed_patches(self, n, *, is_anywhere=False):
        assert is_anywhere
        rng = np.random.default_rng(0)
        source = rng.random((n, 2, 16, 16), dtype=np.float32)
        with torch.inference_mode():
            mean, scale = np.split(self.network(torch.from_numpy(source)).numpy(), 2, axis=1)
        return source, Laplace(mean, 10 * scale).sample(rng)


def test_the_factor_is_put_into_the_network_and_replaces_an_earlier_one():
    torch.manual_seed(0)
    network = UNet("YX", 2, 2, depth=1, kernel=3, n_first=2, is_residual=True, is_probabilistic=True).eval()
    patches = _Patches(network)
    source, _ = patches.fixed_patches(2, is_anywhere=True)
    before = network(torch.from_numpy(source)).detach()
    for _ in range(2):
        found = calibrate.calibrate([network], [network], patches)
        calibrate.set_factor([network], 1.0)
        patches = _Patches(network)
        assert found.factor == pytest.approx(10, rel=0.02)
    calibrate.set_factor([network], found.factor)
    after = network(torch.from_numpy(source)).detach()
    torch.testing.assert_close(after[:, :2], before[:, :2])
    torch.testing.assert_close(after[:, 2:], found.factor * before[:, 2:])


def test_networks_without_scale_are_left_alone():
    network = UNet("YX", 1, 1, depth=1, kernel=3, n_first=2, is_residual=True)
    assert calibrate.calibrate([network], [network], _Patches(network)) is None
    assert float(network.calibration) == 1
