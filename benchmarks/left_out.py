"""Figures: what `denoise-fluorescence-2d` does on acquired images of sets that its training has never seen.

Its recipe takes no acquired pair, so every pair is left out. Scored by the paper's PSNR on the middle 512 x 512 pixels,
beside the image itself and two filters at their best width or strength of each image, an advantage that nobody with a
noisy image has. BM3D on square roots, with the noise that it measures, is scored on the middle 256 x 256 pixels, where
the model is scored once more. Images that hardly need a model (means of repeats, clean images with many photons) must
not be harmed.
Needs CAREZOO_DATA, and bm3d for its column; the model is the one that ships, or the package that CAREZOO_FLUORESCENCE
names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

import carezoo
from benchmarks import shipped
from benchmarks.figures import Figure, psnr_db
from carezoo.evaluate import classical
from carezoo.metrics import fit_units
from carezoo.pairs.registration import measure_shift_px
from carezoo.schema.span import Span
from carezoo.simulate.camera import Camera, degrade

NAME, VARIABLE = "denoise-fluorescence-2d", "CAREZOO_FLUORESCENCE"
WIDTHS_PX = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 4.0, 6.0)
STRENGTHS = (0.6, 1.0, 1.7)
SIDE, BM3D_SIDE = 512, 256
CLEAN = (
    ("clean_2d/hela_three_channel_cyx", 0),
    ("clean_2d/hela_three_channel_cyx", 1),
    ("clean_2d/hela_three_channel_cyx", 2),
    ("clean_2d_more/membranes_nuclei_cyx", 0),
    ("clean_2d_more/membranes_nuclei_cyx", 1),
    ("clean_2d_more/maize_bundle_confocal", None),
)
"""Clean images that the recipe reports on, and their channel."""
LEVEL = 0.9

Image = NDArray[np.float32]


class Example(NamedTuple):
    """An image and what it should look like."""

    name: str
    source: Image
    target: Image
    is_clean: bool = False
    """Whether the image is nearly clean, so that the question is whether it is harmed."""


class Scored(NamedTuple):
    """PSNR of one image, and the share of its pixels inside the intervals."""

    input: float
    gaussian: float
    nlm: float
    restored: float
    coverage: float
    bm3d: float
    """On its window; nan if it is not installed, and on images that are nearly clean."""
    restored_window: float
    """The model on that window."""

    @property
    def above(self) -> float:
        """PSNR of the model above the best of all filters."""
        above_bm3d = math.inf if math.isnan(self.bm3d) else self.restored_window - self.bm3d
        return min(self.restored - max(self.gaussian, self.nlm), above_bm3d)


def figures() -> Iterator[Figure]:
    model = shipped.model(VARIABLE, NAME)
    if model is None or "CAREZOO_DATA" not in os.environ:
        yield Figure("PSNR above the best filter, sets left out", None, note=f"needs {VARIABLE}, CAREZOO_DATA")
        return
    kinds: dict[str, list[Scored]] = {}
    clean: dict[str, Scored] = {}
    for kind, example in examples(Path(os.environ["CAREZOO_DATA"])):
        scored = score(model, example)
        print(kind, example.name, *(f"{value:.2f}" for value in scored), flush=True)
        if example.is_clean:
            clean[f"{kind} {example.name}"] = scored
        else:
            kinds.setdefault(kind, []).append(scored)
    means = {kind: Scored(*np.mean(found, axis=0)) for kind, found in kinds.items()}
    for kind, mean in means.items():
        ahead = sum(each.restored > each.gaussian for each in kinds[kind])
        note = (
            f"input {mean.input:.2f}, Gaussian {mean.gaussian:.2f}, NLM {mean.nlm:.2f}; ahead of the Gaussian on "
            f"{ahead} of {len(kinds[kind])} images; 90 % intervals hold {100 * mean.coverage:.1f} %"
        )
        if not math.isnan(mean.bm3d):
            note += f"; middle: {mean.restored_window:.2f}, BM3D {mean.bm3d:.2f}"
        yield Figure(f"PSNR, {kind}, left out", mean.restored, "dB", note=note)
    above = np.mean([mean.above for mean in means.values()])
    yield Figure("PSNR above the best filter, mean of sets left out", above, "dB", at_least=0.5)
    held = [100 * mean.coverage for mean in means.values()]
    yield Figure("pixels in 90 % intervals, set with the fewest", min(held), "%", at_least=87)
    yield Figure("pixels in 90 % intervals, set with the most", max(held), "%", at_most=93)
    every = [(f"{kind} {n}", each) for kind, found in kinds.items() for n, each in enumerate(found)] + [*clean.items()]
    name, worst = min(every, key=lambda one: one[1].restored - one[1].input)
    yield Figure("lowest PSNR gain of an image", worst.restored - worst.input, "dB", at_least=-0.3, note=name)
    mean_gain = np.mean([each.restored - each.input for each in clean.values()])
    yield Figure("PSNR gain on nearly clean images", mean_gain, "dB", at_least=-0.3, note=f"{len(clean)} images")


def examples(folder: Path) -> Iterator[tuple[str, Example]]:
    """Return every example with its kind."""
    for kind in ("fmd_confocal_nuclei", "fmd_confocal_nuclei_more", "fmd_mixed", "w2s_widefield", "bpae_exposure"):
        for path in sorted((folder / kind / "low").glob("*.tif")):
            source, target = (tifffile.imread(folder / kind / part / path.name) for part in ("low", "high"))
            yield kind, Example(path.stem, crop(source), register(crop(source), crop(target)))
    for path in sorted((folder / "photon_counting_repeats").glob("*.tif")):
        frames = tifffile.imread(path).astype(np.float32)
        yield "photon_counting", Example(path.stem, crop(frames[25]), crop(np.delete(frames, 25, axis=0).mean(axis=0)))
    frames = tifffile.imread(folder / "fmd_confocal_nuclei" / "repeats" / "fov01.tif").astype(np.float32)
    mean, others = crop(frames[::2].mean(axis=0)), crop(frames[1::2].mean(axis=0))
    yield "clean", Example("mean of 25 frames", mean, others, is_clean=True)
    for name, channel in CLEAN:
        image = tifffile.imread(folder / f"{name}.tif").astype(np.float32)
        image = crop(image if channel is None else image[channel])
        for photons in (200.0, 2000.0, 20000.0):
            light = Camera(photons=Span(photons, photons), offset=Span(100.0, 100.0))
            source, _ = degrade(image, light, np.random.default_rng(0))
            title = f"{Path(name).stem} {channel or 0}, {photons:g} photons"
            yield "clean", Example(title, source.astype(np.float32), image, is_clean=True)


def score(model: carezoo.Model, example: Example) -> Scored:
    """Return how an example is restored."""
    source, target = example.source, example.target
    restored = model.restore(source, "YX")
    low, high = restored.interval(LEVEL)
    unit = fit_units(target, source)
    truth = unit.gain * target + unit.offset
    middle = crop(source, BM3D_SIDE), crop(target, BM3D_SIDE)
    has_bm3d = find_spec("bm3d") is not None and not example.is_clean
    return Scored(
        input=psnr_db(source, target),
        gaussian=max(psnr_db(ndimage.gaussian_filter(source, width), target) for width in WIDTHS_PX),
        nlm=max(psnr_db(classical.nlm(source, strength, 5, is_root=True), target) for strength in STRENGTHS),
        restored=psnr_db(np.asarray(restored.mean), target),
        coverage=float(np.mean((low <= truth) & (truth <= high))),
        bm3d=psnr_db(classical.bm3d(middle[0], 1.0, is_root=True), middle[1]) if has_bm3d else math.nan,
        restored_window=psnr_db(crop(np.asarray(restored.mean), BM3D_SIDE), middle[1]),
    )


def crop(image: NDArray[np.generic], side: int = SIDE) -> Image:
    """Return the middle of an image."""
    where = tuple(slice(max((n - side) // 2, 0), max((n - side) // 2, 0) + side) for n in image.shape)
    return image[where].astype(np.float32)


def register(source: Image, target: Image) -> Image:
    """Return the target moved onto its source: stages drift."""
    shift = measure_shift_px(source, target)
    moved: Image = ndimage.shift(target, shift, order=3, mode="reflect")
    return moved
