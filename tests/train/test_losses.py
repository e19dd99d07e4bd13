"""Losses against independent formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from carezoo.train import losses


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_laplace_is_scipys_negative_log_likelihood(rng):
    mean, target = rng.normal(size=(2, 4, 3, 8, 8)).astype(np.float32)
    scale = rng.uniform(1e-3, 5, mean.shape).astype(np.float32)
    output = torch.from_numpy(np.concatenate([mean, scale], axis=1))
    expected = -stats.laplace.logpdf(target.astype(np.float64), mean, scale).mean()
    assert float(losses.laplace(output, torch.from_numpy(target))) == pytest.approx(expected, rel=1e-6)


def test_mean_errors_leave_the_scale_out(rng):
    output, target = rng.normal(size=(2, 2, 2, 8, 8)).astype(np.float32)
    mean, target = output[:, :1], target[:, :1]
    tensors = torch.from_numpy(output), torch.from_numpy(target)
    assert float(losses.mae(*tensors)) == pytest.approx(np.abs(mean - target).mean(), rel=1e-6)
    assert float(losses.mse(*tensors)) == pytest.approx(np.square(mean - target).mean(), rel=1e-6)


def test_faithful_means_follow_squared_errors_and_scales_follow_the_likelihood(rng):
    mean, target = rng.normal(size=(2, 4, 1, 8, 8)).astype(np.float32)
    scale = rng.uniform(0.1, 5, mean.shape).astype(np.float32)
    of_mean, of_scale = _gradients(losses.faithful, mean, scale, target)
    even = 2 * (mean - target) / (4 * np.square(scale).mean(axis=(2, 3), keepdims=True)) / mean.size
    np.testing.assert_allclose(of_mean, even, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(of_scale, _gradients(losses.laplace, mean, scale, target)[1], rtol=1e-5)


def test_faithful_costs_half_a_nat_more_than_laplace_where_scales_are_right(rng):
    mean, scale = np.zeros((1, 1, 512, 512), np.float32), np.full((1, 1, 512, 512), 0.3, np.float32)
    target = torch.from_numpy(rng.laplace(0, 0.3, mean.shape).astype(np.float32))
    output = torch.from_numpy(np.concatenate([mean, scale], axis=1))
    more = losses.faithful(output, target) - losses.laplace(output, target)
    assert float(more) == pytest.approx(0.5, abs=0.01)


def test_faithful_networks_are_judged_by_the_psnr_of_patches(rng):
    output, target = rng.normal(size=(2, 3, 1, 8, 8)).astype(np.float32)
    expected = np.log(np.square(output - target).mean(axis=(1, 2, 3))).mean()
    judged = losses.judge(losses.faithful)(torch.from_numpy(output), torch.from_numpy(target))
    assert float(judged) == pytest.approx(expected, rel=1e-5)
    assert all(losses.judge(each) is each for each in (losses.mae, losses.mse, losses.laplace))


def _gradients(loss, mean, scale, target):
    output = torch.from_numpy(np.concatenate([mean, scale], axis=1)).requires_grad_()
    loss(output, torch.from_numpy(target)).backward()
    return np.split(output.grad.numpy(), 2, axis=1)


@pytest.mark.parametrize("loss", losses.LOSSES.values())
def test_losses_are_float32_whatever_autocast_made_of_the_output(loss):
    output, target = torch.rand(1, 2, 8, 8).bfloat16() + 0.5, torch.rand(1, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(output, target)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(loss(output.float(), target)), rel=1e-7)


def test_the_recipe_may_leave_the_loss_open():
    assert losses.choose("auto", is_probabilistic=True) is losses.laplace
    assert losses.choose("auto", is_probabilistic=False) is losses.mae
    assert losses.choose("mse", is_probabilistic=False) is losses.mse
