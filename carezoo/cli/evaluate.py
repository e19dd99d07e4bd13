"""``carezoo evaluate``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from carezoo import files
from carezoo.cli import declared
from carezoo.cli.declared import open_reference
from carezoo.cli.progress import Bar, talk_on_stderr
from carezoo.errors import InputError
from carezoo.settings import Settings

if TYPE_CHECKING:
    from carezoo.evaluate.estimated import EstimatedScores


def _split_baselines(text: str) -> tuple[str, ...] | None:
    if text == "auto":
        return None
    return () if text == "none" else tuple(part.strip() for part in text.split(",") if part.strip())


def _open_psf(path: str) -> NDArray[np.generic]:
    return np.squeeze(files.open_image(Path(path)).array())


@click.command("evaluate")
@declared.model_option("reference", required=True)
@declared.zoo_option
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="[NAME=]DIR",
    help="Folder of degraded images, or one image. Repeat it for several conditions: --source C1=low --source C2=dim.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="DIR",
    help="Folder of clean images with the same file names. One for all conditions, or one for each.",
)
@click.option(
    "--noisy",
    type=declared.PATH,
    metavar="DIR",
    help="Folder of noisy images, or one image, in place of --source and --target: errors are estimated from their "
    "noise.",
)
@declared.folder_option("folder", "Folder for the report.", required=True)
@click.option(
    "--baselines",
    type=_split_baselines,
    default="auto",
    show_default=True,
    metavar="auto|none|NAME,NAME",
    help="Classical methods to compare with, such as gaussian,median,nlm,bm3d,richardson-lucy. auto: all that fit but "
    "BM3D, which is slow.",
)
@click.option("--psf", type=_open_psf, metavar="PATH", help="Image of a point, for Richardson-Lucy.")
@click.option(
    "--segment",
    "diameter",
    type=click.FloatRange(min=3),
    metavar="DIAMETER",
    help="Count objects of this diameter in pixels with one fixed segmentation, and score them.",
)
@click.option(
    "--frames",
    "most_frames",
    default=10,
    show_default=True,
    type=click.IntRange(min=1),
    help="Time points (or planes) scored of each file, spread evenly.",
)
@declared.settings_options
@declared.axes_option
@declared.scene_option()
@declared.overwrite_option("an existing report")
def evaluate_command(
    reference: str,
    zoos: Sequence[str],
    sources: Sequence[str],
    targets: Sequence[str],
    noisy: Path | None,
    folder: Path,
    baselines: tuple[str, ...] | None,
    psf: NDArray[np.generic] | None,
    diameter: float | None,
    most_frames: int,
    settings: Settings,
    axes: str | None,
    scene: str | None,
    overwrite: bool,
) -> None:
    """Score a model on pairs it has not seen, beside classical methods at their best.

    Writes REPORT/index.html (one page with tables, curves and pictures), scores.json and scores.csv. Needs the extra
    "evaluate".

    With --noisy no clean images are needed: errors are estimated from the noise of the images, beside filters that are
    tuned in the same way.
    """
    from carezoo.api import Model

    if noisy is not None:
        if sources or targets or psf is not None or diameter is not None:
            raise InputError("--noisy goes without --source, --target, --psf and --segment; leave them out, or --noisy")
        package = open_reference(reference, zoos)
        with talk_on_stderr(), Bar("step") as progress:
            estimated = Model(package).estimate_scores(
                noisy,
                folder,
                is_overwriting=overwrite,
                progress=progress,
                axes=axes,
                scene=scene,
                most_frames=most_frames,
                settings=settings,
                **({} if baselines is None else {"filters": baselines}),
            )
        _print_estimated(estimated)
        click.echo(f"written: {folder / 'index.html'}")
        return
    if not sources or not targets:
        raise InputError("expected --source and --target, or --noisy with images of which there are no clean ones")
    conditions = _conditions(sources, targets)
    package = open_reference(reference, zoos)
    with talk_on_stderr(), Bar("step") as progress:
        found = Model(package).evaluate(
            {name: source for name, source, _ in conditions},
            {name: target for name, _, target in conditions},
            folder,
            is_overwriting=overwrite,
            progress=progress,
            axes=axes,
            scene=scene,
            baselines=baselines,
            psf=psf,
            diameter=diameter,
            most_frames=most_frames,
            settings=settings,
        )
    from carezoo.evaluate.report import page

    for group in found.all_groups:
        words = f"{group.name or 'scores'}, {group.n_files} file(s), mean ± standard error"
        click.echo(f"{words:<54}" + "".join(f"{title:>19}" for _, title, _ in page.COLUMNS[:3]))
        for row in page.table(found, group):
            click.echo(f"  {row.name:<52}" + "".join(f"{cell:>19}" for cell in row.cells[:3]))
    click.echo(page.headline(found))
    click.echo(f"written: {folder / 'index.html'}")


def _print_estimated(found: EstimatedScores) -> None:
    from carezoo.evaluate.estimated import COLUMNS, rows

    words = "estimated from noisy images, mean ± standard error"
    click.echo(f"{words:<54}" + "".join(f"{title:>22}" for title in COLUMNS))
    for name, cells, _ in rows(found):
        click.echo(f"  {name:<52}" + "".join(f"{cell:>22}" for cell in cells))
    click.echo(found.verdict)


def _conditions(sources: Sequence[str], targets: Sequence[str]) -> list[tuple[str, Path, Path]]:
    if len(targets) not in {1, len(sources)}:
        raise InputError(
            f"--target: expected one folder for all sources or one for each; found {len(targets)} for {len(sources)}"
        )
    named = []
    for number, text in enumerate(sources):
        match = re.fullmatch(r"([^=/\\]+)=(.+)", text)
        is_named = match is not None and not Path(text).exists()
        name, path = (match[1], match[2]) if match and is_named else ("", text)
        if len(sources) > 1 and not name:
            name = Path(path).name
        named.append((name, Path(path), Path(targets[number if len(targets) > 1 else 0])))
    names = [name for name, _, _ in named]
    if len(set(names)) < len(names):
        raise InputError(f"--source: conditions need different names, such as C1=FOLDER; found {', '.join(names)}")
    return named
