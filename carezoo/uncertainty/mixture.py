"""What an ensemble says of every pixel: a mixture of Laplace distributions, as algebra on whole arrays.

The mixture of M members gives each the weight 1/M. Its mean is the mean of the members' means, its variance that of
the members plus that of their means; quantiles have no closed form and are found to float precision. How much members
disagree is measured by the generalized Jensen-Shannon divergence, divided by its upper bound ln M::

    D = (H(mixture) - mean of H(members)) / ln M = mean over m of KL(member m | mixture) / ln M

0 for members that agree in mean and scale, 1 for members without overlap, the same in all units of intensity.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from carezoo.errors import InputError
from carezoo.uncertainty.laplace import Floats, Laplace, Values, require_level, require_probability

N_NODES = 10
"""On each side of a member, in graphs too: D errs by less than 0.005, whatever the scales."""

_CHUNK = 1 << 14
"""Pixels that are integrated or inverted at once."""

_TINY = 1e-30
"""Keeps the logarithm of a density that has underflown finite."""

_GRADED = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 36.0)
"""Borders of the panels of the exact integration, in scales of a member."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """Mixture of Laplace distributions with equal weights, one mixture per pixel.

    Raises
    ------
    InputError
        If there are fewer than two members.
    """

    members: Laplace
    """Arrays with the members along the first axis, any shape behind it."""

    def __post_init__(self) -> None:
        if self.members.mean.ndim < 1 or len(self.members.mean) < 2:
            raise InputError(
                f"a mixture needs two or more members along the first axis; found shape {self.members.mean.shape}"
            )

    @property
    def n_members(self) -> int:
        """Members, at least 2."""
        return len(self.members.mean)

    @property
    def mean(self) -> Floats:
        """Mean; shape of one member."""
        average: Floats = self.members.mean.mean(axis=0)
        return average

    @property
    def std(self) -> Floats:
        """Standard deviation, from the centred sum: the difference of squares would cancel in float32."""
        squares = 2.0 * self.members.scale**2 + (self.members.mean - self.mean) ** 2
        root: Floats = np.sqrt(squares.mean(axis=0))
        return root

    @property
    def scale(self) -> Floats:
        """Scale b of the Laplace distribution with the same variance, ``std / sqrt(2)``."""
        return self.std / math.sqrt(2.0)

    def cdf(self, y: Values) -> Floats:
        """Return the probability of a value of at most `y`, which broadcasts against one member."""
        average: Floats = self.members.cdf(y).mean(axis=0)
        return average

    def probability(self, *, above: Values) -> Floats:
        """Return the probability of a value greater than `above`; exact in the upper tail, where ``1 - cdf`` is not."""
        average: Floats = self.members.probability(above=above).mean(axis=0)
        return average

    def nll(self, y: Values) -> Floats:
        """Return the negative log-likelihood of `y` in nats."""
        members = self.members.nll(y)
        least = members.min(axis=0)
        nats: Floats = least - np.log(np.exp(least - members).mean(axis=0))
        return nats

    def quantile(self, p: float) -> Floats:
        """Return the value that is exceeded with probability ``1 - p``; errors as of `Laplace.quantile`.

        Newton's iteration on the logarithm of the smaller tail, which is nearly a line there, inside a bracket that is
        halved where Newton would leave it: the quantile of the mixture lies between the lowest and the highest of its
        members' quantiles. Right to 3e-5 of the smallest scale for float32, to 1e-12 for float64.
        """
        require_probability(p)
        return self._pixelwise(lambda part: _quantile(part, p), self.members.mean.dtype)

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """Return lower and upper bound of the central interval, with as much probability below it as above."""
        require_level(level)
        return self.quantile((1.0 - level) / 2.0), self.quantile((1.0 + level) / 2.0)

    def sample(self, rng: np.random.Generator) -> Floats:
        """Return one independent draw per pixel: of a member chosen for each pixel."""
        shape = self.members.mean.shape[1:]
        chosen = rng.integers(self.n_members, size=(1, *shape))
        mean, scale = (
            np.take_along_axis(values, chosen, axis=0)[0] for values in (self.members.mean, self.members.scale)
        )
        return Laplace(mean, scale).sample(rng)

    def disagreement(self) -> Floats:
        """Return D in [0, 1] as the graph of an ensemble computes it, by quadrature with `N_NODES` nodes a side.

        Members join one by one, the widest first. With ``a = p_k / M`` of the member that joins and S the sum over
        those before it, the entropy ``-S ln S`` of their sum changes by that of ``a`` alone, minus::

            c = (S + a) ln(S + a) - S ln S - a ln a = a ((1 + q) ln(1 + q) - q ln q),    q = S / a

        so that ``D = 1 - sum over k > 1 of E_k[c / a] / (M ln M)``. As c is nowhere larger than the smaller of S and a
        (but for a logarithm) it lives where the narrower one does, whose own nodes therefore suffice: a narrow member
        cannot slip between the nodes of a wide one, as it does where ``ln(S + a)`` is averaged over both.
        """
        return self._pixelwise(_by_quadrature)

    def exact_disagreement(self) -> Floats:
        """Return D in [0, 1] by dense integration, right to six digits and very slow."""
        return self._pixelwise(_by_integration)

    def _pixelwise(self, function: Callable[[Laplace], Floats], dtype: DTypeLike = np.float64) -> Floats:
        """Apply `function` to pieces of the flattened mixture, several at once, and return the result in its own shape.

        It gets members x pixels of type `dtype`.
        """
        mean, scale = (values.reshape(self.n_members, -1) for values in (self.members.mean, self.members.scale))
        result = np.empty(mean.shape[1], self.members.mean.dtype)

        def fill(piece: slice) -> None:
            part = Laplace(mean[:, piece].astype(dtype), scale[:, piece].astype(dtype))
            result[piece] = function(part)

        pieces = list(_pieces(len(result)))
        if len(pieces) == 1:
            fill(pieces[0])
        else:
            with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as threads:
                list(threads.map(fill, pieces))  # NumPy computes without Python's lock
        return result.reshape(self.members.mean.shape[1:])


def quadrature(n_nodes: int = N_NODES) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes t and weights for averages over a standard Laplace distribution (mean 0, scale 1).

    Gauss-Legendre in z on both sides, with ``|t| = -2 ln(1 - z)``, which spreads the nodes into the tails.

    Returns
    -------
    tuple of NDArray
        ``2 * n_nodes`` nodes, and their weights, which add up to 1.
    """
    z, weight = np.polynomial.legendre.leggauss(n_nodes)
    remaining = (1.0 - z) / 2.0
    t, density = -2.0 * np.log(remaining), weight * remaining / 2.0
    return np.concatenate([t, -t]), np.concatenate([density, density])


def _pieces(n: int) -> Iterator[slice]:
    for start in range(0, n, _CHUNK):
        yield slice(start, min(start + _CHUNK, n))


def _quantile(part: Laplace, p: float) -> Floats:
    """Return the quantile of every pixel; the lower half of the probabilities by turning the axis round."""
    # About the middle of the members: float32 would lose the digits of a narrow distribution far from 0.
    middle = part.mean.mean(axis=0)
    sign = 1.0 if p >= 0.5 else -1.0
    tail = min(p, 1.0 - p)
    mean, scale = sign * (part.mean - middle), part.scale
    bounds = mean - math.log(2.0 * tail) * scale
    quantile: Floats = middle + sign * _upper_quantile(mean, scale, tail, bounds.min(axis=0), bounds.max(axis=0))
    return quantile


def _upper_quantile(mean: Floats, scale: Floats, tail: float, lower: Floats, upper: Floats) -> Floats:
    result, y, step = np.empty_like(lower), (lower + upper) / 2, upper - lower
    tolerance = (1e-12 if y.dtype.itemsize > 4 else 2e-5) * scale.min(axis=0)
    inverse, here = 1 / scale, np.arange(len(y))  # pixels that are still sought
    for _ in range(200):
        distance = (y - mean) * inverse
        half = np.exp(-np.abs(distance)) / 2
        density = (half * inverse).mean(axis=0)
        above = np.where(distance > 0, half, 1 - half).mean(axis=0)
        is_below = above > tail
        lower, upper = np.where(is_below, y, lower), np.where(is_below, upper, y)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = y + above * np.log(above / tail) / density
        # Steps that do not halve may run in a circle, from one side of a narrow member to the other.
        is_good = (newton >= lower) & (newton <= upper) & (np.abs(newton - y) <= step / 2)
        following = np.where(is_good, newton, (lower + upper) / 2)
        step = np.abs(following - y)
        y = following
        moved = step > np.maximum(tolerance, 2 * np.spacing(np.abs(y)))
        if not moved.any():
            break
        if np.count_nonzero(moved) < len(moved) / 2:  # a few pixels that take long do not hold up the others
            result[here] = y
            here, y, step, lower, upper, tolerance = (each[moved] for each in (here, y, step, lower, upper, tolerance))
            mean, inverse = mean[:, moved], inverse[:, moved]
    result[here] = y
    return result


def _by_quadrature(part: Laplace) -> Floats:
    t, weight = quadrature()
    order = np.argsort(-part.scale, axis=0)
    means, scales = (np.take_along_axis(values, order, axis=0) for values in (part.mean, part.scale))
    joint = np.zeros(means.shape[1:])
    for k in range(1, len(means)):
        ratio, distance = scales[k] / scales[:k], (means[k] - means[:k]) / scales[:k]
        at_nodes = np.abs(t)[:, np.newaxis, np.newaxis] - np.abs(distance + ratio * t[:, np.newaxis, np.newaxis])
        q = np.exp(np.log(ratio) + at_nodes).sum(axis=1) + _TINY
        joint += weight @ ((1.0 + q) * np.log(1.0 + q) - q * np.log(q))
    return _in_unit_range(1.0 - joint / (len(means) * math.log(len(means))))


def _by_integration(part: Laplace) -> Floats:
    """Integrate ``-p ln p`` between all places where a member changes, each panel by Gauss-Legendre of 8 nodes."""
    n_members = len(part.mean)
    steps = np.array(sorted({*_GRADED, *(-step for step in _GRADED)}))
    borders = part.mean[:, np.newaxis] + part.scale[:, np.newaxis] * steps[:, np.newaxis]
    borders = np.sort(borders.reshape(-1, part.mean.shape[1]), axis=0)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    entropy = np.zeros(part.mean.shape[1])
    for left, right in itertools.pairwise(borders):
        half = (right - left) / 2.0
        y = left + half * (nodes[:, np.newaxis] + 1.0)
        density = sum(np.exp(-Laplace(*each).nll(y)) for each in zip(part.mean, part.scale, strict=True)) / n_members
        logarithm = np.log(density, out=np.zeros_like(density), where=density > 0)
        entropy -= half * (weights @ (density * logarithm))
    return _in_unit_range((entropy - part.entropy.mean(axis=0)) / math.log(n_members))


def _in_unit_range(values: NDArray[np.floating[Any]]) -> Floats:
    """Remove what rounding and the error of the quadrature leave outside of [0, 1]."""
    return values.clip(0.0, 1.0)


def map_distribution(
    predicted: Laplace | Mixture, function: Callable[[NDArray[Any]], NDArray[Any]]
) -> Laplace | Mixture:
    """Return the distribution of the pixels that `function` takes from an image, such as a region of it."""
    if isinstance(predicted, Laplace):
        return Laplace(function(predicted.mean), function(predicted.scale))
    members = predicted.members
    mean, scale = (np.stack([function(image) for image in images]) for images in (members.mean, members.scale))
    return Mixture(Laplace(mean, scale))
