"""What is in an image besides the structure: uniform light, uneven background, out-of-focus haze, vesicles.

Targets keep only the uniform light: an image does not show which part of it is the camera's offset, so a model that had
to subtract it could only guess. All amounts are shares of the structure's own brightness, so that they mean the same at
any photon count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import RecipeError
from carezoo.schema.span import Span, draw_spans, require_not_negative, require_positive
from carezoo.simulate import rendering
from carezoo.simulate.psf import Gaussian
from carezoo.simulate.rendering import Canvas, Emitters


@dataclass(frozen=True, kw_only=True)
class Background:
    """Light that does not belong to the structure; every `Span` is drawn anew for each image."""

    level: Span = Span(0.0, 0.2)
    """Uniform light, as a share of the structure's brightness (99.9th percentile)."""
    texture: Span = Span(0.0, 0.4)
    """Uneven light (Perlin noise) from 0 up to this share of the structure's brightness."""
    texture_size_um: Span = Span(3.0, 12.0)
    """Size of the largest features of the uneven light."""
    n_octaves: int = 3
    """How often features of half the size are added with half the strength."""
    haze: Span = Span(0.0, 0.5)
    """Out-of-focus light of the structure itself, as a share of its light in focus."""
    haze_sigma_um: Span = Span(0.8, 2.5)
    """Standard deviation of the blur of the haze."""
    vesicle_density: Span = Span(0.0, 0.03)
    """Autofluorescent vesicles out of focus, per um^2 (in 3D per area seen from above)."""
    vesicle_brightness: Span = Span(0.2, 1.0)
    """Brightness of a vesicle's middle, as a share of the structure's brightness."""
    vesicle_sigma_um: Span = Span(0.3, 0.8)
    """Standard deviation of the blurred vesicles of an image."""

    def __post_init__(self) -> None:
        require_not_negative(self, "level", "texture", "haze", "vesicle_density", "vesicle_brightness")
        require_positive(self, "texture_size_um", "haze_sigma_um", "vesicle_sigma_um")
        if not 1 <= self.n_octaves <= 8:
            raise RecipeError(f"n_octaves: expected 1 to 8, found {self.n_octaves}")


def add_background(
    background: Background,
    image: NDArray[np.float32],
    spectrum: NDArray[np.complex64],
    canvas: Canvas,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], np.float32, dict[str, float]]:
    """Return `image` with `background` added, the uniform part of it, and the numbers it was drawn with.

    `image` is the structure through the PSF; `spectrum` is that of the structure, for its haze.
    """
    parameters = draw_spans(background, rng)
    reference = np.float32(np.percentile(image, 99.9))
    uniform = reference * np.float32(parameters["level"])
    result = image + uniform
    if parameters["texture"] > 0:
        period_px = [parameters["texture_size_um"] / size for size in canvas.image.pixel_size_um]
        noise = draw_perlin(image.shape, period_px, rng, n_octaves=background.n_octaves)
        result += reference * np.float32(parameters["texture"]) * noise
    if parameters["haze"] > 0:
        wide = Gaussian((parameters["haze_sigma_um"],) * image.ndim)
        result += np.float32(parameters["haze"]) * rendering.render(spectrum, wide, canvas)
    if parameters["vesicle_density"] > 0:
        result += reference * _render_vesicles(parameters, canvas, rng)
    return result, uniform, parameters


def _render_vesicles(parameters: dict[str, float], canvas: Canvas, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return blurred spots whose middles are about as bright as asked."""
    extent = canvas.field.extent_um
    n = rng.poisson(parameters["vesicle_density"] * extent[-1] * extent[-2])
    if n == 0:
        return np.zeros(canvas.image.shape, np.float32)
    psf = Gaussian((parameters["vesicle_sigma_um"],) * len(extent))
    sigma_px = [parameters["vesicle_sigma_um"] / size for size in canvas.field.pixel_size_um]
    light_of_unit_middle = math.prod(math.sqrt(2 * math.pi) * sigma for sigma in sigma_px)
    light = parameters["vesicle_brightness"] * light_of_unit_middle * rng.lognormal(0.0, 0.4, n)
    spots = Emitters((rng.random((n, len(extent))) * extent).astype(np.float32), light.astype(np.float32))
    coarse = replace(canvas, oversampling=rendering.choose_oversampling(psf.sigma_um, canvas.field.pixel_size_um))
    return rendering.render(rendering.compute_spectrum(spots, coarse), psf, coarse)


def draw_perlin(
    shape: tuple[int, ...], period_px: list[float], rng: np.random.Generator, *, n_octaves: int = 1
) -> NDArray[np.float32]:
    """Return Perlin noise (Perlin 1985, 2002) of `shape`, from 0 to 1.

    Lattice points of the first octave are `period_px` pixels apart along each axis; each further octave has half.
    """
    noise = np.zeros(shape, np.float32)
    for octave in range(n_octaves):
        period = [max(size / 2**octave, 2.0) for size in period_px]
        noise += np.float32(0.5**octave) * _draw_octave(shape, period, rng)
    noise -= noise.min()
    noise /= np.maximum(noise.max(), np.float32(1e-12))
    return noise


def _draw_octave(shape: tuple[int, ...], period_px: list[float], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return gradient noise as products of matrices.

    The value between lattice points is a sum over them of (gradient . distance) times one fade weight for each axis, so
    along each axis it is a matrix product with the weights, or, for the gradient of that axis, with the weights times
    the distances.
    """
    faded, distant = [], []
    for n, period in zip(shape, period_px, strict=True):
        at = np.arange(n) / period + rng.random()
        lattice = np.arange(int(at[-1]) + 2)
        distance = at[:, None] - lattice
        t = np.clip(1.0 - np.abs(distance), 0.0, 1.0)
        fade = t**3 * (t * (t * 6.0 - 15.0) + 10.0)
        faded.append(fade.astype(np.float32))
        distant.append((fade * distance).astype(np.float32))
    gradient = rng.standard_normal((len(shape), *(w.shape[1] for w in faded)), dtype=np.float32)
    gradient /= np.linalg.norm(gradient, axis=0)
    noise = np.zeros(shape, np.float32)
    for axis, component in enumerate(gradient):
        product: NDArray[np.float32] = component
        for other, weight in enumerate(faded):
            # Contracts the first axis and appends the result as the last: after all axes the order is the old one.
            along = distant[axis] if other == axis else weight
            product = np.tensordot(product, along, axes=(0, 1)).astype(np.float32, copy=False)
        noise += product
    return noise
