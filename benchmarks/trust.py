"""Uncertainty maps: how long one takes for an ensemble of five, and how right it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.figures import Figure, seconds
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.mixture import Mixture

N_MEMBERS, SIDE = 5, 2048


def figures() -> Iterator[Figure]:
    rng = np.random.default_rng(0)
    mean = rng.normal(1000, 30, (N_MEMBERS, SIDE, SIDE)).astype(np.float32)
    scale = rng.gamma(4, 5, mean.shape).astype(np.float32) + 1
    mixture = Mixture(Laplace(mean, scale))
    for p in (0.05, 0.5, 0.95):
        took = min(seconds(lambda p=p: mixture.quantile(p)) for _ in range(3))
        name = f"quantile map {p:g}, {SIDE}x{SIDE}, ensemble of {N_MEMBERS}"
        yield Figure(name, took, "s", at_most=3.0, note="members far apart; real ones are nearer and faster")
    part = np.s_[:, : SIDE // 16]
    exact = Mixture(Laplace(mean[part].astype(float), scale[part].astype(float)))
    for p in (0.05, 0.5, 0.95):
        error = np.abs(mixture.quantile(p)[: SIDE // 16] - exact.quantile(p)) / scale[part].min(axis=0)
        yield Figure(f"error of the quantile {p:g} in float32, in scales", float(error.max()), at_most=1e-4)
