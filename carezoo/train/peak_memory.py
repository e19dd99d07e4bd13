"""How much memory a graph needs for each pixel of a tile.

Measured, not derived from the graph: what counts is what ONNX Runtime really touches (its buffers are reused, its
convolutions need workspace, a loop hides its tensors). Repeated runs agree within one percent. Each has a process of
its own, because memory once touched is not given back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from math import ceil, prod
from pathlib import Path

import numpy as np
import psutil

from carezoo.errors import TrainError
from carezoo.runtime.session import Session
from carezoo.tiling import AxisRule

_N_PIXELS = (1 << 12, 1 << 18)
"""Of the two runs: one that costs nothing but the process, one in which activations outweigh everything else."""


def bytes_per_pixel(weights: bytes, n_channels: int, rules: Sequence[AxisRule]) -> int:
    """Return by how much the peak memory grows with each input pixel, on the CPU provider in float32.

    Parameters
    ----------
    weights
        The ONNX file.
    n_channels
        Of its input.
    rules
        Of its spatial axes, in order.

    Raises
    ------
    TrainError
        If a run fails.
    """
    shapes = [_shape(rules, n_pixels) for n_pixels in _N_PIXELS]
    with tempfile.TemporaryDirectory(prefix="carezoo-") as folder:
        path = Path(folder, "weights.onnx")
        path.write_bytes(weights)
        peaks = [peak_of_run(path, (1, n_channels, *shape)) for shape in shapes]
    grown = peaks[1] - peaks[0]
    return max(1, ceil(grown / (prod(shapes[1]) - prod(shapes[0]))))


def _shape(rules: Sequence[AxisRule], n_pixels: int) -> tuple[int, ...]:
    """Return the accepted sizes nearest above a square or cube of `n_pixels`."""
    side = round(n_pixels ** (1 / len(rules)))
    return tuple(rule.accepted(side) for rule in rules)


def peak_of_run(path: Path, shape: tuple[int, ...]) -> int:
    """Return the most memory (bytes) a process of its own has that runs the graph in `path` on an input of `shape`."""
    command = [sys.executable, "-m", "carezoo.train.peak_memory", str(path), json.dumps(shape)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise TrainError(f"measuring the memory of the network on an input of shape {shape} failed: {last}")
    return int(done.stdout)


def _peak_bytes() -> int:
    """Return the most memory this process has had."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux it starts with the peak of the process that started this one.
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    on_windows = psutil.Process().memory_info()._asdict().get("peak_wset")
    if on_windows is not None:
        return int(on_windows)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS, in bytes


def main(path: str, shape: str) -> None:
    """Run the graph in `path` once on an input of `shape` (JSON) and print the peak memory in bytes."""
    session = Session(Path(path).read_bytes(), provider="cpu")
    session.run(np.random.default_rng(0).random(json.loads(shape), dtype=np.float32))
    sys.stdout.write(str(_peak_bytes()))


if __name__ == "__main__":
    main(*sys.argv[1:])
