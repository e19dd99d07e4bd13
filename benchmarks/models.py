"""Packages with CARE's networks and random weights, for measuring speed; made once into a temporary folder."""

from __future__ import annotations

import atexit
import functools
import io
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from carezoo.package.draft import Author, Citation, Draft, Percentiles
from carezoo.package.manifest import ChannelMeaning, Record
from carezoo.package.read import Package, open_package
from carezoo.package.write import write_package
from carezoo.runtime.session import Session
from carezoo.train.export import to_onnx
from carezoo.train.networks.unet import UNet

BYTES_PER_PIXEL = {("YX", 2, 5, 32): 600, ("YX", 2, 3, 4): 100, ("YX", 3, 3, 16): 300, ("ZYX", 2, 3, 32): 600}
"""Working memory as the exporter measures it, rounded up; only for networks that are restored in automatic tiles."""


def structure(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint16]:
    """Return a picture of smoothed noise with shot noise, 16 bit."""
    rng = np.random.default_rng(seed)
    smooth = rng.random(shape, dtype=np.float32)
    for axis in range(len(shape)):
        smooth = (smooth + np.roll(smooth, 1, axis) + np.roll(smooth, 2, axis)) / 3
    return rng.poisson(100 + 2000 * (smooth - smooth.min())).astype(np.uint16)


@functools.cache
def network(axes: str = "YX", depth: int = 2, kernel: int = 5, n_first: int = 32) -> UNet:
    """Return CARE's network with seeded random weights; the default is CARE's default 2D network."""
    torch.manual_seed(0)
    return UNet(axes, 1, 1, depth=depth, kernel=kernel, n_first=n_first, is_residual=True)


@functools.cache
def package(axes: str = "YX", depth: int = 2, kernel: int = 5, n_first: int = 32) -> Package:
    """Return that network as a package."""
    folder = Path(tempfile.mkdtemp(prefix="carezoo-benchmark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    weights = to_onnx(network(axes, depth, kernel, n_first))
    rules = network(axes, depth, kernel, n_first).geometry.rules
    raw = structure((1, 1, *(2 * rule.halo + 2 * rule.step for rule in rules.values())))
    low, high = np.percentile(raw, (2, 99.8))
    restored = Session(weights, provider="cpu").run(((raw - low) / (high - low + 1e-6)).astype(np.float32))[0]
    draft = Draft(
        id="benchmark",
        name="Benchmark network",
        version="1.0.0",
        description="Random weights, for measuring speed.",
        authors=(Author("The carezoo developers"),),
        cite=(Citation("Weigert et al., Content-aware image restoration, 2018", "10.1038/s41592-018-0216-7"),),
        license="BSD-3-Clause",
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        task="denoise",
        axes=axes,
        output_axes=axes,
        rules=rules,
        input_channels=("signal",),
        output_channels=(ChannelMeaning("mean", 0, "signal"),),
        normalization=Percentiles(),
        files={
            "weights.onnx": weights,
            "test_input.npy": _npy(raw),
            "test_output.npy": _npy(restored),
            "README.md": b"# Benchmark\n\n## Validation\n\nNone: the weights are random.\n",
        },
        bytes_per_pixel=BYTES_PER_PIXEL.get((axes, depth, kernel, n_first), 1000),
        record=Record(fast={"unmeasured": "made for a benchmark"}),
    )
    return open_package(write_package(draft, folder / "benchmark.zip"))


def _npy(array: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
