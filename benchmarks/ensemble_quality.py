"""Figures: an ensemble beside its members, and how well their disagreement D finds what none of them ever saw.

Into the noisy report images of `fmd_confocal_nuclei`, structures are planted that are not nuclei, or not of their size:
filaments, granules and borders of cells from `zoo.tools.renderer`, and real nuclei at a quarter of their size. All are
as bright as the nuclei of the image, and bring the shot noise of their own light with them (gain of the detector from
the pair itself). They lie in four windows of an image, and each kind once at either end of it.

D, the scale and the restored intensity each separate pixels of the planted structure from all pixels far from the
windows, nuclei and background alike. The figure is the area under the ROC curve, pixel by pixel, and after all three
were averaged over their neighbourhood (Gaussian of 3 pixels), as an eye does that looks for places and not for pixels.
The last figures ask whether D knows of errors beyond what the scale announces: how well it finds the tenth of pixels
whose |error| / scale is largest, in the images as they are and with plants.

The model is the one that ships, or the package that the variable CAREZOO_ENSEMBLE names. Needs CAREZOO_DATA.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage, stats

import carezoo
from benchmarks import shipped
from benchmarks.figures import Figure, psnr_db
from carezoo.metrics import fit_affine
from carezoo.noise.measure import fit_pair
from carezoo.uncertainty.mixture import Mixture
from zoo.tools import renderer

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

FOLDER, REPORT, OTHER = Path("fmd_confocal_nuclei"), ("fov07.tif", "fov08.tif"), "fov01.tif"
SIDE = 96
CORNERS = ((80, 80), (80, 336), (336, 80), (336, 336))
"""First pixels of the windows in an image of 512 x 512."""
SHRUNK = 4
"""How much smaller the small nuclei are."""
NEIGHBOURHOOD_PX = 3.0
LEAST_LIGHT = 0.25
"""Planted pixels have at least this share of the brightest planted light."""


@dataclass(frozen=True, eq=False)
class _Field:
    """A report image."""

    noisy: Float
    expected: Float
    """The clean image in the grey levels of the noisy one."""
    gain: float
    """Variance of the shot noise for one grey level of light."""


def figures() -> Iterator[Figure]:
    model = shipped.model("CAREZOO_ENSEMBLE", "denoise-nuclei-confocal-2d-ensemble")
    if model is None or "CAREZOO_DATA" not in os.environ:
        needs = "needs CAREZOO_ENSEMBLE, CAREZOO_DATA"
        yield Figure("PSNR of the ensemble above its members' mean", None, at_least=0.0, note=needs)
        return
    folder = Path(os.environ["CAREZOO_DATA"]) / FOLDER
    fields = [_field(folder, name) for name in REPORT]
    yield from _against_members(model, fields)
    yield from _on_plants(model, fields, _plants(folder))


def _against_members(model: carezoo.Model, fields: list[_Field]) -> Iterator[Figure]:
    ahead, ahead_of_best, told = [], [], []
    for field in fields:
        restoration = model.restore(field.noisy, keep_members=True)
        mixture = restoration.distribution
        assert isinstance(mixture, Mixture)
        members = [psnr_db(mean, field.expected) for mean in mixture.members.mean]
        ensemble = psnr_db(restoration.mean, field.expected)
        ahead.append(ensemble - np.mean(members))
        ahead_of_best.append(ensemble - max(members))
        told.append(_told_by_disagreement(restoration, field.expected))
    note = f"{np.mean(ahead_of_best):+.2f} dB from the best member; {len(fields)} images"
    yield Figure("PSNR of the ensemble above its members' mean", float(np.mean(ahead)), "dB", at_least=0.0, note=note)
    yield Figure("AUC of D for large |error| / scale, images as they are", float(np.mean(told)), at_least=0.5)


def _on_plants(model: carezoo.Model, fields: list[_Field], plants: Mapping[str, Float]) -> Iterator[Figure]:
    areas: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    told = []
    for seed, (field, turn) in enumerate(itertools.product(fields, (0, 2))):
        windows = dict(zip(np.roll(list(plants), turn).tolist(), map(_window, CORNERS), strict=True))
        light = _light(field, [(windows[name], plant) for name, plant in plants.items()])
        shot = np.random.default_rng(seed).normal(size=light.shape) * np.sqrt(field.gain * light)
        restoration = model.restore((field.noisy + light + shot).astype(np.float32))
        told.append(_told_by_disagreement(restoration, field.expected + light))
        maps = [np.asarray(each, float) for each in (restoration.disagreement, restoration.scale, restoration.mean)]
        smooth = [ndimage.gaussian_filter(each, NEIGHBOURHOOD_PX) for each in maps]
        elsewhere = _far_from(light)
        for name, window in windows.items():
            planted = np.zeros_like(elsewhere)
            planted[window] = light[window] > LEAST_LIGHT * light.max()
            for where, judged in (("pixel by pixel", maps), ("in a neighbourhood", smooth)):
                areas[where][name].append([_auc(each, planted, elsewhere) for each in judged])
    for where, by_kind in areas.items():
        yield from _areas(where, {name: np.mean(rows, axis=0).tolist() for name, rows in by_kind.items()})
    yield Figure("AUC of D for large |error| / scale, with plants", float(np.mean(told)), at_least=0.5)


def _areas(where: str, by_kind: Mapping[str, tuple[float, float, float]]) -> Iterator[Figure]:
    """Yield areas under the ROC curves of D, by kind with those of scale and intensity, and the difference."""
    for name, (d, scale, intensity) in by_kind.items():
        note = f"scale {scale:.3f}, intensity {intensity:.3f}"
        yield Figure(f"AUC of D, planted {name}, {where}", d, at_least=0.8, note=note)
    ahead = {name: d - max(others) for name, (d, *others) in by_kind.items()}
    worst = min(ahead, key=lambda name: ahead[name])
    title, note = f"D ahead of scale and intensity, {where}", f"{worst}, the worst kind"
    yield Figure(title, ahead[worst], at_least=0.0, note=note)


def _field(folder: Path, name: str) -> _Field:
    noisy, clean = (tifffile.imread(folder / side / name).astype(np.float32) for side in ("low", "high"))
    fit = fit_affine(clean, noisy)
    return _Field(noisy, (fit.gain * clean + fit.offset).astype(np.float32), fit_pair(noisy, clean).gain.value)


def _plants(folder: Path) -> dict[str, Float]:
    """Return light from 0 to about 1 by kind, YX of `SIDE` pixels."""
    nuclei = tifffile.imread(folder / "high" / OTHER)[: SHRUNK * SIDE, : SHRUNK * SIDE].astype(np.float32)
    made = {
        "filaments": renderer.tubule_pair(1, (SIDE, SIDE)).target,
        "granules": renderer.granule_pair(1, (SIDE, SIDE)).target,
        "cell borders": renderer.epithelium(0, (16, SIDE, SIDE)).projection,
        "small nuclei": nuclei.reshape(SIDE, SHRUNK, SIDE, SHRUNK).mean(axis=(1, 3)),
    }
    return {name: _from_0_to_1(each) for name, each in made.items()}


def _from_0_to_1(image: Float) -> Float:
    black, bright = np.percentile(image, (0, 99.5))
    return np.clip((image - black) / (bright - black), 0, 1)


def _window(corner: tuple[int, int]) -> tuple[slice, slice]:
    return slice(corner[0], corner[0] + SIDE), slice(corner[1], corner[1] + SIDE)


def _light(field: _Field, plants: list[tuple[tuple[slice, slice], Float]]) -> Float:
    """Return planted light as bright as nuclei, which fades over 8 pixels at the borders of the windows."""
    black, bright = np.percentile(field.expected, (5, 99))
    fade = np.clip((np.minimum(np.arange(SIDE), np.arange(SIDE)[::-1]) + 1) / 8, 0, 1)
    light = np.zeros_like(field.expected)
    for window, plant in plants:
        light[window] = (bright - black) * plant * np.outer(fade, fade)
    return light


def _far_from(light: Float) -> Mask:
    return np.asarray(~ndimage.binary_dilation(light > 0, iterations=16))


def _told_by_disagreement(restoration: carezoo.Restoration, expected: Float) -> float:
    surprise = np.abs(np.asarray(restoration.mean) - expected) / np.asarray(restoration.scale)
    is_large = surprise > np.percentile(surprise, 90)
    return _auc(np.asarray(restoration.disagreement, float), is_large, ~is_large)


def _auc(values: NDArray[np.float64], positive: Mask, negative: Mask) -> float:
    """Return the probability that a positive pixel has a larger value than a negative one (Mann and Whitney 1947)."""
    n, m = int(positive.sum()), int(negative.sum())
    ranks = stats.rankdata(np.concatenate([values[positive], values[negative]]))[:n]
    return float((ranks.sum() - n * (n + 1) / 2) / (n * m))
