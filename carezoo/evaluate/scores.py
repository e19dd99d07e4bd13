"""Scores of restored images against their targets, image by image and on average, beside their input and baselines."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError
from carezoo.metrics import (
    IntensityErrors,
    MeanScores,
    S,
    Scores,
    fit_units,
    intensity_errors,
    mean_scores,
    score,
)

_log = logging.getLogger("carezoo")

Pair = tuple[str, NDArray[Any], NDArray[Any], NDArray[Any]]
"""Name, noisy input, restored image, target."""

_DECIMALS = {"psnr_db": 2, "nrmse": 4, "ssim": 3}


@dataclass(frozen=True)
class FileScores:
    """Scores of one image."""

    name: str
    input: Scores
    """Of the noisy image."""
    restored: Scores
    intensities: IntensityErrors | None
    """Of the restored image against the target in the units of the input; None where those are not known."""
    baselines: Mapping[str, Scores] = field(default_factory=dict)
    """Of classical methods, by name."""
    file: str = ""
    """File the image is a frame or channel of; empty: the image is a file of its own."""

    @property
    def psnr_gain_db(self) -> float:
        """PSNR of the restored image minus that of the input; NaN if both are perfect."""
        if math.isinf(self.input.psnr_db) and math.isinf(self.restored.psnr_db):
            return math.nan
        return self.restored.psnr_db - self.input.psnr_db


@dataclass(frozen=True)
class Evaluation:
    """Scores of every image, and their means."""

    files: tuple[FileScores, ...]
    """Of every image."""
    input: MeanScores[Scores]
    """Over files: frames of one file are not independent, and are averaged first. So are all means here."""
    restored: MeanScores[Scores]
    intensities: MeanScores[IntensityErrors] | None
    """None if an image has none."""
    baselines: Mapping[str, MeanScores[Scores]] = field(default_factory=dict)
    """By name, those that all images have."""

    @property
    def psnr_gain_db(self) -> float:
        """Mean over the files of the gain in PSNR."""
        gains = self._gains()
        return math.fsum(gains) / len(gains)

    @property
    def psnr_gain_standard_error_db(self) -> float | None:
        """Standard error of that mean, from the paired differences; None for a single file."""
        gains = self._gains()
        if len(gains) < 2:
            return None
        return float(np.std(gains, ddof=1) / math.sqrt(len(gains))) if all(map(math.isfinite, gains)) else math.nan

    def _gains(self) -> list[float]:
        return [math.fsum(one.psnr_gain_db for one in of_file) / len(of_file) for of_file in _by_file(self.files)]


def evaluate_pairs(pairs: Iterable[Pair]) -> Evaluation:
    """Score restored images and their noisy inputs against targets; errors of intensity are in the units of the inputs.

    Parameters
    ----------
    pairs
        Name, noisy image, restored image and target, YX or ZYX and of one shape; taken one at a time, so that only one
        has to be in memory.

    Raises
    ------
    InputError
        If there are no pairs, or an image cannot be scored (its name is in the message).
    PixelError
        If a pixel is NaN or infinite.
    MissingExtraError
        If scikit-image is not installed.
    """
    # starmap lets go of one pair before it asks for the next; a loop variable would not.
    return collect(tuple(itertools.starmap(_score_file, pairs)))


def collect(files: Sequence[FileScores]) -> Evaluation:
    """Return the scores of images with their means.

    Raises
    ------
    InputError
        If there are none.
    """
    if not files:
        raise InputError("an evaluation needs at least one pair of images; found none")
    intensities = [file.intensities for file in files if file.intensities is not None]
    shared = [name for name in files[0].baselines if all(name in file.baselines for file in files)]
    return Evaluation(
        tuple(files),
        _mean_over_files(files, [file.input for file in files]),
        _mean_over_files(files, [file.restored for file in files]),
        _mean_over_files(files, intensities) if len(intensities) == len(files) else None,
        {name: _mean_over_files(files, [file.baselines[name] for file in files]) for name in shared},
    )


def to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation as plain JSON types, for a manifest or a report.

    Missing numbers, and those that JSON does not have (an infinite PSNR), are None.
    """
    plain = {
        "n": len(evaluation.files),
        "psnr_gain_db": evaluation.psnr_gain_db,
        "psnr_gain_standard_error_db": evaluation.psnr_gain_standard_error_db,
        "input": _summary(evaluation.input),
        "restored": _summary(evaluation.restored),
        "intensities": None if evaluation.intensities is None else _summary(evaluation.intensities),
        "baselines": {name: _summary(means) for name, means in evaluation.baselines.items()},
        "files": [{**dataclasses.asdict(file), "psnr_gain_db": file.psnr_gain_db} for file in evaluation.files],
    }
    found: dict[str, Any] = finite(plain)
    return found


def to_json(evaluation: Evaluation) -> str:
    """Return `to_dict` as the text of a JSON file."""
    return json.dumps(to_dict(evaluation), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_markdown_table(evaluation: Evaluation) -> str:
    """Return a Markdown table with a line for each image and one for the mean, and notes on how to read it."""
    lines = [
        "| image | PSNR (dB) | NRMSE | SSIM | gain error | offset error |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_file_line(file) for file in evaluation.files]
    if len(evaluation.files) > 1:
        lines.append(_mean_line(evaluation))
    return "\n\n".join(["\n".join(lines), *_notes(evaluation)]) + "\n"


def _score_file(name: str, noisy: NDArray[Any], restored: NDArray[Any], target: NDArray[Any]) -> FileScores:
    try:
        of_input, of_restored = score(noisy, target, name="noisy image"), score(restored, target)
        fit = fit_units(target, noisy)
        expected = target.astype(np.float32) * np.float32(fit.gain) + np.float32(fit.offset)
        intensities = intensity_errors(restored, expected)
    except InputError as error:
        raise type(error)(f"{name}: {error}") from error
    if of_restored.gain <= 0:
        _log.warning(
            "%s: the restored image fits its target with gain %.3g, it is unrelated or inverted", name, of_restored.gain
        )
    return FileScores(name, of_input, of_restored, intensities)


def _by_file(files: Sequence[FileScores]) -> list[list[FileScores]]:
    by_file: dict[str, list[FileScores]] = {}
    for number, one in enumerate(files):
        by_file.setdefault(one.file or f"|{number}", []).append(one)
    return list(by_file.values())


def _mean_over_files(files: Sequence[FileScores], each: Sequence[S]) -> MeanScores[S]:
    """Return the mean of scores, one for each of `files`, averaged over the images of a file first."""
    of_image = {id(file): one for file, one in zip(files, each, strict=True)}
    return mean_scores([mean_scores([of_image[id(one)] for one in of_file]).mean for of_file in _by_file(files)])


def _summary(means: MeanScores[Any]) -> dict[str, Any]:
    error = means.standard_error
    return {
        "mean": dataclasses.asdict(means.mean),
        "standard_error": None if error is None else dataclasses.asdict(error),
    }


def finite(value: Any) -> Any:
    """Return plain values with None for every number that is not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _file_line(file: FileScores) -> str:
    before, after, errors = file.input, file.restored, file.intensities
    name = file.name.replace("|", "\\|")
    gain, offset = ("–", "–") if errors is None else (_percent(errors.gain_error), _percent(errors.offset_error))
    return (
        f"| {name} | {before.psnr_db:.2f} → {after.psnr_db:.2f} | {before.nrmse:.4f} → {after.nrmse:.4f} "
        f"| {_decimals(before.ssim, 3)} → {_decimals(after.ssim, 3)} | {gain} | {offset} |"
    )


def _percent(value: float) -> str:
    return f"{100 * value:+.1f} %"


def _mean_line(evaluation: Evaluation) -> str:
    before, after, intensities = evaluation.input, evaluation.restored, evaluation.intensities
    cells = [f"{format_mean(before, name, n)} → {format_mean(after, name, n)}" for name, n in _DECIMALS.items()]
    for name in ("gain_error", "offset_error"):
        cells.append("–" if intensities is None else f"{format_mean(intensities, name, 1, percent=True)} %")
    return f"| **mean of {evaluation.restored.n}** | {' | '.join(cells)} |"


def format_mean(means: MeanScores[Any], name: str, n_decimals: int, *, percent: bool = False) -> str:
    """Return mean and standard error as text."""
    factor, sign = (100.0, "+") if percent else (1.0, "")
    mean = getattr(means.mean, name)
    text = _decimals(None if mean is None else factor * mean, n_decimals, sign)
    if mean is None or means.standard_error is None:
        return text
    return f"{text} ± {_decimals(factor * getattr(means.standard_error, name), n_decimals)}"


def _decimals(value: float | None, n: int, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.{n}f}"


def _notes(evaluation: Evaluation) -> list[str]:
    before, after = evaluation.input, evaluation.restored
    error = evaluation.psnr_gain_standard_error_db
    spread = "" if error is None else f" ± {error:.2f}"
    notes = [
        f"Input → restored; mean gain in PSNR {evaluation.psnr_gain_db:.2f}{spread} dB. Every image is first fitted to "
        "its target by gain and offset, and the target normalized by its percentiles 0.1 and 99.9, as in Weigert et "
        "al. 2018. ± is the standard error of the mean.",
        "SSIM keeps the means; with means removed, as in the scripts of 2018: "
        f"{format_mean(before, 'ssim_care2018', 3)} → {format_mean(after, 'ssim_care2018', 3)}.",
        "Gain and offset error: restored = gain × expected + offset in the intensity units of the input, as gain − 1 "
        "and as excess at the mean level over the range of the expected image.",
    ]
    if any(file.restored.ssim is None for file in evaluation.files):
        notes.append("–: SSIM needs at least 7 pixels along every axis.")
    inverted = [file.name for file in evaluation.files if file.restored.gain <= 0]
    if inverted:
        notes.append(f"**Unrelated or inverted** (gain of the fit not positive): {', '.join(inverted)}.")
    return notes
