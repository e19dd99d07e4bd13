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

    A folder stands for the TIFFs in it, without those that carezoo wrote there before: so the same call can be made
    again, with results beside the images. A result that is named itself is taken.

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
    return list(found.values())


def _images(folder: Path) -> list[Path]:
    tiffs = sorted(path for path in folder.iterdir() if _is_tiff(path))
    images = [path for path in tiffs if not is_result(path)]
    if not images:
        there = f"{len(tiffs)} results of carezoo and no other .tif file" if tiffs else "no .tif file"
        raise InputError(f"folder {folder} holds {there}; name the files to restore")
    if len(images) < len(tiffs):
        log.info("%s: %d results of carezoo are left out", folder, len(tiffs) - len(images))
    return images


def _is_tiff(path: Path) -> bool:
    """Hidden files are left out: what macOS keeps beside an image, and what another run has half written."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def is_result(path: Path) -> bool:
    """Return whether carezoo wrote a file as a result; a file that cannot be read is none."""
    try:
        notes = (files.read_notes(path) or {}).get("carezoo")
    except FileFormatError:
        return False
    return isinstance(notes, dict) and "run" in notes
