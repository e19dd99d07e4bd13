"""How much more probable it is that an image is unlike its training images than that it is like them.

A multinomial logistic regression over a few numbers. Its weights were fitted on images of kinds that are not among
those the rates in the docs are measured on; `python -m zoo.tools.fit_domain_check` fits and prints them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carezoo.domain_check.features import NAMES
from carezoo.domain_check.record import SHIFTS

ALTERNATIVES = ("other", "half", "noise", "double", "inverted")
"""What an image that is unlike may be: of another structure, or changed."""

_CAP, _MOST = 5.0, 8.0
"""Standard deviations up to which a feature, and a change, counts: one odd number does not decide alone."""

N_INPUTS = len(NAMES) + len(SHIFTS) + 3

_WEIGHTS = """
-2.657 -3.324 -8.61 -9.402 -10.26
0.1542 0.1138 0.009127 0.01212 0
0.1325 0.1701 0 0.1868 0.158
0.1943 0.1328 0.09226 0.161 0.045
0.1012 0.01022 0.05828 0.1538 0
0.1368 0 0.05909 0.1674 0.02152
0.1251 0.07518 0 0.2121 0
0.09821 0.003177 0 0.04457 0
0.08201 0.09451 0.1971 0.0891 0.1165
0.1935 0.1508 0.08771 0.1287 0.2786
0.07602 0.03304 0 0 0.05017
0.1131 0.04436 0 0 0.28
0.03774 0 0 0 0
0.064 0.02188 0 0.02723 0.0794
0.07927 0 0.003287 0 0.06846
0.2322 0.07398 0.1046 0.165 0
0.2007 0.07848 0.0611 0.1515 0.003033
0.03028 -0.1672 0.959 0.08249 -0.02133
0.5583 1.336 0.1256 -0.004077 0.3828
0.2536 -0.29 -0.3552 0.442 -0.102
0.0395 0.04286 -0.3321 -0.04659 0.6826
0.3777 0.2301 0 0.55 0.02488
-2.114 -0.7149 0.4965 0.5522 0.2778
0.3274 0.00134 0.7341 0.2832 0
"""
"""A row for the constant and for each of the inputs, a column for each of `ALTERNATIVES`."""


def inputs(
    white: NDArray[np.float64], changes: NDArray[np.float64], distances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what is weighed.

    Parameters
    ----------
    white
        Whitened deviations of the features from the middle of the training images; inputs are their squares.
    changes
        Standard deviations along the effect of each of `SHIFTS`.
    distances
        Squared Mahalanobis distances: from the training images, from images of any kind, and of the training images'
        middle by the covariance of images of any kind. As logarithms, because a heavy-tailed likelihood has them so.

    Returns
    -------
    NDArray
        `N_INPUTS` numbers.
    """
    return np.concatenate([np.minimum(np.abs(white), _CAP) ** 2, np.clip(changes, 0, _MOST), np.log1p(distances)])


def log_odds(found: NDArray[np.float64]) -> dict[str, float]:
    """Return the logarithm of how much more probable each of `ALTERNATIVES` is, from `inputs`."""
    constant, weights = _TABLE[0], _TABLE[1:]
    return dict(zip(ALTERNATIVES, map(float, constant + found @ weights), strict=True))


_TABLE = np.array(_WEIGHTS.split(), float).reshape(1 + N_INPUTS, len(ALTERNATIVES))
