"""TIFF files as lazy images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tifffile import PHOTOMETRIC, TiffFile, TiffPageSeries

from carezoo.errors import BUGS, CarezooError, FileFormatError, is_raised_in
from carezoo.files import file_axes, imagej, notes, ome, plain, scenes
from carezoo.files.plane_pixels import PlanePixels
from carezoo.files.tiff_pages import dimensions, pages_of, series_of
from carezoo.image import Image, Metadata, Pixels

logger = logging.getLogger("carezoo")

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COLOURS = {PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR}


def is_tiff(path: Path) -> bool:
    """Return whether the file begins like a TIFF or BigTIFF, whatever it is called."""
    if path.is_dir():
        return False
    try:
        with path.open("rb") as file:
            return file.read(4) in _MAGIC
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}") from error


def open_tiff(path: Path, axes: str | None, scene: int | str | None) -> Image:
    """Open one series of a TIFF file; parameters and errors as in `carezoo.files.open_image`."""
    with _open(path) as tif:
        series, index = _choose_series(tif, path, scene)
        _require_whole(tif, series, path)
        _require_intensities(series, path)
        pages = pages_of(series, path, index)
        stored_letters, stored_shape = dimensions(series)
        stored = file_axes.StoredAxes(
            name=path.name,
            letters=stored_letters,
            shape=stored_shape,
            has_colour_samples=series.keyframe.samplesperpixel > 1,
            keeps_singletons=series.kind == "shaped",
        )
        letters, kept = file_axes.assign(stored, axes)
        pixels: Pixels = PlanePixels(pages, stored.shape, kept)
        if series.kind == "imagej" and imagej.is_signed(tif):
            pixels = imagej.SignedPixels(pixels)
        sizes = dict(zip(letters, pixels.shape, strict=True))
        pixel_size_um, metadata = _read_metadata(tif, series, index, sizes)
    if series.keyframe.photometric in _COLOURS:
        logger.warning("%s is a colour image; red, green and blue are taken as channels", path.name)
    return Image(
        pixels,
        letters,
        {letter: size for letter, size in pixel_size_um.items() if letter in letters},
        metadata,
        path.name,
    )


def read_notes(path: Path) -> dict[str, object] | None:
    """Return the notes of `carezoo.files.create_image` without looking at pixels, None if there are none."""
    with _open(path) as tif:
        if tif.is_imagej:
            return notes.extract(imagej.info(tif))
        if tif.is_ome:
            return notes.extract(ome.descriptions(tif))
        return notes.extract(plain.text(tif))


@contextmanager
def _open(path: Path) -> Iterator[TiffFile]:
    """Yield the open file; what a damaged structure makes tifffile raise becomes a FileFormatError, a bug stays one."""
    try:
        with TiffFile(path) as tif:
            yield tif
    except CarezooError:
        raise
    except Exception as error:
        # A number that damage turned into several, or into a text, ends as TypeError inside tifffile.
        is_damage = isinstance(error, TypeError) and is_raised_in(error, "tifffile")
        if isinstance(error, BUGS) and not is_damage:
            error.add_note(f"{path} could not be read. If other programs cannot open it either, it is damaged")
            raise
        raise FileFormatError(
            f"{path} cannot be read as TIFF ({type(error).__name__}: {error}). It is damaged or truncated; copy it "
            "again, or save it again from the program that made it"
        ) from error


def read_scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the images in the file; those without a name have their number."""
    with _open(path) as tif:
        return _names(series_of(tif))


def _choose_series(tif: TiffFile, path: Path, scene: int | str | None) -> tuple[TiffPageSeries, int]:
    series = series_of(tif)
    if not series:
        raise FileFormatError(f"{path} holds no image")
    number = scenes.choose_number(path, _names(series), scene)
    return series[number], number


def _names(series: Sequence[TiffPageSeries]) -> tuple[str, ...]:
    return tuple(one.name or str(number) for number, one in enumerate(series))


def _require_whole(tif: TiffFile, series: TiffPageSeries, path: Path) -> None:
    """Refuse files that lost their end: tifffile would show the first plane only, or as many as are left."""
    if series.kind not in {"uniform", "generic"}:
        return
    if tif.is_imagej or tif.is_ome or tif.is_shaped:
        raise FileFormatError(
            f"{path} does not hold the planes its metadata list. It is truncated, or its metadata lie in another file "
            "of the set; copy the whole set again, or open the file that lists the others"
        )
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


def _read_metadata(
    tif: TiffFile, series: TiffPageSeries, index: int, sizes: dict[str, int]
) -> tuple[dict[str, float], Metadata]:
    if series.kind == "imagej":
        return imagej.describe(tif, sizes)
    if series.kind == "ome":
        return ome.describe(tif, index, sizes)
    return plain.describe(tif, index, sizes)
