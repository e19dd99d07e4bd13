"""What is measured on an exported graph: whether it equals the network, and how far fast precision is from exact."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from carezoo.errors import ParityError, ProviderError, TrainError
from carezoo.runtime.session import Session
from carezoo.tiling import AxisRule
from carezoo.train.networks.network import Network

Float = NDArray[np.float32]

TOLERANCE = 1e-4
"""Largest difference between graph and network, in units of the normalized range."""

_N_SIZES = 3
_LONGEST = {2: 96, 3: 32}
"""Longest side of the images that are compared, by number of axes; more if the network needs it."""


@dataclass(frozen=True)
class Parity:
    """How well the exported graph equals the network."""

    max_difference: float
    """In units of the normalized range."""
    sizes: tuple[tuple[int, ...], ...]
    """Along the spatial axes, of the images that were compared."""


def measure_parity(network: Network, weights: bytes, rng: np.random.Generator) -> Parity:
    """Compare the graph in ONNX Runtime with the network in torch, on images of random sizes and the smallest one.

    Raises
    ------
    ParityError
        If they differ by more than `TOLERANCE`.
    """
    session = Session(weights, provider="cpu")
    network.cpu().eval()
    sizes = [tuple(rule.min_size for rule in network.geometry.rules.values())]
    sizes += [_random_sizes(network, rng) for _ in range(_N_SIZES)]
    worst = 0.0
    for each in sizes:
        source = rng.random((1, network.n_in, *each), dtype=np.float32)
        with torch.inference_mode():
            computed = network(torch.from_numpy(source))
        expected = computed if isinstance(computed, tuple) else (computed,)
        found = session.run(source)
        shapes = [each.shape for each in found], [tuple(each.shape) for each in expected]
        if shapes[0] != shapes[1]:
            raise ParityError(f"for a source of {source.shape} torch gives {shapes[1]}, the graph {shapes[0]}")
        for ours, theirs in zip(found, expected, strict=True):
            difference = np.abs(ours - theirs.numpy()).max() / max(1.0, float(np.ptp(theirs.numpy())))
            worst = max(worst, float(difference))
        if not worst <= TOLERANCE:
            raise ParityError(
                f"the exported graph differs from the network by {worst:.1e} of the range on a source of "
                f"{source.shape}; expected at most {TOLERANCE:.0e}. ONNX Runtime or the graph computes something "
                "else: run carezoo doctor, try other versions of torch and onnxruntime, and report this"
            )
    return Parity(worst, tuple(sizes))


def measure_fast(weights: bytes, source: Float, names: Sequence[str] = ()) -> Mapping[str, Any]:
    """Return how far the fast precision of OpenVINO is from exact, on a normalized image BC(Z)YX.

    Parameters
    ----------
    names
        Of the output channels: differences are given for each, also for scales and disagreements.

    Returns
    -------
    Mapping
        `provider`, `dtype`, `max_difference` and `rms_difference` in normalized intensities, over all channels and
        under `channels` for each; where this machine cannot tell, `unmeasured` with the reason.
    """
    try:
        fast = Session(weights, provider="openvino", precision="fast")
    except ProviderError as error:
        return {"unmeasured": str(error)}
    if fast.precision != "fast":
        return {"unmeasured": fast.choice.warning}
    exact = Session(weights, provider="cpu").run(source)[0]
    difference = fast.run(source)[0].astype(np.float64) - exact.astype(np.float64)
    by_name = zip(names, difference.swapaxes(0, 1), strict=True) if names else ()
    return {
        "provider": fast.provider,
        "dtype": fast.choice.dtype,
        **_differences(difference),
        "channels": {name: _differences(each) for name, each in by_name},
    }


def _differences(values: NDArray[np.float64]) -> dict[str, float]:
    largest, rms = np.abs(values).max(), np.sqrt(np.mean(values**2))
    return {"max_difference": _round(float(largest)), "rms_difference": _round(float(rms))}


def _random_sizes(network: Network, rng: np.random.Generator) -> tuple[int, ...]:
    longest = _LONGEST[len(network.geometry.axes)]
    return tuple(rule.round_up(int(rng.integers(1, longest + 1))) for rule in network.geometry.rules.values())


def _round(value: float) -> float:
    return float(f"{value:.3g}")


_N_PIXELS = (1 << 12, 1 << 18)
"""Of the two runs: one that costs nothing but the process, one in which activations outweigh everything else."""


def bytes_per_pixel(weights: bytes, n_channels: int, rules: Sequence[AxisRule]) -> int:
    """Return by how much the peak memory grows with each input pixel, on the CPU provider in float32.

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
    return tuple(rule.round_up(side) for rule in rules)


def peak_of_run(path: Path, shape: tuple[int, ...]) -> int:
    """Return the most memory (bytes) a process of its own has that runs the graph in `path` on an input of `shape`."""
    command = [sys.executable, "-m", "carezoo.train.pack.measure", str(path), json.dumps(shape)]
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
