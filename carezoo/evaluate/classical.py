"""Classical restoration of one channel, YX or ZYX, on SciPy and scikit-image: float32 in and out, units kept.

`carezoo.evaluate.baselines` knows which of them fit a task, and finds their parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError, MissingExtraError

try:
    from scipy import ndimage
except ImportError as _error:
    raise MissingExtraError.of("scipy", "evaluate", "to evaluate a model") from _error

Floats = NDArray[np.float32]

_SEARCH = 6
"""How far non-local means looks for similar patches, in pixels to each side."""

_BLACK = 2.0
"""Percentile taken for the camera offset."""


def gaussian(image: Floats, sigma: float, sigma_z: float = 0.0) -> Floats:
    """Return the image smoothed by a Gaussian of `sigma` pixels in Y and X, and `sigma_z` planes."""
    return cast(Floats, ndimage.gaussian_filter(image, _per_axis(image, sigma_z, sigma)))


def median(image: Floats, size: int, size_z: int = 1) -> Floats:
    """Return the median over `size` x `size` pixels and `size_z` planes."""
    return cast(Floats, ndimage.median_filter(image, _per_axis(image, size_z, size)))


def nlm(image: Floats, strength: float, patch: int, *, is_root: bool) -> Floats:
    """Return non-local means (Buades et al. 2005), plane by plane.

    Parameters
    ----------
    strength
        Filtering parameter h, in standard deviations of the noise (`noise_sigma`).
    patch
        Side of the patches that are compared.
    is_root
        Work on square roots, where photon noise is the same at all intensities.
    """
    from skimage.restoration import denoise_nl_means

    def denoise_planes(planes: Floats) -> Floats:
        sigma = noise_sigma(planes) or 1e-6
        how = {"patch_size": patch, "patch_distance": _SEARCH, "h": strength * sigma, "sigma": sigma}
        return _by_plane(lambda plane: denoise_nl_means(plane, fast_mode=True, **how), planes)

    return _on_roots(denoise_planes, image) if is_root else denoise_planes(image)


def bm3d(image: Floats, strength: float, *, is_root: bool) -> Floats:
    """Return BM3D (Dabov et al. 2007), plane by plane, for noise of `strength` times `noise_sigma`.

    `is_root` as for `nlm`.
    """
    from bm3d import bm3d as denoise

    def denoise_planes(planes: Floats) -> Floats:
        low, width = float(planes.min()), float(np.ptp(planes)) or 1.0
        sigma = max(strength * noise_sigma(planes) / width, 1e-6)
        return _by_plane(lambda plane: denoise((plane - low) / width, sigma), planes) * np.float32(width) + low

    return _on_roots(denoise_planes, image) if is_root else denoise_planes(image)


def richardson_lucy(image: Floats, psf: Floats, iterations: int) -> Floats:
    """Return the image deconvolved by `iterations` of Richardson and Lucy.

    Parameters
    ----------
    psf
        YX or ZYX, centred on its brightest pixel; a YX PSF deconvolves a volume plane by plane. It is normalized here.

    Notes
    -----
    The camera offset, percentile 2 of the image, is taken off before and added again after; the border is continued by
    reflection over half the PSF.

    Raises
    ------
    InputError
        If the PSF has more axes than the image, or no positive pixel.
    """
    if psf.ndim > image.ndim:
        raise InputError(f"a PSF with {psf.ndim} axes cannot deconvolve an image with {image.ndim}; give a YX one")
    if psf.ndim < image.ndim:
        return np.stack([richardson_lucy(plane, psf, iterations) for plane in image])
    from skimage.restoration import richardson_lucy as deconvolved

    kernel = _center(psf)
    offset = float(np.percentile(image, _BLACK))
    light = np.maximum(image - offset, 0.0)
    scale = float(light.max()) or 1.0
    pads = [(min(n // 2, size - 1),) * 2 for n, size in zip(kernel.shape, image.shape, strict=True)]
    padded = np.pad(light / scale, pads, mode="reflect")
    sharp = deconvolved(padded, kernel, num_iter=iterations, clip=False, filter_epsilon=1e-7)
    inside = tuple(slice(before, before + size) for (before, _), size in zip(pads, image.shape, strict=True))
    return np.asarray(sharp[inside] * scale + offset, np.float32)


def project_height_map(stack: Floats, sigma: float, smooth: int, reach: int) -> Floats:
    """Project a ZYX stack along the surface where it has the highest local contrast, as PreMosa (Blasse et al. 2017).

    Parameters
    ----------
    sigma
        Gaussian window of the local variance, in pixels.
    smooth
        Side of the median filter on the map of heights, which is then smoothed by a Gaussian of a third of it.
    reach
        The mean is taken over this many planes above and below the surface.

    Returns
    -------
    NDArray
        YX; linear between planes.
    """
    window = (0.0, sigma, sigma)
    fine = ndimage.gaussian_filter(stack, (0.0, 0.7, 0.7))
    mean = ndimage.gaussian_filter(fine, window)
    contrast = ndimage.gaussian_filter((fine - mean) ** 2, window)
    height = ndimage.median_filter(contrast.argmax(axis=0).astype(np.float32), smooth, mode="nearest")
    height = ndimage.gaussian_filter(height, smooth / 3.0, mode="nearest")
    rows, columns = np.indices(height.shape, np.float32)
    planes = [
        ndimage.map_coordinates(stack, [height + shift, rows, columns], order=1, mode="nearest")
        for shift in range(-reach, reach + 1)
    ]
    return np.asarray(np.mean(planes, axis=0), np.float32)


def resample_z(stack: Floats, n_planes: int, factor: float | None, *, order: int) -> Floats:
    """Return a ZYX stack with `n_planes` planes, half-pixel convention: plane j lies at ``(j + 1/2) / factor - 1/2``.

    Parameters
    ----------
    factor
        New planes for one old one; None: the ratio of their numbers.
    order
        1 linear, 3 cubic splines.
    """
    factor = factor or n_planes / len(stack)
    position = (np.arange(n_planes, dtype=np.float64) + 0.5) / factor - 0.5
    if order == 1:
        position = position.clip(0, len(stack) - 1)
        below = np.minimum(position.astype(int), max(len(stack) - 2, 0))
        above = np.minimum(below + 1, len(stack) - 1)
        part = (position - below).astype(np.float32)[:, np.newaxis, np.newaxis]
        return np.asarray(stack[below] * (1 - part) + stack[above] * part, np.float32)
    weights = _spline_weights(len(stack), position, order)
    return np.asarray(np.tensordot(weights, stack, axes=(1, 0)), np.float32)


def noise_sigma(image: NDArray[Any]) -> float:
    """Return the standard deviation of the noise of neighbouring pixels, averaged over the image.

    From the diagonal differences of 2x2 pixels, which hold little of a structure that is wider than a pixel; noise that
    varies with intensity counts by its mean square.
    """
    if min(image.shape[-2:]) < 2:
        return float(image.std())
    values = image.astype(np.float32, copy=False)
    diagonal = values[..., 1:, 1:] - values[..., 1:, :-1] - values[..., :-1, 1:] + values[..., :-1, :-1]
    return float(np.sqrt(np.mean(np.square(diagonal, dtype=np.float64)))) / 2.0


def _per_axis(image: Floats, along_z: float, in_plane: float) -> tuple[float, ...]:
    return (in_plane, in_plane) if image.ndim == 2 else (along_z, in_plane, in_plane)


def _on_roots(function: Callable[[Floats], Floats], image: Floats) -> Floats:
    """Apply `function` to the square root of the intensity above the camera offset."""
    offset = np.float32(np.percentile(image, _BLACK))
    root = function(np.sqrt(np.maximum(image - offset, 0)))
    return np.asarray(np.square(root) + offset, np.float32)


def _by_plane(function: Any, image: Floats) -> Floats:
    if image.ndim == 2:
        return np.asarray(function(image), np.float32)
    return np.stack([np.asarray(function(plane), np.float32) for plane in image])


def _center(psf: Floats) -> Floats:
    """Return the PSF with odd sides about its brightest pixel, summing to 1."""
    psf = np.asarray(psf, np.float32)
    if not np.isfinite(psf).all() or psf.max() <= 0:
        raise InputError("the PSF holds no light, or NaN; expected an image of a point")
    peak = np.unravel_index(int(np.argmax(psf)), psf.shape)
    reach = [min(int(p), n - 1 - int(p)) for p, n in zip(peak, psf.shape, strict=True)]
    middle = tuple(slice(int(p) - r, int(p) + r + 1) for p, r in zip(peak, reach, strict=True))
    kernel = np.maximum(psf[middle], 0.0)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _spline_weights(n: int, position: NDArray[np.float64], order: int) -> NDArray[np.float32]:
    """Return how much each of `n` planes contributes to a value at each position: interpolation is linear in them."""
    if n == 1:
        return np.ones((len(position), 1), np.float32)
    impulses = np.eye(n)
    columns = [ndimage.map_coordinates(each, [position], order=order, mode="nearest") for each in impulses]
    return np.asarray(np.stack(columns, axis=1), np.float32)
