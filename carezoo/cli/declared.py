"""What several commands take, declared once: the same name means the same everywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from carezoo.axes import LETTERS
from carezoo.cli.progress import Bar, talk_on_stderr
from carezoo.errors import InputError
from carezoo.files.atomic import require_folder
from carezoo.package.read import Package, open_package
from carezoo.registry.resolve import Resolved, resolve
from carezoo.settings import OFFERED, Setting, from_words

Declaration = Callable[[Any], Any]
"""What adds an option to a command."""

PATH = click.Path(path_type=Path)
"""A file or folder; whoever opens it checks that it exists."""


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
        return self._row.check(value, f"--{self._row.flag}")


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
    "--axes",
    help="Axes of the images in their order, letters out of STCZYX, for TIFF with lengths if need be (T6C2YX).  "
    "[default: from the metadata]",
)


def scene_option(*, takes_all: bool = True) -> Declaration:
    """Return the option --scene, which chooses among several images of a file; `takes_all`: or takes all of them."""
    choice, more = ("NAME|NUMBER|all", ", or all of them") if takes_all else ("NAME|NUMBER", "")
    text = f"Image in files that hold several (LIF, CZI, OME-TIFF), numbers from 0{more}.  [default: the first]"
    return click.option("--scene", metavar=choice, help=text)


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
        words = {row.key: _join(given.pop(row.key), row) for row in OFFERED}
        return command(settings=from_words(words), **given)

    declared: Callable[..., Any] = with_settings
    for row in reversed(OFFERED):
        declared = _option(row)(declared)
    return declared


def _join(given: Any, row: Setting) -> Any:
    """Return the value of a setting that may be given several times; as text, which `Setting.checked` reads."""
    if not row.is_repeatable:
        return given
    return row.check(" ".join(given), f"--{row.flag}") if given else None


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


def parse_crop(text: str) -> dict[str, slice]:
    """Parse ``z=0:10,y=100:356`` into slices by axis letter."""
    region: dict[str, slice] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([A-Za-z])\s*=\s*(\d*)\s*:\s*(\d*)\s*", part)
        if not match or match[1].upper() not in LETTERS:
            raise InputError(f"--crop {text}: expected axis=start:stop, such as y=100:356,x=0:256, found {part!r}")
        region[match[1].upper()] = slice(int(match[2] or 0), int(match[3]) if match[3] else None)
    return region


def parse_position(text: str) -> dict[str, int]:
    """Parse ``z=12,t=0`` into indices by axis letter."""
    found: dict[str, int] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([A-Za-z])\s*=\s*(\d+)\s*", part)
        if not match or match[1].upper() not in LETTERS:
            raise InputError(f"{text!r}: expected axis=index, such as z=12,t=0, found {part!r}")
        found[match[1].upper()] = int(match[2])
    return found


def parse_models(texts: Sequence[str]) -> Mapping[int | None, str]:
    """Parse ``NAME``, or ``0=NAME 1=NAME`` for a model a channel, into references by channel."""
    by_channel: dict[int | None, str] = {}
    for text in texts:
        match = re.fullmatch(r"(\d+)=(.+)", text)
        channel, reference = (int(match[1]), match[2]) if match else (None, text)
        if channel in by_channel:
            which = "without a channel" if channel is None else f"for channel {channel}"
            raise InputError(f"--model was given twice {which}: {by_channel[channel]} and {reference}")
        by_channel[channel] = reference
    if None in by_channel and len(by_channel) > 1:
        raise InputError("--model: give one model for the whole image, or one for each channel (0=NAME), not both")
    return by_channel
