"""Evaluating a model: 10 pairs of 512 x 512 with every baseline but BM3D, report written.

The pairs are turned, mirrored and newly noised versions of the clean demo image. Wall time on a machine that does other
things too says little, so the processor time of the run stands beside it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

import carezoo
from benchmarks.figures import Figure

ROOT = Path(__file__).parents[1]
N_PAIRS, SIDE = 10, 512


def _write_pairs(folder: Path) -> None:
    clean = tifffile.imread(ROOT / "zoo" / "demo" / "clean.tif").astype(np.float32)
    assert clean.shape == (SIDE, SIDE)
    rng = np.random.default_rng(0)
    for side in ("low", "high"):
        (folder / side).mkdir()
    for number in range(N_PAIRS):
        image = np.rot90(clean if number < 4 else clean[::-1], number)
        image = image if number < 8 else np.roll(image, SIDE // 3, axis=number - 8)
        tifffile.imwrite(folder / "high" / f"{number}.tif", image)
        tifffile.imwrite(folder / "low" / f"{number}.tif", rng.poisson(image / 8).astype(np.float32) * 8)


def figures() -> Iterator[Figure]:
    axis = np.arange(-4, 5)
    psf = np.exp(-(axis[:, np.newaxis] ** 2 + axis**2) / 4.0)
    with tempfile.TemporaryDirectory(prefix="carezoo-benchmark-") as name:
        folder = Path(name)
        _write_pairs(folder)
        model = carezoo.load("denoise-bpae-2d")
        settings = carezoo.Settings(provider="cpu", n_threads=2)
        wall, processor = time.perf_counter(), time.process_time()
        found = model.evaluate(folder / "low", folder / "high", folder / "report", psf=psf, settings=settings)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        size = (folder / "report" / "index.html").stat().st_size
    methods = ", ".join(found.overall.scores.baselines)
    what = f"evaluation of {N_PAIRS} pairs of {SIDE} x {SIDE}"
    yield Figure(
        f"{what}, wall time", wall, "s", at_most=120, note=f"with {methods}; {processor:.0f} s of processor time"
    )
    yield Figure("its page", size / 1e6, "MB", note="one file with pictures")
