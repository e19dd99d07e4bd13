"""``carezoo restore``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from carezoo.cli import declared
from carezoo.cli.declared import open_reference, parse_crop, parse_models, parse_position
from carezoo.cli.progress import REPORT, Bar, talk_on_stderr, trace
from carezoo.errors import BugError, InputError
from carezoo.files.listing import collect_images
from carezoo.files.scenes import ALL
from carezoo.runtime.batch import Job, Outcome, restore_files
from carezoo.settings import Settings


@click.command("restore")
@click.argument("sources", metavar="FILES...", nargs=-1, required=True, type=declared.PATH)
@declared.model_option(
    "models",
    "Name or path of a model. For different models a channel repeat it: --model 0=A --model 1=B.",
    multiple=True,
    required=True,
    metavar="[CHANNEL=]REF",
)
@declared.zoo_option
@declared.file_option(
    "output",
    "Folder for results, or for one file the name of its restored image (.tif).  [default: beside each file]",
)
@declared.axes_option
@declared.scene_option()
@declared.settings_options
@click.option("--crop", metavar="y=0:256,x=...", help="Restore this region only, for trying.")
@click.option(
    "--flicker",
    type=declared.PATH,
    metavar="MP4|GIF",
    help="Write a video, too: every frame draws each pixel anew from what the model holds possible. For one file.",
)
@click.option(
    "--flicker-at",
    metavar="z=12,t=0,c=0",
    help="What the video shows.  [default: first time point and channel, maximum projection of a stack]",
)
@declared.overwrite_option("existing results")
@declared.json_option("the outcome of every file")
def restore_command(
    sources: Sequence[Path],
    models: Sequence[str],
    zoos: Sequence[str],
    output: Path | None,
    axes: str | None,
    scene: str | None,
    settings: Settings,
    crop: str | None,
    flicker: Path | None,
    flicker_at: str | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Restore image FILES (or all images of a folder) with a model.

    cell.tif becomes cell_restored.tif, in the intensities of the input and with its metadata; a probabilistic model
    writes cell_scale.tif, too. With --scene the names carry that of the scene. Finished files are skipped when the
    command is run again.
    """
    job = Job(
        models={channel: open_reference(reference, zoos) for channel, reference in parse_models(models).items()},
        settings=settings,
        axes=axes,
        scene=scene,
        crop=parse_crop(crop) if crop else {},
        output=output,
        is_overwriting=overwrite,
    )
    with talk_on_stderr():
        files = collect_images(sources)
    if flicker:
        _check_flicker(flicker, files, job)
    outcomes: list[Outcome] = []
    with Bar() as bar:
        for outcome in restore_files(files, job, progress=bar):
            bar.close()
            outcomes.append(outcome)
            _tell(outcome)
    if flicker and outcomes[0].error is None:
        _write_flicker(flicker, files[0], job, flicker_at or "")
    if as_json:
        click.echo(json.dumps([outcome.to_dict() for outcome in outcomes], indent=2))
    return _summary(outcomes)


def _check_flicker(path: Path, files: Sequence[Path], job: Job) -> None:
    from carezoo.pictures import flicker

    flicker.check_name(path)
    if len(files) != 1 or None not in job.models:
        raise InputError("--flicker shows one file restored with one model; give one")
    if job.scene == ALL:
        raise InputError("--flicker shows one image; name its scene")
    if path.exists() and not job.is_overwriting:
        raise InputError(f"{path} exists; choose another name, or replace it (--overwrite)")
    manifest = job.models[None].manifest
    if all(result.name != "scale" for result in manifest.results):
        raise InputError(f"--flicker draws from a distribution, and model {manifest.id} is not probabilistic")


def _write_flicker(path: Path, file: Path, job: Job, at: str) -> None:
    """Restore what is shown once more, with what the members of an ensemble say, and draw from it."""
    from carezoo import files
    from carezoo.pictures import flicker, view

    position = parse_position(at) if at else {}
    image = files.open_image(file, job.axes, scene=job.scene)
    image = image.crop(job.crop) if job.crop else image
    shown = view.view_model(image, job.models[None], position, job.settings)
    n = flicker.N_FRAMES[path.suffix.lower()]
    flicker.write(flicker.frames(shown, position.get("Z"), n), path)
    click.echo(f"flicker  {file} -> {path}", err=True)


def _tell(outcome: Outcome) -> None:
    if outcome.error is not None:
        told = str(outcome.error)
        if isinstance(outcome.error, BugError):
            trace(outcome.error)
            told = f"{told}. {REPORT}"
        click.echo(
            f"failed   {told}" if outcome.source.name in told else f"failed   {_source(outcome)}: {told}", err=True
        )
        return
    written = ", ".join(str(path) for path in outcome.outputs)
    if outcome.status == "skipped":
        click.echo(f"finished before  {_source(outcome)} -> {written}", err=True)
        return
    for report in outcome.reports:
        run = report.provenance
        click.echo(
            f"restored {_source(outcome)} -> {written}  ({run.model} {run.version}, {run.provider} {run.precision}, "
            f"{report.seconds:.1f} s, {report.n_voxels / max(report.seconds, 1e-9) / 1e6:.2f} megavoxels/s, "
            f"{run.n_tiles} tile(s), halo {run.halo_share:.0%})",
            err=True,
        )
        if report.n_clipped:
            click.echo(f"  note: {report.n_clipped} pixels did not fit into the type and were clipped", err=True)
        for warning in report.warnings:
            click.echo(f"  warning: {warning}", err=True)


def _source(outcome: Outcome) -> str:
    return f"{outcome.source}, scene {outcome.scene}" if outcome.scene else str(outcome.source)


def _summary(outcomes: Sequence[Outcome]) -> int:
    """Say how it went, and return the exit code of a bug if there was one, of the first failure otherwise."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if len(outcomes) > 1:
        counts = {status: sum(o.status == status for o in outcomes) for status in ("restored", "skipped", "failed")}
        n_unlike = sum(any(report.provenance.unlike_training for report in each.reports) for each in outcomes)
        told = [f"{n} {status}" for status, n in counts.items() if n]
        told += [f"{n_unlike} of them unlike the training images"] if n_unlike else []
        click.echo(", ".join(told), err=True)
    errors.sort(key=lambda error: not isinstance(error, BugError))
    return errors[0].exit_code if errors else 0
