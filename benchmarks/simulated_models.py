"""Figures: models that never saw an acquired pair, on images that no simulation of theirs made.

Tubules and granules are scored on pairs of `zoo.tools.renderer`, whose densities and PSFs come from wider ranges than
those of the recipes, and once more on pairs that lie outside of them altogether. The baseline is Richardson-Lucy with
the exact PSF, stopped after the number of iterations that is best for all images, and at the iteration that is best for
each, which nobody could know. Nuclei, learned from clean images with fitted noise, are scored on acquired pairs beside
the model that learned from such pairs.

Models are those that ship, or the packages that the variables CAREZOO_TUBULES, CAREZOO_GRANULES, CAREZOO_NUCLEI_REAL
(`zoo/models/denoise-nuclei-confocal-2d`) and CAREZOO_NUCLEI_DEGRADED (`benchmarks/recipes/nuclei-degraded.yaml`) name.
Acquired images need CAREZOO_DATA. With CAREZOO_PICTURES, a folder, what is shown in docs/simulate.md is drawn there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

import carezoo
from benchmarks import shipped
from benchmarks.figures import Figure, psnr_db
from carezoo.evaluate.classical import richardson_lucy
from carezoo.metrics import score
from carezoo.pictures.before_after import before_after
from carezoo.schema.span import Span
from carezoo.simulate import camera
from carezoo.simulate.camera import Camera
from carezoo.simulate.psf import Gaussian, blur
from zoo.tools import renderer

Float = NDArray[np.float32]

N_IMAGES = 24
ITERATIONS = (1, 2, 3, 5, 8, 12, 20, 35, 60)
REPORT = ("fov07.tif", "fov08.tif")
"""What both nuclei models have not seen."""
MICROTUBULES = ("clean_2d/cell_dna_microtubules_actin_cyx.tif", 1, 0.1325)
"""File, channel and pixel size of a real widefield image of microtubules."""
BAND_PX = 4.0
MICROTUBULE_PHOTONS = (40, 160)
"""At its brightest 0.1 %, the organizing centre; single filaments have a fifth of that."""


def figures() -> Iterator[Figure]:
    for name, variable, pair in (
        ("tubules", "CAREZOO_TUBULES", renderer.tubule_pair),
        ("granules", "CAREZOO_GRANULES", renderer.granule_pair),
    ):
        model = shipped.model(variable, f"restore-{name}-2d")
        if model is None:
            yield Figure(f"PSNR gain, synthetic {name}, other renderer", None, at_least=3.0, note=f"needs {variable}")
            continue
        yield from _on_renderer(name, model, pair)
        if name == "tubules":
            yield from _on_microtubules(model)
    yield from _on_nuclei()


def _on_renderer(name: str, model: carezoo.Model, pair: Callable[..., renderer.Pair]) -> Iterator[Figure]:
    for words, outside in (("wider ranges", False), ("outside of training", True)):
        rows = np.array([_psnr(model, pair(seed, outside=outside)) for seed in range(N_IMAGES)])
        before, restored, deconvolved = rows[:, 0], rows[:, 1], rows[:, 2:]
        best = int(deconvolved.mean(axis=0).argmax())
        gains, ahead = restored - before, restored - deconvolved[:, best]
        strictly = restored - deconvolved.max(axis=1)
        aims = (None, None) if outside else (3.0, 0.0)
        note = f"{min(gains):.1f} to {max(gains):.1f} dB on {N_IMAGES} images of the other renderer"
        yield Figure(f"PSNR gain, {name}, {words}", float(gains.mean()), "dB", at_least=aims[0], note=note)
        note = (
            f"{min(ahead):.1f} to {max(ahead):.1f} dB; exact PSF, {ITERATIONS[best]} iterations; "
            f"{strictly.mean():+.2f} dB above the best iteration of each image"
        )
        name_ahead = f"PSNR above Richardson-Lucy, {name}, {words}"
        yield Figure(name_ahead, float(ahead.mean()), "dB", at_least=aims[1], note=note)


def _psnr(model: carezoo.Model, made: renderer.Pair) -> list[float]:
    """Return the PSNR of the source, of the restored image and of all deconvolved ones, after the affine fit."""
    source, target, psf = made.source, made.target, _psf(made.numbers)
    deconvolved = [psnr_db(richardson_lucy(source, psf, n), target) for n in ITERATIONS]
    return [psnr_db(source, target), psnr_db(model.restore(source).mean, target), *deconvolved]


def _banded_db(image: Float, clean: Float) -> float:
    def fine(x: Float) -> Float:
        return np.asarray(x - ndimage.gaussian_filter(x, BAND_PX, mode="reflect"), np.float32)

    return max(psnr_db(fine(ndimage.gaussian_filter(image, blur_px)), fine(clean)) for blur_px in (0.0, 0.5, 1.0, 1.5))


def _psf(numbers: dict[str, float]) -> Float:
    """Return what the source of the renderer is blurred with beyond its target: core and pedestal."""
    at = np.arange(-15, 16) * renderer.PIXEL_UM
    squared = at[:, None] ** 2 + at**2

    def gaussian(sigma: float) -> NDArray[np.float64]:
        beyond = sigma**2 - renderer.TARGET_SIGMA_UM**2
        bell = np.exp(-squared / (2 * beyond))
        return np.asarray(bell / bell.sum())

    share = numbers["pedestal"]
    both = (1 - share) * gaussian(numbers["sigma_um"]) + share * gaussian(2.5 * numbers["sigma_um"])
    return both.astype(np.float32)


def _on_microtubules(model: carezoo.Model) -> Iterator[Figure]:
    """Restore a real image, blurred and with little light, and compare with the image as it was acquired.

    That image is not a ground truth: it has haze, which the model takes away, and a PSF, which the model narrows. So
    images are compared without what is wider than half a micrometer, and each at the blur at which it is nearest.
    """
    if "CAREZOO_DATA" not in os.environ:
        yield Figure("PSNR gain, real microtubules blurred and noised", None, note="needs CAREZOO_DATA")
        return
    for photons in MICROTUBULE_PHOTONS:
        yield _on_microtubules_with(model, photons)


def _on_microtubules_with(model: carezoo.Model, photons: float) -> Figure:
    file, channel, size_um = MICROTUBULES
    clean = tifffile.imread(Path(os.environ["CAREZOO_DATA"], file))[channel].astype(np.float32)
    sigma_um = 0.1  # with the image's own, a width that the model knows
    blurred = blur(clean, Gaussian((sigma_um,) * 2), (size_um, size_um))
    weak = Camera(photons=Span(photons, photons), read_noise=Span(2, 2))
    rng = np.random.default_rng(0)
    exposure = camera.expose(clean, weak, rng)
    source = camera.acquire(camera.expect_electrons(blurred, exposure), exposure, rng).astype(np.float32)
    at = np.arange(-6, 7) * size_um
    bell = np.exp(-(at[:, None] ** 2 + at**2) / (2 * sigma_um**2)).astype(np.float32)
    result = np.asarray(model.restore(source).mean)
    before, restored = _banded_db(source, clean), _banded_db(result, clean)
    deconvolved = max(_banded_db(richardson_lucy(source, bell, n), clean) for n in ITERATIONS)
    note = f"{before:.1f} dB before, Richardson-Lucy {deconvolved:.1f} dB at its best"
    if "CAREZOO_PICTURES" in os.environ:
        path = Path(os.environ["CAREZOO_PICTURES"], f"microtubules-{photons}.png")
        both = (score(source, clean), score(result, clean), None)
        before_after(source, result, clean, scores=both, path=path, pixel_size_um=size_um)
    name = f"PSNR gain, real microtubules blurred, {photons} photons"
    return Figure(name, restored - before, "dB", at_least=0.0, note=note)


def _on_nuclei() -> Iterator[Figure]:
    name = "PSNR of degraded-trained below pair-trained, confocal nuclei"
    degraded, real = (
        shipped.model("CAREZOO_NUCLEI_DEGRADED", "nuclei-degraded"),
        shipped.model("CAREZOO_NUCLEI_REAL", "denoise-nuclei-confocal-2d"),
    )
    if degraded is None or real is None or "CAREZOO_DATA" not in os.environ:
        needs = "CAREZOO_DATA, CAREZOO_NUCLEI_DEGRADED, CAREZOO_NUCLEI_REAL"
        yield Figure(name, None, at_most=1.0, note=f"needs {needs}")
        return
    folder = Path(os.environ["CAREZOO_DATA"], "fmd_confocal_nuclei")
    rows = []
    for file in REPORT:
        low, high = (tifffile.imread(folder / side / file) for side in ("low", "high"))
        rows.append([psnr_db(image, high) for image in (low, degraded.restore(low).mean, real.restore(low).mean)])
    noisy, without, with_pairs = np.mean(rows, axis=0)
    note = f"{noisy:.1f} dB noisy, {without:.1f} without, {with_pairs:.1f} with acquired pairs"
    yield Figure(name, float(with_pairs - without), "dB", at_most=1.0, note=note)
