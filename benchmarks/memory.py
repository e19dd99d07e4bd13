"""Figure 6: the memory of a restoration does not grow with the number of planes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure
from benchmarks.models import package, structure
from carezoo import files

SIDE, PLANES = 2048, 64


def figures() -> Iterator[Figure]:
    # A small network: memory of the image, not of many filters, is what could grow.
    made = package("YX", 2, 3, 4)
    plane = structure((SIDE, SIDE))
    peaks = []
    with tempfile.TemporaryDirectory(prefix="carezoo-benchmark-") as name:
        folder = Path(name)
        for n_planes in (PLANES, 2 * PLANES):
            source = folder / f"stack{n_planes}.tif"
            with files.create_image(
                source, shape=(n_planes, SIDE, SIDE), axes="ZYX", dtype=np.uint16, like=None, pixel_size_um={}, notes={}
            ) as target:
                for z in range(n_planes):
                    target[z, :, :] = np.roll(plane, 17 * z, axis=1)
            peaks.append(_peak_gib("restore", source, "--model", made.path, "--provider", "cpu", "-o", folder / "out"))
            source.unlink()
    yield Figure(f"peak memory, {PLANES}x{SIDE}x{SIDE} uint16 file to file", peaks[0], "GiB", at_most=1.5)
    yield Figure("peak memory of twice as many planes / once", peaks[1] / peaks[0], at_most=1.1)


def _peak_gib(*arguments: str | Path) -> float:
    """Return the peak memory of a process that runs carezoo with these arguments."""
    process = subprocess.Popen([sys.executable, "-m", "carezoo", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return usage.ru_maxrss / 2**20
