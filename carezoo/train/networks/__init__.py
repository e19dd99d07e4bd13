"""Networks, one class for each way of restoring. A further task is a further class and a row of `NETWORKS`.

What surrounds a network (loop, export, package) knows only what `network.Network` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from carezoo.train.networks.network import Network
from carezoo.train.networks.unet import UNet
from carezoo.train.recipe import Network as Section
from carezoo.train.recipe import Recipe

_KERNEL = {2: 5, 3: 3}
"""CARE's kernels by number of spatial axes, where the recipe does not say."""


def resolved(recipe: Recipe) -> Section:
    """Return the recipe's section `network` with everything decided that it leaves open."""
    asked, n_in, n_out = recipe.network, len(recipe.data.channels), len(recipe.data.restored)
    kernel = _KERNEL[len(recipe.spatial_axes)] if asked.kernel is None else asked.kernel
    return replace(asked, kernel=kernel, residual=n_in == n_out if asked.residual is None else asked.residual)


def _denoising(recipe: Recipe) -> Network:
    chosen = resolved(recipe)
    assert chosen.kernel is not None
    return UNet(
        recipe.spatial_axes,
        len(recipe.data.channels),
        len(recipe.data.restored),
        depth=chosen.depth,
        kernel=chosen.kernel,
        n_first=chosen.n_first,
        is_residual=bool(chosen.residual),
        is_probabilistic=chosen.probabilistic,
    )


NETWORKS: Mapping[str, Callable[[Recipe], Network]] = {"denoise": _denoising}
"""By task."""


def build(recipe: Recipe) -> Network:
    """Return the network a recipe describes, freshly initialized from torch's global random state."""
    return NETWORKS[recipe.task](recipe)
