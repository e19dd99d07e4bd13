"""``carezoo train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from carezoo.cli import declared
from carezoo.cli.progress import Bar, talk_on_stderr
from carezoo.errors import InputError


@click.command("adapt")
@click.argument("model", metavar="MODEL")
@click.argument("images", type=declared.PATH)
@declared.folder_option("out", "Folder of the run; the package is made in it.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="Time for training, of all members of an ensemble together.",
)
def adapt_command(model: str, images: Path, out: Path | None, minutes: float) -> None:
    """Train MODEL a little further on noisy IMAGES (a folder, or a file), and pack it if it became better.

    Needs the extra "train".
    """
    if out is None:
        raise InputError("expected a folder for the run: carezoo adapt MODEL IMAGES -o RUN")
    from carezoo.train.adapt import adapt

    with talk_on_stderr(), Bar("step") as progress:
        package = adapt(model, images, out, minutes=minutes, progress=progress)
    click.echo(str(package))


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
@click.option(
    "--noisy",
    type=declared.PATH,
    help="Instead of a recipe: a folder of noisy images, or one, to train on without clean ones; 9 minutes at most.",
)
@click.option("--from", "start_from", metavar="REF", help="Fine-tune: start from the weights in this package.")
@click.option(
    "--explain", "is_explaining", is_flag=True, help="Print every field of a recipe with its default and meaning."
)
def train_command(recipe: Path | None, out: Path | None, noisy: Path | None, is_explaining: bool, **given: Any) -> None:
    """Train a model from RECIPE (YAML), or on noisy images alone, and pack it. Needs the extra "train"."""
    if is_explaining:
        from carezoo.train.explain import explain

        click.echo(explain())
        return
    if (recipe is None) == (noisy is None) or out is None:
        raise InputError(
            "expected a recipe and a folder: carezoo train RECIPE.yaml -o RUN (or --explain); with noisy images alone "
            "carezoo train --noisy FOLDER -o RUN"
        )
    from carezoo.train.noisy_recipe import describe_noisy
    from carezoo.train.run import train

    chosen = recipe if noisy is None else describe_noisy(noisy)
    assert chosen is not None
    with talk_on_stderr(), Bar("step") as progress:
        package = train(chosen, out, progress=progress, **given)
    click.echo(str(package))
