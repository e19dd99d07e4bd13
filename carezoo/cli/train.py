"""``carezoo train``."""

from __future__ import annotations

from pathlib import Path

import click

from carezoo.cli import declared
from carezoo.cli.progress import Bar, talk_on_stderr
from carezoo.errors import InputError


@click.command("train")
@click.argument("recipe", required=False, type=declared.PATH)
@declared.folder_option("out", "Folder of the run; the package is made in it.")
@click.option(
    "--data",
    type=declared.PATH,
    help="Folder that relative data paths of the recipe start from.  [default: the recipe's]",
)
@click.option("--resume", is_flag=True, help="Go on with the run in the output folder.")
@click.option(
    "--max-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop after this time (of each member) and pack the best checkpoint.",
)
@click.option(
    "--member",
    type=click.IntRange(min=1),
    help="Train one member of an ensemble, unless it is trained, and pack it alone under the recipe's name.",
)
@click.option("--from", "start_from", metavar="REF", help="Fine-tune: start from the weights in this package.")
@click.option("--explain", is_flag=True, help="Print every field of a recipe with its default and meaning.")
def train_command(
    recipe: Path | None,
    out: Path | None,
    data: Path | None,
    resume: bool,
    max_minutes: float | None,
    start_from: str | None,
    member: int | None,
    explain: bool,
) -> None:
    """Train a model from RECIPE (YAML) and pack it. Needs the extra "train"."""
    if explain:
        from carezoo.train.explain import explain as explanation

        click.echo(explanation())
        return
    if recipe is None or out is None:
        raise InputError("expected a recipe and a folder: carezoo train RECIPE.yaml -o RUN (or --explain)")
    from carezoo.train.run import train

    with talk_on_stderr(), Bar("step") as progress:
        package = train(
            recipe,
            out,
            data=data,
            resume=resume,
            max_minutes=max_minutes,
            start_from=start_from,
            member=member,
            progress=progress,
        )
    click.echo(str(package))
