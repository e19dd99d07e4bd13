"""What is known of images before those of a training are measured.

How much images of one kind differ: the covariance of the features within each of nine kinds, averaged, measured on
noisy crops of confocal nuclei (FMD), BPAE cells at two magnifications (GigaDB 100888) and degraded clean images of BPAE
cells and zebrafish membranes. Records of training images are made with it, so that it stays as it is.

And what images of any kind look like: mean and covariance of the features over the kinds that
`zoo/tools/image_kinds.py` sets apart for choosing; `python -m zoo.tools.fit_domain_check` prints them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_STD = np.array([0.2, 0.2, 0.2, 0.2, 0.2, 0.1, 0.12, 0.15, 0.3, 0.08, 0.15, 0.3, 0.25, 0.25, 0.04, 0.04])
"""Added to every kind, in quadrature: differences of this size mean nothing."""

_WITHIN = """
    0.47
    0.158 0.225
    -0.116 0.0207 0.153
    -0.358 -0.149 0.124 0.468
    -0.474 -0.31 0.0511 0.578 1.73
    0.00258 0.00164 -0.00242 -0.00122 -0.00121 0.00319
    -0.00169 -0.00271 -0.00106 0.00326 0.0318 0.00175 0.00469
    -0.057 0.0125 0.0251 0.061 0.0486 0.000942 0.000257 0.0683
    0.148 0.063 -0.016 -0.117 -0.232 -0.00272 -0.00309 -0.021 0.263
    0.0553 0.00477 -0.0269 -0.0482 -0.0398 0.000807 -0.000874 -0.012 0.0499 0.037
    -0.017 -0.0725 -0.0494 -5.53e-05 0.125 0.00166 -0.00262 -0.0234 0.00194 0.0443 0.151
    0.0273 0.132 0.0964 0.0159 -0.218 -0.00338 0.00322 0.0532 -0.00427 -0.075 -0.283 0.565
    0.0529 -0.0425 -0.0663 -0.0464 0.0853 0.000931 -0.00664 -0.0419 0.0781 0.0621 0.162 -0.289 0.274
    0.0338 -0.0683 -0.0915 -0.0379 0.172 0.00109 -0.00661 -0.0356 0.0655 0.0659 0.183 -0.334 0.299 0.368
    0.00645 -0.00356 -0.00683 -0.00973 -0.00354 -7.18e-06 -2.79e-05 -0.00598 0.0017 0.00219 0.00745 -0.0157 0.0117
        0.0146 0.00281
    0.00381 -0.00468 -0.00382 -0.00336 0.00262 0.000101 -0.000119 -0.00505 0.0013 0.00229 0.00915 -0.0168 0.014
        0.0152 0.00278 0.00472
"""
"""Lower triangle, a row for each of `features.NAMES`."""

_MEAN = """
-1.931 -1.888 -2.329 -3.82 -6.446 0.02716 0.1524 -2.31 2.094 0.5451 1.371 -2.645 3.289 3.563 0.5702 0.5167
"""

_TOTAL = """
1.195
0.1495 0.4028
-0.4826 0.02911 0.7965
-0.9029 -0.2687 0.6869 2.336
-0.7679 -0.5366 0.1093 1.277 4.098
-0.02402 -0.01027 0.01158 0.02464 0.03112 0.01821
-0.1228 -0.03887 0.06466 0.1566 0.1794 0.01619 0.1056
-0.1255 -0.05185 0.04506 0.1166 0.3543 0.001625 3.798e-06 0.3089
0.1826 -0.01639 -0.1128 -0.162 -0.3295 0.003399 0.0218 -0.1353 1.053
0.1087 0.01229 -0.07545 -0.129 -0.1315 -0.003858 -0.01323 -0.02106 0.132 0.0965
0.05337 0.01204 -0.03894 -0.1302 -0.208 -0.008666 -0.02767 -0.02926 0.08049 0.08916 0.4787
-0.165 -0.03915 0.1057 0.2843 0.4652 0.01714 0.05112 0.08576 -0.1911 -0.1796 -0.6306 1.693
-0.0167 0.06837 0.1435 -0.06538 -0.4856 -0.007229 -0.03945 -0.1527 0.1191 0.06625 0.4804 -0.7435 1.852
0.009292 0.06766 0.09484 -0.11 -0.3031 -0.01201 -0.05938 -0.0969 -0.01198 0.05918 0.5369 -0.8305 1.38 2.123
0.05739 -0.008595 -0.04967 -0.0479 0.007387 -0.00331 -0.01337 -0.004114 0.03495 0.01064 -0.01255 0.007569 -0.06802
    -0.0713 0.0312
0.03418 -0.02617 -0.04072 -0.005747 0.09053 -0.002795 -0.01172 -0.001176 0.02559 0.006225 -0.02013 0.02968 -0.05836
    -0.05603 0.02042 0.04014
"""
"""Lower triangle."""


def covariance() -> NDArray[np.float64]:
    """Return the covariance of the features within a kind."""
    return symmetric(_numbers(_WITHIN))


def population() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and covariance of the features over images of any kind."""
    return _numbers(_MEAN), symmetric(_numbers(_TOTAL))


def symmetric(lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the symmetric matrix with a lower triangle, given row by row."""
    n = len(LEAST_STD)
    matrix = np.zeros((n, n))
    matrix[np.tril_indices(n)] = lower
    return matrix + np.tril(matrix, -1).T


def _numbers(text: str) -> NDArray[np.float64]:
    return np.array(text.split(), float)
