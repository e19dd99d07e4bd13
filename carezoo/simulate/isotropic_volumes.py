"""Whole stacks for task isotropic: anisotropic sources with isotropic targets, to score a model as it is used.

A model learns isotropic restoration from lateral slices, but takes stacks. Simulated structures are rendered in three
dimensions. A stack of clean images is turned: its X, which is sharp, becomes Z and is degraded; its Z becomes X. What
was blurred along Z to begin with is then blurred along X in source and target alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import RecipeError
from carezoo.simulate import anisotropy, psf, rendering
from carezoo.simulate import pairs as simulate
from carezoo.simulate import psf_section as drawn_psf
from carezoo.simulate.clean_images import CleanImage
from carezoo.simulate.pairs import Prepared, SimulatedPair
from carezoo.simulate.psf import Gaussian
from carezoo.simulate.rendering import Field

MOST_PIXELS = 128
"""Edge of a simulated volume, unless the description's images are smaller."""


def pair(prepared: Prepared, seed: int, i: int) -> SimulatedPair:
    """Make stack number `i` (from 0, without end) of `seed`; sources have coarse planes.

    Parameters
    ----------
    prepared
        Of task isotropic; images have Z.
    """
    rng = np.random.default_rng([seed, i])
    if prepared.images:
        return _turned(prepared, prepared.images[i % len(prepared.images)], rng)
    return _rendered(prepared, rng)


def field(prepared: Prepared) -> Field:
    """Return the cube that simulated volumes show."""
    simulation = prepared.simulation
    edge = min(*simulation.field_shape, MOST_PIXELS)
    return Field((edge,) * 3, (simulation.pixel_size_um[-1],) * 3)


def check(prepared: Prepared) -> None:
    """Check that volumes can be made.

    Raises
    ------
    RecipeError
        If an image is no stack, or the structures do not fit the cube.
    DataError
        If the factor leaves fewer than two planes.
    """
    for image in prepared.images:
        if image.sizes.get("Z", 1) < 2:
            raise RecipeError(
                f"{image.path.name} is no stack, and models for task isotropic are scored on stacks; set n_report: 0 "
                "and let another set report"
            )
    if not prepared.images:
        simulate.check_structures(prepared.simulation.structures, field(prepared))


def _rendered(prepared: Prepared, rng: np.random.Generator) -> SimulatedPair:
    simulation = prepared.simulation
    part, parameters = simulate.axial_part(prepared, 0, rng)
    lateral = drawn_psf.target_psf(simulation, Gaussian((0.0, 0.0))).sigma_um[-1]
    isotropic = Gaussian((lateral,) * 3)
    other, degraded = (math.hypot(lateral, sigma) for sigma in part.sigma_um)
    anisotropic = Gaussian((degraded, other, other))
    canvas = rendering.canvas(field(prepared), isotropic.sigma_um, rendering.reach_um(anisotropic))
    spectrum, drawn = simulate.structures_spectrum(simulation.structures, canvas, rng)
    clean = rendering.image(spectrum, isotropic, canvas)
    seen = rendering.image(spectrum, anisotropic, canvas)
    return _recorded(prepared, [(seen, clean)], [(None, None)], parameters | drawn, rng)


def _turned(prepared: Prepared, clean: CleanImage, rng: np.random.Generator) -> SimulatedPair:
    size_um = prepared.simulation.pixel_size_um
    parts, parameters = simulate.axial_parts(prepared, rng)
    stack = clean.whole("CZYX").astype(np.float32)
    known = clean.image.pixel_size_um
    spacing = Fraction(known["Z"] / known["X"]).limit_denominator(20) if {"Z", "X"} <= set(known) else Fraction(1)
    channels = []
    for k, channel in enumerate(stack):
        part = parts[k] if len(parts) > 1 else parts[0]
        blurred = np.stack([psf.blur(plane, part, (size_um[0], size_um[1])) for plane in channel])
        channels.append((_as_depth(blurred, spacing), _as_depth(channel, spacing)))
    return _recorded(prepared, channels, clean.ranges, parameters, rng)


def _as_depth(stack: NDArray[np.float32], spacing: Fraction) -> NDArray[np.float32]:
    """Return a stack with X in the place of Z, Z in that of X, and as many planes of it as make cubic voxels."""
    fine = anisotropy.upsample(stack, spacing, axis=0) if spacing > 1 else stack
    return np.ascontiguousarray(fine.transpose(2, 1, 0))


def _recorded(
    prepared: Prepared,
    channels: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
    ranges: Sequence[tuple[float | None, float | None]],
    parameters: dict[str, float],
    rng: np.random.Generator,
) -> SimulatedPair:
    """Return what the camera records of every factor-th plane, and the clean stack, for each channel."""
    factor = prepared.simulation.factor
    assert factor is not None
    sources, targets = [], []
    for k, ((seen, clean), black_white) in enumerate(zip(channels, ranges, strict=True)):
        planes = anisotropy.subsample(seen, factor, axis=0)
        source, target, drawn = anisotropy.recorded(planes, clean, prepared.simulation.camera, rng, black_white)
        sources.append(source)
        targets.append(target[: anisotropy.n_fine(len(source), factor)])
        suffix = f"_{k}" if len(channels) > 1 else ""
        parameters = parameters | {f"camera.{name}{suffix}": value for name, value in drawn.items()}
    source, target = (np.stack(each) if prepared.has_channels else each[0] for each in (sources, targets))
    return SimulatedPair(source, target, parameters | {"factor": float(factor)})
