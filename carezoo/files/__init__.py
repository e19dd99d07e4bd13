"""Image files: lazily read, streamed when written, metadata kept."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from carezoo.errors import FileFormatError, InputError
from carezoo.files import formats, listing, tiff_read, units
from carezoo.files.arrays import to_image
from carezoo.files.scenes import ALL, Scene, choose
from carezoo.files.tiff_target import TiffTarget
from carezoo.files.tiff_write import create_image, write_image
from carezoo.image import Image

__all__ = [
    "TiffTarget",
    "applicable_scene",
    "choose_scenes",
    "create_image",
    "open_image",
    "pair_scenes",
    "read_notes",
    "to_image",
    "write_image",
]


def open_image(path: str | os.PathLike[str], axes: str | None = None, *, scene: int | str | None = None) -> Image:
    """Open an image file; pixels are read when they are asked for, and no file handle stays open.

    Parameters
    ----------
    path
        TIFF (plain, ImageJ, OME; any compression), PNG, JPEG, NPY or, with the extra `formats`, Zarr, CZI, ND2, LIF,
        MRC, HDF5 (``file.h5:/name`` means one of its datasets) and what other bioio readers are installed for.
    axes
        One letter out of STCZYX for each dimension; overrides what the file says. Needed where the file says nothing:
        a plain TIFF of many pages may be a stack, a series or channels; ``T6C2YX`` gives lengths, too. A TIFF whose
        metadata contradict its pixels is read only with axes.
    scene
        Name or number (from 0) of the image inside a file that holds several. By default the first, with a warning
        that lists them.

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
    found, inner = formats.split_inner(Path(path))
    found, scene = _require_image(found), inner or scene
    open_found = tiff_read.open_tiff if tiff_read.is_readable(found) else formats.open_other
    image = open_found(found, axes, scene)
    sizes, metadata = units.plausible(image.pixel_size_um, image.metadata, image.name)
    return replace(image, pixel_size_um=sizes, metadata=metadata)


def choose_scenes(path: str | os.PathLike[str], asked: int | str) -> tuple[Scene, ...]:
    """Return the images of a file that a name, a number from 0, or `carezoo.files.scenes.ALL` means; no pixel is read.

    Raises
    ------
    FileFormatError
        If the file has no such image; the message lists those it has. Further errors as in `open_image`.
    """
    found, inner = formats.split_inner(Path(path))
    found, asked = _require_image(found), inner or asked
    names = tiff_read.read_scenes(found) if tiff_read.is_readable(found) else formats.read_scenes(found)
    return choose(found, names, asked)


def pair_scenes(
    source: str | os.PathLike[str], target: str | os.PathLike[str], asked: int | str | None
) -> list[tuple[Scene | None, Scene | None]]:
    """Return which images of two files are pairs; None stands for the only one or, if none is asked for, the first.

    Parameters
    ----------
    source, target
        The files.
    asked
        As in `choose_scenes`, of the file that holds several. A scene of the source belongs to that of the target with
        its name, else with its number; a target file with one image serves every scene.

    Raises
    ------
    FileFormatError
        As in `choose_scenes`.
    """
    if asked is None:
        return [(None, None)]
    of_source, of_target = (choose_scenes(path, ALL) for path in (source, target))
    if len(of_source) == 1:
        return [(None, each) for each in (choose_scenes(target, asked) if len(of_target) > 1 else (None,))]
    by_label = {each.label: each for each in of_target}
    found: list[tuple[Scene | None, Scene | None]] = []
    for each in choose_scenes(source, asked):
        partner = (
            by_label.get(each.label) or next(iter(choose_scenes(target, each.number))) if len(of_target) > 1 else None
        )
        found.append((each, partner))
    return found


def applicable_scene(path: str | os.PathLike[str], asked: int | str | None) -> int | str | None:
    """Return which image of a file of a pair is meant: `asked`, or None where the file holds only one.

    Raises
    ------
    FileFormatError
        As in `open_image`.
    """
    return None if asked is None or len(choose_scenes(path, ALL)) == 1 else asked


def _require_image(path: str | os.PathLike[str]) -> Path:
    found = Path(path)
    listing.require_there(found)
    if listing.is_folder(found):
        inside = listing.list_folder(found).images
        example = f"such as {inside[0]}" if inside else "and there is none in it"
        raise InputError(f"{found} is a folder; expected an image file, {example}")
    if not found.is_file() and not found.is_dir():
        raise InputError(
            f"{found} is a pipe or a device; expected an image file, whose parts can be read in any order. Write it to "
            "a file first"
        )
    if found.suffix.lower() in formats.TIFF_SUFFIXES and not tiff_read.is_tiff(found):
        raise FileFormatError(
            f"{found} is not a TIFF file although it is called one ({found.stat().st_size} bytes, without a TIFF "
            "header). Copy it again, or save it again from the program that made it"
        )
    return found


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
