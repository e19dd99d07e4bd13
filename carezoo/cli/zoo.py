"""``carezoo list``, ``info``, ``check``, ``suggest``, ``pull``, ``remove`` and ``outdated``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from carezoo.cli import declared
from carezoo.cli.declared import format_resolved, open_reference
from carezoo.cli.progress import Bar, talk_on_stderr
from carezoo.errors import CheckError
from carezoo.registry import cache, catalog
from carezoo.registry.catalog import Listed
from carezoo.registry.resolve import pull
from carezoo.registry.suggest import Suggestion, suggest
from carezoo.tasks import TASKS

_KNOWN = ("title", "description", "task", "axes", "results", "n_members", "license", "scores", "tags")
"""What --json prints of the entry of a model."""


@click.command("list")
@click.option("--task", type=click.Choice(list(TASKS)), help="Models for this task only.")
@click.option("--dims", type=click.Choice(["2", "3"]), help="Models for 2D or for 3D images only.")
@click.option("--search", metavar="WORDS", help="Models with all these words in name, description, channels or tags.")
@declared.zoo_option
@declared.json_option("the list")
def list_command(task: str | None, dims: str | None, search: str | None, zoos: Sequence[str], as_json: bool) -> None:
    """List models: those that ship with carezoo, those that were pulled, those of the zoos named."""
    with talk_on_stderr():
        rows = catalog.models(task=task, dims=int(dims) if dims else None, search=search, zoos=zoos or None)
    if as_json:
        click.echo(json.dumps([_plain(row) for row in rows], indent=2))
        return
    if not rows:
        click.echo("no model fits; carezoo list without options shows all", err=True)
    width = max((len(row.name) for row in rows), default=0)
    for row in rows:
        where = row.zoo if row.is_here else f"{row.zoo}, not pulled"
        click.echo(f"{row.name:<{width}}  {row.version:<7} {_facts(row)}  {where}")
        if row.entry and row.entry.description:
            click.echo(f"{'':<{width}}  {row.entry.description}")


@click.command("suggest")
@click.argument("source", metavar="IMAGE", type=declared.PATH)
@declared.axes_option
@declared.scene_option(takes_all=False)
@click.option("--task", type=click.Choice(list(TASKS)), help="Models for this task only.")
@declared.zoo_option
@declared.json_option("the ranking")
def suggest_command(
    source: Path, axes: str | None, scene: str | None, task: str | None, zoos: Sequence[str], as_json: bool
) -> None:
    """Rank models by how well IMAGE fits what they were trained on, with the reasons.

    Give the noisy image that is to be restored. Models on this machine and in folders are judged; nothing is
    downloaded.
    """
    with talk_on_stderr():
        found = suggest(source, axes, scene=scene, task=task, zoos=zoos or None)
    if as_json:
        click.echo(json.dumps([_suggestion(each) for each in found], indent=2))
        return
    if not found:
        click.echo("no model for this task is here; carezoo list --zoo URL shows those of a zoo", err=True)
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        distance = f"{each.distance:.2f}" if each.verdict in {"fits", "unlike"} else ""
        click.echo(f"{each.name:<{width}}  {each.version:<7} {each.task:<9} {each.verdict:<10} {distance}")
        for reason in each.reasons or _why(each):
            click.echo(f"{'':<{width}}  - {reason}")


@click.command("pull")
@click.argument("reference", metavar="MODEL", type=declared.REFERENCE)
@declared.zoo_option
def pull_command(reference: str, zoos: Sequence[str]) -> None:
    """Bring MODEL onto this machine, so that it runs without a network.

    MODEL is NAME for the newest version, NAME@VERSION for that version for ever, bioimage.io/ID for a model of the
    bioimage.io collection, or the address of a zip or rdf.yaml. What is here already is verified and kept; an
    interrupted download goes on where it stopped.
    """
    with talk_on_stderr(), Bar("B") as progress:
        found = pull(reference, zoos or None, progress=progress)
    if found.name:
        click.echo(format_resolved(found), err=True)
    click.echo(found.path)


@click.command("remove")
@click.argument("reference", metavar="NAME[@VERSION]")
def remove_command(reference: str) -> None:
    """Delete a model that was pulled; all its versions, or one."""
    for each in catalog.remove(reference):
        click.echo(f"removed {each.model} {each.version} ({each.size / 1e6:.1f} MB) from {cache.folder()}")


@click.command("outdated")
@declared.zoo_option
@declared.json_option("the list")
def outdated_command(zoos: Sequence[str], as_json: bool) -> None:
    """List models on this machine of which there is a newer version. Asks the zoos they came from."""
    with talk_on_stderr():
        rows = catalog.outdated(zoos or None)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        click.echo(f"{row.name} {row.version} -> {row.newest}   carezoo pull {row.name} --zoo {row.zoo}")
    if not rows:
        click.echo("every model here is the newest of its zoo", err=True)


def _facts(row: Listed) -> str:
    if row.entry is None:
        return f"{'':<9} {'':<3} {'':<9}"
    gain = row.entry.scores.get("psnr_gain_db")
    return f"{row.entry.task:<9} {row.entry.axes:<3} {'' if gain is None else f'{gain:+.1f} dB':<9}"


def _plain(row: Listed) -> dict[str, object]:
    entry = row.entry
    known = {} if entry is None else {**{key: getattr(entry, key) for key in _KNOWN}, "size_bytes": entry.zip.size}
    return {"name": row.name, "version": row.version, "zoo": row.zoo, "is_here": row.is_here, **known}


def _why(each: Suggestion) -> tuple[str, ...]:
    """Return what a model is suggested for."""
    return (f"like its training images {each.nearest}" + ", which are simulated" * each.is_synthetic,)


def _suggestion(each: Suggestion) -> dict[str, object]:
    distance = each.distance if each.verdict in {"fits", "unlike"} else None
    return {**vars(each), "distance": distance, "verdict": each.verdict}


@click.command("check")
@click.argument("reference", metavar="PACKAGE", type=declared.REFERENCE)
@declared.zoo_option
@click.option("--bioimageio", is_flag=True, help='Let bioimageio.core test it, too (extra "bioimageio").')
@declared.json_option("the findings")
def check_command(reference: str, zoos: Sequence[str], bioimageio: bool, as_json: bool) -> int:
    """Check that PACKAGE (name or path) does what it says: hashes, graph, numbers, tiles, halo."""
    from carezoo.check.run import check

    package = open_reference(reference, zoos)
    report = check(
        package, bioimageio=bioimageio, progress=None if as_json else lambda what: click.echo(what, err=True)
    )
    if as_json:
        click.echo(json.dumps({**asdict(report), "passed": report.passed}, indent=2))
    else:
        for finding in report.findings:
            mark = "ok" if finding.passed else {"error": "FAILED", "warning": "warning"}[finding.severity]
            click.echo(f"{mark:<8} {finding.name:<28} {finding.detail}")
        click.echo(f"{report.package}: {'passed' if report.passed else 'FAILED'}")
    return 0 if report.passed else CheckError.exit_code


@click.command("info")
@click.argument("reference", metavar="PACKAGE", type=declared.REFERENCE)
@declared.zoo_option
@declared.json_option("everything shown")
def info_command(reference: str, zoos: Sequence[str], as_json: bool) -> None:
    """Tell what PACKAGE (name or path) is: task, axes, channels, intensities, scores, licence."""
    from carezoo.package.info import describe, summary

    package = open_reference(reference, zoos)
    click.echo(json.dumps(describe(package), indent=2, default=str) if as_json else summary(package))
