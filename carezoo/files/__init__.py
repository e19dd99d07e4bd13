"""Image files: lazily read, streamed when written, metadata kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from carezoo.errors import FileFormatError, InputError
from carezoo.files import formats, listing, tiff_read
from carezoo.files.arrays import to_image
from carezoo.files.tiff_target import TiffTarget
from carezoo.files.tiff_write import create_image, write_image
from carezoo.image import Image

__all__ = ["TiffTarget", "create_image", "open_image", "read_notes", "to_image", "write_image"]


def open_image(path: str | os.PathLike[str], axes: str | None = None, *, scene: int | str | None = None) -> Image:
    """Open an image file; pixels are read when they are asked for, and no file handle stays open.

    Parameters
    ----------
    path
        TIFF (plain, ImageJ, OME; any compression) or, with the extra `formats`, CZI, ND2, LIF, OME-Zarr and what other
        bioio readers are installed for.
    axes
        One letter out of STCZYX for each dimension; overrides what the file says. Needed where the file says nothing:
        a plain TIFF of many pages may be a stack, a series or channels.
    scene
        Number (from 0) or name of the image inside a file that holds several. By default the first.

    Returns
    -------
    Image
        Axes in the order of the file; colour samples are channels.

    Raises
    ------
    InputError
        If there is no such file.
    FileFormatError
        If it is not an image, truncated, damaged, or of a kind that cannot be read.
    AxesError
        If axes and file do not fit, or neither names them.
    MissingExtraError
        If the format needs the extra `formats`.
    """
    found = Path(path)
    if not found.exists():
        raise InputError(f"{found} does not exist.{listing.near_names(found)}")
    if listing.is_folder(found):
        inside = listing.list_folder(found).images
        example = f"such as {inside[0]}" if inside else "and there is none in it"
        raise InputError(f"{found} is a folder; expected an image file, {example}")
    if tiff_read.is_tiff(found):
        return tiff_read.open_tiff(found, axes, scene)
    if found.suffix.lower() in formats.TIFF_SUFFIXES:
        raise FileFormatError(
            f"{found} is not a TIFF file although it is called one ({found.stat().st_size} bytes, without a TIFF "
            "header). Copy it again, or save it again from the program that made it"
        )
    return formats.open_other(found, axes, scene)


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
