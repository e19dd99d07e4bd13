"""Image files: lazily read, streamed when written, metadata kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from carezoo.errors import InputError
from carezoo.files import tiff_read
from carezoo.files.opening import applicable_scene, choose_scenes, open_image
from carezoo.files.tiff_target import TiffTarget
from carezoo.files.tiff_write import create_image, write_image

__all__ = ["TiffTarget", "applicable_scene", "choose_scenes", "create_image", "open_image", "read_notes", "write_image"]


def read_notes(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the provenance notes of an image file without reading its pixels; None if it has none.

    Raises
    ------
    InputError
        If there is no such file.
    FileFormatError
        If it is a TIFF that cannot be read.
    """
    found = Path(path)
    if not found.is_file():
        raise InputError(f"{found} does not exist")
    return tiff_read.read_notes(found) if tiff_read.is_tiff(found) else None
