"""Simulated pairs as files: a folder of sources, one of targets with the same names, and a table of what was drawn."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from carezoo.errors import InputError
from carezoo.files import write_image
from carezoo.files.atomic import replacing
from carezoo.image import Image
from carezoo.schema.build import to_plain
from carezoo.simulate.pairs import check_disk, make_pair
from carezoo.simulate.section import PreparedSimulation, SimulatedPair

SOURCES, TARGETS, TABLE, DESCRIPTION = "source", "target", "parameters.csv", "simulation.yaml"

_SECONDS_BETWEEN_TABLES = 5.0

TableRow = Mapping[str, object]


def write_pairs(
    prepared: PreparedSimulation,
    folder: Path,
    seed: int,
    *,
    prefix: str = "",
    make: Callable[[PreparedSimulation, int, int], SimulatedPair] = make_pair,
    on_pair: Callable[[int, SimulatedPair], None] | None = None,
) -> Path:
    """Make all pairs of a description and write them to ``source/``, ``target/`` and ``parameters.csv`` in `folder`.

    Files have the names that training on pairs expects (same name, two folders); the table has a row for each pair.
    ``simulation.yaml`` records the description. A folder with the same description is completed; its pairs are not made
    again.

    Parameters
    ----------
    folder
        Made if it does not exist.
    prefix
        Beginning of the files' names.
    make
        Makes a pair, given description, seed and number.
    on_pair
        Called with the number of each pair (from 0) and the pair after it is written.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    InputError
        If the disk has less space than needed, the folder has other pairs already, or cannot be written.
    """
    rows = _begin(prepared, folder, seed)
    written_at = time.monotonic()
    for i in range(len(rows), prepared.simulation.n_pairs):
        pair = make(prepared, seed, i)
        name = f"{prefix}{i:05d}.tif"
        write_image(folder / SOURCES / name, to_image(prepared, pair.source, is_source=True))
        write_image(folder / TARGETS / name, to_image(prepared, pair.target, is_source=False))
        rows.append({"name": name, "seed": seed, "pair": i} | pair.parameters)
        if on_pair is not None:
            on_pair(i, pair)
        if time.monotonic() - written_at > _SECONDS_BETWEEN_TABLES:
            _write_table(folder / TABLE, rows)
            written_at = time.monotonic()
    return _write_table(folder / TABLE, rows)


def count_written(folder: Path) -> int:
    """Return how many pairs the table of `folder` lists."""
    return len(_read_table(folder / TABLE))


def _begin(prepared: PreparedSimulation, folder: Path, seed: int) -> list[TableRow]:
    """Make the folders and write the description, or return the rows of pairs that are there already."""
    words = yaml.safe_dump(to_plain(prepared.simulation) | {"seed": seed}, sort_keys=False, default_flow_style=None)
    kept = folder / DESCRIPTION
    if kept.exists():
        if kept.read_text(encoding="utf-8") != words:
            raise InputError(
                f"{folder} holds pairs of another simulation (see {kept}), and pairs of two must not be mixed; give "
                "another folder, or remove this one"
            )
        rows = _read_table(folder / TABLE)
        check_disk(prepared, folder, len(rows))
        return rows
    check_disk(prepared, folder)
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
    with replacing(kept) as temporary:
        temporary.write_text(words, encoding="utf-8")
    return []


def to_image(prepared: PreparedSimulation, pixels: NDArray[np.generic], *, is_source: bool) -> Image:
    """Return `pixels` with axes and pixel size; where planes are restored, those of a source are further apart."""
    simulation = prepared.simulation
    n_axes = pixels.ndim - int(prepared.has_channels)
    # Volumes of a simulation in 2D have cubic voxels.
    size_um = dict(zip("ZYX", (simulation.pixel_size_um[-1], *simulation.pixel_size_um)[-3:], strict=True))
    if is_source:
        size_um["Z"] *= float(simulation.plane_factor)
    letters = "ZYX"[-n_axes:]
    axes = f"C{letters}" if prepared.has_channels else letters
    return Image(pixels, axes, {letter: size_um[letter] for letter in letters})


def _read_table(path: Path) -> list[TableRow]:
    if not path.exists():
        return []
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def _write_table(path: Path, rows: list[TableRow]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return path
