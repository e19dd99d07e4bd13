"""A report on disk: `index.html` to look at, `scores.json` with everything, `scores.csv` with a row for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from carezoo.errors import InputError
from carezoo.evaluate import estimated
from carezoo.evaluate.estimated import EstimatedScores
from carezoo.evaluate.findings import Findings, to_csv, to_json
from carezoo.evaluate.report.page import Course, to_estimated_html, to_html
from carezoo.files.atomic import replacing
from carezoo.package.manifest import Manifest
from carezoo.pairs.find import Pair

PAGE, JSON, CSV = "index.html", "scores.json", "scores.csv"


def check_folder(folder: Path, *, is_overwriting: bool) -> None:
    """Make the folder of a report; ask before anything is computed.

    Raises
    ------
    InputError
        If it holds a report and is not to be overwritten, or is not a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; expected a folder for the report")
    if (folder / PAGE).exists() and not is_overwriting:
        raise InputError(f"{folder} holds a report already; choose another folder, or replace it with --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {folder} cannot be made: {error.strerror}") from error


def write_report(
    findings: Findings,
    folder: Path,
    *,
    title: str,
    facts: Sequence[tuple[str, str]],
    course: Course | None = None,
) -> Path:
    """Write the report into a folder and return its page; parameters as of `carezoo.evaluate.report.page.to_html`."""
    texts = {
        JSON: to_json(findings),
        CSV: to_csv(findings),
        PAGE: to_html(findings, title=title, facts=facts, course=course),
    }
    return _write(folder, texts)


def write_evaluation(findings: Findings, manifest: Manifest, pairs: Sequence[Pair], folder: Path) -> Path:
    """Write the report of an evaluation of its own and return its page."""
    run = findings.provenance
    facts = [
        ("Model", f"{manifest.name} ({manifest.reference}), {findings.task}"),
        ("Images", _images(findings, pairs)),
        ("Run", f"{run['provider']} {run['precision']}, carezoo {run['carezoo_version']}"),
        ("Evaluated in", f"{findings.seconds:.0f} s"),
    ]
    return write_report(findings, folder, title=f"{manifest.name}: evaluation", facts=facts)


def write_estimated(found: EstimatedScores, manifest: Manifest, folder: Path) -> Path:
    """Write the report of scores that were estimated from noisy images and return its page."""
    facts = [("Model", f"{manifest.name} ({manifest.reference})"), ("Images", found.how)]
    for channel, each in found.noise.items():
        words = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in each.items())
        facts.append((f"Noise, channel {channel}" if len(found.noise) > 1 else "Noise", words))
    title = f"{manifest.name}: scores from noisy images"
    return _write(folder, {JSON: estimated.to_json(found), PAGE: to_estimated_html(found, title=title, facts=facts)})


def _write(folder: Path, texts: Mapping[str, str]) -> Path:
    for name, text in texts.items():
        with replacing(folder / name, n_bytes=len(text)) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    return folder / PAGE


def _images(findings: Findings, pairs: Sequence[Pair]) -> str:
    n_images = len(findings.overall.scores.files)
    text = f"{len(pairs)} pair(s) of files, {n_images} image(s) scored"
    if (average := findings.provenance["average"]) > 1:
        text += f"; each the mean of {average} frames"
    if findings.n_files_with_more:
        text += f"; of {findings.n_files_with_more} file(s) with more frames some only, spread evenly"
    return text
