"""``carezoo convert``."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from carezoo.cli import declared
from carezoo.cli.progress import talk_on_stderr
from carezoo.errors import InputError
from carezoo.tasks import TASKS


def _factor(text: str) -> Fraction:
    try:
        factor = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"--factor {text}: expected a number or a fraction, such as 4, 10.2 or 51/5") from None
    if factor < 1:
        raise InputError(f"--factor {text}: expected 1 or more, output planes for one input plane")
    return factor


def _percentiles(text: str) -> tuple[float, float]:
    numbers = _numbers("--percentiles", text, (2,))
    if not 0 <= numbers[0] < numbers[1] <= 100:
        raise InputError(f"--percentiles {text}: expected two numbers from 0 to 100, the lower one first")
    return numbers[0], numbers[1]


def _pixel_size(text: str) -> dict[str, float]:
    numbers = _numbers("--pixel-size", text, (2, 3))
    if min(numbers) <= 0:
        raise InputError(f"--pixel-size {text}: expected sizes above 0")
    return dict(zip("ZYX"[-len(numbers) :], numbers, strict=True))


def _numbers(option: str, text: str, lengths: tuple[int, ...]) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, text.split(",")))
    except ValueError:
        numbers = ()
    if len(numbers) not in lengths:
        wanted = " or ".join(map(str, lengths))
        raise InputError(f"{option} {text}: expected {wanted} numbers with commas between them")
    return numbers


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",")) if text else ()


@click.command("convert")
@click.argument("model", metavar="CSBDEEP_MODEL", type=declared.PATH)
@declared.file_option("target", "The package: a .zip, or a folder.", required=True)
@click.option(
    "--as",
    "task",
    type=click.Choice(list(TASKS)),
    help="What the model does. config.json does not tell IsotropicCARE (isotropic) and UpsamplingCARE (upsample) from "
    "CARE (denoise).  [default: denoise or project; with a factor: isotropic or upsample]",
)
@click.option(
    "--factor",
    type=_factor,
    metavar="N",
    help="Planes made of one, such as 4, 10.2 or 51/5: the factor given to CSBDeep's predict.",
)
@click.option("--weights", metavar="NAME", help="File of weights in the folder.  [default: the best ones]")
@click.option(
    "--percentiles",
    type=_percentiles,
    default="2,99.8",
    show_default=True,
    metavar="LOW,HIGH",
    help="Of CSBDeep's normalizer; those given to its predict.",
)
@click.option(
    "--pixel-size",
    "pixel_size_um",
    type=_pixel_size,
    metavar="[Z,]Y,X",
    help="Pixel size in µm of the images the model is made for.",
)
@click.option("--name", help="Name of the package: lower-case letters, digits, hyphens.  [default: from the folder]")
@click.option("--version", default="0.1.0", show_default=True, help="Version of the package.")
@click.option("--description", default="", help="One or two sentences: which structure, which microscope.")
@click.option("--author", "authors", multiple=True, help="Who trained the model; repeat it for several.")
@click.option("--license", default="CC-BY-4.0", show_default=True, help="SPDX identifier of the licence.")
@click.option("--channels", type=_words, metavar="A,B,...", help="Names of the input channels.")
@click.option(
    "--target-channels", type=_words, metavar="A,B,...", help="Names of the restored channels, if they are others."
)
@click.option(
    "--sample",
    type=declared.PATH,
    help="Image for cover and test, of the kind the model restores; everybody will see it.  [default: simulated]",
)
@click.option("--sample-axes", help="Axes of the sample.  [default: from its metadata]")
@click.option("--sample-license", default="", help="Licence of the sample.")
@declared.overwrite_option("an existing package")
def convert_command(model: Path, target: Path, overwrite: bool, **given: Any) -> None:
    """Make a package of CSBDEEP_MODEL, a folder in which CSBDeep trained a model. Needs the extra "train".

    The folder holds config.json and weights (.h5). The package gives the same numbers as CSBDeep; TensorFlow is not
    needed.
    """
    from carezoo.train.convert.folder import Choices
    from carezoo.train.convert.run import convert

    choices = Choices(**{name: value for name, value in given.items() if value is not None})
    with talk_on_stderr():
        package = convert(model, target, choices, overwrite=overwrite)
    click.echo(str(package))
