"""Figure: training pairs are simulated fast enough not to starve a training, by task and structure.

Time is processor time of one process with one thread: what a worker of a training has, whatever else the machine does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from carezoo.simulate.pairs import describe, make_pairs, prepare

CAMERA = {"photons": {"log": [10, 300]}, "gain": [0.5, 2.0], "read_noise": [1.0, 3.0]}
GAUSSIAN = {"kind": "gaussian", "sigma_um": [0.1, 0.15]}
GAUSSIAN_3D = GAUSSIAN | {"sigma_z_um": [0.3, 0.5]}
OPTICS = {"kind": "optics", "na": [1.2, 1.4], "wavelength_um": [0.5, 0.65]}

CASES: dict[str, dict[str, object]] = {
    "tubules 256x256": {"structures": {"kind": "tubules"}, "psf": GAUSSIAN},
    "granules 256x256": {"structures": {"kind": "granules"}, "psf": GAUSSIAN},
    "tubules 256x256, computed PSF": {"structures": {"kind": "tubules"}, "psf": OPTICS},
    "nuclei 256x256": {"structures": {"kind": "nuclei"}, "psf": GAUSSIAN, "pixel_size_um": [0.25, 0.25]},
    "tubules 16x128x128": {
        "structures": {"kind": "tubules"},
        "psf": GAUSSIAN_3D,
        "pixel_size_um": [0.25, 0.1, 0.1],
        "shape": [16, 128, 128],
    },
    "projection 32x128x128": {
        "task": "project",
        "structures": {"kind": "epithelium"},
        "psf": GAUSSIAN_3D,
        "pixel_size_um": [0.5, 0.2, 0.2],
        "shape": [32, 128, 128],
    },
    "isotropic 256x256, factor 10.2": {
        "task": "isotropic",
        "structures": {"kind": "nuclei"},
        "pixel_size_um": [0.25, 0.25],
        "factor": 10.2,
        "axial_psfs": {"kind": "widths", "axial_um": 0.6, "lateral_um": 0.2},
    },
}

AT_LEAST = {"tubules 256x256": 20.0, "granules 256x256": 20.0}


def pairs_per_second(description: dict[str, object], n: int) -> float:
    prepared = prepare(describe(description | {"camera": CAMERA}), Path())
    list(make_pairs(prepared, seed=1, indices=range(2)))  # plans of the Fourier transforms
    start = time.process_time()
    list(make_pairs(prepared, seed=0, indices=range(n)))
    return n / (time.process_time() - start)


def figures(n: int = 60) -> Iterator[Figure]:
    for name, description in CASES.items():
        is_3d = len(description.get("pixel_size_um", ())) == 3  # type: ignore[arg-type]
        rate = pairs_per_second(description, max(3, n // 20) if is_3d else n)
        yield Figure(f"simulated pairs: {name}", rate, "pairs/s", at_least=AT_LEAST.get(name), note="a core")
