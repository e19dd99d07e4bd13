"""Secretory-granule-like spots: small balls or shells of various sizes, single and in clusters, in 2D and 3D."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import RecipeError
from carezoo.schema.span import Span, draw_spans, require_positive
from carezoo.simulate.rendering import Canvas, Emitters

_GOLDEN_ANGLE = math.pi * (3.0 - math.sqrt(5.0))

_PLASTIC = 1.2207440846057596
"""Root of x^4 = x + 1: its powers give the evenest additive sequence in three dimensions (Roberts 2018, R3)."""


@dataclass(frozen=True, kw_only=True)
class Granules:
    """Small bright spots; every `Span` is drawn anew for each image."""

    kind: ClassVar[str] = "granules"

    density: Span = Span(0.1, 1.5, is_log=True)
    """Granules per um^2; in 3D per area of the field seen from above."""
    radius_um: Span = Span(0.08, 0.2)
    """Median radius; radii are log-normal, cut at a third and three times the median."""
    radius_spread: float = 0.35
    """Standard deviation of the logarithm of the radii."""
    clustered: Span = Span(0.0, 0.8)
    """Share of the granules that lie in clusters; the others lie anywhere."""
    n_per_cluster: Span = Span(5.0, 30.0)
    """Mean number of granules in a cluster."""
    cluster_radius_um: Span = Span(0.5, 2.5)
    """Standard deviation of the positions in a cluster along each axis."""
    hollow: Span = Span(0.0, 0.0)
    """Share of the granules whose surface is labelled, not the inside."""
    brightness_spread: float = 0.5
    """Standard deviation of the logarithm of the light per volume."""
    thickness_um: Span = Span(2.0, 5.0)
    """3D: granules lie inside a slab this thick in the middle of the image (or inside the image, if thinner)."""

    def __post_init__(self) -> None:
        require_positive(self, "density", "radius_um", "cluster_radius_um", "thickness_um")
        for name in ("clustered", "hollow"):
            span: Span = getattr(self, name)
            if not 0 <= span.low <= span.high <= 1:
                raise RecipeError(f"{name}: expected a share from 0 to 1, found {span}")
        if self.n_per_cluster.low < 1 or min(self.radius_spread, self.brightness_spread) < 0:
            raise RecipeError("n_per_cluster: expected 1 or more; radius_spread, brightness_spread: 0 or more")


def emit(granules: Granules, canvas: Canvas, rng: np.random.Generator) -> tuple[Emitters, dict[str, float]]:
    """Draw granules in `canvas.field` (YX or ZYX) and return their light and the numbers they were drawn with.

    A granule of median size and brightness emits one unit of light; the light grows with the volume.
    """
    parameters = draw_spans(granules, rng)
    field = canvas.field
    n = max(1, round(parameters["density"] * field.extent_um[-1] * field.extent_um[-2]))
    relative = np.exp(np.clip(rng.normal(0.0, granules.radius_spread, n), -math.log(3), math.log(3)))
    brightness = np.exp(rng.normal(0.0, granules.brightness_spread, n))
    return (
        fill_balls(
            _draw_positions(parameters, n, canvas, rng),
            parameters["radius_um"] * relative,
            brightness * relative**3,
            rng.random(n) < parameters["hollow"],
            field.pixel_size_um[-1],
        ),
        parameters,
    )


def _draw_positions(
    parameters: dict[str, float], n: int, canvas: Canvas, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the centres, (n, axes): some uniform, some normal about the centres of clusters, all inside the field."""
    extent = np.array(canvas.field.extent_um)
    n_axes = len(extent)
    single = rng.random((n, n_axes)) * extent
    n_clusters = max(1, round(n * parameters["clustered"] / parameters["n_per_cluster"]))
    centres = rng.random((n_clusters, n_axes)) * extent
    offset_um = parameters["cluster_radius_um"] * rng.standard_normal((n, n_axes))
    clustered = centres[rng.integers(0, n_clusters, n)] + offset_um
    positions = np.where(rng.random((n, 1)) < parameters["clustered"], clustered, single)
    # Clusters across the border continue on the other side: the density is the same everywhere on average.
    positions %= extent
    if n_axes == 3:
        top, bottom = canvas.slab_um(parameters["thickness_um"])
        positions[:, 0] = top + positions[:, 0] / extent[0] * (bottom - top)
    return np.asarray(positions)


def fill_balls(
    centre_um: NDArray[np.float64],
    radius_um: NDArray[np.float64],
    light: NDArray[np.float64],
    is_hollow: NDArray[np.bool_],
    pixel_um: float,
) -> Emitters:
    """Fill balls, or cover spheres, with point sources closer together than a pixel; `light` is that of each ball.

    Centres are (N, 2) or (N, 3); in 2D the points are those of the ball seen from above.
    """
    n_axes = centre_um.shape[1]
    radius_px = radius_um / pixel_um
    needed = np.maximum(6.0 * radius_px**2, 8.0) if n_axes == 2 else np.maximum(8.0 * radius_px**3, 16.0)
    n_points = (2 ** np.ceil(np.log2(np.minimum(needed, 4096.0)))).astype(int)
    position, brightness = [], []
    for n in np.unique(n_points):
        for hollow in (False, True):
            chosen = (n_points == n) & (is_hollow == hollow)
            if chosen.any():
                fill_unit = _fill_unit_disc if n_axes == 2 else _fill_unit_ball
                unit = fill_unit(int(n), is_hollow=hollow)
                points = centre_um[chosen, None, :] + radius_um[chosen, None, None] * unit
                position.append(points.reshape(-1, n_axes))
                brightness.append(np.repeat(light[chosen] / n, n))
    return Emitters(np.concatenate(position).astype(np.float32), np.concatenate(brightness).astype(np.float32))


def _fill_unit_disc(n: int, *, is_hollow: bool) -> NDArray[np.float64]:
    """Return `n` equally bright points (n, YX) of a ball or sphere of radius 1 seen along Z: a sunflower."""
    share = (np.arange(n) + 0.5) / n
    # Share of the light inside radius r, inverted: 1 - (1 - r^2)^(3/2) for a ball, 1 - (1 - r^2)^(1/2) for a sphere.
    radius = np.sqrt(1.0 - (1.0 - share) ** (2.0 if is_hollow else 2.0 / 3.0))
    angle = _GOLDEN_ANGLE * np.arange(n)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)


def _fill_unit_ball(n: int, *, is_hollow: bool) -> NDArray[np.float64]:
    """Return `n` equally bright points (n, ZYX) of a ball or sphere of radius 1."""
    sequence = (0.5 + np.arange(n)[:, None] * _PLASTIC ** -np.arange(1.0, 4.0)) % 1.0
    radius = np.ones(n) if is_hollow else np.cbrt(sequence[:, 0])
    z = 2.0 * sequence[:, 1] - 1.0
    angle = 2.0 * math.pi * sequence[:, 2]
    across = np.sqrt(1.0 - z**2)
    return np.asarray(radius[:, None] * np.stack([z, across * np.sin(angle), across * np.cos(angle)], axis=1))
