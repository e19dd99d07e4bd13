"""One factor on the scales of all members, so that their intervals hold on images they were not fitted to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from carezoo.package.manifest import Calibration
from carezoo.patches.files import Sampler
from carezoo.train.networks.network import Network
from carezoo.train.networks.unet import UNet
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.levels import Recalibration
from carezoo.uncertainty.mixture import Mixture

N_PATCHES = 64
"""Of the files to choose on, background as often as they have it."""

MOST_PIXELS = 400_000
"""Drawn from these patches at random: the factor is known to a percent then, and found in seconds."""

LARGEST = 1000.0
"""Of the factors that are tried; the smallest is its inverse."""

LARGEST_OF_NOISY = 3.0
"""The same where targets are noisy. A gain that is a little too high makes the noise explain every error, and no
restored image is without any."""

Float = NDArray[np.float32]


def calibrate(trained: Sequence[Network], cores: Sequence[Network], choose: Sampler) -> Calibration | None:
    """Fit the factor and put it into the networks; the levels of intervals are measured with it.

    It minimizes the negative log-likelihood of the targets under the mixture of all members (the distribution itself,
    where there is one). None, if the networks give no scales. Of noisy targets the noise is part of the likelihood; the
    levels of intervals, for which true values would be needed, stay those of the distribution.

    Parameters
    ----------
    trained
        The members, as they were fitted to pairs.
    cores
        What of them is packed; their scales are multiplied by the factor from now on.
    choose
        Patches of the files to choose on.
    """
    if trained[0].n_means == len(trained[0].outputs):
        return None
    set_factor(cores, 1.0)
    predicted, target, noise = _pixels(trained, choose)
    found = fit_scale_factor(predicted, target, noise)
    set_factor(cores, found.factor)
    return found


def set_factor(networks: Sequence[Network], factor: float) -> None:
    """Multiply the scales that `networks` give by `factor`, instead of an earlier factor."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, UNet):
                module.calibration.fill_(factor)


def fit_scale_factor(members: Laplace, target: Float, noise: Float | None = None) -> Calibration:
    """Return the factor on all scales (members x pixels) with the least negative log-likelihood of `target`.

    `noise` is the variance of the noise of each target; None: there is none.
    """
    from scipy.optimize import minimize_scalar

    def nll(logarithm: float) -> float:
        return _nll(Laplace(members.mean, members.scale * np.float32(math.exp(logarithm))), target, noise)

    if len(members.mean) == 1 and noise is None:
        # The closed form of a single Laplace distribution.
        logarithm = math.log(float((np.abs(target - members.mean) / members.scale).mean(dtype=np.float64)))
    else:
        bound = math.log(LARGEST if noise is None else LARGEST_OF_NOISY)
        logarithm = float(minimize_scalar(nll, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-3}).x)
    # As it will stand in the graph.
    factor = float(np.float32(math.exp(logarithm)))
    calibrated = _distribution(Laplace(members.mean, members.scale * np.float32(factor)))
    levels = Recalibration.measure(calibrated, target) if noise is None else None
    return Calibration(
        factor=factor, nll_before=nll(0.0), nll=nll(math.log(factor)), n_pixels=target.size, levels=levels
    )


def _distribution(members: Laplace) -> Laplace | Mixture:
    return Mixture(members) if len(members.mean) > 1 else Laplace(members.mean[0], members.scale[0])


def _nll(members: Laplace, target: Float, noise: Float | None) -> float:
    predicted = _distribution(members)
    if noise is None:
        return float(predicted.nll(target).mean(dtype=np.float64))
    variance = predicted.std.astype(np.float64) ** 2 + noise
    nats = ((target - _mean(members)) ** 2 / variance + np.log(2 * np.pi * variance)) / 2
    return float(nats.mean())


def _mean(members: Laplace) -> Float:
    average: Float = members.mean.mean(axis=0)
    return average


def _pixels(trained: Sequence[Network], choose: Sampler) -> tuple[Laplace, Float, Float | None]:
    """Return what every member says of pixels drawn from the patches (members x pixels), and their true values.

    Of noisy targets also the variance of their noise, at the mean of the members.
    """
    rng, picked, true, noise = np.random.default_rng(0), [], [], []
    for source, target, *line in zip(*choose.fixed_patches(N_PATCHES, is_anywhere=True), strict=True):
        where = rng.choice(target.size, min(target.size, MOST_PIXELS // N_PATCHES), replace=False)
        predicted = np.stack([_predict_patch(network, source)[:, where] for network in trained], axis=1)
        picked.append(predicted)
        true.append(target.reshape(-1)[where])
        for slope, intercept in (each.T[:, where // target[0].size] for each in line):
            noise.append(np.maximum(slope * predicted[0].mean(axis=0) + intercept, 1e-6))
    means, scales = np.concatenate(picked, axis=-1)
    return Laplace(means, scales), np.concatenate(true), np.concatenate(noise) if noise else None


@torch.inference_mode()
def _predict_patch(network: Network, source: Float) -> Float:
    """Return means and scales (2 x pixels of all channels) of one patch."""
    output: Float = network.cpu().eval()(torch.from_numpy(source)[None])[0].numpy()
    return output.reshape(2, -1)
