"""Figures: a projected epithelium that no simulation of the model's made, against projections people use.

Volumes of `zoo.tools.renderer` are curved more steeply than any the model was trained on, their cells are smaller or
larger, and flat cells above and blobs below the sheet shine through. Scored against the clean sheet are the model, the
maximum projection, and the projection along the height of the largest local contrast: the plane at that height, as
PreMosa takes it, and the mean of the best number of planes around it, the hardest to beat for noisy sheets that are
thicker than a plane (there the aim is not to be worse). All are denoised by non-local means. Their parameters are best
on three other volumes of the same renderer, an advantage that nobody with a real stack has.

The model is the one that ships, or the package that the variable CAREZOO_PROJECTION names. With CAREZOO_PICTURES, a
folder, and CAREZOO_DATA, the wing disc stack is projected and drawn there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

import carezoo
from benchmarks import shipped
from benchmarks.figures import Figure, psnr_db
from carezoo.evaluate import baselines, classical
from carezoo.evaluate.baselines import METHODS, Baseline, Method
from carezoo.pictures.before_after import before_after
from zoo.tools import renderer

Float = NDArray[np.float32]

SEEDS = tuple(range(8))
TUNING_SEEDS = (100, 101, 102)
WING_DISC = Path("wing_disc_projection", "stack_zyx.tif")

MAXIMUM = Method(
    "max-projection-nlm",
    "Maximum projection, then non-local means",
    "projection",
    lambda image, p, _: classical.nlm(image.max(axis=0), p["strength"], int(p["patch"]), is_root=bool(p["root"])),
    {"strength": (0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0), "patch": (3, 5, 7), "root": (0, 1)},
)
THICK = METHODS["height-map-nlm"]
PLANE = replace(THICK, title="Height map, one plane, then non-local means", tried={**THICK.tried, "reach": (0,)})
AHEAD_DB = ((MAXIMUM, 3.0), (PLANE, 3.0), (THICK, 0.0))


def figures() -> Iterator[Figure]:
    name = "PSNR of projection above {}"
    model = shipped.model("CAREZOO_PROJECTION", "project-epithelium")
    if model is None:
        yield Figure(name.format("baselines"), None, at_least=3.0, note="needs CAREZOO_PROJECTION")
        return
    volumes = [renderer.epithelium(seed) for seed in SEEDS]
    restored = [psnr_db(np.asarray(model.restore(each.volume).mean), each.projection) for each in volumes]
    examples = [(each.volume, each.projection) for each in map(renderer.epithelium, TUNING_SEEDS)]
    for method, at_least in AHEAD_DB:
        baseline = baselines.tune(method, examples)
        others = [psnr_db(baseline(each.volume), each.projection) for each in volumes]
        ahead = np.subtract(restored, others)
        means = f"{np.mean(restored):.1f} against {np.mean(others):.1f} dB"
        note = f"{ahead.min():.1f} to {ahead.max():.1f} dB on {len(volumes)} volumes; {means} on average"
        yield Figure(name.format(method.title.lower()), float(ahead.mean()), "dB", at_least=at_least, note=note)
    if {"CAREZOO_PICTURES", "CAREZOO_DATA"} <= set(os.environ):
        _draw_wing_disc(model, baseline)


def _draw_wing_disc(model: carezoo.Model, height_map: Baseline) -> None:
    """Draw maximum, height map and model side by side: there is no clean projection to score against."""
    stack = tifffile.imread(Path(os.environ["CAREZOO_DATA"], WING_DISC)).astype(np.float32)
    before_after(
        stack.max(axis=0),
        np.asarray(model.restore(stack).mean),
        height_map(stack),
        titles=("Maximum projection", "Model", height_map.method.title),
        path=Path(os.environ["CAREZOO_PICTURES"], "wing-disc-projections.png"),
    )
