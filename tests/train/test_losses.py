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
    error = mean - target
    even = error / np.square(error).mean(axis=(2, 3), keepdims=True) / mean.size
    np.testing.assert_allclose(of_mean, even, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(of_scale, _gradients(losses.laplace, mean, scale, target)[1], rtol=1e-5)


def test_a_patch_that_is_far_off_pulls_at_faithful_means_as_others_do(rng):
    mean, target = rng.normal(size=(2, 2, 1, 8, 8)).astype(np.float32)
    target[0] *= 1000
    of_mean, _ = _gradients(losses.faithful, mean, np.ones_like(mean), target)
    far, near = np.abs(of_mean * (mean - target)).sum(axis=(1, 2, 3))
    assert far == pytest.approx(near, rel=0.2)


def test_faithful_networks_are_judged_by_the_psnr_of_patches(rng):
    output, target = rng.normal(size=(2, 3, 1, 8, 8)).astype(np.float32)
    expected = np.log(np.square(output - target).mean(axis=(1, 2, 3))).mean()
    judged = losses.judge(losses.faithful)(torch.from_numpy(output), torch.from_numpy(target))
    assert float(judged) == pytest.approx(expected, rel=1e-5)
    assert all(losses.judge(each) is each for each in (losses.mae, losses.mse, losses.laplace))


def test_noisy_scales_follow_the_gaussian_likelihood_of_error_and_noise(rng):
    mean, target = rng.normal(1, 0.2, size=(2, 4, 1, 8, 8)).astype(np.float32)
    scale = rng.uniform(0.1, 2, mean.shape).astype(np.float32)
    noise = rng.uniform(0.1, 1, (4, 1, 2)).astype(np.float32)
    variance = 2 * scale**2 + (noise[..., :1] * mean.reshape(4, 1, -1) + noise[..., 1:]).reshape(mean.shape)
    even = 0.5 * ((mean - target) ** 2).mean(axis=(2, 3)) / variance.mean(axis=(2, 3))
    expected = -stats.norm.logpdf(target, mean, np.sqrt(variance)).mean() + even.mean()
    output = torch.from_numpy(np.concatenate([mean, scale], axis=1))
    found = losses.noisy(output, torch.from_numpy(target), torch.from_numpy(noise))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    of_mean, of_scale = _gradients(losses.noisy, mean, scale, target, noise)
    by_squares = (mean - target) / variance.mean(axis=(2, 3), keepdims=True) / mean.size
    np.testing.assert_allclose(of_mean, by_squares, rtol=1e-4, atol=1e-8)
    by_likelihood = (1 - (mean - target) ** 2 / variance) * 2 * scale / variance / mean.size
    np.testing.assert_allclose(of_scale, by_likelihood, rtol=1e-4, atol=1e-7)


def test_noisy_networks_are_judged_by_squared_errors_over_the_noise(rng):
    target, noise = rng.normal(5, 0.3, size=(3, 2, 64, 64)).astype(np.float32), np.full((3, 2, 2), 0.01, np.float32)
    clean = np.concatenate([np.full_like(target, 5), np.full_like(target, 0.1)], axis=1)
    noise[..., 0] = (0.3**2 - 0.01) / 5
    tensors = [torch.from_numpy(each) for each in (clean, target, noise)]
    assert float(losses.judge(losses.noisy)(*tensors)) == pytest.approx(1, abs=0.03)


def _gradients(loss, mean, scale, target, *noise):
    output = torch.from_numpy(np.concatenate([mean, scale], axis=1)).requires_grad_()
    loss(output, torch.from_numpy(target), *map(torch.from_numpy, noise)).backward()
    return np.split(output.grad.numpy(), 2, axis=1)


@pytest.mark.parametrize("loss", losses.LOSSES.values())
def test_losses_are_float32_whatever_autocast_made_of_the_output(loss):
    output, target, noise = torch.rand(1, 2, 8, 8).bfloat16() + 0.5, torch.rand(1, 1, 8, 8), torch.rand(1, 1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(output, target, noise)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(loss(output.float(), target, noise)), rel=1e-7)


def test_the_recipe_may_leave_the_loss_open():
    assert losses.choose("auto", is_probabilistic=True) is losses.laplace
    assert losses.choose("auto", is_probabilistic=False) is losses.mae
    assert losses.choose("mse", is_probabilistic=False) is losses.mse
