"""Simulated pairs as files: a folder of sources, one of targets with the same names, and a table of what was drawn."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carezoo.data import simulate
from carezoo.data.simulate import Prepared, SimulatedPair
from carezoo.errors import InputError
from carezoo.files import write_image
from carezoo.files.atomic import replacing
from carezoo.image import Image

SOURCES, TARGETS, TABLE = "source", "target", "parameters.csv"


def write_pairs(
    prepared: Prepared, folder: Path, seed: int, *, on_pair: Callable[[int, SimulatedPair], None] | None = None
) -> Path:
    """Make all pairs of a description and write them to ``source/``, ``target/`` and ``parameters.csv`` in `folder`.

    Files have the names that training on pairs expects (same name, two folders), the table a row for each. The table
    is written last: a folder with a table is complete.

    Parameters
    ----------
    folder
        Made if it does not exist.
    on_pair
        Called with the number of each pair (from 0) and the pair after it is written.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    InputError
        If the disk has less space than needed, the folder has other files in ``source/`` or ``target/`` already, or
        cannot be written.
    """
    _make_folders(folder)
    simulate.check_disk(prepared, folder)
    rows: list[dict[str, object]] = []
    for i, pair in enumerate(simulate.pairs(prepared, seed)):
        name = f"{i:05d}.tif"
        write_image(folder / SOURCES / name, _image(prepared, pair.source, is_source=True))
        write_image(folder / TARGETS / name, _image(prepared, pair.target, is_source=False))
        rows.append({"name": name, "seed": seed, "pair": i} | pair.parameters)
        if on_pair is not None:
            on_pair(i, pair)
    return _write_table(folder / TABLE, rows)


def _make_folders(folder: Path) -> None:
    for part in (SOURCES, TARGETS):
        try:
            (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {folder / part}: {error.strerror or error}") from error
        found = next((folder / part).iterdir(), None)
        if found is not None:
            raise InputError(
                f"{folder / part} is not empty (it has {found.name}): pairs of two simulations must not be mixed. Give "
                "another folder, or empty this one"
            )


def _image(prepared: Prepared, pixels: NDArray[np.generic], *, is_source: bool) -> Image:
    """Return `pixels` with axes and pixel size; the planes of an upsampling source are `factor` times as far apart."""
    simulation = prepared.simulation
    letters = "ZYX"[-len(simulation.pixel_size_um) :]
    size_um = dict(zip(letters, simulation.pixel_size_um, strict=True))
    if simulation.task == "upsample" and is_source and simulation.factor is not None:
        size_um["Z"] *= float(simulation.factor)
    if simulation.task == "project" and not is_source:
        letters = "YX"
    axes = letters if pixels.ndim == len(letters) else f"C{letters}"
    return Image(pixels, axes, {letter: size_um[letter] for letter in letters})


def _write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return path
