"""Networks, one class for each way of restoring. A further task is a further class and a row of `NETWORKS`.

What surrounds a network (loop, export, package) knows only what `network.Network` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from carezoo.tasks import DENOISE, ISOTROPIC, PROJECT, TASKS, UPSAMPLE
from carezoo.train.networks.ensemble import Ensemble
from carezoo.train.networks.isotropic import IsotropicNetwork
from carezoo.train.networks.network import Network
from carezoo.train.networks.projection import ProjectionNetwork, Surface
from carezoo.train.networks.unet import UNet
from carezoo.train.networks.upsampling import Upsampling
from carezoo.train.recipe import Recipe
from carezoo.train.sections import NetworkSection as Section

_KERNEL = {2: 5, 3: 3}
"""CARE's kernels by number of axes of a patch, where the recipe does not say."""


@dataclass(frozen=True)
class Parts:
    """How the network of a task is made."""

    core: Callable[[Recipe], Network]
    """Makes what has weights, of which an ensemble has several."""
    around: Callable[[Recipe, Network], Network] = lambda _, core: core
    """Puts around it what has no weights, and what an ensemble computes once for all members."""


def resolve_section(recipe: Recipe) -> Section:
    """Return the recipe's section `network` with everything decided that it leaves open."""
    asked, n_in, n_out = recipe.network, len(recipe.data.channels), len(recipe.data.restored)
    kernel = _KERNEL[len(recipe.pair_axes.source)] if asked.kernel is None else asked.kernel
    return replace(asked, kernel=kernel, residual=n_in == n_out if asked.residual is None else asked.residual)


def core(recipe: Recipe) -> Network:
    """Return the weights of one member, freshly initialized from torch's global random state."""
    return NETWORKS[recipe.task].core(recipe)


def build_trained(recipe: Recipe, core: Network) -> Network:
    """Return the network through which `core` is fitted to pairs."""
    return NETWORKS[recipe.task].around(recipe, core) if TASKS[recipe.task].learns_factor else core


def build_packed(recipe: Recipe, cores: Sequence[Network]) -> Network:
    """Return the network of the package: of one core, or an ensemble of several.

    Raises
    ------
    RecipeError
        If the cores differ in architecture.
    """

    def around(core: Network) -> Network:
        return NETWORKS[recipe.task].around(recipe, core)

    return around(cores[0]) if len(cores) == 1 else Ensemble(cores, around)


def _unet(recipe: Recipe) -> UNet:
    chosen = resolve_section(recipe)
    assert chosen.kernel is not None
    network = UNet(
        recipe.pair_axes.target,
        len(recipe.data.channels),
        len(recipe.data.restored),
        depth=chosen.depth,
        kernel=chosen.kernel,
        n_first=chosen.n_first,
        is_residual=bool(chosen.residual),
        is_probabilistic=chosen.probabilistic,
    )
    network.pooling = chosen.pooling
    return network


def _projection(recipe: Recipe) -> Network:
    section = recipe.network.projection
    z, y, x = section.kernel
    surface = Surface(
        len(recipe.data.channels),
        depth=section.depth,
        n_filters=section.n_filters,
        n_convolutions=section.n_convolutions,
        kernel=(z, y, x),
    )
    return ProjectionNetwork(surface, _unet(recipe))


def _factor(recipe: Recipe) -> Fraction:
    assert recipe.factor is not None  # the recipe has checked it
    return recipe.factor


NETWORKS: Mapping[str, Parts] = {
    DENOISE.name: Parts(_unet),
    UPSAMPLE.name: Parts(_unet, lambda recipe, core: Upsampling(core, _factor(recipe))),
    ISOTROPIC.name: Parts(_unet, lambda recipe, core: IsotropicNetwork(core, _factor(recipe), recipe.network.merge)),
    PROJECT.name: Parts(_projection),
}
"""By the name of the task."""
