"""TIFF files as lazy images."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from tifffile import PHOTOMETRIC, TiffFile, TiffPageSeries

from carezoo.errors import BUGS, CarezooError, FileFormatError, is_raised_in
from carezoo.files import file_axes, imagej, notes, ome, ome_set, plain, scenes
from carezoo.files.stored_pixels import PlanePixels
from carezoo.files.tiff_pages import dimensions, open_tif, pages_of, series_of
from carezoo.image import Image, Metadata, Pixels

logger = logging.getLogger("carezoo")

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHITE_TO_BLACK = np.tile(np.arange(255, -1, -1, dtype=np.uint8), (3, 1))
"""Look-up table of images whose lowest value is shown white (MinIsWhite)."""

_COLOURS = {PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR}


def is_tiff(path: Path) -> bool:
    """Return whether the file begins like a TIFF or BigTIFF, whatever it is called."""
    if not path.is_file():  # to open a pipe would wait for whoever writes to it
        return False
    try:
        with path.open("rb") as file:
            return file.read(4) in _MAGIC
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}") from error


def is_readable(path: Path) -> bool:
    """Return whether this module opens the file: a TIFF, or the master of a set of them."""
    return is_tiff(path) or ome_set.is_master(path)


def open_tiff(path: Path, axes: str | None, scene: int | str | None) -> Image:
    """Open one series of a TIFF file; parameters and errors as in `carezoo.files.open_image`."""
    with _open(path) as tif:
        series, index = _choose_series(tif, path, scene)
        difference = _compare_with_metadata(tif, series, index)
        if difference and axes is not None:
            logger.warning("%s: %s; its planes are read one by one as %s", path.name, difference, axes.upper())
            with _open(path, is_plain=True) as bare:
                return _to_image(path, tif, bare, 0, axes)
        if difference and series.kind != "ome":
            raise FileFormatError(
                f"{path}: {difference}. It is truncated, one file of a set, or was cropped by a program that kept the "
                "old description. Copy the whole set again; or, if its planes are whole, say what they are with --axes "
                "(axes= in Python), such as TYX, or T6C2YX with the lengths"
            )
        return _to_image(path, tif, tif, index, axes)


def _to_image(path: Path, tif: TiffFile, bare: TiffFile, index: int, axes: str | None) -> Image:
    """Return series number `index` of the file opened as `bare`, with the metadata it has as `tif`."""
    series = series_of(bare)[index]
    is_plain = bare is not tif
    _require_last_page(bare, series, path)
    _require_intensities(series, path)
    pages = pages_of(series, path, index, is_plain=is_plain)
    stored_letters, stored_shape = dimensions(series)
    stored = file_axes.StoredAxes(
        name=path.name,
        letters=stored_letters,
        shape=stored_shape,
        has_colour_samples=series.keyframe.samplesperpixel > 1,
        keeps_singletons=series.kind == "shaped",
    )
    stored, asked = file_axes.arrange(stored, axes, len(pages.page_shape))
    letters, kept = file_axes.assign(stored, asked)
    pixels: Pixels = PlanePixels(pages, stored.shape, kept)
    if tif.is_imagej and imagej.is_signed(tif):
        pixels = imagej.SignedPixels(pixels)
    sizes = dict(zip(letters, pixels.shape, strict=True))
    pixel_size_um, metadata = _read_metadata(path, tif, index, sizes)
    if series.keyframe.photometric == PHOTOMETRIC.MINISWHITE and not metadata.luts:
        metadata = replace(metadata, luts=(_WHITE_TO_BLACK,) * sizes.get("C", 1))
    if series.keyframe.photometric in _COLOURS:
        logger.warning("%s is a colour image; red, green and blue are taken as channels", path.name)
    return Image(
        pixels,
        letters,
        {letter: size for letter, size in pixel_size_um.items() if letter in letters},
        metadata,
        path.name,
    )


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that hold the image together: the file alone, unless it is one of a multi-file OME-TIFF.

    A file that cannot be read stands alone: whoever opens it says why.
    """
    with contextlib.suppress(Exception):  # whatever a damaged file makes tifffile raise
        if is_readable(path):
            return ome_set.files_of(path)
    return (path,)


def read_notes(path: Path) -> dict[str, object] | None:
    """Return the notes of `carezoo.files.create_image` without looking at pixels, None if there are none."""
    with _open(path) as tif:
        if tif.is_imagej:
            return notes.extract(imagej.info(tif))
        if tif.is_ome:
            return notes.extract(ome.descriptions(tif))
        return notes.extract(plain.text(tif))


@contextmanager
def _open(path: Path, *, is_plain: bool = False) -> Iterator[TiffFile]:
    """Yield the open file; what a damaged structure makes tifffile raise becomes a FileFormatError, a bug stays one."""
    try:
        with open_tif(path, is_plain=is_plain) as tif:
            yield tif
    except CarezooError:
        raise
    except Exception as error:
        # A number that damage turned into several, or into a text, ends as TypeError inside tifffile.
        is_damage = isinstance(error, TypeError) and is_raised_in(error, "tifffile")
        if isinstance(error, BUGS) and not is_damage:
            error.add_note(f"{path} could not be read. If other programs cannot open it either, it is damaged")
            raise
        broken = _describe_broken(path)
        if broken:
            raise FileFormatError(f"{broken}, and {path.name} is of its set. Copy the whole set again") from error
        raise FileFormatError(
            f"{path} cannot be read as TIFF ({type(error).__name__}: {error}). It is damaged or truncated; copy it "
            "again, or save it again from the program that made it"
        ) from error


def _describe_broken(path: Path) -> str:
    """Return which other files of a set are to blame for an error; empty if none."""
    with contextlib.suppress(Exception):  # whatever a damaged file makes tifffile raise
        return ome_set.describe_broken(path)
    return ""


def read_scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the images in the file; those without a name have their number."""
    with _open(path) as tif:
        return _names(_list_images(tif))


def _choose_series(tif: TiffFile, path: Path, scene: int | str | None) -> tuple[TiffPageSeries, int]:
    images = _list_images(tif)
    if not images:
        raise FileFormatError(f"{path} holds no image")
    index = list(images)[scenes.choose_number(path, _names(images), scene)]
    return images[index], index


def _list_images(tif: TiffFile) -> dict[int, TiffPageSeries]:
    """Return the series of a file by their numbers, without thumbnails and labels of LSM and SVS."""
    return {
        number: one
        for number, one in enumerate(series_of(tif))
        if not (one.kind == "lsm" and one.keyframe.is_reduced) and not (one.kind == "svs" and one.name != "Baseline")
    }


def _names(images: Mapping[int, TiffPageSeries]) -> tuple[str, ...]:
    return tuple(one.name or str(number) for number, one in enumerate(images.values()))


def _compare_with_metadata(tif: TiffFile, series: TiffPageSeries, index: int) -> str:
    """Return what the metadata list and what the file holds, if they differ; empty if they agree."""
    is_described = tif.is_imagej or tif.is_ome or tif.is_shaped
    is_incomplete = (
        series.kind in {"imagej", "ome"}
        and series.dataoffset is None
        and not series.is_multifile
        and sum(frame is not None for frame in series) * series.keyframe.size != series.size
    )
    if not is_incomplete and not (is_described and series.kind in {"uniform", "generic"}):
        return ""
    listed = ome.describe_planes(tif, index) if tif.is_ome else imagej.describe_planes(tif) if tif.is_imagej else ""
    page = tif.pages.first
    return (
        f"its metadata list {listed or 'other planes'}, the file holds {len(tif.pages)} of {page.imagelength} x "
        f"{page.imagewidth} pixels"
    )


def _require_last_page(tif: TiffFile, series: TiffPageSeries, path: Path) -> None:
    """Refuse files that lost their end: tifffile would show as many pages as are left."""
    if series.kind not in {"uniform", "generic"}:
        return
    tif.filehandle.seek(tif.pages.next_page_offset or 0)
    pointer = tif.filehandle.read(tif.tiff.offsetsize)
    if len(pointer) < tif.tiff.offsetsize or any(pointer):
        raise FileFormatError(f"{path} is truncated: page {len(tif.pages)} is announced but missing. Copy it again")


def _require_intensities(series: TiffPageSeries, path: Path) -> None:
    """Refuse palettes that do not grow with intensity. ImageJ saves 8-bit images with a colour LUT as palettes."""
    page = series.keyframe
    if page.photometric != PHOTOMETRIC.PALETTE or series.kind == "imagej":
        return
    colormap = page.colormap
    if colormap is None or not (colormap[:, 1:] >= colormap[:, :-1]).all():
        raise FileFormatError(
            f"{path} is an indexed colour image: its numbers are colours, not intensities. Export the intensities "
            "(grayscale) from the program that made it"
        )


def _read_metadata(path: Path, tif: TiffFile, index: int, sizes: dict[str, int]) -> tuple[dict[str, float], Metadata]:
    """Return pixel size and metadata; those that cannot be read never keep the pixels from being read."""
    try:
        if tif.is_imagej:
            return imagej.describe(tif, sizes)
        return (ome.describe if tif.is_ome else plain.describe)(tif, index, sizes)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        logger.warning("%s: its metadata cannot be read (%s) and are ignored", path.name, error)
        return {}, Metadata()
