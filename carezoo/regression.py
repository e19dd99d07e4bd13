"""Which line relates two images of one scene, where both are noisy.

Least squares of one image on the other pulls the gain towards 0 by the share of noise in the variance of the other
(regression dilution). Noise of neighbouring pixels is independent, structure is not: the mean of neighbours of a target
pixel is an instrumental variable (Reiersøl 1941), correlated with the structure of both images and with the noise of
neither. The ratio of its covariances with source and target is the gain, whatever the noise: Poisson, read noise, or
noise of the source that is part of the target, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DISTANCE_PX = 2
"""Of the neighbours: noise is often correlated between pixels that touch (readout, interpolation by registration)."""

N_STANDARD_ERRORS = 3.0
"""By how many of them the gain from neighbours must be above that of least squares to replace it: least squares is the
more precise of the two, where targets are clean."""

_ROWS = 256
"""Rows that are taken in at once, to bound memory."""

_SOURCE, _TARGET, _NEIGHBOURS = range(3)

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """``source = gain * target + offset``, one number a channel."""

    gain: Float64
    offset: Float64
    correlation: Float64
    """Pearson correlation of source and target; 0 where one of them is constant."""


class Scatter:
    """Sums over the pixels of two images, taken in plane by plane.

    Parameters
    ----------
    n_channels
        Channels, each with a line of its own.
    """

    def __init__(self, n_channels: int = 1) -> None:
        self.n = 0
        self.means = np.zeros((3, n_channels))
        self.products = np.zeros((3, 3, n_channels))
        """Sums of products about the means, of source, target and neighbours in the target."""

    def add(self, source: NDArray[Any], target: NDArray[Any]) -> None:
        """Take in more pixels: arrays of one shape, channels first, axes YX last, finite."""
        for first in range(0, source.shape[-2], _ROWS):
            rows = (..., slice(first, first + _ROWS), slice(None))
            self._add(source[rows].astype(np.float64), target[rows].astype(np.float64))

    def _add(self, source: Float64, target: Float64) -> None:
        block = np.stack([source, target, _average_neighbours(target)]).reshape(3, len(source), -1)
        # Sums about the mean of each block, merged (Chan et al. 1979): no digits are lost to a large offset.
        n, means = block.shape[-1], block.mean(axis=-1)
        block -= means[..., None]
        delta, weight = means - self.means, self.n * n / (self.n + n)
        self.products += np.einsum("icp,jcp->ijc", block, block) + weight * delta[:, None] * delta[None]
        self.means += delta * (n / (self.n + n))
        self.n += n

    @property
    def constant_target(self) -> NDArray[np.bool_]:
        """Whether the target has one value only, by channel."""
        constant: NDArray[np.bool_] = self.products[_TARGET, _TARGET] == 0
        return constant

    def fit(self) -> Line:
        """Return the line of each channel; its gain is 0 where the target is constant.

        The gain is at least that of least squares of the source on the target, and at most the inverse of the gain of
        least squares of the target on the source: noise in one image or the other explains what is between (Frisch
        1934).
        """
        tiny = np.finfo(float).tiny
        source, target = self.products[_SOURCE, _SOURCE], np.maximum(self.products[_TARGET, _TARGET], tiny)
        both = self.products[_SOURCE, _TARGET]
        least_squares = both / target
        correlation = both / np.sqrt(np.maximum(source * target, tiny))
        steepest = np.divide(source, both, out=least_squares.copy(), where=both > 0)
        gain = np.clip(self._fit_by_neighbours(least_squares), least_squares, np.maximum(steepest, least_squares))
        return Line(gain, self.means[_SOURCE] - gain * self.means[_TARGET], correlation)

    def _fit_by_neighbours(self, least_squares: Float64) -> Float64:
        """Return the gain from neighbours where it differs from least squares by more than chance."""
        source, target, neighbours = (self.products[i, i] for i in (_SOURCE, _TARGET, _NEIGHBOURS))
        with_source, with_target = self.products[_NEIGHBOURS, _SOURCE], self.products[_NEIGHBOURS, _TARGET]
        gain = np.divide(with_source, with_target, out=least_squares.copy(), where=with_target != 0)
        # The variance of the difference is that of the estimates' variances (Hausman 1978). All terms times
        # with_target**2 and n, so that nothing is divided by what may be 0.
        residual = np.maximum(source - least_squares * self.products[_SOURCE, _TARGET], 0.0)
        unexplained = np.maximum(neighbours - with_target**2 / np.maximum(target, np.finfo(float).tiny), 0.0)
        error = np.sqrt(residual * unexplained / max(self.n, 1))
        is_beyond_chance = np.abs(with_source - least_squares * with_target) > N_STANDARD_ERRORS * error
        return np.where(is_beyond_chance, gain, least_squares)


def fit_line(source: NDArray[Any], target: NDArray[Any]) -> Line:
    """Fit one channel, YX or ZYX (or fewer axes): see `Scatter`."""
    scatter = Scatter()
    planes = [np.atleast_2d(image).reshape(-1, *np.atleast_2d(image).shape[-2:]) for image in (source, target)]
    for one, other in zip(*planes, strict=True):
        scatter.add(one[None], other[None])
    return scatter.fit()


def _average_neighbours(image: Float64) -> Float64:
    """Return the mean of the pixels at `DISTANCE_PX` along Y and X; at a border, those of the opposite one.

    Where an image is too small to have such neighbours, it is the image itself, which is least squares.
    """
    axes = [axis for axis in (-2, -1) if image.shape[axis] > 2 * DISTANCE_PX]
    if not axes:
        return image
    shifted = [np.roll(image, shift, axis) for axis in axes for shift in (DISTANCE_PX, -DISTANCE_PX)]
    mean: Float64 = np.mean(shifted, axis=0)
    return mean
