"""``carezoo demo``: a real noisy image, a model that ships, and what comes out of it."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import carezoo
from carezoo import files
from carezoo.cli import declared
from carezoo.files.atomic import make_folder
from carezoo.pictures.before_after import before_after
from carezoo.registry.zoo import open_embedded

MODEL = "denoise-bpae-2d"


@click.command("demo")
@declared.folder_option("folder", "Folder for the results.", default="demo", show_default=True)
def demo_command(folder: Path) -> None:
    """Restore a real noisy image, score it against a long exposure of the same cell, and draw all three."""
    images = open_embedded().folder / "demo"
    noisy, clean = files.open_image(images / "noisy.tif"), files.open_image(images / "clean.tif")
    restoration = carezoo.load(MODEL).restore(noisy)
    make_folder(folder)
    run = restoration.report.provenance
    files.write_image(folder / "restored.tif", restoration.images["mean"], {"carezoo": {"run": run.to_dict()}})
    arrays = [np.asarray(image, np.float32) for image in (noisy.array(), restoration.mean, clean.array())]
    before, after = (carezoo.score(array, arrays[2]) for array in arrays[:2])
    before_after(*arrays, path=folder / "before_after.png", pixel_size_um=noisy.pixel_size_um.get("X"))
    click.echo(f"model {run.model} {run.version}, {run.provider} {run.precision}, {restoration.report.seconds:.2f} s")
    click.echo(f"{'':<16}{'PSNR (dB)':>10}{'NRMSE':>10}{'SSIM':>10}")
    for name, scores in (("noisy", before), ("restored", after)):
        click.echo(f"{name:<16}{scores.psnr_db:>10.2f}{scores.nrmse:>10.4f}{scores.ssim:>10.3f}")
    click.echo(f"written: {folder / 'restored.tif'}, {folder / 'before_after.png'}")
