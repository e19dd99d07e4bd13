"""*CARE Restore Folder...*: all images of a folder, file to file, as the command line does it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carezoo.errors import Cancelled, InputError
from carezoo.files.listing import Listing, list_folder
from carezoo.host.models import Problem
from carezoo.runtime.batch import Job, Outcome, restore_files
from carezoo.settings import from_dialog
from carezoo_fiji.calls import Call
from carezoo_fiji.form import Field, settings_fields
from carezoo_fiji.java import load
from carezoo_fiji.restoring import model_fields, reference


def ask(session: Any, call: Call) -> tuple[Listing, Job]:
    """Ask for folders, a model and how to run it."""
    fields = [
        Field("input_folder", "folder"),
        Field("output_folder", "folder"),
        *model_fields(session),
        *settings_fields(),
        Field("scene", "text", "", unit="(name, number or all)"),
        Field("overwrite", "flag", False),
    ]
    values = call.ask(fields, help_url=session.HELP)
    session.remembered["model"] = values["model"]
    source, target = (Path(str(values[key]).strip()) for key in ("input_folder", "output_folder"))
    if not str(values["input_folder"]).strip() or not source.is_dir():
        raise InputError(f"input_folder={values['input_folder']}: expected a folder of images")
    if not str(values["output_folder"]).strip():
        raise InputError("output_folder is empty: expected the folder for the results")
    job = Job(
        models={None: session.models.get(reference(values)).package},
        settings=from_dialog(values),
        scene=str(values["scene"]).strip() or None,
        output=target,
        is_overwriting=bool(values["overwrite"]),
    )
    found = list_folder(source)
    found.require_images()
    return found, job


def do(session: Any, call: Call, asked: tuple[Listing, Job]) -> str:
    """Restore file by file; a broken one does not stop the others."""
    del session
    found, job = asked
    if found.unreadable:
        load("ij.IJ").log(f"CAREzoo: left out: {found.missing_reader()}")
    outcomes = call.in_background(lambda: _restore(call, found.images, job))
    if all(outcome.error for outcome in outcomes):
        raise outcomes[0].error or InputError("nothing was restored")
    counts = {status: sum(o.status == status for o in outcomes) for status in ("restored", "skipped", "failed")}
    text = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    load("ij.IJ").log(f"CAREzoo: {text}; results are in {job.output}")
    call.status(text)
    return text


def _restore(call: Call, sources: Sequence[Path], job: Job) -> list[Outcome]:
    outcomes: list[Outcome] = []
    n_files = len(sources)

    def progress(done: int, total: int, what: str) -> None:
        call.status(f"restoring {what} ({len(outcomes) + 1} of {n_files}); Escape stops")
        call.progress(len(outcomes) * total + done, n_files * total)

    for outcome in restore_files(sources, job, progress, call.stopped.is_set):
        if isinstance(outcome.error, Cancelled):
            raise outcome.error
        outcomes.append(outcome)
        told = (
            Problem.from_error(outcome.error).line
            if outcome.error
            else ", ".join(path.name for path in outcome.outputs)
        )
        load("ij.IJ").log(f"CAREzoo: {outcome.source.name}: {outcome.status}: {told}")
    return outcomes
