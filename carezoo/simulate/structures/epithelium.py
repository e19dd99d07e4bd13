"""Epithelia: polygonal cells with bright junctions on a curved surface, with a second structure above or below.

Cells are Voronoi cells of points evened out by Lloyd's iteration (Honda 1978 on why that looks right); the field is
periodic along Y and X.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from carezoo.errors import RecipeError
from carezoo.schema.span import Span, draw_spans, require_not_negative, require_positive
from carezoo.simulate.rendering import Canvas, Emitters, FieldOfView
from carezoo.simulate.structures.background import draw_perlin


@dataclass(frozen=True, kw_only=True)
class Epithelium:
    """A sheet of cells seen from above; every `Span` is drawn anew for each image."""

    kind: ClassVar[str] = "epithelium"

    cell_diameter_um: Span = Span(3.0, 8.0)
    """Diameter of a disc with the mean area of a cell."""
    n_relaxations: Span = Span(1.0, 4.0)
    """How often the cells are evened out, rounded: 0 random, 5 nearly hexagonal."""
    relief_um: Span = Span(1.0, 5.0)
    """3D: height from the lowest to the highest point of the surface."""
    relief_size_um: Span = Span(20.0, 50.0)
    """3D: lateral size of hills and valleys."""
    junction_height_um: Span = Span(0.4, 1.2)
    """3D: how far the bright junctions reach down from the surface."""
    junction_spread: float = 0.35
    """Standard deviation of the logarithm of brightness from junction to junction."""
    label_spread: float = 0.4
    """Relative standard deviation of brightness along a junction, in patches of 0.3 um."""
    vertex_excess: Span = Span(0.0, 0.8)
    """How much brighter each junction is where three cells meet, as a share; below 0 darker, so that the three, which
    add up there, are hardly brighter than one."""
    cytoplasm: Span = Span(0.0, 0.1)
    """Light of the cells' surface, as a share of all light."""
    second: Literal["none", "above", "below", "any"] = "any"
    """3D: a second structure: flat, wide cells above (smaller Z), vesicles and lateral membranes below, or any of the
    three by chance. It is light to the microscope, but not part of the sheet."""
    second_distance_um: Span = Span(3.0, 6.0)
    """3D: distance of the second structure from the surface."""
    second_brightness: Span = Span(0.1, 0.6)
    """3D: brightness of the second structure, as a share of the junctions'."""

    def __post_init__(self) -> None:
        require_positive(self, "cell_diameter_um", "relief_size_um", "junction_height_um", "second_distance_um")
        require_not_negative(self, "n_relaxations", "relief_um", "second_brightness")
        if self.vertex_excess.low < -1:
            raise RecipeError(f"vertex_excess: expected a share from -1 (dark) up, found {self.vertex_excess}")
        if not 0 <= self.cytoplasm.low <= self.cytoplasm.high < 1:
            raise RecipeError(f"cytoplasm: expected a share from 0 to below 1, found {self.cytoplasm}")

    @property
    def depth_um(self) -> float:
        """Depth of the volume that the tallest sheet with its second structure fills."""
        second = 0.0 if self.second == "none" else self.second_distance_um.high
        return self.relief_um.high + self.junction_height_um.high + second


class Sheet(NamedTuple):
    """An epithelium in space."""

    junctions: Emitters
    """The sheet itself."""
    second: Emitters
    """Structure above or below it; without points if there is none."""
    height_um: NDArray[np.float32]
    """YX: depth of the middle of the junctions below the top of the field (all 0 in 2D)."""
    parameters: dict[str, float]


def emit(epithelium: Epithelium, canvas: Canvas, rng: np.random.Generator) -> tuple[Emitters, dict[str, float]]:
    """Draw an epithelium in `canvas.field` and return the light of all of it, and the numbers it was drawn with."""
    drawn = draw_sheet(epithelium, canvas, rng)
    both = (drawn.junctions, drawn.second)
    position = np.concatenate([each.position_um for each in both])
    return Emitters(position, np.concatenate([each.light for each in both])), drawn.parameters


def draw_sheet(epithelium: Epithelium, canvas: Canvas, rng: np.random.Generator) -> Sheet:
    """Draw an epithelium in `canvas.field` (ZYX, all of it as deep as the image; YX: a flat sheet in the focal plane).

    One unit of light is emitted per micrometre of an average junction. A sheet that does not fit is a `RecipeError`.
    """
    check_fits(epithelium, canvas.image)
    field = canvas.field
    parameters = draw_spans(epithelium, rng)
    is_flat = len(field.shape) == 2
    second = epithelium.second if epithelium.second != "any" else ("none", "above", "below")[int(rng.integers(3))]
    edges = _draw_edges(parameters["cell_diameter_um"], round(parameters["n_relaxations"]), field.extent_um[-2:], rng)
    points_yx, light = _place_along(edges, epithelium, parameters["vertex_excess"], field, rng)
    points_yx, light = _add_cytoplasm(points_yx, light, parameters["cytoplasm"], field, rng)
    if is_flat:
        nothing = Emitters(np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
        height = np.zeros(field.shape, np.float32)
        return Sheet(Emitters(points_yx.astype(np.float32), light.astype(np.float32)), nothing, height, parameters)
    top = _draw_surface(parameters, second, canvas, rng)
    parameters["second_is_above"], parameters["second_is_below"] = float(second == "above"), float(second == "below")
    junctions = _place_belt(points_yx, light, top, parameters["junction_height_um"], field)
    other = _draw_second(second, junctions, top, parameters, field, rng)
    middle = (top + parameters["junction_height_um"] / 2).astype(np.float32)
    return Sheet(junctions, other, middle, parameters)


def check_fits(epithelium: Epithelium, field: FieldOfView) -> None:
    """Raise `RecipeError` if the tallest sheet is higher than an image that shows `field`."""
    if len(field.shape) == 3 and epithelium.depth_um > field.extent_um[0]:
        raise RecipeError(
            f"epithelium: relief, junctions and second structure need up to {epithelium.depth_um:.3g} um, but the "
            f"volume is {field.extent_um[0]:.3g} um deep ({field.shape[0]} planes); reduce relief_um or "
            "second_distance_um, or add planes"
        )


def _draw_edges(
    diameter_um: float, n_relaxations: int, extent_um: tuple[float, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the junctions between periodic cells as (N, 2, 2): both ends, YX, micrometres."""
    extent = np.array(extent_um)
    n = max(4, round(float(np.prod(extent)) / (math.pi * diameter_um**2 / 4)))
    seeds = rng.random((n, 2)) * extent
    for _ in range(n_relaxations):
        samples = rng.random((60 * n, 2)) * extent
        nearest = spatial.cKDTree(seeds, boxsize=extent).query(samples)[1]
        offset = samples - seeds[nearest]
        offset -= extent * np.rint(offset / extent)
        counts = np.maximum(np.bincount(nearest, minlength=n), 1)
        mean = np.stack([np.bincount(nearest, offset[:, k], minlength=n) for k in range(2)], axis=1) / counts[:, None]
        seeds = (seeds + mean) % extent
    copies = [seeds + extent * (y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    diagram = spatial.Voronoi(np.concatenate(copies))
    ridges = np.array([ridge for ridge in diagram.ridge_vertices if -1 not in ridge])
    ends = diagram.vertices[ridges]
    middle = ends.mean(axis=1)
    return np.asarray(ends[((middle >= 0) & (middle < extent)).all(axis=1)])


def _place_along(
    edges: NDArray[np.float64],
    epithelium: Epithelium,
    vertex_excess: float,
    field: FieldOfView,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points (N, YX) along the junctions, slightly bent, and their light."""
    step_um = 0.75 * min(field.pixel_size_um[-2:])
    across = edges[:, 1] - edges[:, 0]
    length = np.linalg.norm(across, axis=1)
    n_steps = np.maximum(1, np.ceil(length / step_um)).astype(int)
    edge = np.repeat(np.arange(len(edges)), n_steps)
    t = (np.arange(len(edge)) - np.repeat(np.cumsum(n_steps) - n_steps, n_steps) + 0.5) / n_steps[edge]
    normal = np.stack([-across[:, 1], across[:, 0]], axis=1)
    bend = 0.05 * rng.standard_normal(len(edges))
    points = edges[edge, 0] + t[:, None] * across[edge] + (4 * bend[edge] * t * (1 - t))[:, None] * normal[edge]
    sigma = epithelium.junction_spread
    brightness = np.exp(rng.normal(-(sigma**2) / 2, sigma, len(edges)))[edge]
    patch = np.cumsum(np.diff(np.floor(t * length[edge] / 0.3), prepend=0) != 0)
    if epithelium.label_spread > 0:
        shape = 1 / epithelium.label_spread**2
        brightness *= (rng.standard_gamma(shape, int(patch[-1]) + 1) / shape)[patch]
    to_vertex_um = np.minimum(t, 1 - t) * length[edge]
    brightness *= 1 + vertex_excess * np.exp(-to_vertex_um / 0.3)
    return points % np.array(field.extent_um[-2:]), brightness * (length / n_steps)[edge]


def _add_cytoplasm(
    points_yx: NDArray[np.float64],
    light: NDArray[np.float64],
    share: float,
    field: FieldOfView,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the points with others spread over the cells, which have `share` of the light of all."""
    if share == 0:
        return points_yx, light
    n = round(float(np.prod(field.shape[-2:])) / 2)
    inside = rng.random((n, 2)) * np.array(field.extent_um[-2:])
    dim = rng.standard_gamma(1.0, n) * light.sum() * share / (1 - share) / n
    return np.concatenate([points_yx, inside]), np.concatenate([light, dim])


def _draw_surface(
    parameters: dict[str, float], second: str, canvas: Canvas, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the depth of the surface below the top of the field, YX: room for the second structure is left."""
    field = canvas.field
    period_px = [parameters["relief_size_um"] / size for size in field.pixel_size_um[-2:]]
    relief = parameters["relief_um"] * draw_perlin(field.shape[-2:], period_px, rng, n_octaves=2).astype(np.float64)
    distance = parameters["second_distance_um"]
    above, below = (distance if second == where else 0.0 for where in ("above", "below"))
    slack = canvas.image.extent_um[0] - above - below - parameters["relief_um"] - parameters["junction_height_um"]
    return canvas.margin_um[0] + above + relief + slack * rng.uniform(0.25, 0.75)


def _look_up(height: NDArray[np.float64], points_yx: NDArray[np.float64], field: FieldOfView) -> NDArray[np.float64]:
    """Return `height` at points (N, YX) in micrometres."""
    pixel = points_yx / np.array(field.pixel_size_um[-2:]) - 0.5
    return np.asarray(ndimage.map_coordinates(height, pixel.T, order=1, mode="nearest"))


def _place_belt(
    points_yx: NDArray[np.float64],
    light: NDArray[np.float64],
    top: NDArray[np.float64],
    height_um: float,
    field: FieldOfView,
) -> Emitters:
    """Return points of a surface drawn out downwards by `height_um`."""
    n_layers = max(1, math.ceil(height_um / (0.75 * field.pixel_size_um[0])))
    depth = (np.arange(n_layers) + 0.5) / n_layers * height_um
    z = (_look_up(top, points_yx, field)[None] + depth[:, None]).ravel()
    position = np.column_stack([z, np.tile(points_yx, (n_layers, 1))])
    return Emitters(position.astype(np.float32), np.tile(light / n_layers, n_layers).astype(np.float32))


def _draw_second(
    which: str,
    junctions: Emitters,
    top: NDArray[np.float64],
    parameters: dict[str, float],
    field: FieldOfView,
    rng: np.random.Generator,
) -> Emitters:
    brightness, distance = parameters["second_brightness"], parameters["second_distance_um"]
    if which == "above":
        # A thin epithelium of wide cells that follows the surface only roughly, like a peripodial membrane.
        plain = Epithelium(junction_spread=0.6)
        edges = _draw_edges(2.5 * parameters["cell_diameter_um"], 1, field.extent_um[-2:], rng)
        points_yx, light = _place_along(edges, plain, 0.0, field, rng)
        points_yx, light = _add_cytoplasm(points_yx, light, 0.5, field, rng)
        smooth = ndimage.gaussian_filter(top, top.shape[0] / 8, mode="nearest") - distance
        return _place_belt(points_yx, brightness * light, smooth, parameters["junction_height_um"], field)
    if which == "below":
        # Lateral membranes that fade with depth, and vesicles.
        n_lateral = len(junctions.light)
        depth = np.minimum(rng.exponential(distance / 2, n_lateral), distance)
        lateral = junctions.position_um + np.column_stack([depth, np.zeros((n_lateral, 2))])
        n_vesicles = max(1, round(0.15 * float(np.prod(field.extent_um[-2:]))))
        yx = rng.random((n_vesicles, 2)) * np.array(field.extent_um[-2:])
        z = _look_up(top, yx, field) + distance * rng.uniform(0.5, 1.0, n_vesicles)
        light = 0.5 * rng.lognormal(0.0, 0.7, n_vesicles)
        position = np.concatenate([lateral, np.column_stack([z, yx])])
        return Emitters(
            position.astype(np.float32), (brightness * np.concatenate([junctions.light, light])).astype(np.float32)
        )
    return Emitters(np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
