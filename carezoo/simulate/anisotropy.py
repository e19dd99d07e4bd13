"""Semi-synthetic anisotropy: lateral slices made to look axial, and stacks that lose planes.

Half-pixel convention everywhere, as in the graphs: pixels are areas, sample ``k`` of a coarse axis covers the fine
pixels from ``k * factor`` to ``(k + 1) * factor`` and its centre lies at fine coordinate ``(k + 1/2) * factor - 1/2``::

    fine    | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |        factor 4
    coarse  |       0       |       1       |        centres at 1.5 and 5.5

End points are not aligned with end points: that would stretch an axis of 10 planes by 10 % (`scipy.ndimage.zoom`
without ``grid_mode`` does). Factors are exact fractions and are never rounded; what does not fill a coarse pixel is cut
off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo.errors import DataError, RecipeError
from carezoo.simulate import camera as camera_
from carezoo.simulate.camera import Camera
from carezoo.simulate.psf import Psf, blur


class AnisotropicPair(NamedTuple):
    """A semi-synthetic pair and what it was made with."""

    source: NDArray[np.float32]
    """Shape of `target` for `degrade_laterally`; coarse along Z for `drop_planes`."""
    target: NDArray[np.float32]
    factor: Fraction
    """The factor really used."""
    parameters: dict[str, float]
    """Numbers drawn for the camera, by name; those of channel k end in ``_k`` if there are several."""


def factor_of(value: float | str | Fraction) -> Fraction:
    """Return the factor that `value` means: 10.2 is 51/5, not the nearest binary number.

    Raises
    ------
    RecipeError
        If it is not a number of 1 or more.
    """
    try:
        factor = value if isinstance(value, Fraction) else Fraction(str(value))
    except ValueError:
        raise RecipeError(f"factor: expected a number or a fraction such as 51/5, found {value!r}") from None
    if factor < 1:
        raise RecipeError(
            f"factor: expected 1 or more (distance of the planes over the lateral pixel size), found {value}; "
            "did you mean its inverse?"
        )
    return factor


def n_coarse(n_fine: int, factor: Fraction) -> int:
    """Return how many whole coarse pixels `n_fine` fine ones hold."""
    return math.floor(n_fine / factor)


def check_coarse(n_fine: int, factor: Fraction) -> int:
    """Return how many coarse pixels `n_fine` fine ones hold.

    Raises
    ------
    DataError
        If they are fewer than two, between which nothing can be interpolated.
    """
    n = n_coarse(n_fine, factor)
    if n < 2:
        raise DataError(
            f"factor {float(factor):g} leaves {n} of {n_fine} pixels or planes; expected at least 2. Use larger "
            "images, or a smaller factor"
        )
    return n


def n_fine(n_coarse: int, factor: Fraction) -> int:
    """Return how many whole fine pixels `n_coarse` coarse ones hold."""
    return math.floor(n_coarse * factor)


def subsample(image: NDArray[np.float32], factor: Fraction, axis: int) -> NDArray[np.float32]:
    """Return `image` at the centres of the coarse pixels of `axis`; points are sampled, not areas averaged.

    Raises
    ------
    DataError
        If fewer than two coarse pixels fit.
    """
    n = check_coarse(image.shape[axis], factor)
    at = np.array([float((k + Fraction(1, 2)) * factor - Fraction(1, 2)) for k in range(n)])
    # A cubic spline through the samples: exact at whole pixels, without the smoothing of linear interpolation between.
    return _interpolated(image, at, axis, order=3)


def upsample(image: NDArray[np.float32], factor: Fraction, axis: int) -> NDArray[np.float32]:
    """Return `image` interpolated linearly along `axis`, as the graph does before its network.

    Beyond the centres of the first and the last pixel values are constant (ONNX Resize, linear, half_pixel).
    """
    n = n_fine(image.shape[axis], factor)
    at = np.array([float((j + Fraction(1, 2)) / factor - Fraction(1, 2)) for j in range(n)])
    return _interpolated(image, np.clip(at, 0, image.shape[axis] - 1), axis, order=1)


def _interpolated(image: NDArray[np.float32], at: NDArray[np.float64], axis: int, *, order: int) -> NDArray[np.float32]:
    """Return `image` at coordinates `at` of `axis`."""
    coefficients = image
    if order == 3:
        coefficients = ndimage.spline_filter1d(image, 3, axis=axis, output=np.float64, mode="mirror")
    moved = np.moveaxis(coefficients, axis, 0)
    base = np.floor(at).astype(int)
    t = at - base
    taps = {
        1: [(0, 1 - t), (1, t)],
        3: [
            (-1, (1 - t) ** 3 / 6),
            (0, (3 * t**3 - 6 * t**2 + 4) / 6),
            (1, (3 * (1 - t) ** 3 - 6 * (1 - t) ** 2 + 4) / 6),
            (2, t**3 / 6),
        ],
    }[order]
    n = moved.shape[0]
    result = np.zeros((len(at), *moved.shape[1:]))
    for offset, weight in taps:
        index = np.abs(base + offset)
        index = np.where(index > n - 1, 2 * (n - 1) - index, index)
        result += weight.reshape(-1, *(1,) * (moved.ndim - 1)) * moved[index]
    return np.ascontiguousarray(np.moveaxis(result, 0, axis), np.float32)


def degrade_laterally(
    image: NDArray[np.generic],
    factor: Fraction,
    psfs: Sequence[Psf],
    pixel_size_um: tuple[float, float],
    camera: Camera | None,
    rng: np.random.Generator,
    ranges: Sequence[tuple[float, float]] | None = None,
) -> AnisotropicPair:
    """Return a lateral slice made to look axial along X, and the slice itself.

    PSF, sampling at the coarse pixels of X, photon and read noise of every sample, linear interpolation back. (Noise
    before sampling, as in CSBDeep, is the same: samples are points.)

    Parameters
    ----------
    image
        YX, or CYX with several channels.
    factor
        Distance of the planes over the lateral pixel size.
    psfs
        What turns lateral into axial (`psf.anisotropic_part`), YX: one for all channels or one for each.
    pixel_size_um
        Of Y and X.
    camera
        None: no noise; grey levels stay as they are.
    ranges
        Black and white of each channel (`camera.degrade`), where `image` is a piece of a larger one.

    Returns
    -------
    AnisotropicPair
        Source and target of the same shape, in the grey levels of the source; X is cut to whole coarse pixels.

    Raises
    ------
    DataError
        If there are neither one PSF nor as many as channels, a PSF is larger than the image, or X is too short.
    """
    channels = image[None] if image.ndim == 2 else image
    if image.ndim not in {2, 3} or len(psfs) not in {1, len(channels)}:
        raise DataError(
            f"expected an image with axes YX or CYX and one PSF or one for each channel, found shape {image.shape} and "
            f"{len(psfs)} PSFs"
        )
    sources, targets = [], []
    parameters: dict[str, float] = {}
    for k, channel in enumerate(channels):
        psf = psfs[k] if len(psfs) > 1 else psfs[0]
        sampled = subsample(blur(channel, psf, pixel_size_um), factor, axis=-1)
        source, target, drawn = recorded(sampled, channel, camera, rng, ranges[k] if ranges else (None, None))
        sources.append(upsample(source, factor, axis=-1))
        targets.append(target[..., : sources[-1].shape[-1]])
        parameters |= {f"{name}_{k}" if len(channels) > 1 else name: value for name, value in drawn.items()}
    shape = (*image.shape[:-1], sources[0].shape[-1])
    return AnisotropicPair(np.stack(sources).reshape(shape), np.stack(targets).reshape(shape), factor, parameters)


def recorded(
    degraded: NDArray[np.float32],
    clean: NDArray[np.generic],
    camera: Camera | None,
    rng: np.random.Generator,
    black_white: tuple[float | None, float | None],
) -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, float]]:
    """Return `degraded` through the camera, `clean` in the same grey levels, and the drawn numbers."""
    if camera is None:
        return degraded, clean.astype(np.float32), {}
    exposure = camera_.expose(clean, camera, rng, black=black_white[0], white=black_white[1])
    source, parameters = camera_.record(camera_.electrons(degraded, exposure), exposure, rng)
    return source.astype(np.float32), camera_.grey_levels(clean, exposure), parameters


def drop_planes(source: NDArray[np.generic], target: NDArray[np.generic], factor: Fraction) -> AnisotropicPair:
    """Return a stack with only every factor-th plane of `source`, and `target` on the fine grid that goes with it.

    Planes of the source are dropped, never mixed, so that their noise stays what it is. For an even factor the centre
    of a coarse pixel lies between two planes; the plane before it is kept and the target moved by half a plane (cubic
    spline).

    Parameters
    ----------
    source, target
        ZYX or CZYX, same shape: an acquired pair.
    factor
        A whole number.

    Raises
    ------
    DataError
        If the factor is not whole (`thin_out` takes any), or fewer than two planes remain.
    """
    if factor.denominator != 1:
        raise DataError(
            f"acquired planes can be dropped by a whole factor only, found {float(factor):g}; use {round(factor)}, or "
            "degrade clean stacks (task upsample of a simulation), whose planes can be interpolated"
        )
    if source.shape != target.shape or source.ndim not in {3, 4}:
        raise DataError(f"expected a pair of stacks of one shape, ZYX or CZYX, found {source.shape} and {target.shape}")
    z = source.ndim - 3
    step = int(factor)
    n = check_coarse(source.shape[z], factor)
    kept = np.take(source, np.arange(n) * step + (step - 1) // 2, axis=z).astype(np.float32)
    offset = (step - 1) // 2 - (step - 1) / 2
    at = np.arange(n * step, dtype=np.float64) + offset
    moved = target.astype(np.float32) if offset == 0 else _interpolated(target.astype(np.float32), at, z, order=3)
    return AnisotropicPair(kept, np.take(moved, np.arange(n * step), axis=z), factor, {})
