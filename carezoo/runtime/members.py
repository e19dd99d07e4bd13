"""What each member of an ensemble says: its graph gives that as a second output, which restoring leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo.image import Image
from carezoo.package.manifest import OutputTensor, Result
from carezoo.package.read import Package
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.mixture import Mixture

MEANS, SCALES = "member means", "member scales"
"""Names of results: for each member all target channels, one member after the other."""

LEAST_SCALE = np.float32(1e-30)
"""Where a scale has underflown."""


def with_members(package: Package) -> Package:
    """Return an ensemble's package with the results `MEANS` and `SCALES` besides its own; others as they are.

    Every restored image then takes as much more memory as there are members.
    """
    manifest = package.manifest
    members, own = manifest.carezoo.members, {result.name: result for result in manifest.results}
    if not members or "scale" not in own:
        return package
    n = members.n * len(own["mean"].channels)
    output = manifest.main
    every = OutputTensor(members.output, output.axes, tuple(f"member {i}" for i in range(2 * n)), output.sizes)
    parts = ((MEANS, "mean", range(n)), (SCALES, "scale", range(n, 2 * n)))
    results = tuple(
        Result(name, len(manifest.outputs), tuple(channels), own[kind].undo, own[kind].of * members.n)
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
        The mixture of an ensemble that was `with_members`; None if the model gives no scale.
    """
    if MEANS in images:
        mean, scale = (images[name][channel::n_channels] for name in (MEANS, SCALES))
        return Mixture(laplace(mean, scale))
    if "scale" in images:
        mean, scale = (images[name][min(channel, len(images[name]) - 1)] for name in ("mean", "scale"))
        return laplace(mean, scale)
    return None


def mixture(images: Mapping[str, Image], like: Image) -> Mixture:
    """Return the mixture of all members for every pixel of the restored image `like`.

    C of the results `MEANS` and `SCALES` holds all target channels of the first member, then of the second, and so on.
    """
    return Mixture(laplace(*(_by_member(images[name], like) for name in (MEANS, SCALES))))


def _by_member(image: Image, like: Image) -> NDArray[Any]:
    """Return the pixels with members in front of the axes of `like`."""
    spatial = like.axes.replace("C", "")
    channels = axes_.move(image.array(), image.axes, "C" + spatial)
    n_targets = like.sizes.get("C", 1)
    members = channels.reshape(-1, n_targets, *channels.shape[1:])
    return np.moveaxis(members, 1, 1 + like.axes.index("C")) if "C" in like.axes else members[:, 0]


def laplace(mean: NDArray[Any], scale: NDArray[Any]) -> Laplace:
    """Return Laplace distributions with scales above 0, whatever the types of the pixels."""
    return Laplace(np.asarray(mean, np.float32), np.maximum(np.asarray(scale, np.float32), LEAST_SCALE))
