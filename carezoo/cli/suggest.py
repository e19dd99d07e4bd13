"""``carezoo suggest``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carezoo.cli import declared
from carezoo.cli.progress import talk_on_stderr
from carezoo.tasks import TASKS

if TYPE_CHECKING:
    from carezoo.registry.suggest import Suggestion


@click.command("suggest")
@click.argument("source", metavar="IMAGE", type=declared.PATH)
@declared.axes_option
@click.option("--task", type=click.Choice(list(TASKS)), help="Models for this task only.")
@declared.zoo_option
@declared.json_option("the ranking")
def suggest_command(source: Path, axes: str | None, task: str | None, zoos: Sequence[str], as_json: bool) -> None:
    """Rank models by how well IMAGE fits what they were trained on, with the reasons.

    Give the noisy image that is to be restored. Models on this machine and in folders are judged; nothing is
    downloaded.
    """
    from carezoo.registry.suggest import suggest

    with talk_on_stderr():
        found = suggest(source, axes, task=task, zoos=zoos or None)
    if as_json:
        click.echo(json.dumps([_plain(each) for each in found], indent=2))
        return
    if not found:
        click.echo("no model for this task is here; carezoo list --zoo URL shows those of a zoo", err=True)
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        distance = f"{each.distance:.2f}" if each.verdict in {"fits", "unlike"} else ""
        click.echo(f"{each.name:<{width}}  {each.version:<7} {each.task:<9} {each.verdict:<10} {distance}")
        for reason in each.reasons or _why(each):
            click.echo(f"{'':<{width}}  - {reason}")


def _why(each: Suggestion) -> tuple[str, ...]:
    """Return what a model is suggested for."""
    return (f"like its training images {each.nearest}" + ", which are simulated" * each.is_synthetic,)


def _plain(each: Suggestion) -> dict[str, object]:
    distance = each.distance if each.verdict in {"fits", "unlike"} else None
    return {**vars(each), "distance": distance, "verdict": each.verdict, "reasons": list(each.reasons)}
