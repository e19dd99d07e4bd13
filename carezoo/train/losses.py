"""Losses and metrics: output of a network against the target, always in float32.

Outputs are BC(Z)YX in the network's own type (bfloat16 under autocast) with the means in the leading channels; targets
are BC(Z)YX float32, normalized. All are plain means over everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Loss = Callable[..., Tensor]
"""Called with output, target and, where the target is noisy, its noise (BC2: slope and intercept of the variance over
the mean)."""


def mae(output: Tensor, target: Tensor, *_: Tensor) -> Tensor:
    """Mean absolute error of the means."""
    return (_means(output, target) - target).abs().mean()


def mse(output: Tensor, target: Tensor, *_: Tensor) -> Tensor:
    """Mean squared error of the means."""
    return (_means(output, target) - target).square().mean()


def laplace(output: Tensor, target: Tensor, *_: Tensor) -> Tensor:
    """Mean negative log-likelihood of Laplace distributions, in nats.

    ``|mean - y| / b + ln(2 b)`` with as many scales b as means, in the channels behind them. In bfloat16 the quotient
    of two small numbers and the logarithm would lose most of their digits.
    """
    mean, scale = torch.chunk(output.float(), 2, dim=1)
    return ((mean - target).abs() / scale + scale.log()).mean() + math.log(2.0)


def faithful(output: Tensor, target: Tensor, *_: Tensor) -> Tensor:
    """Negative log-likelihood of Laplace distributions whose means are fitted by their squared errors.

    In `laplace` a mean pulls at the weights with 1 / b, which is strongest in dark background and weakest in bright
    structure. Here all pixels of a patch pull alike, and scales follow the errors without moving the means (Stirn et
    al. 2023, "Faithful heteroscedastic regression with neural networks", AISTATS). Of the mean squared error of each
    patch and channel half the logarithm counts, so that patches with little noise pull as much as those with much, as
    they do in the mean PSNR, and a single patch that is far off does not pull more than others.
    """
    mean, scale = torch.chunk(output.float(), 2, dim=1)
    error = (mean - target).detach().abs()
    likelihood = (error / scale + scale.log()).mean() + math.log(2.0)
    return likelihood + log_mse(output, target) / 2


def noisy(output: Tensor, target: Tensor, noise: Tensor) -> Tensor:
    """Negative log-likelihood of noisy targets, so that scales are the errors of the means and not the targets' noise.

    A target differs from the mean by the error of the mean, of variance 2 b^2, and by its noise, of the known variance
    v: together a Gaussian of variance 2 b^2 + v. As in `faithful` scales follow the errors without moving the means,
    which are fitted by squared errors, divided by twice the mean of that variance in their patch and channel.
    """
    mean, scale = torch.chunk(output.float(), 2, dim=1)
    error, within = mean - target, tuple(range(2, output.ndim))
    variance = 2 * scale.square() + variance_of(noise, mean.detach())
    likelihood = (error.detach().square() / variance + variance.log()).mean() / 2 + math.log(2 * math.pi) / 2
    even = error.square().mean(within) / (2 * variance.detach().mean(within))
    return likelihood + even.mean()


def variance_of(noise: Tensor, mean: Tensor) -> Tensor:
    """Return the variance of the noise of targets with this mean (BC(Z)YX)."""
    slope, intercept = (each.reshape(*each.shape, *(1,) * (mean.ndim - 2)) for each in noise.unbind(-1))
    return (slope * mean + intercept).clamp_min(1e-6)


LOSSES: Mapping[str, Loss] = {"mae": mae, "mse": mse, "laplace": laplace, "faithful": faithful, "noisy": noisy}
"""By the recipe's word."""


def choose(name: str, *, is_probabilistic: bool) -> Loss:
    """Return the loss a recipe names; `auto` is the paper's choice for the network."""
    if name == "auto":
        name = "laplace" if is_probabilistic else "mae"
    return LOSSES[name]


def log_mse(output: Tensor, target: Tensor, *_: Tensor) -> Tensor:
    """Mean logarithm of the mean squared error of each patch and channel: the mean PSNR, but for sign and units."""
    error = _means(output, target) - target
    return error.square().mean(tuple(range(2, error.ndim))).clamp_min(1e-12).log().mean()


def mse_over_noise(output: Tensor, target: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of each patch and channel over the variance of its target's noise: 1 where nothing is wrong.

    The noise is that of the mean of the target, which does not depend on the network.
    """
    error, within = _means(output, target) - target, tuple(range(2, target.ndim))
    return (error.square().mean(within) / variance_of(noise, target.mean(within))).mean()


def judge(loss: Loss) -> Loss:
    """Return what validation patches are judged by: the loss itself, if its values in two epochs can be compared.

    `faithful` goes on to learn scales when the means are as good as they will be; there `log_mse` decides. `noisy`
    measures squared errors in units of the scales of the moment, and they hold the noise of the target: there they are
    compared with it.
    """
    judges: Mapping[Loss, Loss] = {faithful: log_mse, noisy: mse_over_noise}
    return judges.get(loss, loss)


def _means(output: Tensor, target: Tensor) -> Tensor:
    return output[:, : target.shape[1]].float()
