"""How the noise of neighbouring pixels is correlated, measured where an image shows nothing else.

A round aperture passes nothing in the corners of the Fourier plane, so that of a well-sampled image only noise is
there, and that of independent pixels is flat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Estimate(NamedTuple):
    """A measured number."""

    value: float
    se: float
    """Standard error; 0 where the value was given."""

    def __str__(self) -> str:
        return f"{self.value:.4g} +- {self.se:.2g}"


Planes = Sequence[NDArray[np.generic]]

TILE = 32
"""Pixels: side of the pieces whose spectra are averaged."""

_FREQUENCY = np.abs(np.fft.fftfreq(TILE)) * 2 * math.pi
_HIGH = 0.74 * math.pi < _FREQUENCY
_MIDDLE = (0.3 * math.pi < _FREQUENCY) & (0.7 * math.pi > _FREQUENCY)
_LOW = (0.1 * math.pi < _FREQUENCY) & (0.4 * math.pi > _FREQUENCY)

_N_SE = 3.0
"""Standard errors from which on a correlation is one."""

_N_OVERLAPPING = 1.7
"""Of tiles, which overlap by half, how many count as one."""


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


def find_correlation(planes: Planes) -> dict[str, Estimate]:
    """Return the correlation along X and Y where it is one: 0, with its standard error, where that explains it.

    Parameters
    ----------
    planes
        YX; those below 64 x 64 pixels are left out. Where that are all, nothing is known, and independence is assumed.
    """
    large = [plane for plane in planes if min(plane.shape) >= 2 * TILE]
    found = measure_correlation(large) if large else dict.fromkeys("XY", Estimate(0.0, 0.0))
    return {axis: one if abs(one.value) > _N_SE * one.se else Estimate(0.0, one.se) for axis, one in found.items()}


def measure_coarse_power(planes: Planes) -> Estimate:
    """Measure the power of low frequencies over that of the highest: about 1 for noise, and more with structure.

    Less comes from sharpening.
    """
    found = _measure_powers(planes)
    return _divide(found.low, found.corner)


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
    step, window = TILE // 2, np.hanning(TILE + 2)[1:-1]
    tiles = np.lib.stride_tricks.sliding_window_view(plane.astype(np.float64), (TILE, TILE))[::step, ::step]
    tiles = tiles.reshape(-1, TILE, TILE)
    values = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * (window[:, None] * window)
    return np.asarray(np.abs(np.fft.fft2(values)) ** 2)


def _divide(one: NDArray[np.float64], other: NDArray[np.float64]) -> Estimate:
    """Return the ratio of two means over tiles."""
    mean = max(float(other.mean()), np.finfo(float).tiny)
    ratio = float(one.mean()) / mean
    return Estimate(ratio, float((one - ratio * other).std()) / mean * math.sqrt(_N_OVERLAPPING / len(one)))
