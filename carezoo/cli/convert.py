"""``carezoo convert``."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click

from carezoo.cli import declared
from carezoo.cli.progress import talk_on_stderr
from carezoo.errors import InputError
from carezoo.tasks import TASKS


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
    "--factor", metavar="N", help="Planes made of one, such as 4, 10.2 or 51/5: the factor given to CSBDeep's predict."
)
@click.option("--weights", metavar="NAME", help="File of weights in the folder.  [default: the best ones]")
@click.option(
    "--percentiles",
    default="2,99.8",
    show_default=True,
    metavar="LOW,HIGH",
    help="Of CSBDeep's normalizer; those given to its predict.",
)
@click.option("--pixel-size", metavar="[Z,]Y,X", help="Pixel size in µm of the images the model is made for.")
@click.option("--name", help="Name of the package: lower-case letters, digits, hyphens.  [default: from the folder]")
@click.option("--version", default="0.1.0", show_default=True, help="Version of the package.")
@click.option("--description", default="", help="One or two sentences: which structure, which microscope.")
@click.option("--author", "authors", multiple=True, help="Who trained the model; repeat it for several.")
@click.option("--license", "license_", default="CC-BY-4.0", show_default=True, help="SPDX identifier of the licence.")
@click.option("--channels", metavar="A,B,...", help="Names of the input channels.")
@click.option("--target-channels", metavar="A,B,...", help="Names of the restored channels, if they are others.")
@click.option(
    "--sample",
    type=declared.PATH,
    help="Image for cover and test, of the kind the model restores; everybody will see it.  [default: simulated]",
)
@click.option("--sample-axes", help="Axes of the sample.  [default: from its metadata]")
@click.option("--sample-license", default="", help="Licence of the sample.")
@declared.overwrite_option("an existing package")
def convert_command(
    model: Path,
    target: Path,
    task: str | None,
    factor: str | None,
    weights: str | None,
    percentiles: str,
    pixel_size: str | None,
    name: str | None,
    version: str,
    description: str,
    authors: tuple[str, ...],
    license_: str,
    channels: str | None,
    target_channels: str | None,
    sample: Path | None,
    sample_axes: str | None,
    sample_license: str,
    overwrite: bool,
) -> None:
    """Make a package of CSBDEEP_MODEL, a folder in which CSBDeep trained a model. Needs the extra "train".

    The folder holds config.json and weights (.h5). The package gives the same numbers as CSBDeep; TensorFlow is not
    needed.
    """
    from carezoo.train.convert.choices import Choices
    from carezoo.train.convert.run import convert

    choices = Choices(
        task=task,
        factor=_factor(factor),
        weights=weights,
        percentiles=_percentiles(percentiles),
        name=name,
        version=version,
        description=description,
        authors=authors,
        license=license_,
        channels=_words(channels),
        target_channels=_words(target_channels),
        pixel_size_um=_pixel_size(pixel_size),
        sample=sample,
        sample_axes=sample_axes,
        sample_license=sample_license,
    )
    with talk_on_stderr():
        package = convert(model, target, choices, overwrite=overwrite)
    click.echo(str(package))


def _factor(text: str | None) -> Fraction | None:
    if text is None:
        return None
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


def _pixel_size(text: str | None) -> dict[str, float]:
    if text is None:
        return {}
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


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",")) if text else ()
