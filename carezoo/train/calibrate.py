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

Float = NDArray[np.float32]


def calibrate(trained: Sequence[Network], cores: Sequence[Network], choose: Sampler) -> Calibration | None:
    """Fit the factor and put it into the networks; the levels of intervals are measured with it.

    It minimizes the negative log-likelihood of the targets under the mixture of all members (the distribution itself,
    where there is one). None, if the networks give no scales.

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
    predicted, target = _pixels(trained, choose)
    found = fit_scale_factor(predicted, target)
    set_factor(cores, found.factor)
    return found


def set_factor(networks: Sequence[Network], factor: float) -> None:
    """Multiply the scales that `networks` give by `factor`, instead of an earlier factor."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, UNet):
                module.calibration.fill_(factor)


def fit_scale_factor(members: Laplace, target: Float) -> Calibration:
    """Return the factor on all scales (members x pixels) with the least negative log-likelihood of `target`."""
    from scipy.optimize import minimize_scalar

    def nll(logarithm: float) -> float:
        return _nll(Laplace(members.mean, members.scale * np.float32(math.exp(logarithm))), target)

    if len(members.mean) == 1:
        # The closed form of a single Laplace distribution.
        logarithm = math.log(float((np.abs(target - members.mean) / members.scale).mean(dtype=np.float64)))
    else:
        bound = math.log(LARGEST)
        logarithm = float(minimize_scalar(nll, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-3}).x)
    # As it will stand in the graph.
    factor = float(np.float32(math.exp(logarithm)))
    calibrated = _distribution(Laplace(members.mean, members.scale * np.float32(factor)))
    levels = Recalibration.measure(calibrated, target)
    return Calibration(
        factor=factor, nll_before=nll(0.0), nll=nll(math.log(factor)), n_pixels=target.size, levels=levels
    )


def _distribution(members: Laplace) -> Laplace | Mixture:
    return Mixture(members) if len(members.mean) > 1 else Laplace(members.mean[0], members.scale[0])


def _nll(members: Laplace, target: Float) -> float:
    return float(_distribution(members).nll(target).mean(dtype=np.float64))


def _pixels(trained: Sequence[Network], choose: Sampler) -> tuple[Laplace, Float]:
    """Return what every member says of pixels drawn from the patches (members x pixels), and their true values."""
    rng, picked, true = np.random.default_rng(0), [], []
    sources, targets = choose.fixed_patches(N_PATCHES, is_anywhere=True)
    for source, target in zip(sources, targets, strict=True):
        where = rng.choice(target.size, min(target.size, MOST_PIXELS // len(targets)), replace=False)
        picked.append(np.stack([_predict_patch(network, source)[:, where] for network in trained], axis=1))
        true.append(target.reshape(-1)[where])
    means, scales = np.concatenate(picked, axis=-1)
    return Laplace(means, scales), np.concatenate(true)


@torch.inference_mode()
def _predict_patch(network: Network, source: Float) -> Float:
    """Return means and scales (2 x pixels of all channels) of one patch."""
    output: Float = network.cpu().eval()(torch.from_numpy(source)[None])[0].numpy()
    return output.reshape(2, -1)
