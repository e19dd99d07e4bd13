"""Simulated kinds of images, each with the narrow ranges of one sample under one microscope, or with wide ones.

A part of the kinds that the out-of-distribution check is fitted on (`image_kinds.chosen_on`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo.simulate import pairs as pairs_

_Values = dict[str, Any]

_KINDS: dict[str, _Values] = {
    "tubules, sparse": {
        "structures": {"kind": "tubules", "density": [0.4, 0.7], "persistence_length_um": [15, 30]},
        "sigma_um": [0.11, 0.12],
        "background": {"level": [0, 0.1], "haze": [0, 0.2], "texture": [0, 0.1]},
        "photons": [30, 60],
    },
    "tubules, dense": {
        "structures": {"kind": "tubules", "density": [1.8, 2.6], "persistence_length_um": [8, 20]},
        "sigma_um": [0.13, 0.15],
        "background": {"level": [0.1, 0.3], "haze": [0.3, 0.6], "texture": [0.1, 0.4]},
        "photons": [20, 80],
    },
    "tubules, fine pixels": {
        "structures": {"kind": "tubules", "density": [0.8, 1.4], "persistence_length_um": [15, 40]},
        "sigma_um": [0.10, 0.11],
        "pixel_size_um": 0.065,
        "photons": [10, 30],
    },
    "tubules, varied": {
        "structures": {"kind": "tubules", "density": {"log": [0.3, 3]}, "persistence_length_um": [5, 40]},
        "sigma_um": [0.09, 0.18],
        "background": {"level": [0, 0.4], "haze": [0, 0.8], "texture": [0, 0.5]},
        "photons": [6, 400],
        "n": 12,
    },
    "granules, small": {
        "structures": {"kind": "granules", "density": [0.3, 0.6], "radius_um": [0.08, 0.12]},
        "sigma_um": [0.11, 0.12],
        "photons": [30, 60],
    },
    "granules, large": {
        "structures": {"kind": "granules", "density": [0.08, 0.15], "radius_um": [0.3, 0.4], "hollow": [0, 0.2]},
        "sigma_um": [0.12, 0.14],
        "photons": [15, 60],
    },
    "granules, rings": {
        "structures": {"kind": "granules", "density": [0.08, 0.15], "radius_um": [0.4, 0.5], "hollow": [0.8, 1.0]},
        "sigma_um": [0.12, 0.14],
        "photons": [20, 80],
    },
    "granules, varied": {
        "structures": {
            "kind": "granules",
            "density": {"log": [0.1, 1.5]},
            "radius_um": [0.08, 0.2],
            "hollow": [0, 0.3],
        },
        "sigma_um": [0.09, 0.18],
        "background": {"level": [0, 0.6], "haze": [0, 1.2], "texture": [0, 0.8]},
        "photons": [6, 400],
        "n": 12,
    },
    "nuclei, scattered": {
        "structures": {"kind": "nuclei", "coverage": [0.15, 0.3], "radius_um": [3.5, 4.5], "elongation": [1, 1.5]},
        "sigma_um": [0.18, 0.2],
        "target_sigma_um": 0.18,
        "pixel_size_um": 0.26,
        "photons": [20, 60],
    },
    "nuclei, close": {
        "structures": {
            "kind": "nuclei",
            "coverage": [0.35, 0.5],
            "radius_um": [4.5, 5.5],
            "texture": [0.4, 0.8],
            "dome": [0, 0.5],
        },
        "sigma_um": [0.18, 0.25],
        "target_sigma_um": 0.18,
        "pixel_size_um": 0.15,
        "photons": [10, 40],
    },
    "nuclei, small": {
        "structures": {
            "kind": "nuclei",
            "coverage": [0.1, 0.4],
            "radius_um": [2.5, 4.5],
            "texture": [0, 0.8],
            "dome": [0, 0.5],
        },
        "sigma_um": [0.18, 0.3],
        "target_sigma_um": 0.2,
        "pixel_size_um": 0.5,
        "photons": [10, 100],
    },
    "membranes, coarse": {
        "structures": {"kind": "epithelium", "cell_diameter_um": [5, 7], "second": "none", "label_spread": 0.15},
        "sigma_um": [0.14, 0.2],
        "target_sigma_um": 0.15,
        "pixel_size_um": 0.2,
        "photons": [20, 60],
    },
    "membranes, fine": {
        "structures": {"kind": "epithelium", "cell_diameter_um": [3, 4.5], "second": "none", "label_spread": 0.15},
        "sigma_um": [0.14, 0.2],
        "target_sigma_um": 0.15,
        "pixel_size_um": 0.26,
        "photons": [15, 60],
    },
}
"""Pixels are 0.1 um, targets 0.08 um wide, images 8 where nothing else is said."""


def kinds(data: Path) -> Iterator[tuple[str, list[tuple[NDArray[Any], NDArray[Any]]]]]:
    """Yield names, and pairs of a noisy image and the same without noise (YX)."""
    for name, values in _KINDS.items():
        prepared = pairs_.prepare(pairs_.describe(_prepare_section(values)), data)
        sigma_px = float(np.mean(values["sigma_um"])) / values.get("pixel_size_um", 0.1)
        pairs = (pairs_.make_pair(prepared, 0, i) for i in range(values.get("n", 8)))
        yield name, [_without_noise(pair.source, pair.target, sigma_px) for pair in pairs]


def _prepare_section(values: _Values) -> _Values:
    return {
        "structures": values["structures"],
        "shape": [384, 384],
        "pixel_size_um": [values.get("pixel_size_um", 0.1)] * 2,
        "psf": {"kind": "gaussian", "sigma_um": values["sigma_um"]},
        "target_sigma_um": values.get("target_sigma_um", 0.08),
        "background": values.get("background", {}),
        "camera": {"photons": {"log": values["photons"]}, "read_noise": 1.5, "gain": 1.0, "offset": 100},
    }


def _without_noise(
    source: NDArray[Any], target: NDArray[Any], sigma_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the source, and the target as blurred as it and in its units, with its background."""
    noisy = source.astype(float).squeeze()
    blurred = ndimage.gaussian_filter(target.astype(float).squeeze(), sigma_px)
    structure = np.polyval(np.polyfit(blurred.ravel(), noisy.ravel(), 1), blurred)
    return noisy, structure + ndimage.gaussian_filter(noisy - structure, 6)
