"""What is measured on an exported graph: whether it equals the network, and how far fast precision is from exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carezoo.errors import ParityError, ProviderError
from carezoo.runtime.session import Session
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
        Of the output channels: the differences of each are told apart, those of scales and disagreements too.

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
    return {"max_difference": _rounded(float(largest)), "rms_difference": _rounded(float(rms))}


def _random_sizes(network: Network, rng: np.random.Generator) -> tuple[int, ...]:
    longest = _LONGEST[len(network.geometry.axes)]
    return tuple(rule.accepted(int(rng.integers(1, longest + 1))) for rule in network.geometry.rules.values())


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
