"""What an evaluation has found: numbers of every image, and their means by condition."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carezoo.evaluate.assessment import INPUT, RESTORED, Assessment
from carezoo.evaluate.baselines import Parameters
from carezoo.evaluate.calibration import MeasuredCalibration, Sparsification, mean_sparsification, pool_calibrations
from carezoo.evaluate.fourier import Correlation, Spectrum, mean_correlation, mean_spectrum
from carezoo.evaluate.report.panels import Example
from carezoo.evaluate.scores import Evaluation, collect, finite, to_dict
from carezoo.evaluate.segmentation import SegmentationScores
from carezoo.metrics import Scores


@dataclass(frozen=True, eq=False)
class Group:
    """Means over the images of one condition."""

    name: str
    scores: Evaluation
    parameters: Mapping[str, Parameters]
    """Of each baseline, those that were best here."""
    calibration: Mapping[str, MeasuredCalibration]
    """Over all pixels, by part of the image; see `Assessment`."""
    sparsification: Mapping[str, Sparsification]
    spectra: Mapping[str, Mapping[str, Spectrum]]
    correlations: Mapping[str, Mapping[str, Correlation]]
    segmentation: Mapping[str, SegmentationScores]

    @property
    def n_files(self) -> int:
        """Files the means are over."""
        return self.scores.restored.n

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of what was scored, in the order of tables: input, baselines, restored."""
        return (INPUT, *self.scores.baselines, RESTORED)

    @property
    def best_baseline(self) -> str | None:
        """The baseline with the highest mean PSNR."""
        by_psnr = {name: means.mean.psnr_db for name, means in self.scores.baselines.items()}
        return max(by_psnr, key=lambda name: by_psnr[name]) if by_psnr else None


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything an evaluation has found."""

    model: str
    """Name and version."""
    task: str
    provenance: Mapping[str, Any]
    """What ran; see `carezoo.runtime.restoration.Provenance`."""
    titles: Mapping[str, str]
    """What tables call the methods, by name."""
    groups: tuple[Group, ...]
    """By condition."""
    overall: Group
    """Over all images."""
    skipped: tuple[tuple[str, str], ...]
    """Images that could not be scored, and why."""
    largest: Mapping[str, int]
    """Pixels by axis letter: of larger images, only the middle was scored."""
    n_files_with_more: int
    """Files of which not all frames were scored."""
    has_own_units: bool
    calibration_factor: float | None
    diameter: float | None
    examples: tuple[tuple[str, Example], ...]
    """Why each is shown, and its pictures."""
    seconds: float

    @property
    def all_groups(self) -> tuple[Group, ...]:
        """The conditions and, where there are several, all images together."""
        return (*self.groups, self.overall) if len(self.groups) > 1 else self.groups


def pool(name: str, each: Sequence[Assessment], parameters: Mapping[str, Parameters]) -> Group:
    """Return the means over images."""
    spectra = {
        method: {axis: mean_spectrum([one.spectra[method][axis] for one in each]) for axis in axes}
        for method, axes in each[0].spectra.items()
        if all(method in one.spectra and set(axes) <= set(one.spectra[method]) for one in each)
    }
    correlations = {
        method: {one: mean_correlation([each_[method][one] for each_ in (a.correlations for a in each)]) for one in of}
        for method, of in each[0].correlations.items()
        if all(method in a.correlations and set(of) <= set(a.correlations[method]) for a in each)
    }
    calibrations: dict[str, list[MeasuredCalibration]] = {}
    for one in each:
        for part, found in one.calibration.items():
            calibrations.setdefault(part, []).append(found)
    return Group(
        name,
        collect([one.scores for one in each]),
        parameters,
        {part: whole for part, found in calibrations.items() if (whole := pool_calibrations(found)) is not None},
        {by: mean_sparsification([one.sparsification[by] for one in each]) for by in each[0].sparsification},
        spectra,
        correlations,
        {
            method: _mean_segmentation([one.segmentation[method] for one in each])
            for method in each[0].segmentation
            if all(method in one.segmentation for one in each)
        },
    )


def to_json(findings: Findings) -> str:
    """Return everything but the pictures as the text of a JSON file."""
    plain = {
        "schema": 1,
        "model": findings.model,
        "task": findings.task,
        "provenance": dict(findings.provenance),
        "methods": dict(findings.titles),
        "conditions": [_group_to_dict(group) for group in findings.groups],
        "all": _group_to_dict(findings.overall),
        "skipped": [{"name": name, "reason": reason} for name, reason in findings.skipped],
        "scored_at_most": dict(findings.largest),
        "has_own_units": findings.has_own_units,
        "calibration_factor": findings.calibration_factor,
        "segmentation_diameter_pixels": findings.diameter,
        "seconds": round(findings.seconds, 2),
    }
    return json.dumps(_round_all(finite(plain)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


COLUMNS = (
    *("condition", "image", "file", "method"),
    *(field.name for field in dataclasses.fields(Scores)),
    *("gain_error", "offset_error"),
)
"""Of the table of scores; `gain` and `offset` are those of the fit to the target."""


def to_csv(findings: Findings) -> str:
    """Return a table with a row for each image and method."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for group in findings.groups:
        for one in group.scores.files:
            for method, scores in ((INPUT, one.input), *one.baselines.items(), (RESTORED, one.restored)):
                numbers = [getattr(scores, field.name) for field in dataclasses.fields(Scores)]
                errors = one.intensities if method == RESTORED else None
                numbers += [None, None] if errors is None else [errors.gain_error, errors.offset_error]
                cells = ["" if number is None else f"{number:.6g}" for number in numbers]
                writer.writerow([group.name, one.name, one.file, method, *cells])
    return text.getvalue()


def _group_to_dict(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "n_files": group.n_files,
        "baseline_parameters": {name: dict(found) for name, found in group.parameters.items()},
        "scores": to_dict(group.scores),
        "calibration": {
            part: {**dataclasses.asdict(one), "error": one.error} for part, one in group.calibration.items()
        },
        "sparsification": {by: dataclasses.asdict(one) for by, one in group.sparsification.items()},
        "spectra": {
            method: {axis: dataclasses.asdict(one) for axis, one in of.items()} for method, of in group.spectra.items()
        },
        "correlation_with_target": {
            method: {
                direction: {
                    **dataclasses.asdict(one),
                    "resolution": one.resolution,
                    "is_limited_by_pixels": one.is_limited_by_pixels,
                }
                for direction, one in of.items()
            }
            for method, of in group.correlations.items()
        },
        "segmentation": {method: dataclasses.asdict(one) for method, one in group.segmentation.items()},
    }


def _round_all(value: Any) -> Any:
    """Return plain values with every number to seven digits: more is noise, and makes curves long."""
    if isinstance(value, dict):
        return {key: _round_all(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_round_all(item) for item in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _mean_segmentation(each: Sequence[SegmentationScores]) -> SegmentationScores:
    names = [field.name for field in dataclasses.fields(SegmentationScores)]
    return SegmentationScores(*(math.fsum(getattr(one, name) for one in each) / len(each) for name in names))
