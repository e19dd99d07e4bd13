"""What several commands take, declared once: the same name means the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from carezoo.cli.progress import Bar, talk_on_stderr
from carezoo.files.atomic import require_folder
from carezoo.package.read import Package, open_package
from carezoo.registry.resolve import Resolved, resolve
from carezoo.settings import OFFERED, Setting, from_words

Declaration = Callable[[Any], Any]
"""What adds an option to a command."""

PATH = click.Path(path_type=Path)
"""A file or folder; whether it is there is told by whoever opens it."""


class _Folder(click.Path):
    """A folder for results, refused at once where none can be."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; raises InputError where a file is in the way, before any work is done."""
        folder = Path(os.fsdecode(super().convert(value, param, ctx)))
        require_folder(folder)
        return folder


class _Word(click.types.StringParamType):
    """The value of a restore setting, as people type it."""

    def __init__(self, row: Setting) -> None:
        self.name, self._row = row.metavar, row

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value; raises InputError if it is none."""
        del param, ctx
        return self._row.checked(value, f"--{self._row.flag}")


class _Reference(click.types.StringParamType):
    """Name or path of a model."""

    name = "ref"

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Say where names are found."""
        del param, ctx
        return "carezoo list shows the models there are, carezoo suggest IMAGE says which of them fits."


FOLDER = _Folder(path_type=Path)
REFERENCE = _Reference()


def model_option(variable: str, text: str = "Name or path of a model.", **how: Any) -> Declaration:
    """Return the option --model; `how` goes to click."""
    return click.option("--model", "-m", variable, **{"type": REFERENCE, "metavar": "REF", "help": text, **how})


def folder_option(variable: str, text: str, **how: Any) -> Declaration:
    """Return the option --output for a folder."""
    return click.option("--output", "-o", variable, type=FOLDER, help=text, **how)


def file_option(variable: str, text: str, **how: Any) -> Declaration:
    """Return the option --output for a file."""
    return click.option("--output", "-o", variable, type=PATH, help=text, **how)


def overwrite_option(what: str) -> Declaration:
    """Return the flag that lets results replace others."""
    return click.option("--overwrite", is_flag=True, help=f"Replace {what}.")


def json_option(what: str) -> Declaration:
    """Return the flag that makes the answer one for machines."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")


axes_option: Declaration = click.option(
    "--axes", help="Axes of the images in their order, letters out of STCZYX.  [default: from the metadata]"
)

zoo_option: Declaration = click.option(
    "--zoo",
    "zoos",
    multiple=True,
    metavar="URL|DIR",
    help="A zoo to ask first; may be given several times.  [default: those in CAREZOO_ZOO]",
)
"""The option of every command that takes the name of a model."""


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for every restore setting; it takes all of them together, as `settings`."""

    @wraps(command)
    def with_settings(**given: Any) -> Any:
        words = {row.key: _joined(given.pop(row.key), row) for row in OFFERED}
        return command(settings=from_words(words), **given)

    declared: Callable[..., Any] = with_settings
    for row in reversed(OFFERED):
        declared = _option(row)(declared)
    return declared


def _joined(given: Any, row: Setting) -> Any:
    """Return the value of a setting that may be given several times; as text, which `Setting.checked` reads."""
    if not row.is_repeatable:
        return given
    return row.checked(" ".join(given), f"--{row.flag}") if given else None


def _option(row: Setting) -> Declaration:
    name = (f"--{row.flag}", row.key)
    if row.is_repeatable:
        return click.option(*name, multiple=True, show_default=row.word, metavar=row.metavar, help=row.help)
    if row.is_flag:
        return click.option(*name, is_flag=True, help=row.help)
    kind = click.Choice(row.choices) if row.choices else _Word(row)
    metavar = row.metavar or None
    return click.option(*name, type=kind, default=row.word, show_default=True, metavar=metavar, help=row.help)


def open_reference(reference: str, zoos: Sequence[str] = ()) -> Package:
    """Return the package that a reference means, pulled if need be, and say on stderr which one a name meant."""
    with talk_on_stderr(), Bar("B") as progress:
        found = resolve(reference, zoos or None, progress=progress)
    if found.name:
        click.echo(format_resolved(found), err=True)
    return open_package(found.path)


def format_resolved(found: Resolved) -> str:
    """Return in one line what a name turned out to mean."""
    return f"model {found.name} {found.version} ({found.origin})"
