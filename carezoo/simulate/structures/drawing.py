"""Structures of any kind in one field: which kinds there are, whether they fit, and the light of all together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import RecipeError
from carezoo.simulate import rendering
from carezoo.simulate.rendering import Canvas, Emitters, FieldOfView
from carezoo.simulate.structures import epithelium, granules, nuclei, tubules
from carezoo.simulate.structures.epithelium import Epithelium
from carezoo.simulate.structures.granules import Granules
from carezoo.simulate.structures.nuclei import Nuclei
from carezoo.simulate.structures.tubules import Tubules

Structure = Tubules | Granules | Nuclei | Epithelium


def check_structures(structures: Sequence[Structure], field: FieldOfView) -> None:
    """Raise `RecipeError` if the largest pieces do not fit an image that shows `field`."""
    for structure in structures:
        if isinstance(structure, Epithelium):
            epithelium.check_fits(structure, field)
            largest_um = structure.cell_diameter_um.high
        elif isinstance(structure, Nuclei):
            largest_um = 2 * structure.radius_um.high * math.sqrt(structure.elongation.high)
            limit = nuclei.MAX_COVERAGE[len(field.shape)]
            if structure.coverage.high > limit:
                raise RecipeError(f"nuclei: coverage {structure.coverage} cannot be packed, at most {limit}")
        elif isinstance(structure, Granules):
            largest_um = 6 * structure.radius_um.high
        else:
            continue
        if largest_um > min(field.extent_um):
            size = " x ".join(f"{length:.3g}" for length in field.extent_um)
            raise RecipeError(
                f"{structure.kind}: pieces of up to {largest_um:.3g} um do not fit the field of {size} um (shape "
                f"{list(field.shape)}); enlarge shape or pixel_size_um, or make the structure smaller"
            )


def draw_structures(
    structures: Sequence[Structure], canvas: Canvas, rng: np.random.Generator
) -> tuple[NDArray[np.complex64], dict[str, float]]:
    """Draw all structures in one field and return the spectrum of their light, and the numbers they were drawn with."""
    spectrum: NDArray[np.complex64] = np.zeros((), np.complex64)
    parameters: dict[str, float] = {}
    for structure in structures:
        emitters, drawn = _emit(structure, canvas, rng)
        spectrum = spectrum + rendering.compute_spectrum(emitters, canvas)
        parameters |= {f"{structure.kind}.{name}": value for name, value in drawn.items()}
    return spectrum, parameters


def _emit(structure: Structure, canvas: Canvas, rng: np.random.Generator) -> tuple[Emitters, dict[str, float]]:
    if isinstance(structure, Tubules):
        return tubules.emit(structure, canvas, rng)
    if isinstance(structure, Granules):
        return granules.emit(structure, canvas, rng)
    if isinstance(structure, Nuclei):
        return nuclei.emit(structure, canvas, rng)
    return epithelium.emit(structure, canvas, rng)
