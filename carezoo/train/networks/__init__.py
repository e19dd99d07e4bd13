"""Networks, one class for each way of restoring. A further task is a further class and a row of `NETWORKS`.

What surrounds a network (loop, export, package) knows only what `network.Network` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from carezoo.train.networks.network import Network
from carezoo.train.networks.unet import UNet
from carezoo.train.recipe import Recipe

_KERNEL = {2: 5, 3: 3}
"""CARE's kernels by number of spatial axes, where the recipe does not say."""


def _denoising(recipe: Recipe) -> Network:
    n_in, n_out = len(recipe.data.channels), len(recipe.data.restored)
    asked = recipe.network
    return UNet(
        recipe.spatial_axes,
        n_in,
        n_out,
        depth=asked.depth,
        kernel=asked.kernel or _KERNEL[len(recipe.spatial_axes)],
        n_first=asked.n_first,
        is_residual=n_in == n_out if asked.residual is None else asked.residual,
        is_probabilistic=asked.probabilistic,
    )


NETWORKS: Mapping[str, Callable[[Recipe], Network]] = {"denoise": _denoising}
"""By task."""


def build(recipe: Recipe) -> Network:
    """Return the network a recipe describes, freshly initialized from torch's global random state."""
    return NETWORKS[recipe.task](recipe)
