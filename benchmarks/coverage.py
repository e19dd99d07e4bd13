"""Figures: how often the true value lies in intervals of 50, 90 and 95 %, on acquired pairs that no training has seen.

Models are those that ship and learned from acquired pairs, or the packages that the variables of `MODELS` name. Which
files their recipes report on is in the packages; the files need CAREZOO_DATA. Intervals are those that a user gets:
recalibrated, where a package has measured at which levels they hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchmarks import shipped
from benchmarks.figures import Figure
from carezoo.evaluate import evaluation
from carezoo.evaluate.calibration import MeasuredCalibration
from carezoo.evaluate.evaluation import EvaluationSettings

MODELS = {
    "denoise-nuclei-confocal-2d": "CAREZOO_NUCLEI_REAL",
    "denoise-nuclei-confocal-2d-ensemble": "CAREZOO_ENSEMBLE",
}
LEVELS = (0.5, 0.9, 0.95)
POINTS = 3.0
"""How far from 90 % the intervals of 90 % may be."""


def figures() -> Iterator[Figure]:
    for name, variable in MODELS.items():
        title = f"90 % intervals off by, {name}"
        model = shipped.model(variable, name)
        if model is None or "CAREZOO_DATA" not in os.environ:
            yield Figure(title, None, at_most=POINTS, note=f"needs {variable}, CAREZOO_DATA")
            continue
        pairs = shipped.reported_pairs(model.package, os.environ["CAREZOO_DATA"])
        found = evaluation.evaluate(
            model.package, pairs, EvaluationSettings(baselines=(), most_frames=1)
        ).overall.calibration
        off = 100 * abs(found["all"].at(0.9) - 0.9)
        parts = "; ".join(f"{part} {_held(found[part])}" for part in ("foreground", "background", "all"))
        yield Figure(title, off, "points", at_most=POINTS, note=f"{len(pairs)} pairs; 50, 90, 95 %: {parts}")


def _held(calibration: MeasuredCalibration) -> str:
    return ", ".join(f"{100 * calibration.at(level):.1f}" for level in LEVELS)
