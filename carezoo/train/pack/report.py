"""How good a packed model is on files it has never seen, restored as a user would restore them; how it came to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from carezoo.evaluate import evaluation
from carezoo.evaluate.evaluation import EvaluationSettings
from carezoo.evaluate.findings import Findings
from carezoo.evaluate.report.files import check_folder, write_report
from carezoo.evaluate.report.page import LEVELS, Chart, Course, Picture, draw_chart
from carezoo.package.draft import Draft
from carezoo.package.read import Package
from carezoo.pairs.find import ImageKey, Pair
from carezoo.pairs.intensity import Relation
from carezoo.pictures.charts import PlotArea, Series
from carezoo.settings import Settings
from carezoo.train import history
from carezoo.train.pack import card
from carezoo.train.pack.estimates import LARGEST

MOST_FRAMES, MOST_FRAMES_PER_FILE = 16, 5
"""Planes, frames and samples that are scored in all, at least one of each file; and of one file. Spread evenly."""

SHOWN_EPOCHS = 6
"""Moments of the training of which example patches are shown."""


def evaluate(package: Package, pairs: Sequence[Pair], relations: Mapping[ImageKey, Relation]) -> Findings:
    """Restore and score files that neither trained nor chose the model, beside classical methods."""
    most_frames = max(1, min(MOST_FRAMES_PER_FILE, MOST_FRAMES // len(pairs)))
    largest = LARGEST[package.manifest.spatial_axes]
    wanted = EvaluationSettings(
        most_frames=most_frames, largest=largest, settings=Settings(provider="cpu"), relations=relations
    )
    return evaluation.evaluate(package, list(_by_condition(pairs)), wanted)


def write_training(findings: Findings, draft: Draft, folder: Path, members: Sequence[Path]) -> Path:
    """Write the report of a training whose `members` have logs in these folders, and return its page."""
    check_folder(folder, is_overwriting=True)
    facts = [
        ("Model", f"{draft.name} ({draft.id} {draft.version}), {draft.task}"),
        ("Scored on", f"{findings.overall.n_files} file(s) that neither trained the model nor chose its checkpoint"),
        ("Licence", draft.license),
    ]
    course = Course(list(_facts(draft, members)), list(_curves(members)), list(_examples(members[0])))
    return write_report(findings, folder, title=f"{draft.name}: training", facts=facts, course=course)


def summary(findings: Findings) -> dict[str, float | int | None]:
    """Return the mean scores as plain numbers for a manifest."""
    scores, best = findings.overall.scores, findings.overall.best_baseline
    before, after = scores.input.mean, scores.restored.mean
    intensities = None if scores.intensities is None else scores.intensities.mean
    numbers = {
        "psnr_db_input": before.psnr_db,
        "psnr_db": after.psnr_db,
        "psnr_gain_db": scores.psnr_gain_db,
        "nrmse_input": before.nrmse,
        "nrmse": after.nrmse,
        "ssim_input": before.ssim,
        "ssim": after.ssim,
        "gain_error": intensities and intensities.gain_error,
        "offset_error": intensities and intensities.offset_error,
        "psnr_db_best_baseline": scores.baselines[best].mean.psnr_db if best else None,
    }
    rounded = {name: None if value is None else float(f"{value:.5g}") for name, value in numbers.items()}
    return {"n_images": len(scores.files), **rounded}


def coverage(findings: Findings) -> dict[str, dict[str, float]]:
    """Return how often the true value lies in central intervals, by part of the image and level in percent."""
    return {
        part: {f"{100 * level:g}": round(one.at(level), 4) for level in LEVELS}
        for part, one in findings.overall.calibration.items()
    }


def _by_condition(pairs: Sequence[Pair]) -> Iterator[Pair]:
    """Yield the pairs, those of a set with several source folders named after their folders too."""
    folders: dict[str, set[Path]] = {}
    for pair in pairs:
        folders.setdefault(pair.dataset, set()).add(pair.source_path.parent)
    for pair in pairs:
        several = len(folders[pair.dataset]) > 1
        yield replace(pair, dataset=f"{pair.dataset}, {pair.source_path.parent.name}") if several else pair


def _facts(draft: Draft, members: Sequence[Path]) -> Iterator[tuple[str, str]]:
    training, network = draft.record.training, draft.record.network
    assert training is not None  # of a model that was trained here
    assert network is not None
    for each in training.data:
        yield f"Data {each.name}", f"{each.parts}; {each.license}; {each.origin}"
    yield "Network", f"{card.architecture(network)}, {network.n_parameters:,} parameters"
    for number, (fit, folder) in enumerate(zip(training.members, members, strict=True), start=1):
        name = f"Member {number}" if len(members) > 1 else "Steps"
        seconds = sum(float(row.get("seconds") or 0) for row in history.read(folder))
        yield (
            name,
            f"{fit.n_steps} in {fit.n_epochs} epochs, {_duration(seconds)}; best epoch {fit.best_epoch}",
        )
    yield "Ran with", ", ".join(f"{name} {version}" for name, version in training.libraries.items())
    if calibration := draft.record.calibration:
        yield "Calibration", f"scales multiplied by {calibration.factor:.3g}, found on the files to choose on"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _curves(members: Sequence[Path]) -> Iterator[Chart]:
    losses, rates = [], []
    for number, folder in enumerate(members):
        rows = history.read(folder)
        of = f", member {number + 1}" if len(members) > 1 else ""
        losses.append(_series(rows, "train_loss", f"training{of}", number, ":"))
        losses.append(_series(rows, "val_loss", f"validation{of}", number, "-"))
        rates.append(_series(rows, "learning_rate", "", number, "-"))
    losses, rates = ([one for one in each if one.x] for each in (losses, rates))
    if losses:
        yield draw_chart("Loss", losses, PlotArea("epoch", "loss", y_log=True), "Mean over an epoch.")
    if rates:
        yield draw_chart("Learning rate", rates, PlotArea("epoch", "learning rate", y_log=True))


def _series(rows: Sequence[Mapping[str, Any]], column: str, label: str, colour: int, style: str) -> Series:
    known = [(float(row["epoch"]), float(row[column])) for row in rows if row.get(column)]
    return Series(label, [x for x, _ in known], [y for _, y in known], colour, style)


def _examples(folder: Path) -> Iterator[tuple[str, list[Picture]]]:
    """Yield the first validation patch as source and target, and as it was restored after some epochs."""
    given = [
        Picture(name.capitalize(), "", path.read_bytes())
        for name in ("source", "target")
        if (path := history.example_path(folder, 1, name)).exists()
    ]
    epochs = history.example_epochs(folder)
    n = min(SHOWN_EPOCHS, len(epochs))
    shown = sorted({epochs[round(i * (len(epochs) - 1) / max(n - 1, 1))] for i in range(n)})
    restored = [
        Picture(f"Epoch {epoch}", "", history.example_path(folder, epoch, "mean").read_bytes()) for epoch in shown
    ]
    if restored:
        yield "A validation patch over time", [*given, *restored]
