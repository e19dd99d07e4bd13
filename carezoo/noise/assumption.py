"""Whether noise is what a training without clean images takes it for: independent from pixel to pixel, of known size.

Structure is in the way of looking. Two facts get around it. A round aperture passes nothing in the corners of the
Fourier plane, so that of a well-sampled image only noise is there, and that of independent pixels is flat. And a line
of the detector that is off is off over the whole width of the image, which hardly a structure is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo.errors import DataError
from carezoo.image import Image
from carezoo.noise.measure import FINEST, Estimate, read_planes

MOST_CORRELATED = 0.05
"""Correlation of the noise of neighbouring pixels. Detectors of confocal microscopes have up to 0.05 along their lines,
which training bears."""

MOST_IN_LINES = 0.005
"""Share of whole lines that are off together in the variance of the noise."""

LEAST_COARSE_POWER = 0.6
"""Power of low frequencies over that of high ones. Independent noise has 0.85 in the tiles that happen to be flattest,
and structure adds to it."""

_WAY_ON = (
    "The noise is not independent from pixel to pixel, and a network would keep it as structure. Use the images as "
    "they were acquired; or take movies of a still sample and pairs of frames (target: frames), whose noise need be "
    "independent from frame to frame only"
)

_N_SE = 2.0
"""Standard errors by which a measurement has to be beyond its limit."""

_TILE = 32
"""Pixels: side of the pieces whose spectra are averaged."""

_FREQUENCY = np.abs(np.fft.fftfreq(_TILE)) * 2 * math.pi
_HIGH = 0.74 * math.pi < _FREQUENCY
_MIDDLE = (0.3 * math.pi < _FREQUENCY) & (0.7 * math.pi > _FREQUENCY)
_LOW = (0.1 * math.pi < _FREQUENCY) & (0.4 * math.pi > _FREQUENCY)

_N_OVERLAPPING = 1.7
"""Of tiles, which overlap by half, how many count as one."""

_FAR, _BLOCKS = 2, 8
"""A line is cut into blocks; those this far apart are compared."""

Planes = Sequence[NDArray[np.generic]]


def check_assumption(images: Sequence[Image], channel: int = 0) -> None:
    """Refuse images whose noise is not independent from pixel to pixel.

    Parameters
    ----------
    images
        Of one detector, any axes.
    channel
        Which channel, from 0.

    Raises
    ------
    DataError
        With what was measured, what was expected, and what to do.
    """
    planes = [plane for plane in read_planes(images, channel) if min(plane.shape) >= 2 * _TILE]
    if not planes:
        raise DataError(
            f"noise: expected images of at least {2 * _TILE} x {2 * _TILE} pixels, to measure whether the noise of "
            f"neighbours is independent; found {images[0].shape} with axes {images[0].axes}"
        )
    _refuse_lines(planes)
    _refuse_correlation(planes)


def measure_correlation(planes: Planes) -> dict[str, Estimate]:
    """Measure the correlation of the noise of neighbours along X and Y.

    The spectrum of noise with correlation r along X is ``1 + 2 r cos(f)``. It is compared where f along X is near its
    highest and where it is in the middle, both times with the highest frequencies along Y.

    Parameters
    ----------
    planes
        YX, 32 x 32 pixels and above.
    """
    found = _measure_powers(planes)
    drop = 2 * float(np.cos(_FREQUENCY[_MIDDLE]).mean() - np.cos(_FREQUENCY[_HIGH]).mean())
    ratios = {"X": _divide(found.corner, found.middle_x), "Y": _divide(found.corner, found.middle_y)}
    return {axis: Estimate((1 - ratio.value) / drop, ratio.se / drop) for axis, ratio in ratios.items()}


def measure_coarse_power(planes: Planes) -> Estimate:
    """Measure the power of low frequencies over that of the highest: about 1 for noise, and more with structure.

    Less comes from sharpening.
    """
    found = _measure_powers(planes)
    return _divide(found.low, found.corner)


def measure_lines(planes: Planes) -> dict[str, Estimate]:
    """Measure which share of the variance of the noise belongs to whole rows (X) and columns (Y) that are off.

    Of every line the finest detail across lines is averaged over blocks; the product of distant blocks holds what they
    have in common.

    Parameters
    ----------
    planes
        YX, 32 x 32 pixels and above.
    """
    return {axis: _measure_rows([plane.T if axis == "Y" else plane for plane in planes]) for axis in ("X", "Y")}


def _refuse_lines(planes: Planes) -> None:
    for axis, share in measure_lines(planes).items():
        if share.value - _N_SE * share.se > MOST_IN_LINES:
            raise DataError(
                f"noise: whole lines along {axis} are brighter or darker than their neighbours; they make "
                f"{100 * share.value:.1f} +- {100 * share.se:.1f} % of the variance of the noise, expected at most "
                f"{100 * MOST_IN_LINES:g} %. A network would keep them as structure. Subtract the pattern of the "
                "camera (a mean of dark frames), or take movies of a still sample and pairs of frames (target: frames)"
            )


def _refuse_correlation(planes: Planes) -> None:
    for axis, found in measure_correlation(planes).items():
        if abs(found.value) - _N_SE * found.se > MOST_CORRELATED:
            raise DataError(
                f"noise: that of neighbours along {axis} is correlated by {found.value:.2f} +- {found.se:.2f}, "
                f"expected between -{MOST_CORRELATED:g} and {MOST_CORRELATED:g}. The images were smoothed, resampled, "
                f"rotated, averaged after a shift, or deconvolved, or the detector is slow. {_WAY_ON}"
            )
    coarse = measure_coarse_power(planes)
    if coarse.value + _N_SE * coarse.se < LEAST_COARSE_POWER:
        raise DataError(
            f"noise: its low frequencies have {coarse.value:.2f} +- {coarse.se:.2f} times the power of its high ones, "
            f"expected at least {LEAST_COARSE_POWER:g}. The images were sharpened or deconvolved. {_WAY_ON}"
        )


class _Powers(NamedTuple):
    """Mean power of the flatter half of the tiles in parts of the Fourier plane; a number a tile."""

    corner: NDArray[np.float64]
    middle_x: NDArray[np.float64]
    """High along Y."""
    middle_y: NDArray[np.float64]
    """High along X."""
    low: NDArray[np.float64]


def _measure_powers(planes: Planes) -> _Powers:
    spectra = np.concatenate([_compute_spectra(plane) for plane in planes])
    parts = ((_HIGH, _HIGH), (_HIGH, _MIDDLE), (_MIDDLE, _HIGH), (_LOW, _LOW))
    powers = [spectra[:, along_y][:, :, along_x].mean(axis=(1, 2)) for along_y, along_x in parts]
    noise = np.sum(powers[:3], axis=0)
    structure = np.divide(powers[3], noise, out=np.full(len(noise), np.inf), where=noise > 0)
    flat = np.argsort(structure)[: max(len(structure) // 2, 1)]
    return _Powers(*(power[flat] for power in powers))


def _compute_spectra(plane: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return power spectra of overlapping tiles: one a row, all frequencies."""
    step, window = _TILE // 2, np.hanning(_TILE + 2)[1:-1]
    tiles = np.lib.stride_tricks.sliding_window_view(plane.astype(np.float64), (_TILE, _TILE))[::step, ::step]
    tiles = tiles.reshape(-1, _TILE, _TILE)
    values = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * (window[:, None] * window)
    return np.asarray(np.abs(np.fft.fft2(values)) ** 2)


def _divide(one: NDArray[np.float64], other: NDArray[np.float64]) -> Estimate:
    """Return the ratio of two means over tiles."""
    mean = max(float(other.mean()), np.finfo(float).tiny)
    ratio = float(one.mean()) / mean
    return Estimate(ratio, float((one - ratio * other).std()) / mean * math.sqrt(_N_OVERLAPPING / len(one)))


def _measure_rows(planes: Planes) -> Estimate:
    shared, variance = [], []
    for plane in planes:
        detail = ndimage.convolve1d(plane.astype(np.float64), FINEST, 0)[2:-2]
        variance.append(np.square(ndimage.convolve1d(detail, FINEST, 1)[:, 2:-2]).mean())
        width = max(plane.shape[1] // _BLOCKS, 8)
        n = plane.shape[1] // width
        means = detail[:, : n * width].reshape(len(detail), n, width).mean(axis=2)
        products = [means[:, i] * means[:, j] for i in range(n) for j in range(i + _FAR, n)]
        # Neighbouring rows share pixels: pieces of the image are what varies independently.
        shared += [piece.mean() for piece in np.array_split(np.mean(products, axis=0), _BLOCKS)]
    of_noise = max(float(np.mean(variance)), np.finfo(float).tiny)
    spread = float(np.std(shared, ddof=1)) / math.sqrt(len(shared))
    return Estimate(float(np.mean(shared)) / of_noise, spread / of_noise)
