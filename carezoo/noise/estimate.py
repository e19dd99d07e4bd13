"""The error of a restored image without a clean one, from noise it has not seen.

Where another noisy frame y2 of the scene is held out, ``(r - y2)^2`` is the squared error of the restored r plus the
noise of y2, whose variance is known. Of two held-out frames the product ``(r - y2)(r - y3)`` needs no variance.

Of a single frame y photoelectrons are held out. With y dealt out to a and b (`carezoo.noise.thin`), and f a method,

    mean (f(y) - y)^2 - v + 2 p mean (f(a) - f(y)) (a - b)

estimates the squared error of f(y): the last term measures how much of the noise f lets through. It is Stein's unbiased
risk estimate with thinning as the probe (Ramani et al. 2008; Luisier et al. 2011; coupled bootstrap, Oliveira et al.
2021), exact for methods linear in y. Taking f(y) off f(a) changes no mean, since a - b is 0 on average whatever y is,
and it takes most of the spread away. Where the noise of neighbours is slightly correlated, a - b is blurred by as much
in the last term.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo.noise.correlation import Estimate
from carezoo.noise.measure import NoiseFit
from carezoo.noise.thin import Noise, thin

SHARE = 0.9
"""Of the photoelectrons that stay where some are held out."""

_BLOCK = 8
"""Pixels: side of the squares whose means are taken for independent."""

Pixels = NDArray[Any]


@dataclass(frozen=True, eq=False)
class ThinnedFrame:
    """A single frame and its parts: what an error is estimated from where there is no other frame."""

    pixels: Pixels
    """YX or ZYX, grey levels."""
    parts: tuple[Pixels, Pixels]
    noise: Noise | NoiseFit
    correlation: tuple[float, float] = (0.0, 0.0)
    """Of the noise of neighbours along X and Y."""

    @classmethod
    def deal_out(
        cls,
        pixels: Pixels,
        noise: Noise | NoiseFit,
        rng: np.random.Generator,
        correlation: tuple[float, float] = (0.0, 0.0),
    ) -> ThinnedFrame:
        """Deal the photoelectrons of a frame out."""
        parts = thin(pixels, noise.noise if isinstance(noise, NoiseFit) else noise, SHARE, rng)
        return cls(pixels, parts, noise, correlation)

    @property
    def sources(self) -> tuple[Pixels, ...]:
        """What a method has to restore."""
        return self.pixels, self.parts[0]

    def crop(self, region: tuple[slice, ...]) -> ThinnedFrame:
        """Return a part of the frame."""
        return replace(self, pixels=self.pixels[region], parts=(self.parts[0][region], self.parts[1][region]))

    def errors(self, restored: Pixels, of_part: Pixels) -> NDArray[np.float64]:
        """Return an estimate of the squared error of `restored` for every pixel; the other is of the second source."""
        return compute_thinned_errors(restored, of_part, self.pixels, self.parts, self.noise, self.correlation)


@dataclass(frozen=True, eq=False)
class RepeatedFrame:
    """A frame and two others of a scene that stands still; nothing needs to be known of their noise."""

    pixels: Pixels
    """YX or ZYX, grey levels."""
    others: tuple[Pixels, Pixels]

    @property
    def sources(self) -> tuple[Pixels, ...]:
        """What a method has to restore."""
        return (self.pixels,)

    def crop(self, region: tuple[slice, ...]) -> RepeatedFrame:
        """Return a part of the frame."""
        return RepeatedFrame(self.pixels[region], (self.others[0][region], self.others[1][region]))

    def errors(self, restored: Pixels) -> NDArray[np.float64]:
        """Return an estimate of the squared error of `restored` for every pixel."""
        first, second = (each.astype(np.float64) for each in self.others)
        return np.asarray((restored - first) * (restored - second))


def estimate_mse(
    restored: Pixels, held_out: Pixels, noise: Noise | NoiseFit, *, share: float = 1.0
) -> tuple[float, float]:
    """Estimate the mean squared error of a restored image from a noisy one that it has not seen.

    Parameters
    ----------
    restored, held_out
        YX or ZYX, one shape and one scene, grey levels.
    noise
        Of whole frames of this detector.
    share
        Of the photoelectrons of a frame that `held_out` was made of (`carezoo.noise.thin.thin`): 0.1 for the target
        of a thinning with p = 0.9. A small share is so noisy that `compute_thinned_errors` knows ten times more.

    Returns
    -------
    mse, standard_error
        Grey levels squared. The estimate of a small error may be negative.
    """
    found = summarize(compute_squared_errors(restored, held_out, noise, share=share))
    return found.value, math.hypot(found.se, noise.variance_se(float(held_out.mean(dtype=np.float64))) / share)


def compute_squared_errors(
    restored: Pixels, held_out: Pixels, noise: Noise | NoiseFit, *, share: float = 1.0
) -> NDArray[np.float64]:
    """Return an unbiased estimate of the squared error for every pixel; parameters as of `estimate_mse`."""
    values = held_out.astype(np.float64)
    return np.asarray((restored - values) ** 2 - noise.variance(values) / share)


def compute_thinned_errors(
    restored: Pixels,
    of_source: Pixels,
    pixels: Pixels,
    parts: tuple[Pixels, Pixels],
    noise: Noise | NoiseFit,
    correlation: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.float64]:
    """Return an estimate of the squared error for every pixel, where one frame is all there is.

    Parameters
    ----------
    restored, of_source
        What the method makes of `pixels`, and of the first of `parts`.
    pixels
        YX or ZYX, grey levels.
    parts
        Source and target of `thin(pixels, noise, SHARE, rng)`.
    correlation
        Of the noise of neighbours along X and Y. What a method lets through of a neighbour's noise counts by it.
    """
    values, probe = pixels.astype(np.float64), parts[0].astype(np.float64) - parts[1]
    for axis, each in zip((-1, -2), correlation, strict=True):
        probe = ndimage.convolve1d(probe, [each, 1.0, each], axis) if each else probe
    passed_on = (of_source.astype(np.float64) - restored) * probe
    return np.asarray((restored - values) ** 2 - noise.variance(values) + 2 * SHARE * passed_on)


def summarize(squared_errors: NDArray[np.float64]) -> Estimate:
    """Return the mean of estimates for every pixel, with its standard error from the means of squares of pixels."""
    values = squared_errors.reshape(-1, *squared_errors.shape[-2:])
    n_rows, n_columns = (max(n // _BLOCK, 1) for n in values.shape[-2:])
    whole = values[:, : n_rows * (values.shape[1] // n_rows), : n_columns * (values.shape[2] // n_columns)]
    means = whole.reshape(len(whole), n_rows, -1, n_columns, whole.shape[2] // n_columns).mean(axis=(2, 4))
    return Estimate(float(values.mean()), float(means.std(ddof=1)) / math.sqrt(means.size))
