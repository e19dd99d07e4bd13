"""CARE Restore: image paths in, one row of results for each of them out, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo import files, statistics
from carezoo.errors import Cancelled, CarezooError, InputError
from carezoo.files.scenes import ALL
from carezoo.image import Image
from carezoo.pictures.display import preview
from carezoo.progress import Progress
from carezoo.runtime.batch import Job, Outcome, conflicts, restore_files, result_path
from carezoo_knime.cells import Row, path_of

STATUS = {"restored": "restored", "skipped": "finished before", "failed": "failed"}
"""What a table says of what happened to a file."""


@dataclass(frozen=True, kw_only=True)
class RestoredRow(Row):
    """What the table says of one image. None becomes a missing cell."""

    restored: str | None = None
    """Path of the restored image."""
    scale: str | None = None
    """Path of the scale (probabilistic models)."""
    disagreement: str | None = None
    """Path of the disagreement of the members (ensembles)."""
    mean_disagreement: float | None = None
    """Over all pixels, 0 to 1."""
    high_disagreement: float | None = None
    """The value that 99 % of the pixels do not exceed, 0 to 1."""
    status: str
    warnings: str | None = None
    seconds: float | None = None
    """None for images that were finished before."""
    preview: NDArray[np.uint8] | None = None
    """Small grey picture of the restored image, axes YX."""
    error: str | None = None


def restore_rows(
    cells: Sequence[Any],
    job: Job,
    *,
    folder: Path | None = None,
    is_strict: bool = False,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[RestoredRow]:
    """Restore the image of every row.

    Parameters
    ----------
    cells
        One path a row (`carezoo_knime.cells.path_of`). The same path may stand in several rows; it is restored once.
    job
        Model, settings, and where results go.
    folder
        Where relative paths start.
    is_strict
        True: the first row that fails ends the work with its error. False: it becomes a row that says so.
    progress, cancelled
        Called after, and asked between, tiles.

    Raises
    ------
    Cancelled
        If `cancelled` returned True. Images finished before stay, and are not restored again the next time.
    CarezooError
        If the model cannot be run at all; with `is_strict` whatever went wrong with a row.
    """
    if job.scene == ALL:
        raise InputError("a row becomes one image: name one scene; loop over several with a flow variable")
    paths = [_attempt(cell, folder) for cell in cells]
    failures = conflicts(list(dict.fromkeys(path for path in paths if isinstance(path, Path))), job)
    good = list(dict.fromkeys(path for path in paths if isinstance(path, Path) and path not in failures))
    if is_strict:
        for error in [path for path in paths if isinstance(path, CarezooError)] + list(failures.values()):
            raise error
    rows = {path: RestoredRow(status=STATUS["failed"], error=str(error)) for path, error in failures.items()}
    outcomes: list[Outcome] = []

    def report(n_done: int, n_voxels: int, what: str) -> None:
        if progress:
            words = f"{what} ({len(outcomes) + 1} of {len(good)})"
            progress(len(outcomes) * n_voxels + n_done, len(good) * n_voxels, words)

    for outcome in restore_files(good, job, report, cancelled):
        outcomes.append(outcome)
        if isinstance(outcome.error, Cancelled):
            raise Cancelled(f"stopped at {outcome.source}; what was finished before stays")
        if is_strict and outcome.error is not None:
            raise outcome.error
        rows[outcome.source] = _row(outcome, job)
    return [
        rows[path] if isinstance(path, Path) else RestoredRow(status=STATUS["failed"], error=str(path))
        for path in paths
    ]


def _attempt(cell: Any, folder: Path | None) -> Path | InputError:
    try:
        return path_of(cell, folder)
    except InputError as error:
        return error


def _row(outcome: Outcome, job: Job) -> RestoredRow:
    if outcome.error is not None:
        return RestoredRow(status=STATUS["failed"], error=str(outcome.error))
    written = {
        name: path
        for name in ("mean", "scale", "disagreement")
        if (path := result_path(outcome.source, name, job.output, outcome.scene)) in outcome.outputs
    }
    mean, high = _summary(files.open_image(written["disagreement"])) if "disagreement" in written else (None, None)
    return RestoredRow(
        restored=_text(written.get("mean")),
        scale=_text(written.get("scale")),
        disagreement=_text(written.get("disagreement")),
        mean_disagreement=mean,
        high_disagreement=high,
        status=STATUS[outcome.status],
        warnings=_warnings(outcome),
        seconds=sum(report.seconds for report in outcome.reports) if outcome.reports else None,
        preview=preview(files.open_image(written["mean"])),
    )


def _summary(disagreement: Image) -> tuple[float, float]:
    """Return the mean and the 99th percentile, read plane by plane."""

    def blocks() -> Iterator[NDArray[np.generic]]:
        for index in np.ndindex(disagreement.shape[:-2]):
            yield np.asarray(disagreement.pixels[(*index, slice(None), slice(None))])

    return statistics.moments(blocks)[0], statistics.percentiles(blocks, [99.0])[0]


def _warnings(outcome: Outcome) -> str | None:
    said = [warning for report in outcome.reports for warning in report.warnings]
    n_clipped = sum(report.n_clipped for report in outcome.reports)
    if n_clipped:
        said.append(f"{n_clipped} pixels did not fit into the type and were clipped")
    return "; ".join(said) or None


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
