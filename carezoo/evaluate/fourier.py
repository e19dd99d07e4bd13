"""How fine a restored image is: spectra along each axis, and its correlation with the target by spatial frequency.

The correlation is that of two images (Fourier ring correlation, and shell correlation in volumes), the restored one and
its target, so a resolution here is the finest detail *both* share: sharp invention does not raise it, and noise in the
target lowers it. For volumes, shells are cut into directions within 30 degrees of the XY plane and of the Z axis
(conical shells), which tells apart what an isotropic model is made for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 1.0 / 7.0
"""Correlation at which the resolution is read (Rosenthal and Henderson 2003)."""

CONE_DEGREES = 30.0

N_FREQUENCIES = 64
"""Most points of a curve; neighbouring frequencies of larger images are taken together."""

LEAST_SIDE = 16
"""Pixels an axis must have for anything to be said about frequencies along it."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Spectrum:
    """Power along one axis, averaged over all lines of an image."""

    frequency: tuple[float, ...]
    """Cycles per pixel, up to 0.5."""
    power: tuple[float, ...]
    """Mean squared amplitude of the line, its mean removed, under a Hann window; squared units of the image."""


@dataclass(frozen=True)
class Correlation:
    """How two images agree at each spatial frequency."""

    frequency: tuple[float, ...]
    """Middle of each ring, in cycles per unit."""
    value: tuple[float, ...]
    """-1 to 1."""
    unit: str
    """µm or pixel: what frequencies and resolution are counted in."""
    nyquist: float
    """Highest frequency the pixels can hold along the direction."""

    @property
    def resolution(self) -> float | None:
        """Period at which the correlation falls under `THRESHOLD`; None if it is lower at every frequency.

        Two pixels if it never falls that low: the images agree up to what pixels can hold (`is_limited_by_pixels`).
        """
        below = [i for i, value in enumerate(self.value) if value < THRESHOLD]
        if not below:
            return 1.0 / self.nyquist
        if (i := below[0]) == 0:
            return None
        (low, high), (before, after) = self.frequency[i - 1 : i + 1], self.value[i - 1 : i + 1]
        return 1.0 / (low + (high - low) * (before - THRESHOLD) / (before - after))

    @property
    def is_limited_by_pixels(self) -> bool:
        """Whether the correlation stays above `THRESHOLD` up to the highest frequency."""
        return min(self.value) >= THRESHOLD


def spectra(image: NDArray[Any]) -> dict[str, Spectrum]:
    """Return the spectrum along each axis of an image YX or ZYX with at least `LEAST_SIDE` pixels, by its letter."""
    found = {}
    for axis, letter in enumerate("ZYX"[-image.ndim :]):
        n = image.shape[axis]
        if n < LEAST_SIDE:
            continue
        lines = np.moveaxis(image, axis, -1).reshape(-1, n).astype(np.float64)
        window = np.hanning(n + 2)[1:-1]
        lines = (lines - lines.mean(axis=1, keepdims=True)) * window
        power = (np.abs(np.fft.rfft(lines, axis=1)) ** 2).mean(axis=0) / float(np.sum(window**2))
        parts = min(N_FREQUENCIES, len(power) - 1)
        frequency, power = (
            [float(part.mean()) for part in np.array_split(values[1:], parts)] for values in (np.fft.rfftfreq(n), power)
        )
        found[letter] = Spectrum(tuple(frequency), tuple(power))
    return found


def mean_spectrum(each: Sequence[Spectrum]) -> Spectrum:
    """Return the mean over images, at the frequencies of the first."""
    at = each[0].frequency
    power = np.mean([np.interp(at, one.frequency, one.power) for one in each], axis=0)
    return Spectrum(at, tuple(power.tolist()))


def mean_correlation(each: Sequence[Correlation]) -> Correlation:
    """Return the mean over images, at the frequencies of the first; those in another unit are left out."""
    first = each[0]
    alike = [one for one in each if one.unit == first.unit]
    value = np.mean([np.interp(first.frequency, one.frequency, one.value) for one in alike], axis=0)
    return Correlation(first.frequency, tuple(value.tolist()), first.unit, first.nyquist)


def correlations(
    first: NDArray[Any], second: NDArray[Any], pixel_size_um: Mapping[str, float] | None = None
) -> dict[str, Correlation]:
    """Return how two images of one shape agree at each spatial frequency, by direction.

    Parameters
    ----------
    first, second
        YX or ZYX, any units: correlation does not depend on gain and offset.
    pixel_size_um
        By axis letter. Where one is missing, frequencies are counted in pixels, as if those were cubes.

    Returns
    -------
    dict
        `XY`, and for volumes `Z`; without directions whose axes have fewer than `LEAST_SIDE` pixels.
    """
    letters = "ZYX"[-first.ndim :]
    has_size = pixel_size_um is not None and all(letter in pixel_size_um for letter in letters)
    size = [float(pixel_size_um[letter]) if has_size and pixel_size_um else 1.0 for letter in letters]
    transforms = [_transform(image) for image in (first, second)]
    squares = [
        np.fft.fftfreq(n, d=step).reshape([-1 if i == axis else 1 for i in range(first.ndim)]) ** 2
        for axis, (n, step) in enumerate(zip(first.shape, size, strict=True))
    ]
    lateral: Float64 = np.sqrt(squares[-1] + squares[-2]) + np.zeros(first.shape)
    axial: Float64 = (np.sqrt(squares[0]) if first.ndim == 3 else np.zeros(1)) + np.zeros(first.shape)
    radius, slope = np.hypot(lateral, axial), np.tan(np.radians(CONE_DEGREES))
    cones = {"XY": (axial <= lateral * slope, (-2, -1)), "Z": (lateral <= axial * slope, (0,))}
    found = {}
    for direction, (mask, axes) in cones.items():
        if (direction == "Z" and first.ndim == 2) or min(first.shape[axis] for axis in axes) < LEAST_SIDE:
            continue
        nyquist = min(0.5 / size[axis] for axis in axes)
        n_rings = min(min(first.shape[axis] for axis in axes) // 2, N_FREQUENCIES)
        inside = mask & (radius > 0) & (radius <= nyquist)
        ring = np.minimum((radius[inside] / nyquist * n_rings).astype(int), n_rings - 1)
        values = _by_ring(transforms[0][inside], transforms[1][inside], ring, n_rings)
        known = np.isfinite(values)
        middles = (np.arange(n_rings) + 0.5) / n_rings * nyquist
        found[direction] = Correlation(
            tuple(middles[known].tolist()), tuple(values[known].tolist()), "µm" if has_size else "pixel", nyquist
        )
    return found


def _transform(image: NDArray[Any]) -> NDArray[np.complex128]:
    values = image.astype(np.float64)
    values = values - values.mean()
    for axis, n in enumerate(image.shape):
        window = np.hanning(n + 2)[1:-1]
        values *= window.reshape([-1 if i == axis else 1 for i in range(image.ndim)])
    return np.asarray(np.fft.fftn(values))


def _by_ring(
    first: NDArray[np.complex128], second: NDArray[np.complex128], ring: NDArray[np.intp], n_rings: int
) -> Float64:
    """Return the correlation of each ring; NaN for an empty one, 0 where an image has no power."""
    together = np.bincount(ring, (first * second.conj()).real, n_rings)
    powers = np.bincount(ring, np.abs(first) ** 2, n_rings) * np.bincount(ring, np.abs(second) ** 2, n_rings)
    counted = np.bincount(ring, minlength=n_rings) > 0
    values = np.divide(together, np.sqrt(powers), out=np.zeros(n_rings), where=powers > 0)
    return np.where(counted, values, np.nan)
