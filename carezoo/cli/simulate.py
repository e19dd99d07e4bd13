"""``carezoo simulate``: pairs without a second acquisition, and the noise of a camera."""

from __future__ import annotations

import json
from pathlib import Path

import click

from carezoo.cli import declared
from carezoo.cli.progress import talk_on_stderr
from carezoo.errors import InputError

N_SHOWN = 6
"""Pairs on the contact sheet."""


class _PairsByDefault(click.Group):
    """Takes a first word that is not a command as the recipe of `pairs`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *self.get_help_option_names(ctx)}:
            args = ["pairs", *args]
        return super().parse_args(ctx, args)


@click.group("simulate", cls=_PairsByDefault)
def simulate_command() -> None:
    """Make training pairs, or fit the noise of a camera.

    \b
    carezoo simulate RECIPE.yaml -o DIR              pairs, table and contact sheet
    carezoo simulate RECIPE.yaml -o DIR --preview    the contact sheet alone
    carezoo simulate fit-noise FRAMES.tif            gain, offset and read noise
    """  # noqa: D301 - click wants the control character itself


@simulate_command.command("pairs", short_help="Write pairs; the word may be left out.")
@click.argument("recipe", type=declared.PATH)
@declared.folder_option("folder", "Folder for the pairs.", required=True)
@click.option("--preview", is_flag=True, help="Make the contact sheet alone, of the first pairs.")
@click.option("--set", "name", help="Which set, where RECIPE is that of a training with several.")
@click.option("--n-pairs", type=click.IntRange(min=1), help="How many pairs.  [default: the recipe's]")
@click.option("--seed", type=click.IntRange(min=0), help="Other pairs of the same kind.  [default: the recipe's]")
@click.option(
    "--data",
    type=declared.PATH,
    help="Folder that relative paths of the recipe start from.  [default: that of the recipe]",
)
def pairs_command(
    recipe: Path,
    folder: Path,
    preview: bool,
    name: str | None,
    n_pairs: int | None,
    seed: int | None,
    data: Path | None,
) -> None:
    """Write pairs as RECIPE (YAML) describes: source/, target/, parameters.csv and preview.png in a folder.

    RECIPE is a section `simulate`, or the recipe of a training that has one. A folder that was begun with the same
    recipe is completed.
    """
    from tqdm import tqdm

    from carezoo.files.atomic import make_folder
    from carezoo.pictures.simulation import contact_sheet
    from carezoo.simulate import pairs as pairs_
    from carezoo.simulate.files import write_pairs
    from carezoo.train.simulation_file import load

    simulation, data_folder = load(recipe, data, name=name, n_pairs=n_pairs, seed=seed)
    with talk_on_stderr():
        prepared = pairs_.prepare(simulation, data_folder)
        if not preview:
            with tqdm(total=simulation.n_pairs, desc="pairs", unit="pair", leave=False, disable=None) as bar:

                def on_pair(i: int, _: object) -> None:
                    bar.update(i + 1 - bar.n)

                table = write_pairs(prepared, folder, simulation.seed, on_pair=on_pair)
            click.echo(str(table))
    shown = pairs_.make_pairs(prepared, simulation.seed, range(min(N_SHOWN, simulation.n_pairs)))
    make_folder(folder)
    contact_sheet([(pair.source, pair.target, pair.parameters) for pair in shown], folder / "preview.png")
    click.echo(str(folder / "preview.png"))


@simulate_command.command("fit-noise", short_help="Fit gain, offset and read noise of a camera.")
@click.argument("files", nargs=-1, required=True, type=declared.PATH)
@click.option(
    "--repeats", is_flag=True, help="Two files are two frames of a scene, not a noisy and a clean image of it."
)
@declared.axes_option
@declared.scene_option(takes_all=False)
@click.option("--channel", default=0, show_default=True, type=click.IntRange(min=0), help="Which channel, from 0.")
@click.option("--offset", type=float, help="Grey level of no light, if known from a dark frame.")
@declared.file_option(
    "path", "File for the section `camera` (.yaml); the mean-variance plot is written beside it (.png)."
)
@declared.json_option("numbers with standard errors")
def fit_noise_command(
    files: tuple[Path, ...],
    repeats: bool,
    axes: str | None,
    scene: str | None,
    channel: int,
    offset: float | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Fit gain, offset and read noise, and print the section `camera` of a recipe.

    FILES are a series of frames of one scene along T, several files with a frame each, or a noisy and a clean image.
    """
    from carezoo.files.atomic import make_folder, replacing
    from carezoo.pictures.simulation import noise_plot
    from carezoo.simulate.noise import fit_files, format_camera, to_numbers

    if path is not None and path.suffix not in {".yaml", ".yml"}:
        raise InputError(f"-o: expected a name that ends in .yaml, found {path}")
    is_repeats = repeats or len(files) != 2
    fit = fit_files(files, is_repeats=is_repeats, axes=axes, scene=scene, channel=channel, offset=offset)
    text = format_camera(fit, files)
    if path is not None:
        make_folder(path.parent)
        noise_plot(fit, path.with_suffix(".png"))
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        click.echo(f"written: {path}, {path.with_suffix('.png')}; in a recipe: camera: !include {path.name}", err=True)
    click.echo(json.dumps(to_numbers(fit), indent=2) if as_json else text, nl=as_json)
