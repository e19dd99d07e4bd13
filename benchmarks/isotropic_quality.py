"""Figures: isotropic restoration of structure that is the same along all axes, and that the model was not trained on.

Balls and shells of `zoo.tools.renderer` are seen through a known PSF that is wider along Z, and only every fourth (or
tenth) plane is recorded. Real structure is the part of `cells3d` that reports: its X, which is sharp, is made Z,
blurred and thinned out in the same way. Restored volumes and bicubic interpolation along Z are scored against the
sharp volumes.

A package has one factor. Where planes are farther apart than that, they are first interpolated linearly to the spacing
the model was made for, as a user would have to. Spectra are compared after the affine fit of the scores: how much power
there is along Z beyond what the planes can hold, and how far the spectra along Y and X are from those of the sharp
volume (the sum of absolute differences, as a share of the sum; bicubic interpolation itself is far from them, because
light from other planes blurs all axes).

The model is the one that ships, or the package that the variable CAREZOO_ISOTROPIC names. `cells3d` needs CAREZOO_DATA.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

import carezoo
from benchmarks import shipped
from benchmarks.figures import Figure, psnr_db
from carezoo.evaluate import classical, fourier
from carezoo.metrics import fit_affine
from zoo.tools import renderer

Float = NDArray[np.float32]

MODEL_FACTOR = 4
SEEDS = (0, 1, 2)
SHAPE = (80, 96, 96)
"""Volumes of 0.25 um voxels."""
AXIAL_SIGMA_UM, PHOTONS = 0.6, 100.0
"""In the middle of what the model was trained for: neither its best case nor its worst."""
CELLS3D, REPORTED = Path("cells3d", "nuclei_zyx.tif"), slice(192, 256)
"""File, and the rows of it that neither train nor choose."""
CELLS3D_PIXEL_UM, CELLS3D_SIGMA_UM = 0.26, 0.15
"""Of its X and Y, and the width that the recipe takes for its lateral PSF."""


@dataclass(frozen=True)
class _Volume:
    """What one sharp volume gave."""

    model_db: float
    bicubic_db: float
    power: float
    """Along Z beyond the planes' Nyquist frequency, as a share of the sharp volume's."""
    bicubic_power: float
    coherent: float
    """Share of that power which is right: 1 minus the power of the error there."""
    lateral: float
    """Change of the spectra along Y and X."""
    bicubic_lateral: float


def figures() -> Iterator[Figure]:
    model = shipped.model("CAREZOO_ISOTROPIC", "isotropic-nuclei")
    name = "PSNR above bicubic along Z"
    if model is None:
        yield Figure(f"{name}, balls and shells, factor 4", None, at_least=3.0, note="needs CAREZOO_ISOTROPIC")
        return
    for factor, at_least in ((4, 3.0), (10, None)):
        rows = [_on_renderer(model, factor, seed) for seed in SEEDS]
        what = f"balls and shells, factor {factor}"
        yield _gain(f"{name}, {what}", rows, at_least)
        yield from _spectra(what, rows)
    if "CAREZOO_DATA" not in os.environ:
        yield Figure(f"{name}, cells3d, factor 4", None, at_least=3.0, note="needs CAREZOO_DATA")
        return
    row = _on_cells3d(model, Path(os.environ["CAREZOO_DATA"]))
    yield _gain(f"{name}, cells3d, factor 4", [row], 3.0)
    yield from _spectra("cells3d, factor 4", [row])


def _gain(name: str, rows: list[_Volume], at_least: float | None) -> Figure:
    mean, bicubic = (float(np.mean([getattr(row, each) for row in rows])) for each in ("model_db", "bicubic_db"))
    note = f"{mean:.1f} against {bicubic:.1f} dB, {len(rows)} volume(s)"
    return Figure(name, mean - bicubic, "dB", at_least=at_least, note=note)


def _spectra(what: str, rows: list[_Volume]) -> Iterator[Figure]:
    def percent(name: str) -> float:
        return 100 * float(np.mean([getattr(row, name) for row in rows]))

    note = f"right: {percent('coherent'):.0f} %; bicubic has {percent('bicubic_power'):.0f} %"
    yield Figure(f"axial power beyond the planes, {what}", percent("power"), "%", note=note)
    at_most = 5.0 if "factor 4" in what else None
    note = f"bicubic: {percent('bicubic_lateral'):.1f} %"
    yield Figure(f"change of the lateral spectra, {what}", percent("lateral"), "%", at_most=at_most, note=note)


def _on_renderer(model: carezoo.Model, factor: int, seed: int) -> _Volume:
    sharp = renderer.spheres_and_shells(seed, SHAPE)
    blurred = renderer.spheres_and_shells(seed, SHAPE, axial_sigma_um=AXIAL_SIGMA_UM)
    return _measured(model, sharp, blurred, factor, seed)


def _on_cells3d(model: carezoo.Model, data: Path) -> _Volume:
    stack = tifffile.imread(data / CELLS3D)[:, REPORTED].astype(np.float32)
    sharp = np.ascontiguousarray(stack.transpose(2, 1, 0))
    rest_px = math.sqrt(AXIAL_SIGMA_UM**2 - CELLS3D_SIGMA_UM**2) / CELLS3D_PIXEL_UM
    blurred = ndimage.gaussian_filter1d(sharp, rest_px, axis=0, mode="reflect")
    # Photons are those above the camera's black.
    black = float(np.percentile(sharp, 2))
    return _measured(model, sharp - black, blurred - black, MODEL_FACTOR, seed=0)


def _measured(model: carezoo.Model, sharp: Float, blurred: Float, factor: int, seed: int) -> _Volume:
    planes = renderer.sparse_planes(blurred, factor, photons=PHOTONS, seed=seed)
    n_model = len(planes) * factor // MODEL_FACTOR
    source = planes
    if factor != MODEL_FACTOR:
        source = classical.resample_z(planes, n_model, factor / MODEL_FACTOR, order=1)
    restored = np.asarray(model.restore(source).mean)
    bicubic = classical.resample_z(planes, len(restored), factor, order=3)
    truth = sharp[: len(restored)]
    ours, theirs = (_compared(image, truth, 0.5 / factor) for image in (restored, bicubic))
    return _Volume(ours[0], theirs[0], ours[1], theirs[1], ours[2], ours[3], theirs[3])


def _compared(image: Float, truth: Float, cut_off: float) -> tuple[float, float, float, float]:
    """Return PSNR, power beyond `cut_off` (cycles per pixel) along Z, what of it is right, and the lateral change."""
    fit = fit_affine(image, truth)
    fitted = (fit.gain * image + fit.offset).astype(np.float32)
    found, true, wrong = (fourier.spectra(each) for each in (fitted, truth, fitted - truth))
    beyond = np.array(true["Z"].frequency) > cut_off

    def axial(spectra: dict[str, fourier.Spectrum]) -> float:
        return float(np.array(spectra["Z"].power)[beyond].sum())

    changes = [
        np.abs(np.subtract(found[axis].power, true[axis].power)).sum() / np.sum(true[axis].power) for axis in "YX"
    ]
    psnr = psnr_db(image, truth)
    return psnr, axial(found) / axial(true), 1 - axial(wrong) / axial(true), float(np.mean(changes))
