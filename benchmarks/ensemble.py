"""What an ensemble of five costs beyond its members, and how near its disagreement is to dense integration."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from benchmarks.figures import Figure, ratio
from carezoo.runtime.session import Session
from carezoo.train.export import to_onnx
from carezoo.train.networks.ensemble import Ensemble, MemberNetworks, Mixing
from carezoo.train.networks.unet import UNet
from carezoo.train.pack.measure import bytes_per_pixel
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.mixture import Mixture

N_MEMBERS, SIDE = 5, 256
NETWORKS = {"default": {"depth": 2, "kernel": 5, "n_first": 32}, "lean": {"depth": 3, "kernel": 3, "n_first": 16}}
SLOWER = {"default": 1.25, "lean": 2.0}


def figures() -> Iterator[Figure]:
    for name, shape in NETWORKS.items():
        members = [UNet("YX", 1, 1, is_residual=True, is_probabilistic=True, **shape) for _ in range(N_MEMBERS)]
        rules = list(members[0].geometry.rules.values())
        alone, ensemble = to_onnx(MemberNetworks(members)), to_onnx(Ensemble(members))
        sessions = [Session(weights, provider="cpu", n_threads=1) for weights in (ensemble, alone)]
        source = np.random.default_rng(0).random((1, 1, SIDE, SIDE), dtype=np.float32)
        slower, with_mixture, without = ratio(*(partial(session.run, source) for session in sessions))
        note = f"{with_mixture:.3f} s and {without:.3f} s on one core, {SIDE}x{SIDE}"
        yield Figure(f"ensemble of {N_MEMBERS} / its members, {name} network", slower, at_most=SLOWER[name], note=note)
        one, all_of_them = (bytes_per_pixel(weights, 1, rules) for weights in (to_onnx(members[0]), ensemble))
        note = f"{all_of_them} and {one} bytes a pixel"
        yield Figure(f"memory of it / of one member, {name} network", all_of_them / one, at_most=2.5, note=note)
    for spread, at_most in ((30, 0.01), (10_000, 0.07)):
        for n_members in (2, N_MEMBERS):
            error = disagreement_error(n_members, spread)
            yield Figure(f"error of D, {n_members} members, scales within {spread}", error, at_most=at_most)


def disagreement_error(n_members: int, spread: float, n_pixels: int = 10_000) -> float:
    """Return the largest difference between D in float32 torch, as in a graph, and dense integration."""
    rng = np.random.default_rng(1)
    scales = 0.01 * spread ** rng.random((n_members, 1, n_pixels))
    distance = 0.01 * np.exp(rng.uniform(-2, math.log(spread) + 3, n_pixels))
    means = rng.normal(0, 1, scales.shape) * distance
    exact = Mixture(Laplace(means, scales)).exact_disagreement()
    channels = torch.from_numpy(
        np.concatenate([means[:, 0], scales[:, 0]])[np.newaxis, :, np.newaxis].astype(np.float32)
    )
    return float(np.abs(Mixing(n_members)(channels).numpy()[0, 2, 0] - exact[0]).max())
