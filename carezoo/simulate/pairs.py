"""Make simulated pairs. Pair i depends on the seed and on i alone, so that processes can share the work.

`prepare` checks everything that can be checked, and opens what is needed, before any work; `make_pair` makes one pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import numpy as np

from carezoo.files.atomic import require_space
from carezoo.schema.build import build_one_of
from carezoo.simulate.blurred import Denoise, Upsample
from carezoo.simulate.camera import PixelMaps
from carezoo.simulate.clean_images import CleanImage
from carezoo.simulate.isotropic import Isotropic
from carezoo.simulate.project import Project
from carezoo.simulate.section import PreparedSimulation, SimulatedPair, Simulation
from carezoo.simulate.structures.drawing import check_structures

AnySimulation = Denoise | Upsample | Isotropic | Project
"""The kinds of simulation; the key ``task`` selects one."""


def describe(values: object, where: str = "simulate") -> Simulation:
    """Return the simulation that `values`, as parsed from YAML, describe; messages call their place `where`.

    A key that is unknown, missing or of another task, or a value without sense, is a `RecipeError`.
    """
    kinds: tuple[type[Simulation], ...] = get_args(AnySimulation)
    return build_one_of(kinds, values, where)


def prepare(simulation: Simulation, folder: Path, *, maps: PixelMaps | None = None) -> PreparedSimulation:
    """Check `simulation` and open what it needs, before any pair is made.

    Parameters
    ----------
    folder
        Where relative paths start.
    maps
        Measured pixel maps of the camera, at least as large as the pairs.

    Raises
    ------
    RecipeError
        If structures do not fit the field, or no file matches.
    DataError
        If a PSF is negative, not finite or larger than the images, a factor leaves fewer than two planes, or an image
        cannot be used.
    MissingExtraError
        If the PSF is to be computed and psfmodels is not installed.
    """
    check_structures(simulation.structures, simulation.field)
    prepared = PreparedSimulation(simulation, simulation.open_images(folder), simulation.read_beads(folder), maps)
    simulation.check(prepared)
    return prepared


def make_pairs(
    prepared: PreparedSimulation, seed: int, indices: Iterable[int] | None = None
) -> Iterator[SimulatedPair]:
    """Yield the pairs with numbers `indices`, by default all ``n_pairs`` of the description."""
    for i in range(prepared.simulation.n_pairs) if indices is None else indices:
        yield make_pair(prepared, seed, i)


def make_pair(prepared: PreparedSimulation, seed: int, i: int) -> SimulatedPair:
    """Make pair number `i` (from 0, without end) of `seed`, as a network is trained on it."""
    return prepared.simulation.make(prepared, _choose_image(prepared, i), np.random.default_rng([seed, i]))


def make_whole_pair(prepared: PreparedSimulation, seed: int, i: int) -> SimulatedPair:
    """Make pair number `i` of `seed` as the packed model takes and gives it: stacks for task isotropic."""
    return prepared.simulation.make_whole(prepared, _choose_image(prepared, i), np.random.default_rng([seed, i]))


def _choose_image(prepared: PreparedSimulation, i: int) -> CleanImage | None:
    return prepared.images[i % len(prepared.images)] if prepared.images else None


def estimate_n_bytes(prepared: PreparedSimulation) -> int:
    """Return an upper limit of the size of all pairs as uncompressed files."""
    simulation = prepared.simulation
    if not simulation.images:
        n_pixels = simulation.n_pairs * math.prod(simulation.field_shape)
    elif len(simulation.piece) == len(simulation.spatial_axes):
        largest = max(len(each.ranges) for each in prepared.images)
        n_pixels = simulation.n_pairs * math.prod(simulation.piece.values()) * largest
    else:
        sizes = [math.prod(each.sizes.values()) for each in prepared.images]
        n_pixels = sum(sizes[i % len(sizes)] for i in range(simulation.n_pairs))
    # Up to 4 bytes a pixel for each, source and target.
    return 8 * n_pixels


def check_disk(prepared: PreparedSimulation, folder: Path, n_done: int = 0) -> None:
    """Raise `InputError` if all pairs but `n_done` need more than the disk of `folder` has left."""
    n_pairs = prepared.simulation.n_pairs
    folder = folder.resolve()
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    file = folder / "pairs" if there == folder else there / folder.name
    require_space(file, estimate_n_bytes(prepared) * (n_pairs - n_done) // n_pairs)
