"""A second renderer, written without the first: what models trained on simulated pairs are tested on.

Nothing here comes from `carezoo.simulate`, and nothing is splatted or convolved: every pixel is the value of a closed
formula (Gaussian integrals along straight pieces, over balls and over spheres; distances to the borders of cells).
Filaments are chains of circular arcs, not worm-like chains; cells are a distorted honeycomb, not relaxed Voronoi cells;
surfaces are sums of cosines, not Perlin noise; a source is seen through a core with a pedestal, not through one
Gaussian. (One exception: what an axial PSF adds to an isotropic one is a convolution along Z.)

Lengths are micrometres, pixels are 0.1 um unless said otherwise. The ranges below are wider than those of the recipes
that are tested here, at both ends; `outside` draws from what only the wider ones hold.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import erf

Array = NDArray[np.float64]

PIXEL_UM = 0.1

TUBULE_DENSITY = 0.12, 4.5
"""um of filament per um^2, log-uniform; in training 0.3 to 3."""
TUBULE_DENSITY_OUTSIDE = (0.12, 0.28), (3.2, 4.5)
"""Sparser or denser than any training image."""
TUBULE_ARC_RADIUS_UM = (2.5, 60.0)
"""Radius of curvature of a piece."""
SIGMA_UM, SIGMA_OUTSIDE_UM = (0.085, 0.2), (0.18, 0.2)
"""Core of the source's PSF; in training 0.09 to 0.18."""
PEDESTAL, PEDESTAL_OUTSIDE = (0.0, 0.3), (0.1, 0.3)
"""Share of the light in a second Gaussian, 2.5 times as wide; training knows no such foot."""
PHOTONS = (15.0, 250.0)
"""Photoelectrons at the brightest 0.1 % of the source, without background."""
BACKGROUND = (0.05, 0.5)
"""Smooth background, up to this share of the brightest 0.1 %."""
GRANULE_DENSITY = 0.05, 2.5
"""Per um^2, log-uniform; in training 0.1 to 1.5."""
GRANULE_DENSITY_OUTSIDE = (0.05, 0.09), (1.7, 2.5)
GRANULE_RADIUS_UM = (0.05, 0.3)
"""Uniform, not log-normal."""
TARGET_SIGMA_UM = 0.08
"""Width of all targets: that of the recipes."""
SPHERE_RADIUS_UM = (1.5, 4.0)
"""Balls and shells in volumes of 0.25 um voxels."""
CELL_DIAMETER_UM = (2.2, 2.8), (8.5, 11.0)
"""Smaller or larger than in training (3 to 8)."""
RELIEF_UM = (5.2, 7.0)
"""Steeper than in training (1 to 5)."""


class Pair(NamedTuple):
    """Source as recorded, target in the same grey levels, and the numbers both were made with."""

    source: NDArray[np.float32]
    target: NDArray[np.float32]
    numbers: dict[str, float]


def tubule_pair(seed: int, shape: tuple[int, int] = (256, 256), *, outside: bool = False) -> Pair:
    """Render filaments (YX): chains of arcs, straight pieces of a fifth of a micrometre each."""
    rng = np.random.default_rng([101, seed])
    density = _draw(TUBULE_DENSITY_OUTSIDE[seed % 2], rng) if outside else _log_draw(TUBULE_DENSITY, rng)
    starts, ends, light = _arcs(density, shape, rng)
    sigma, pedestal = _optics(rng, outside=outside)
    target = _segments(starts, ends, light, TARGET_SIGMA_UM, shape)
    core = _segments(starts, ends, light, sigma, shape)
    halo = _segments(starts, ends, light, 2.5 * sigma, shape)
    source, numbers = _record((1 - pedestal) * core + pedestal * halo, target, rng)
    return Pair(*source, numbers | {"density": density, "sigma_um": sigma, "pedestal": pedestal})


def granule_pair(seed: int, shape: tuple[int, int] = (256, 256), *, outside: bool = False) -> Pair:
    """Render balls seen from above (YX), a third of them in rows, with uniform radii."""
    rng = np.random.default_rng([102, seed])
    density = _draw(GRANULE_DENSITY_OUTSIDE[seed % 2], rng) if outside else _log_draw(GRANULE_DENSITY, rng)
    extent = np.array(shape) * PIXEL_UM
    n = max(1, round(density * float(np.prod(extent))))
    centre = rng.uniform(-0.3, 0.3, (n, 2)) + rng.random((n, 2)) * extent
    row = np.arange(n) < n // 3
    phase = rng.uniform(0, 2 * math.pi, 5)[np.arange(n) % 5]
    along = rng.random(n) * extent[1]
    wave = extent[0] * (0.5 + 0.35 * np.sin(2 * math.pi * along / extent[1] + phase))
    centre[row] = np.stack([wave, along], axis=1)[row]
    radius = rng.uniform(*GRANULE_RADIUS_UM, n)
    light = radius**3 * rng.uniform(0.3, 1.7, n) / 0.15**3
    sigma, pedestal = _optics(rng, outside=outside)
    target = _discs(centre, radius, light, TARGET_SIGMA_UM, shape)
    seen = (1 - pedestal) * _discs(centre, radius, light, sigma, shape)
    seen += pedestal * _discs(centre, radius, light, 2.5 * sigma, shape)
    source, numbers = _record(seen, target, rng)
    return Pair(*source, numbers | {"density": density, "sigma_um": sigma, "pedestal": pedestal})


def spheres_and_shells(
    seed: int,
    shape: tuple[int, int, int] = (96, 128, 128),
    *,
    pixel_um: float = 0.25,
    lateral_sigma_um: float = 0.25,
    axial_sigma_um: float | None = None,
) -> NDArray[np.float32]:
    """Render balls and spherical shells (ZYX, isotropic voxels): the structure is the same along every axis.

    Parameters
    ----------
    axial_sigma_um
        Width of the PSF along Z; None: as `lateral_sigma_um`. Two calls with the same seed and other widths show the
        same scene, so that an anisotropic stack and its isotropic truth are a pair.
    """
    rng = np.random.default_rng([103, seed])
    extent = np.array(shape) * pixel_um
    n = max(3, round(0.25 * float(np.prod(extent)) / (4 / 3 * math.pi * np.mean(SPHERE_RADIUS_UM) ** 3)))
    volume = np.zeros(shape)
    for _ in range(n):
        centre, radius = rng.random(3) * extent, _draw(SPHERE_RADIUS_UM, rng)
        brightness, is_shell = rng.uniform(0.4, 1.0), rng.random() < 0.5
        window, offset = _window(centre, radius + 4 * lateral_sigma_um, shape, (pixel_um,) * 3)
        distance = np.sqrt(sum(axis**2 for axis in np.ix_(*offset)))
        profile = _shell_profile if is_shell else _ball_profile
        volume[window] += brightness * profile(distance, radius, lateral_sigma_um)
    if axial_sigma_um is not None:
        # Gaussians add in squares, so that what an isotropic one lacks along Z can be added.
        rest_px = math.sqrt(axial_sigma_um**2 - lateral_sigma_um**2) / pixel_um
        volume = ndimage.gaussian_filter1d(volume, rest_px, axis=0, mode="reflect", truncate=5)
    return volume.astype(np.float32)


def sparse_planes(volume: NDArray[np.float32], factor: int, *, photons: float, seed: int) -> NDArray[np.float32]:
    """Return every factor-th plane, at the middle of its group of planes, with shot and read noise.

    For an even factor the middle lies between two planes, and their mean is taken before the noise.
    """
    rng = np.random.default_rng([104, seed])
    first = (factor - 1) // 2
    second = factor // 2
    n = len(volume) // factor
    planes = (volume[first::factor][:n] + volume[second::factor][:n]) / 2
    gain = photons / float(np.percentile(volume, 99.9))
    noisy = rng.poisson(np.maximum(planes, 0) * gain) + rng.normal(0, 1.5, planes.shape)
    return (noisy / gain).astype(np.float32)


class Epithelium(NamedTuple):
    """A recorded volume (ZYX), the clean projection of its sheet (YX) and the plane of the sheet (YX)."""

    volume: NDArray[np.float32]
    projection: NDArray[np.float32]
    height_px: NDArray[np.float32]
    numbers: dict[str, float]


def epithelium(
    seed: int, shape: tuple[int, int, int] = (40, 256, 256), *, pixel_um: tuple[float, float] = (0.5, 0.2)
) -> Epithelium:
    """Render a distorted honeycomb on a surface of cosines, with blobs and a flat layer of wide cells out of plane.

    Parameters
    ----------
    pixel_um
        Of Z, and of Y and X.
    """
    rng = np.random.default_rng([105, seed])
    size_z, size = pixel_um
    y, x = ((np.arange(n) + 0.5) * size for n in shape[1:])
    relief = _draw(RELIEF_UM, rng)
    height = _cosines(y, x, relief, rng) + 0.5 * (shape[0] * size_z - relief) + 1.0
    diameter, width = _draw(CELL_DIAMETER_UM[seed % 2], rng), 0.22
    sheet = _honeycomb(y, x, diameter, width, rng)
    depth = 0.8
    z = ((np.arange(shape[0]) + 0.5) * size_z)[:, None, None]
    volume = sheet * np.exp(-((z - height) ** 2) / (2 * depth**2))
    # Out of plane: wide, dim cells in a flat layer above, and blurred blobs below.
    above = 0.35 * _honeycomb(y, x, 3 * diameter, 1.5 * width, rng)
    volume += above * np.exp(-((z - (height.min() - 3.5)) ** 2) / (2 * depth**2))
    for _ in range(round(0.02 * len(y) * len(x) * size**2)):
        cy, cx = rng.random() * y[-1], rng.random() * x[-1]
        cz = float(height[int(cy / size) % len(y), int(cx / size) % len(x)]) + rng.uniform(3.0, 6.0)
        lateral = np.exp(-((y - cy) ** 2)[:, None] / (2 * 0.35**2)) * np.exp(-((x - cx) ** 2) / (2 * 0.35**2))
        volume += rng.uniform(0.2, 0.9) * lateral * np.exp(-((z - cz) ** 2) / (2 * 0.9**2))
    photons = float(np.exp(rng.uniform(math.log(6.0), math.log(60.0))))
    electrons = volume * photons / np.percentile(sheet, 99.0)
    noisy = rng.poisson(electrons + 1.0) + rng.normal(0, 1.5, volume.shape)
    clean = sheet * photons / np.percentile(sheet, 99.0)
    return Epithelium(
        (100 + 2 * noisy).astype(np.float32),
        (100 + 2 * clean).astype(np.float32),
        (height / size_z - 0.5).astype(np.float32),
        {"photons": photons, "relief_um": relief, "diameter_um": diameter},
    )


def _draw(span: tuple[float, float], rng: np.random.Generator) -> float:
    return float(rng.uniform(*span))


def _log_draw(span: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(span))))


def _optics(rng: np.random.Generator, *, outside: bool) -> tuple[float, float]:
    """Return the width of the core of a source's PSF, and the share of its pedestal."""
    if outside:
        return _draw(SIGMA_OUTSIDE_UM, rng), _draw(PEDESTAL_OUTSIDE, rng)
    return _draw(SIGMA_UM, rng), _draw(PEDESTAL, rng)


def _record(
    seen: Array, target: Array, rng: np.random.Generator
) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], dict[str, float]]:
    """Return source and target in grey levels: background of three cosines, shot noise, read noise."""
    photons = _log_draw(PHOTONS, rng)
    scale = photons / np.percentile(seen, 99.9)
    y, x = (np.arange(n, dtype=float) for n in seen.shape)
    light = _draw(BACKGROUND, rng)
    background = photons * light * (0.5 + 0.5 * _cosines(y, x, 1.0, rng, n_waves=(0.5, 3)))
    read, gain, offset = rng.uniform(0.8, 4.0), rng.uniform(0.4, 3.0), rng.uniform(50, 500)
    noisy = rng.poisson(seen * scale + background) + rng.normal(0, read, seen.shape)
    source = np.rint(offset + gain * noisy).astype(np.float32)
    numbers = {"photons": photons, "background": light, "read_noise": read, "gain": gain, "offset": offset}
    return (source, (offset + gain * target * scale).astype(np.float32)), numbers


def _cosines(
    y: Array, x: Array, range_: float, rng: np.random.Generator, n_waves: tuple[float, float] = (0.6, 1.8)
) -> Array:
    """Return a sum of five cosines over the field, from 0 to `range_`."""
    surface = np.zeros((len(y), len(x)))
    for _ in range(5):
        angle, waves = rng.uniform(0, 2 * math.pi), rng.uniform(*n_waves)
        along = math.sin(angle) * y[:, None] / y[-1] + math.cos(angle) * x / x[-1]
        surface += rng.uniform(0.5, 1) / waves * np.cos(2 * math.pi * waves * along + rng.uniform(0, 2 * math.pi))
    return range_ * (surface - surface.min()) / np.ptp(surface)


def _arcs(density: float, shape: tuple[int, int], rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Return starts and ends (N, YX) of straight pieces of filaments, and the light of each (its length)."""
    extent, step = np.array(shape) * PIXEL_UM, 0.2
    wanted = density * float(np.prod(extent))
    starts, ends, light = [], [], []
    inside = 0.0
    while inside < wanted:
        n = int(rng.uniform(20, 150))
        # Arcs of 2 to 8 um, each with its own curvature.
        curvature = np.concatenate(
            [
                np.full(
                    int(rng.uniform(2, 8) / step),
                    rng.choice([-1, 1]) / np.exp(rng.uniform(*np.log(TUBULE_ARC_RADIUS_UM))),
                )
                for _ in range(n // 10 + 1)
            ]
        )[:n]
        angle = rng.uniform(0, 2 * math.pi) + np.cumsum(curvature) * step
        points = rng.uniform(-2, 2, 2) + rng.random(2) * extent
        points = points + np.cumsum(np.stack([np.sin(angle), np.cos(angle)], axis=1) * step, axis=0)
        starts.append(points[:-1])
        ends.append(points[1:])
        light.append(np.full(len(points) - 1, step * rng.uniform(0.6, 1.4)))
        inside += step * float(((points >= 0) & (points < extent)).all(axis=1).sum())
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(light)


def _segments(starts: Array, ends: Array, light: Array, sigma: float, shape: tuple[int, int]) -> Array:
    """Return straight pieces seen through a Gaussian: a bell across, a difference of error functions along each."""
    image = np.zeros(shape)
    for start, end, brightness in zip(starts, ends, light, strict=True):
        length = float(np.hypot(*(end - start)))
        window, (y, x) = _window((start + end) / 2, length / 2 + 5 * sigma, shape, (PIXEL_UM,) * 2)
        if not len(y) or not len(x):
            continue
        ty, tx = (end - start) / length
        along = ty * y[:, None] + tx * x
        across = tx * y[:, None] - ty * x
        root2 = math.sqrt(2) * sigma
        integral = 0.5 * (erf((along + length / 2) / root2) - erf((along - length / 2) / root2)) / length
        bell = np.exp(-((across / root2) ** 2)) / (math.sqrt(2 * math.pi) * sigma)
        image[window] += brightness * integral * bell
    return image


def _discs(centre: Array, radius: Array, light: Array, sigma: float, shape: tuple[int, int]) -> Array:
    """Return balls seen from above through a Gaussian: their blurred profile integrated along Z by quadrature."""
    node, weight = np.polynomial.legendre.leggauss(24)
    image = np.zeros(shape)
    for middle, r, brightness in zip(centre, radius, light, strict=True):
        reach = r + 5 * sigma
        window, (y, x) = _window(middle, reach, shape, (PIXEL_UM,) * 2)
        distance2 = y[:, None] ** 2 + x**2
        profile = sum(
            w * _ball_profile(np.sqrt(distance2 + (reach * t) ** 2), r, sigma)
            for t, w in zip(node, weight, strict=True)
        )
        image[window] += brightness * reach * np.asarray(profile) / (4 / 3 * math.pi * r**3)
    return image


def _ball_profile(distance: Array, radius: float, sigma: float) -> Array:
    """Return a ball of brightness 1 through an isotropic Gaussian, at `distance` from its centre."""
    r, root2 = np.maximum(distance, 1e-6), math.sqrt(2) * sigma
    inside = 0.5 * (erf((r + radius) / root2) - erf((r - radius) / root2))
    edge = np.exp(-(((r - radius) / root2) ** 2)) - np.exp(-(((r + radius) / root2) ** 2))
    return np.asarray(inside - sigma / (r * math.sqrt(2 * math.pi)) * edge)


def _shell_profile(distance: Array, radius: float, sigma: float) -> Array:
    """Return an infinitely thin sphere through an isotropic Gaussian, about 1 at its brightest."""
    r, root2 = np.maximum(distance, 1e-6), math.sqrt(2) * sigma
    difference = np.exp(-(((r - radius) / root2) ** 2)) - np.exp(-(((r + radius) / root2) ** 2))
    return np.asarray(radius / r * difference)


def _window(
    centre: Array, reach: float, shape: tuple[int, ...], pixel_um: tuple[float, ...]
) -> tuple[tuple[slice, ...], list[Array]]:
    """Return the pixels within `reach` of `centre` along each axis, and their distances from it."""
    window, offsets = [], []
    for middle, n, size in zip(centre, shape, pixel_um, strict=True):
        low = min(max(math.ceil((middle - reach) / size - 0.5), 0), n)
        high = min(max(math.floor((middle + reach) / size - 0.5) + 1, low), n)
        window.append(slice(low, high))
        offsets.append((np.arange(low, high) + 0.5) * size - middle)
    return tuple(window), offsets


def _honeycomb(y: Array, x: Array, diameter: float, width: float, rng: np.random.Generator) -> Array:
    """Return borders of jittered hexagonal cells as bells across the border, brightness uneven from place to place."""
    step = diameter * 0.95
    rows = np.arange(-2, (y[-1] + 4 * step) / (step * math.sqrt(3) / 2))
    columns = np.arange(-2, (x[-1] + 4 * step) / step)
    seeds = np.stack(
        [
            np.repeat(rows * step * math.sqrt(3) / 2, len(columns)),
            (columns[None] * step + 0.5 * step * (rows[:, None] % 2)).ravel(),
        ],
        axis=1,
    )
    seeds = seeds + rng.uniform(-0.3, 0.3, seeds.shape) * step
    image = np.empty((len(y), len(x)))
    for i, row in enumerate(y):
        near = seeds[np.abs(seeds[:, 0] - row) < 2.5 * step]
        distance2 = (near[:, 0, None] - row) ** 2 + (near[:, 1, None] - x) ** 2
        first, second = np.partition(distance2, 1, axis=0)[:2]
        # Which two seeds they are gives the distance of their bisector: (d2^2 - d1^2) / (2 |s1 - s2|).
        order = np.argpartition(distance2, 1, axis=0)[:2]
        apart = np.linalg.norm(near[order[0]] - near[order[1]], axis=1)
        image[i] = np.exp(-(((second - first) / (2 * apart)) ** 2) / (2 * width**2))
    uneven = 0.55 + 0.9 * _cosines(y, x, 1.0, rng, n_waves=(3, 12))
    return np.asarray(image * uneven)
