"""Cell nuclei: irregular, textured ellipsoids that touch without overlapping much, in 2D and 3D."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import RecipeError
from carezoo.schema.span import Span, draw_spans, require_not_negative
from carezoo.simulate.rendering import Canvas, Emitters, FieldOfView
from carezoo.simulate.structures.background import draw_perlin

MAX_COVERAGE = {2: 0.75, 3: 0.55}
"""Ellipses and ellipsoids cannot be packed closer by pushing them apart."""


@dataclass(frozen=True, kw_only=True)
class Nuclei:
    """Cell nuclei; every `Span` is drawn anew for each image."""

    kind: ClassVar[str] = "nuclei"

    coverage: Span = Span(0.1, 0.5)
    """Share of the area (2D) or volume (3D) that is nucleus."""
    radius_um: Span = Span(3.0, 6.0)
    """Mean radius of the nuclei of an image."""
    radius_spread: float = 0.15
    """Standard deviation of the logarithm of the radii."""
    elongation: Span = Span(1.0, 1.6)
    """Longest over shortest diameter, drawn for each image."""
    irregularity: Span = Span(0.0, 0.06)
    """How far the outline leaves the ellipse, as a share of the radius."""
    texture: Span = Span(0.2, 0.8)
    """Contrast of the chromatin: 0 even, 1 from black to twice the mean."""
    texture_size_um: Span = Span(0.8, 2.0)
    """Size of the largest features of the chromatin."""
    n_nucleoli: Span = Span(0.0, 4.0)
    """Mean number of dark nucleoli in a nucleus."""
    dome: Span = Span(0.0, 0.5)
    """2D: brightness falls towards the edge as ``(1 - r^2)^dome``: 0 for an optical section, 0.5 for widefield."""
    brightness_spread: float = 0.25
    """Standard deviation of the logarithm of brightness from nucleus to nucleus."""

    def __post_init__(self) -> None:
        if not 0 < self.coverage.low <= self.coverage.high <= MAX_COVERAGE[2]:
            raise RecipeError(
                f"coverage: expected a share above 0 and up to {MAX_COVERAGE[2]} ({MAX_COVERAGE[3]} in 3D), found "
                f"{self.coverage}: nuclei cannot be packed closer"
            )
        if self.radius_um.low <= 0 or self.texture_size_um.low <= 0 or self.elongation.low < 1:
            raise RecipeError("radius_um, texture_size_um: expected numbers above 0; elongation: 1 or more")
        require_not_negative(self, "irregularity", "texture", "n_nucleoli", "dome")


class _Ellipsoids(NamedTuple):
    centre_px: NDArray[np.float64]
    """(N, axes), pixel numbers (the middle of pixel 0 is 0)."""
    semi_axes_um: NDArray[np.float64]
    """(N, axes)."""
    rotation: NDArray[np.float64]
    """(N, axes, axes): rows are the directions of the semi-axes."""


def emit(nuclei: Nuclei, canvas: Canvas, rng: np.random.Generator) -> tuple[Emitters, dict[str, float]]:
    """Draw nuclei in `canvas.field` (YX or ZYX) and return their light and the numbers they were drawn with.

    A nucleus of average brightness emits one unit of light a pixel. Pushing nuclei apart keeps the coverage: the
    field is periodic.
    """
    parameters = draw_spans(nuclei, rng)
    field = canvas.field
    n_axes = len(field.shape)
    if parameters["coverage"] > MAX_COVERAGE[n_axes]:
        raise RecipeError(
            f"coverage: {parameters['coverage']:.2f} of the volume cannot be filled with nuclei, at most "
            f"{MAX_COVERAGE[3]}"
        )
    placed = _place(parameters, nuclei.radius_spread, field, rng)
    period_px = [parameters["texture_size_um"] / size for size in field.pixel_size_um]
    chromatin = 2 * draw_perlin(field.shape, period_px, rng, n_octaves=3)
    chromatin *= 1 / chromatin.mean()
    density = np.zeros(field.shape, np.float32)
    sigma = nuclei.brightness_spread
    for i in range(len(placed.centre_px)):
        brightness = math.exp(rng.normal(-(sigma**2) / 2, sigma))
        _add(density, chromatin, _Ellipsoids(*(each[i] for each in placed)), brightness, parameters, field, rng)
    no_points = np.zeros((0, n_axes), np.float32)
    return Emitters(no_points, no_points[:, 0], density), parameters


def _place(
    parameters: dict[str, float], radius_spread: float, field: FieldOfView, rng: np.random.Generator
) -> _Ellipsoids:
    """Draw ellipsoids at random and push them apart until they only touch; the field is periodic."""
    extent = np.array(field.extent_um)
    n_axes = len(extent)
    unit_ball = math.pi if n_axes == 2 else 4 / 3 * math.pi
    # The mean of radius^n of a log-normal distribution with the asked mean radius.
    mean_power = parameters["radius_um"] ** n_axes * math.exp(n_axes * (n_axes - 1) / 2 * radius_spread**2)
    n = max(1, round(parameters["coverage"] * float(np.prod(extent)) / (unit_ball * mean_power)))
    radius = parameters["radius_um"] * np.exp(rng.normal(-(radius_spread**2) / 2, radius_spread, n))
    # Semi-axes of the same volume as the ball, from the shortest to the longest.
    exponent = np.linspace(-0.5, 0.5, n_axes)
    semi_axes = radius[:, None] * parameters["elongation"] ** exponent
    rotation = np.linalg.qr(rng.standard_normal((n, n_axes, n_axes)))[0]
    centre = rng.random((n, n_axes)) * extent
    for _ in range(100):
        apart = centre[:, None] - centre[None]
        apart -= extent * np.rint(apart / extent)
        distance = np.linalg.norm(apart, axis=2) + np.eye(n) * 1e9
        overlap = np.maximum(radius[:, None] + radius[None] - distance, 0.0)
        if overlap.max() < 0.02 * parameters["radius_um"]:
            break
        push = (overlap / distance)[..., None] * apart
        centre = (centre + 0.4 * push.sum(axis=1)) % extent
    return _Ellipsoids(centre / np.array(field.pixel_size_um) - 0.5, semi_axes, rotation)


def _add(
    density: NDArray[np.float32],
    chromatin: NDArray[np.float32],
    one: _Ellipsoids,
    brightness: float,
    parameters: dict[str, float],
    field: FieldOfView,
    rng: np.random.Generator,
) -> None:
    """Add one nucleus to `density`, wrapped around the borders; where two overlap, the brighter one counts."""
    size_um = np.array(field.pixel_size_um)
    reach_px = np.ceil(one.semi_axes_um.max() * (1 + 3 * parameters["irregularity"]) / size_um).astype(int) + 1
    first = np.rint(one.centre_px).astype(int) - reach_px
    pixels = [np.arange(f, f + min(2 * r + 1, n)) for f, r, n in zip(first, reach_px, field.shape, strict=True)]
    offset_um = np.stack(
        np.meshgrid(*((p - c) * s for p, c, s in zip(pixels, one.centre_px, size_um, strict=True)), indexing="ij")
    ).astype(np.float32)
    # Coordinates along the semi-axes, 1 at the surface.
    unit = np.tensordot((one.rotation / one.semi_axes_um[:, None]).astype(np.float32), offset_um, axes=1)
    radius = np.sqrt((unit**2).sum(axis=0))
    bumps = _draw_bumps(unit / np.maximum(radius, np.float32(1e-6)), parameters["irregularity"], rng)
    inside = 1 + bumps - radius
    # A soft edge one pixel wide approximates the part of the pixel that is inside.
    edge = np.clip(inside * np.float32(one.semi_axes_um.min() / size_um.min()) + np.float32(0.5), 0, 1)
    where = np.ix_(*(p % n for p, n in zip(pixels, field.shape, strict=True)))
    light = edge * np.float32(brightness)
    light *= np.maximum(1 + np.float32(parameters["texture"]) * (chromatin[where] - 1), 0)
    light *= _draw_nucleoli(unit, parameters["n_nucleoli"], rng)
    if len(size_um) == 2:
        light *= np.maximum(1 - np.minimum(radius / (1 + bumps), 1) ** 2, 0.01) ** np.float32(parameters["dome"])
    density[where] = np.maximum(density[where], light)


def _draw_bumps(direction: NDArray[np.float32], amount: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a smooth random function of the direction: a few plane waves over the unit sphere."""
    waves = rng.standard_normal((4, len(direction)), dtype=np.float32) * np.float32(1.8)
    phases = rng.uniform(0, 2 * math.pi, 4).astype(np.float32).reshape(-1, *(1,) * (direction.ndim - 1))
    waved = np.cos(np.tensordot(waves, direction, axes=1) + phases).sum(axis=0)
    return np.asarray(np.float32(amount / math.sqrt(2)) * waved, np.float32)


def _draw_nucleoli(unit: NDArray[np.float32], mean_number: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a factor that is smaller in a few balls inside the unit ball."""
    factor = np.ones(unit.shape[1:], np.float32)
    for _ in range(rng.poisson(mean_number)):
        centre = rng.uniform(-0.5, 0.5, len(unit)).astype(np.float32).reshape(-1, *(1,) * (unit.ndim - 1))
        radius = np.float32(rng.uniform(0.1, 0.22))
        distance = np.sqrt(((unit - centre) ** 2).sum(axis=0))
        factor *= 1 - np.float32(0.6) * np.clip((radius - distance) / (np.float32(0.6) * radius) + 1, 0, 1)
    return factor
