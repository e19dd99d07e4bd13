"""Figures: what `denoise-fluorescence-2d` gains on kinds of images it has not seen, and what it does to clean ones.

Scored by the paper's PSNR on whole images: the acquired pairs that its recipe reports on, and images that hardly need a
model, means of every other one of 50 frames against the means of the rest. A Gaussian filter of the best width of each
image stands beside it, an advantage that nobody with a noisy image has. Needs CAREZOO_DATA; the model is the one that
ships, or the package that CAREZOO_FLUORESCENCE names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

import carezoo
from benchmarks import shipped
from benchmarks.figures import Figure, psnr_db

NAME, VARIABLE = "denoise-fluorescence-2d", "CAREZOO_FLUORESCENCE"
WIDTHS_PX = (0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 4.0)
CLEAN = Path("fmd_confocal_nuclei", "repeats", "fov01.tif")
"""50 frames of one field, which the recipe reports on."""

Image = NDArray[np.floating]


def figures() -> Iterator[Figure]:
    model = shipped.model(VARIABLE, NAME)
    if model is None or "CAREZOO_DATA" not in os.environ:
        yield Figure(f"PSNR gain of {NAME}, mean of kinds", None, at_least=5.0, note=f"needs {VARIABLE}, CAREZOO_DATA")
        return
    folder = Path(os.environ["CAREZOO_DATA"])
    kinds: dict[str, list[tuple[float, float]]] = {}
    for pair in shipped.reported_pairs(model.package, str(folder)):
        found = _gains(model, pair.source.array().squeeze(), pair.target.array().squeeze())
        kinds.setdefault(_kind(pair.dataset, pair.source_path), []).append(found)
    means = {kind: np.mean(found, axis=0) for kind, found in kinds.items()}
    gain, ahead = np.mean(list(means.values()), axis=0)
    note = ", ".join(f"{kind} {mean[0]:.1f}" for kind, mean in means.items())
    yield Figure(f"PSNR gain of {NAME}, mean of kinds", gain, "dB", at_least=5.0, note=note)
    note = ", ".join(f"{kind} {mean[1]:.1f}" for kind, mean in means.items())
    yield Figure("the same above the best Gaussian filter of each image", ahead, "dB", at_least=0.0, note=note)
    frames = tifffile.imread(folder / CLEAN).astype(np.float32)
    mean, others = frames[::2].mean(axis=0), frames[1::2].mean(axis=0)
    gain = psnr_db(np.asarray(model.restore(mean, "YX").mean), others) - psnr_db(mean, others)
    yield Figure(f"PSNR gain on a mean of {len(frames[::2])} frames", gain, "dB", at_least=-0.5)


def _kind(dataset: str, path: Path) -> str:
    """Return what a pair shows; fields of one sample are one kind."""
    return dataset if dataset == "fmd_confocal_nuclei" else path.stem


def _gains(model: carezoo.Model, source: Image, target: Image) -> tuple[float, float]:
    """Return the gains of the model over the image, and over the best Gaussian filter, in dB."""
    restored = psnr_db(np.asarray(model.restore(source, "YX").mean), target)
    filtered = max(psnr_db(ndimage.gaussian_filter(source.astype(np.float32), width), target) for width in WIDTHS_PX)
    return restored - psnr_db(source, target), restored - filtered
