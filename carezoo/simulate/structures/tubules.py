"""Microtubule-like networks: worm-like chains, random or radiating from organizing centres, in 2D and 3D.

The direction of a worm-like chain diffuses along its contour: ``<cos(angle(s))> = exp(-s / P)`` in 3D and
``exp(-s / 2P)`` in 2D for the persistence length P (Doi and Edwards, The Theory of Polymer Dynamics, section 8.8).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import RecipeError
from carezoo.schema.span import Span, draw_spans, require_positive
from carezoo.simulate.rendering import Canvas, Emitters, FieldOfView

Points = NDArray[np.float64]
"""Filaments as points at equal steps: (filaments, steps, axes), micrometres; NaN beyond the end of a filament."""


@dataclass(frozen=True, kw_only=True)
class Tubules:
    """A network of thin filaments; every `Span` is drawn anew for each image."""

    kind: ClassVar[str] = "tubules"

    radiating: Span = Span(0.0, 1.0)
    """Share of the filaments that start at organizing centres, outwards; the others lie anywhere in any direction."""
    density: Span = Span(0.3, 3.0, is_log=True)
    """Length of all filaments per area, um / um^2; in 3D per area of the field seen from above."""
    length_um: Span = Span(8.0, 30.0)
    """Median length of a filament; lengths are log-normal."""
    length_spread: float = 0.5
    """Standard deviation of the logarithm of the lengths."""
    persistence_length_um: Span = Span(5.0, 40.0)
    """Persistence length: how straight filaments are."""
    thickness_um: Span = Span(1.0, 3.0)
    """3D: filaments stay inside a slab this thick in the middle of the image (or inside the image, if thinner)."""
    n_centres: Span = Span(1.0, 2.0)
    """Organizing centres, rounded."""
    brightness_spread: float = 0.3
    """Standard deviation of the logarithm of brightness from filament to filament."""
    label_spread: float = 0.3
    """Relative standard deviation of brightness along a filament, from uneven labelling."""
    label_length_um: float = 0.15
    """How far along the filament uneven labelling is correlated."""

    def __post_init__(self) -> None:
        require_positive(self, "density", "length_um", "persistence_length_um", "thickness_um")
        if not 0 <= self.radiating.low <= self.radiating.high <= 1:
            raise RecipeError(f"radiating: expected a share from 0 to 1, found {self.radiating}")
        if self.n_centres.low < 0.5:
            raise RecipeError(f"n_centres: expected 1 or more, found {self.n_centres}")
        if min(self.length_spread, self.brightness_spread, self.label_spread) < 0 or self.label_length_um <= 0:
            raise RecipeError("length_spread, brightness_spread, label_spread: 0 or more; label_length_um: above 0")


def emit(tubules: Tubules, canvas: Canvas, rng: np.random.Generator) -> tuple[Emitters, dict[str, float]]:
    """Draw a network in `canvas.field` (YX or ZYX) and return its light and the numbers it was drawn with.

    One unit of light is emitted per micrometre of an average filament.
    """
    parameters = draw_spans(tubules, rng)
    parameters["n_centres"] = float(round(parameters["n_centres"]))
    # Steps of 3/4 pixel leave no ripple: below 2e-4 of the light at a standard deviation of half a pixel.
    step_um = 0.75 * min(canvas.field.pixel_size_um[-2:])
    points = draw_filaments(parameters, tubules.length_spread, canvas, step_um, rng)
    return _label(points, tubules, canvas.field, step_um, rng), parameters


def draw_filaments(
    parameters: dict[str, float], length_spread: float, canvas: Canvas, step_um: float, rng: np.random.Generator
) -> Points:
    """Grow filaments until their length inside `canvas.field` is the density times the area, the last one cut.

    Random filaments that leave the field come in again on the other side, so that the density is the same everywhere.
    """
    field = canvas.field
    wanted = round(parameters["density"] * field.extent_um[-1] * field.extent_um[-2] / step_um)
    centres = rng.random((round(parameters["n_centres"]), 2)) * np.array(field.extent_um[-2:])
    grown: list[Points] = []
    n_points = 0
    while n_points < wanted:
        # Enough for the rest if all stay inside; radiating ones may need another round.
        mean_um = parameters["length_um"] * math.exp(length_spread**2 / 2)
        n_filaments = max(1, min(round((wanted - n_points) * step_um / mean_um), 256))
        median = math.log(parameters["length_um"])
        # Longer than a few fields is invisible and costs memory.
        lengths_um = np.minimum(np.exp(rng.normal(median, length_spread, n_filaments)), 4 * max(field.extent_um))
        is_radiating = rng.random(n_filaments) < parameters["radiating"]
        starts, directions = _draw_starts(is_radiating, centres, canvas, parameters["thickness_um"], rng)
        n_steps = np.maximum(1, np.rint(lengths_um / step_um).astype(int))
        chains = _draw_chains(directions, int(n_steps.max()), step_um, parameters["persistence_length_um"], rng)
        points = _confine(starts[:, None, :] + chains, canvas, parameters["thickness_um"], is_radiating)
        points[np.arange(points.shape[1]) >= n_steps[:, None]] = np.nan
        points = _cut(points, wanted - n_points, field)
        grown.append(points)
        n_points += int(_is_inside(points, field).sum())
    longest = max(points.shape[1] for points in grown)
    return np.concatenate(
        [np.pad(p, ((0, 0), (0, longest - p.shape[1]), (0, 0)), constant_values=np.nan) for p in grown]
    )


def _draw_starts(
    is_radiating: NDArray[np.bool_],
    centres: NDArray[np.float64],
    canvas: Canvas,
    thickness_um: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return first points and unit directions of the filaments, each (n, axes)."""
    field = canvas.field
    n, n_axes = len(is_radiating), len(field.shape)
    directions = rng.standard_normal((n, n_axes))
    if n_axes == 3:
        # Cells are flat: filaments run mostly in the plane.
        directions[:, 0] *= 0.3
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    starts = rng.random((n, n_axes)) * np.array(field.extent_um)
    if n_axes == 3:
        low, high = canvas.slab_um(thickness_um)
        starts[:, 0] = rng.uniform(low, high, n)
    # Filaments begin at a distance from the middle of the centre, pointing away from it.
    from_centre = centres[rng.integers(0, len(centres), n)] + rng.exponential(0.8, (n, 1)) * directions[:, -2:]
    starts[is_radiating, -2:] = from_centre[is_radiating]
    return starts, directions


def _draw_chains(
    directions: NDArray[np.float64],
    n_steps: int,
    step_um: float,
    persistence_length_um: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return worm-like chains of `n_steps` points from the origin, (chains, steps, axes)."""
    sigma = math.sqrt(step_um / persistence_length_um)
    n = len(directions)
    if directions.shape[1] == 2:
        turns = sigma * rng.standard_normal((n, n_steps), dtype=np.float32)
        angle = np.arctan2(directions[:, :1], directions[:, 1:]) + np.cumsum(turns, axis=1)
        tangents = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    else:
        tangents = np.empty((n, n_steps, 3))
        tangent = directions
        for i, kick in enumerate(sigma * rng.standard_normal((n_steps, n, 3))):
            tangent = tangent + kick - (kick * tangent).sum(axis=1, keepdims=True) * tangent
            tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
            tangents[:, i] = tangent
    return np.asarray(np.cumsum(tangents * step_um, axis=1) - tangents[:, :1] * step_um)


def _confine(points: Points, canvas: Canvas, thickness_um: float, is_radiating: NDArray[np.bool_]) -> Points:
    """Return `points` reflected in Z at the slab, those of random filaments taken modulo the field in YX."""
    if points.shape[-1] == 3:
        low, high = canvas.slab_um(thickness_um)
        folded = np.mod(points[..., 0] - low, 2 * (high - low))
        points[..., 0] = low + np.minimum(folded, 2 * (high - low) - folded)
    points[~is_radiating, :, -2:] %= np.array(canvas.field.extent_um[-2:])
    return points


def _is_inside(points: Points, field: FieldOfView) -> NDArray[np.bool_]:
    inside = np.ones(points.shape[:-1], bool)
    for axis, extent in enumerate(field.extent_um):
        # NaN compares as False.
        inside &= (points[..., axis] >= 0) & (points[..., axis] < extent)
    return inside


def _cut(points: Points, wanted: int, field: FieldOfView) -> Points:
    """Return `points` without those after the first `wanted` inside the field, filament by filament."""
    count = np.cumsum(_is_inside(points, field)).reshape(points.shape[:2])
    return np.where((count <= wanted)[..., None], points, np.nan)


def _label(points: Points, tubules: Tubules, field: FieldOfView, step_um: float, rng: np.random.Generator) -> Emitters:
    """Return the points inside `field` as light: brightness differs between filaments and along each."""
    n_filaments, n_steps, _ = points.shape
    sigma = tubules.brightness_spread
    brightness = np.exp(rng.normal(-(sigma**2) / 2, sigma, (n_filaments, 1)))
    # Gamma in blocks as long as the correlation: positive, of mean 1, and cheap.
    block = max(1, round(tubules.label_length_um / step_um))
    if tubules.label_spread > 0:
        shape = 1.0 / tubules.label_spread**2
        blocks = rng.standard_gamma(shape, (n_filaments, -(-n_steps // block))) / shape
        labels = np.repeat(blocks, block, axis=1)[:, :n_steps]
    else:
        labels = np.ones((n_filaments, n_steps))
    light = (brightness * labels * step_um).astype(np.float32)
    is_inside = _is_inside(points, field)
    return Emitters(points[is_inside].astype(np.float32), light[is_inside])
