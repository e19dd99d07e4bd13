"""Figures: what a training with noisy images alone reaches, and what adapting a model of the zoo changes.

`fmd_confocal_nuclei`: single frames of eight fields, all of them in the training set, because people restore the images
they have. Two fields are scored against averages of 50 frames moved onto the frame. `photon_counting_repeats`: frames
of three living cells, scored against the mean of the other 49. Needs CAREZOO_DATA. CAREZOO_SEEDS says how many seeds
are trained (1), and trainings in the folder CAREZOO_RUNS are not repeated.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

import carezoo
from benchmarks.figures import Figure, psnr_db
from carezoo import metrics
from carezoo.errors import NoGainError
from carezoo.pairs.registration import measure_shift_px
from carezoo.train.adapt import adapt
from carezoo.train.noisy_recipe import describe_noisy
from carezoo.train.run import train

N_EPOCHS = 36
"""Of 50 steps: as many in all as the supervised model of the zoo had."""

FIELDS = ("fov07", "fov08")
CELLS = ("cell1", "cell4", "cell5")
SUPERVISED, GENERAL = "denoise-nuclei-confocal-2d", "denoise-fluorescence-2d"
WIDTHS_PX = (0.7, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5)

Pixels = NDArray[np.float32]


def figures() -> Iterator[Figure]:
    if "CAREZOO_DATA" not in os.environ:
        for name in ("PSNR, confocal nuclei, trained on single noisy frames", f"PSNR gained by adapting {GENERAL}"):
            yield Figure(name, None, "dB", note="needs CAREZOO_DATA")
        return
    data = Path(os.environ["CAREZOO_DATA"])
    with tempfile.TemporaryDirectory(prefix="carezoo-benchmark-") as temporary:
        runs = Path(os.environ.get("CAREZOO_RUNS", temporary))
        yield from _measure_training(data / "fmd_confocal_nuclei", runs)
        yield from _measure_adaptation(data / "photon_counting_repeats", Path(temporary))


def _measure_training(data: Path, runs: Path) -> Iterator[Figure]:
    n_seeds = int(os.environ.get("CAREZOO_SEEDS", "1"))
    frames = [tifffile.imread(data / "low" / f"{field}.tif").astype(np.float32) for field in FIELDS]
    targets = [
        _register(frame, tifffile.imread(data / "high" / f"{field}.tif"))
        for frame, field in zip(frames, FIELDS, strict=True)
    ]
    found, inside = [], []
    for seed in range(1, n_seeds + 1):
        recipe = describe_noisy(data / "low")
        training = replace(recipe.training, max_minutes=None, n_epochs=N_EPOCHS)
        model = carezoo.load(
            train(replace(recipe, seed=seed, training=training), runs / f"noisy-nuclei-{seed}", resume=True)
        )
        restored = [model.restore(frame, "YX") for frame in frames]
        found.append(np.mean([psnr_db(np.asarray(r.mean), t) for r, t in zip(restored, targets, strict=True)]))
        inside.append(np.mean([_hold(r, f, t) for r, f, t in zip(restored, frames, targets, strict=True)]))
    supervised = carezoo.load(SUPERVISED)
    with_truth = np.mean([psnr_db(_restore(supervised, f), t) for f, t in zip(frames, targets, strict=True)])
    filtered = np.mean([_filter_best(f, t) for f, t in zip(frames, targets, strict=True)])
    spread = f", spread {np.std(found, ddof=1):.2f}" if n_seeds > 1 else ""
    note = f"{50 * N_EPOCHS} steps, {n_seeds} seed(s){spread}; input {_mean_psnr(frames, targets):.1f}"
    yield Figure(
        "PSNR, confocal nuclei, trained on single noisy frames", np.mean(found), "dB", at_least=37.0, note=note
    )
    difference = float(np.mean(found) - with_truth)
    note = f"{SUPERVISED}: {with_truth:.2f}, 1840 steps on pairs of other fields"
    yield Figure("the same above the model trained on pairs", difference, "dB", at_least=-0.5, note=note)
    note = f"{filtered:.2f}; its width was chosen by the truth"
    yield Figure(
        "the same above the best Gaussian filter of each image", float(np.mean(found) - filtered), "dB", note=note
    )
    off = abs(100 * float(np.mean(inside)) - 90)
    note = f"hold for {100 * np.mean(inside):.1f} %"
    yield Figure("90 % intervals off by, trained on single noisy frames", off, "points", at_most=3, note=note)


def _measure_adaptation(data: Path, runs: Path) -> Iterator[Figure]:
    general, gained, notes = carezoo.load(GENERAL), [], []
    for cell in CELLS:
        frames = tifffile.imread(data / f"{cell}.tif").astype(np.float32)
        others = frames[1:].mean(axis=0)
        before = psnr_db(_restore(general, frames[0]), others)
        try:
            package = adapt(GENERAL, data / f"{cell}.tif", runs / f"adapted-{cell}", minutes=2)
            after = psnr_db(_restore(carezoo.load(package), frames[0]), others)
        except NoGainError:
            after = before
        gained.append(after - before)
        notes.append(f"{cell} {before:.2f} to {after:.2f}")
    yield Figure(f"PSNR gained by adapting {GENERAL}, mean", float(np.mean(gained)), "dB", note=", ".join(notes))
    yield Figure("the same, worst of three cells", min(gained), "dB", at_least=-0.1, note="minutes: 2")


def _restore(model: carezoo.Model, frame: Pixels) -> Pixels:
    return np.asarray(model.restore(frame, "YX").mean)


def _mean_psnr(frames: list[Pixels], targets: list[Pixels]) -> float:
    return float(np.mean([psnr_db(frame, target) for frame, target in zip(frames, targets, strict=True)]))


def _register(frame: Pixels, average: NDArray[np.generic]) -> Pixels:
    """Return the average moved onto the frame."""
    target = average.astype(np.float32)
    smooth = (ndimage.gaussian_filter(image, 1.5) for image in (frame, target))
    moved: Pixels = ndimage.shift(target, measure_shift_px(*smooth), order=3, mode="nearest")
    return moved


def _hold(restored: carezoo.Restoration, frame: Pixels, target: Pixels) -> float:
    """Return which share of the target, in the grey levels of the frame, lies inside the 90 % intervals."""
    fit = metrics.fit_units(target, frame)
    low, high = restored.interval(0.9)
    expected = fit.gain * target + fit.offset
    return float(((low <= expected) & (expected <= high)).mean())


def _filter_best(frame: Pixels, target: Pixels) -> float:
    return max(psnr_db(ndimage.gaussian_filter(frame, width), target) for width in WIDTHS_PX)
