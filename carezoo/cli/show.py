"""``carezoo show``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from carezoo.cli import declared
from carezoo.cli.declared import open_reference, parse_position
from carezoo.errors import InputError
from carezoo.settings import Settings


@click.command("show")
@click.argument("source", metavar="IMAGE", type=declared.PATH)
@declared.model_option("reference", "Name or path of a model to restore the image with.")
@declared.zoo_option
@click.option(
    "--restored",
    type=declared.PATH,
    metavar="FILE",
    help="The image as it was restored before, with _scale and _disagreement beside it.  [default: IMAGE_restored.tif]",
)
@declared.file_option(
    "output", "Picture to write.  [default: a window; without a screen IMAGE_show.png here]", metavar="PNG"
)
@click.option(
    "--at",
    metavar="t=0,c=1,z=12,y=100",
    help="Time point, channel and sample, plane, row of the profile.  [default: the first; the richest plane and row]",
)
@declared.settings_options
@declared.axes_option
@declared.scene_option(takes_all=False)
@declared.overwrite_option("an existing picture")
def show_command(
    source: Path,
    reference: str | None,
    zoos: Sequence[str],
    restored: Path | None,
    output: Path | None,
    at: str | None,
    settings: Settings,
    axes: str | None,
    scene: str | None,
    overwrite: bool,
) -> None:
    """Show IMAGE, its restoration, and what the model is unsure of: scale, disagreement, a profile with its 90 % band.

    Stacks are shown as three orthogonal planes. Give a model, or restore the image first.
    """
    from carezoo import files
    from carezoo.pictures import uncertainty, view
    from carezoo.runtime.batch import result_path

    position = parse_position(at) if at else {}
    if settings.list_changed() and not reference:
        flags = ", ".join(f"--{row.flag}" for row in settings.list_changed())
        raise InputError(f"{flags} goes with a model (--model); a restored file says itself how it was made")
    if reference and restored:
        raise InputError("give a model or a restored file, not both")
    if output and output.suffix.lower() != ".png":
        raise InputError(f"{output}: a picture ends in .png")
    if output and output.exists() and not overwrite:
        raise InputError(f"{output} exists; choose another name (-o), or replace it (--overwrite)")
    before = restored or result_path(source, "mean", None, _label(source, scene))
    if reference:
        shown = view.view_model(
            files.open_image(source, axes, scene=scene), open_reference(reference, zoos), position, settings
        )
    elif before.exists():
        shown = view.view_files(source, before, position, axes, scene)
    else:
        files.open_image(source, axes, scene=scene)  # the image itself may be what is missing
        raise InputError(f"{before} does not exist: name a model (--model), or the restored image (--restored)")
    click.echo(f"{shown.name} restored with {shown.model or 'a model that its file does not name'}", err=True)
    for warning in shown.warnings:
        click.echo(f"warning: {warning}", err=True)
    target = output or _default(source)
    uncertainty.picture(shown, position, target)
    if output is None and _has_screen():
        click.launch(str(target))
    click.echo(str(target))


def _label(source: Path, scene: str | None) -> str:
    """Return what the results of the scene are called by; raises InputError if it is none, or all."""
    from carezoo import files

    if scene is None:
        return ""
    found = files.choose_scenes(source, scene)
    if len(found) > 1:
        raise InputError(f"--scene {scene}: a picture shows one image; name one scene")
    return found[0].label


def _default(source: Path) -> Path:
    name = f"{source.name.split('.')[0]}_show.png"
    return Path(tempfile.mkdtemp(prefix="carezoo-"), name) if _has_screen() else Path(name)


def _has_screen() -> bool:
    return sys.platform in {"win32", "darwin"} or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
