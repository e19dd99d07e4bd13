"""What each member of an ensemble says: its graph gives that as a second output, which restoring leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.distribution import Laplace
from carezoo.mixture import Mixture
from carezoo.package.manifest import OutputTensor, Result
from carezoo.package.read import Package

MEANS, SCALES = "member means", "member scales"
"""Names of results: for each member all target channels, one member after the other."""

LEAST_SCALE = np.float32(1e-30)
"""Where a scale has underflown."""


def exposed(package: Package) -> Package:
    """Return an ensemble's package with the results `MEANS` and `SCALES` besides its own; others as they are.

    Every restored image then takes as much more memory as there are members.
    """
    manifest = package.manifest
    members, own = manifest.carezoo.get("members"), {result.name: result for result in manifest.results}
    if not members or "scale" not in own:
        return package
    n = int(members["n"]) * len(own["mean"].channels)
    output = manifest.outputs[own["mean"].tensor]
    every = OutputTensor(str(members["output"]), output.axes, tuple(f"member {i}" for i in range(2 * n)), output.sizes)
    parts = ((MEANS, "mean", range(n)), (SCALES, "scale", range(n, 2 * n)))
    results = tuple(
        Result(name, len(manifest.outputs), tuple(channels), own[kind].undo, own[kind].of * int(members["n"]))
        for name, kind, channels in parts
    )
    told = replace(manifest, outputs=(*manifest.outputs, every), results=(*manifest.results, *results))
    return replace(package, manifest=told)


def distribution(images: Mapping[str, NDArray[Any]], channel: int, n_channels: int) -> Laplace | Mixture | None:
    """Return what a model says of every pixel of one restored channel.

    Parameters
    ----------
    images
        Results of one frame by name, the channel axis first.
    channel, n_channels
        Which of how many target channels.

    Returns
    -------
    Laplace, Mixture or None
        The mixture of an ensemble that was `exposed`; None if the model gives no scale.
    """
    if MEANS in images:
        mean, scale = (images[name][channel::n_channels] for name in (MEANS, SCALES))
        return Mixture(_laplace(mean, scale))
    if "scale" in images:
        mean, scale = (images[name][min(channel, len(images[name]) - 1)] for name in ("mean", "scale"))
        return _laplace(mean, scale)
    return None


def _laplace(mean: NDArray[Any], scale: NDArray[Any]) -> Laplace:
    return Laplace(np.asarray(mean, np.float32), np.maximum(np.asarray(scale, np.float32), LEAST_SCALE))
