"""Figure 8: PSNR gained on files not trained on, by the recipes in zoo/models and the clock of five minutes.

Needs CAREZOO_DATA, the folder with `fmd_confocal_nuclei`, `cells3d` and `clean_2d` that the recipes name.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from carezoo.package.read import open_package
from carezoo.train.run import train

MODELS = Path(__file__).parents[1] / "zoo" / "models"


def _gain(recipe: Path, data: Path, minutes: float, out: Path) -> tuple[float, str]:
    scores = open_package(train(recipe, out, data=data, max_minutes=minutes)).manifest.carezoo.scores
    return float(scores["psnr_gain_db"]), f"{minutes:g} minutes of training"


def figures() -> Iterator[Figure]:
    nuclei, volume = "PSNR gain, confocal nuclei 2D, unseen fields", "PSNR gain, cells3d degraded 3D, unseen part"
    if "CAREZOO_DATA" not in os.environ:
        yield Figure(nuclei, None, at_least=6.5, note="needs CAREZOO_DATA")
        yield Figure(volume, None, at_least=6.0, note="needs CAREZOO_DATA")
        return
    data = Path(os.environ["CAREZOO_DATA"])
    with tempfile.TemporaryDirectory(prefix="carezoo-benchmark-") as name:
        folder = Path(name)
        gain, note = _gain(MODELS / "denoise-nuclei-confocal-2d" / "recipe.yaml", data, 5, folder / "nuclei")
        yield Figure(nuclei, gain, "dB", at_least=6.5, note=note)
        make_pairs = MODELS / "denoise-cells3d" / "make_pairs.py"
        stack = data / "cells3d" / "nuclei_zyx.tif"
        subprocess.run(
            [sys.executable, str(make_pairs), str(stack), str(folder / "pairs")], check=True, capture_output=True
        )
        gain, note = _gain(MODELS / "denoise-cells3d" / "recipe.yaml", folder / "pairs", 10, folder / "cells3d")
        yield Figure(volume, gain, "dB", at_least=6.0, note=note)
