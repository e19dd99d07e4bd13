"""What a probabilistic network says of every pixel: a Laplace distribution, as algebra on whole arrays.

Density of the Laplace distribution with location mu and scale b: ``exp(-|y - mu| / b) / (2 b)``. Its mean, median and
mode are mu, its standard deviation is sqrt(2) b. Every formula below is a closed form; results have the type of the
parameters (float32 stays float32), and scalars or arrays of probabilities and values broadcast against them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError

Floats = NDArray[np.floating[Any]]
Values = NDArray[np.floating[Any]] | NDArray[np.integer[Any]] | float


@dataclass(frozen=True, eq=False)
class Laplace:
    """One Laplace distribution per pixel, in the intensity units of its arrays.

    Raises
    ------
    InputError
        If the arrays differ in shape, are not floating-point, or a scale is not positive.
    """

    mean: Floats
    """Location mu; any shape."""
    scale: Floats
    """Scale b > 0, same shape."""

    def __post_init__(self) -> None:
        if self.mean.shape != self.scale.shape:
            raise InputError(f"mean and scale must have one shape; found {self.mean.shape} and {self.scale.shape}")
        if self.mean.dtype.kind != "f" or self.scale.dtype.kind != "f":
            raise InputError(f"mean and scale must be floating-point; found {self.mean.dtype} and {self.scale.dtype}")
        if not (self.scale > 0).all():
            raise InputError("a Laplace scale must be positive at every pixel; found zero, negative or NaN")

    @property
    def std(self) -> Floats:
        """Standard deviation, ``sqrt(2) b``."""
        return self.scale * math.sqrt(2.0)

    @property
    def entropy(self) -> Floats:
        """Differential entropy in nats, ``1 + ln(2 b)``."""
        nats: Floats = 1.0 + np.log(2.0 * self.scale)
        return nats

    def quantile(self, p: float) -> Floats:
        """Return the value that is exceeded with probability ``1 - p``: ``mu - b sgn(p - 1/2) ln(1 - 2 |p - 1/2|)``.

        Raises
        ------
        InputError
            If `p` is not between 0 and 1 (both excluded).
        """
        require_probability(p)
        # 1 - 2 |p - 1/2| = 2 min(p, 1 - p), which keeps its digits in the tails.
        distance = -math.log(2.0 * min(p, 1.0 - p))
        return self.mean + math.copysign(distance, p - 0.5) * self.scale

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """Return lower and upper bound of the central interval: ``mu -+ b (-ln(1 - level))``.

        Raises
        ------
        InputError
            If `level` is not at least 0 and below 1.
        """
        require_level(level)
        half_width = -math.log1p(-level) * self.scale
        return self.mean - half_width, self.mean + half_width

    def cdf(self, y: Values) -> Floats:
        """Return the probability of a value of at most `y`: ``1/2 + 1/2 sgn(y - mu) (1 - exp(-|y - mu| / b))``."""
        return self._tail((y - self.mean) / self.scale)

    def probability(self, *, above: Values) -> Floats:
        """Return the probability of a value greater than `above`; exact in the upper tail, where ``1 - cdf`` is not."""
        return self._tail((self.mean - above) / self.scale)

    def nll(self, y: Values) -> Floats:
        """Return the negative log-likelihood of `y` in nats: ``|y - mu| / b + ln(2 b)``."""
        nats: Floats = np.abs(y - self.mean) / self.scale + np.log(2.0 * self.scale)
        return nats

    def crps(self, y: Values) -> Floats:
        """Return the continuous ranked probability score of `y`: ``|y - mu| + b exp(-|y - mu| / b) - 3/4 b``."""
        distance = np.abs(y - self.mean)
        return distance + self.scale * (np.exp(-distance / self.scale) - 0.75)

    def sample(self, rng: np.random.Generator) -> Floats:
        """Return one independent draw per pixel: ``mu + b (e1 - e2)`` with standard exponential e1 and e2."""
        dtype = np.float32 if self.mean.dtype.itemsize <= 4 else np.float64
        draws = rng.standard_exponential(self.mean.shape, dtype)
        draws -= rng.standard_exponential(self.mean.shape, dtype)
        return self.mean + self.scale * draws

    @staticmethod
    def _tail(z: Floats) -> Floats:
        """Return the standard cumulative distribution at `z`; exp never gets a positive argument."""
        half = 0.5 * np.exp(-np.abs(z))
        return np.where(z < 0, half, 1.0 - half)


def require_probability(p: float) -> None:
    """Raise `InputError` if there is no quantile of probability `p`."""
    if not 0.0 < p < 1.0:
        raise InputError(f"a quantile needs a probability between 0 and 1, both excluded; found {p}")


def require_level(level: float) -> None:
    """Raise `InputError` if there is no interval of `level`."""
    if not 0.0 <= level < 1.0:
        raise InputError(f"the level of an interval is at least 0 and below 1; found {level}")
