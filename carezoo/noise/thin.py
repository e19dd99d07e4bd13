"""Two images with independent noise out of one: its photoelectrons are dealt out.

Each photoelectron of a pixel goes into the first image with probability p, else into the second (Krull et al. 2023,
"Image denoising and the generative accumulation of photons"; data fission, Leiner et al. 2023). Of Poisson noise both
parts are independent, with the same mean once they are divided by p and 1 - p. Read noise, a Gaussian, is divided as
well: what is left of a pixel beside its whole photoelectrons is dealt out with the variance that p (1 - p) of the
Poisson-Gaussian variance asks for, so that no correlation is left between the parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The noise of a detector: variance = gain * (mean - offset) + (gain * read_noise)^2, in grey levels."""

    gain: float
    """Grey levels per photoelectron; of a multiplying detector (EMCCD, PMT) the excess noise is part of it."""
    offset: float = 0.0
    """Grey level of no light."""
    read_noise: float = 0.0
    """Standard deviation, in electrons."""

    def __post_init__(self) -> None:
        if not (self.gain > 0 and np.isfinite(self.gain)):
            raise RecipeError(f"gain: expected grey levels per photoelectron, above 0, found {self.gain:g}")
        if not (self.read_noise >= 0 and np.isfinite(self.read_noise)):
            raise RecipeError(f"read_noise: expected electrons, 0 or more, found {self.read_noise:g}")
        if not np.isfinite(self.offset):
            raise RecipeError(f"offset: expected a grey level, found {self.offset:g}")

    @property
    def line(self) -> tuple[float, float]:
        """Slope and intercept of the variance over the mean, in grey levels."""
        return self.gain, (self.gain * self.read_noise) ** 2 - self.gain * self.offset

    def variance(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance at `mean` (grey levels)."""
        slope, intercept = self.line
        return slope * mean + intercept

    def variance_se(self, mean: float) -> float:  # noqa: ARG002 - that of a fit depends on it
        """Return the standard error of the variance: 0, because the numbers are given."""
        return 0.0


def thin(
    pixels: NDArray[np.generic], noise: Noise, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Deal the photoelectrons of an image out to two images.

    Parameters
    ----------
    pixels
        Raw grey levels, any shape.
    noise
        Of these pixels.
    share
        Probability p, between 0 and 1, with which a photoelectron goes into the first image.

    Returns
    -------
    source, target
        Grey levels, float32, of the shape of `pixels`, with the same mean; the variance of their noise is that of
        `pixels` over p, and over 1 - p. ``p * source + (1 - p) * target`` is `pixels`.
    """
    electrons = (pixels.astype(np.float64) - noise.offset) / noise.gain
    whole = np.maximum(np.floor(electrons), 0.0)
    rest = electrons - whole
    spread = np.sqrt(share * (1 - share) * np.maximum(rest + noise.read_noise**2, 0.0))
    taken = rng.binomial(whole.astype(np.int64), share) + share * rest + spread * rng.standard_normal(rest.shape)
    back = noise.gain * taken / share, noise.gain * (electrons - taken) / (1 - share)
    source, target = ((each + noise.offset).astype(np.float32) for each in back)
    return source, target
