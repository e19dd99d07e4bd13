"""How much images of one kind differ: what is known before the images of a training are measured.

Measured on noisy crops of confocal nuclei (FMD), BPAE cells at two magnifications (GigaDB 100888) and degraded clean
images of BPAE cells and zebrafish membranes: the covariance of the features within each of nine kinds, averaged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_STD = np.array([0.2, 0.2, 0.2, 0.2, 0.2, 0.1, 0.12, 0.15, 0.3, 0.08, 0.15, 0.3, 0.25, 0.25, 0.04, 0.04])
"""Added to every kind, in quadrature: differences of this size mean nothing."""

_LOWER = (
    (0.47,),
    (0.158, 0.225),
    (-0.116, 0.0207, 0.153),
    (-0.358, -0.149, 0.124, 0.468),
    (-0.474, -0.31, 0.0511, 0.578, 1.73),
    (0.00258, 0.00164, -0.00242, -0.00122, -0.00121, 0.00319),
    (-0.00169, -0.00271, -0.00106, 0.00326, 0.0318, 0.00175, 0.00469),
    (-0.057, 0.0125, 0.0251, 0.061, 0.0486, 0.000942, 0.000257, 0.0683),
    (0.148, 0.063, -0.016, -0.117, -0.232, -0.00272, -0.00309, -0.021, 0.263),
    (0.0553, 0.00477, -0.0269, -0.0482, -0.0398, 0.000807, -0.000874, -0.012, 0.0499, 0.037),
    (-0.017, -0.0725, -0.0494, -5.53e-05, 0.125, 0.00166, -0.00262, -0.0234, 0.00194, 0.0443, 0.151),
    (0.0273, 0.132, 0.0964, 0.0159, -0.218, -0.00338, 0.00322, 0.0532, -0.00427, -0.075, -0.283, 0.565),
    (0.0529, -0.0425, -0.0663, -0.0464, 0.0853, 0.000931, -0.00664, -0.0419, 0.0781, 0.0621, 0.162, -0.289, 0.274),
    (0.0338, -0.0683, -0.0915, -0.0379, 0.172, 0.00109, -0.00661, -0.0356, 0.0655, 0.0659, 0.183, -0.334, 0.299, 0.368),
    (
        0.00645,
        -0.00356,
        -0.00683,
        -0.00973,
        -0.00354,
        -7.18e-06,
        -2.79e-05,
        -0.00598,
        0.0017,
        0.00219,
        0.00745,
        -0.0157,
        0.0117,
        0.0146,
        0.00281,
    ),
    (
        0.00381,
        -0.00468,
        -0.00382,
        -0.00336,
        0.00262,
        0.000101,
        -0.000119,
        -0.00505,
        0.0013,
        0.00229,
        0.00915,
        -0.0168,
        0.014,
        0.0152,
        0.00278,
        0.00472,
    ),
)
"""Lower triangle, a row for each of `features.NAMES`."""


def covariance() -> NDArray[np.float64]:
    """Return the covariance of the features within a kind."""
    matrix = np.zeros((len(_LOWER), len(_LOWER)))
    for i, row in enumerate(_LOWER):
        matrix[i, : i + 1] = row
    return matrix + np.tril(matrix, -1).T
