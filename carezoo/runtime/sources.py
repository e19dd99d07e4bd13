"""From the paths a person names to the images that are meant."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from carezoo import files
from carezoo.errors import FileFormatError, InputError

log = logging.getLogger("carezoo")

SUFFIXES = {".tif", ".tiff"}
"""Of the files that are taken from a folder; others are restored if they are named."""


def expanded(sources: Sequence[Path]) -> list[Path]:
    """Return the files to restore, each once, in the order they were named.

    A folder stands for the TIFFs in it, without those that carezoo wrote there before; a result that is named together
    with the image it was made from (as ``*.tif`` names them) is left out, too. So the same call can be made again, with
    results beside the images. A result that is named by itself is taken.

    Raises
    ------
    InputError
        If a folder holds nothing to restore.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        is_folder = source.is_dir() and source.suffix.lower() != ".zarr"
        for path in _images(source) if is_folder else [source]:
            found.setdefault(path.resolve(), path)
    results = {real for real in found if real.parent / (made_from(real) or "") in found}
    _tell_left_out(len(results), "beside the images they were made from")
    return [path for real, path in found.items() if real not in results]


def _images(folder: Path) -> list[Path]:
    tiffs = sorted(path for path in folder.iterdir() if _is_tiff(path))
    images = [path for path in tiffs if made_from(path) is None]
    if not images:
        there = f"{len(tiffs)} results of carezoo and no other .tif file" if tiffs else "no .tif file"
        raise InputError(f"folder {folder} holds {there}; name the files to restore")
    _tell_left_out(len(tiffs) - len(images), f"in {folder}")
    return images


def _tell_left_out(n_results: int, where: str) -> None:
    if n_results:
        log.info("%d result(s) of carezoo %s are left out", n_results, where)


def _is_tiff(path: Path) -> bool:
    """Hidden files are left out: what macOS keeps beside an image, and what another run has half written."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def made_from(path: Path) -> str | None:
    """Return the name of the image that a file is the result of.

    None if carezoo did not write the file, or it cannot be read; empty if the file does not tell of what it was made.
    """
    if not path.is_file():
        return None
    try:
        notes = (files.read_notes(path) or {}).get("carezoo")
    except FileFormatError:
        return None
    if not isinstance(notes, dict) or "run" not in notes:
        return None
    image = notes.get("input")
    return str(image.get("name", "")) if isinstance(image, dict) else ""
