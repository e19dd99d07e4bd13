"""The planes of a TIFF series, read without holding the file open.

tifffile reads the structure of the file and gives the decoder; which bytes are read is decided here: of uncompressed
planes the rows asked for, of others the strips or tiles that the region touches.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

from carezoo.errors import BUGS, FileFormatError
from carezoo.files.ome_set import describe_broken, open_set
from carezoo.files.stored_pixels import DECODED, Pages, n_pages

Array = NDArray[Any]

_JPEG_COMPRESSIONS = {6, 7, 34892, 33007}


@dataclass(frozen=True, eq=False)
class RawPages:
    """Planes whose pixels stand in the file as they are."""

    paths: Sequence[Path]
    offsets: Sequence[int]
    """Position of the first pixel of each plane, in bytes."""
    page_shape: tuple[int, ...]
    stored_dtype: np.dtype[Any]
    """With the byte order of the file."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel, in native byte order."""
        return self.stored_dtype.newbyteorder("=")

    def read(self, page: int, region: tuple[slice, ...]) -> Array:
        """Return a region of one plane; reads from its first row to its last, in full width."""
        rows = region[0]
        block = np.empty((rows.stop - rows.start, *self.page_shape[1:]), self.stored_dtype)
        path, offset = self.paths[page], self.offsets[page] + rows.start * block[0].nbytes
        with _open(path) as file:
            file.seek(offset)
            n_read = file.readinto(block.reshape(-1).view(np.uint8).data)
        if n_read != block.nbytes:
            raise FileFormatError(f"{path} is shorter than when it was opened: plane {page} ends too early")
        return block[(slice(None), *region[1:])].astype(self.dtype, copy=False)


@dataclass(frozen=True)
class Place:
    """Where the strips or tiles of one plane lie."""

    path: Path
    offsets: tuple[int, ...]
    byte_counts: tuple[int, ...]
    jpeg_tables: bytes | None


@dataclass(frozen=True, eq=False)
class EncodedPages:
    """Planes in strips or tiles that have to be decoded."""

    places: Sequence[Place | None]
    """One for each plane; None where the file lacks the plane."""
    page_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    volume: tuple[int, int, int, int, int]
    """Shape of a plane as TIFF sees it: separate samples, depth, length, width, interleaved samples."""
    segment: tuple[int, int, int]
    """Depth, length and width of a strip or tile."""
    decode: Callable[..., Any]
    """tifffile's decoder: (bytes, index) to (pixels or None, position, shape)."""
    fill: Any
    """Value of pixels in segments that a sparse file leaves out."""
    jpeg_header: bytes | None
    origin: tuple[Path, int, bool]
    """File, series, and whether its metadata are ignored: what another process needs to open the same planes."""
    token: object = field(default_factory=object)
    """Tells the segments of this file from those of others."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, self.origin

    def read(self, page: int, region: tuple[slice, ...]) -> Array:
        """Return a region of one plane; decodes only the segments it touches."""
        place = self.places[page]
        if place is None:
            broken = describe_broken(self.origin[0])
            if broken:
                raise FileFormatError(
                    f"{broken}: the set lacks plane {page}. Copy the whole set again, or restore the part that is "
                    "there with --crop"
                )
            n_there = sum(each is not None for each in self.places)
            raise FileFormatError(
                f"{self.origin[0]} lacks plane {page}: its metadata list {len(self.places)} planes, {n_there} are "
                "there. The acquisition or the copy was not finished, or the file was cropped. Restore the part that "
                "is there with --crop, or say what the planes in the file are with --axes (axes= in Python)"
            )
        inside = self._in_volume(region)
        block = np.empty([bound.stop - bound.start for bound in inside], self.dtype)
        for position in self._iterate_segments(inside):
            self._paste(block, inside, page, place, position)
        return block.reshape([bound.stop - bound.start for bound in region])

    def _in_volume(self, region: tuple[slice, ...]) -> tuple[slice, ...]:
        """Return `region` with a slice for each of the five dimensions TIFF knows."""
        given = iter(region)
        # The plane's own dimensions are those of the volume without singletons, except that Y and X always stay.
        return tuple(
            next(given) if size > 1 or dimension in {2, 3} else slice(0, 1)
            for dimension, size in enumerate(self.volume)
        )

    def _iterate_segments(self, inside: tuple[slice, ...]) -> itertools.product[tuple[int, ...]]:
        """Return sample and grid position of every segment in the region."""
        grid = [
            range(bound.start // size, ceil(bound.stop / size))
            for bound, size in zip(inside[1:4], self.segment, strict=True)
        ]
        return itertools.product(range(inside[0].start, inside[0].stop), *grid)

    def _paste(
        self, block: Array, inside: tuple[slice, ...], page: int, place: Place, position: tuple[int, ...]
    ) -> None:
        sample, *cell = position
        grid = tuple(ceil(size / step) for size, step in zip(self.volume[1:4], self.segment, strict=True))
        index = int(np.ravel_multi_index((sample, *cell), (self.volume[0], *grid)))
        pixels = DECODED.get((self.token, page, index), lambda: self._decode_segment(page, place, index))
        source: list[slice] = []
        target: list[slice | int] = [sample - inside[0].start]
        for i, step, size, bound, length in zip(
            cell, self.segment, self.volume[1:4], inside[1:4], pixels.shape[:3], strict=True
        ):
            start, stop = max(i * step, bound.start), min(i * step + length, bound.stop, size)
            source.append(slice(start - i * step, stop - i * step))
            target.append(slice(start - bound.start, stop - bound.start))
        block[tuple(target)] = pixels[(*source, inside[4])]

    def _decode_segment(self, page: int, place: Place, index: int) -> Array:
        if index >= min(len(place.byte_counts), len(place.offsets)):
            raise FileFormatError(
                f"{place.path} is damaged: plane {page} has fewer strips or tiles than its size asks for"
            )
        n_bytes = place.byte_counts[index]
        data = None
        if n_bytes:
            with _open(place.path) as file:
                file.seek(place.offsets[index])
                data = file.read(n_bytes)
        options = {} if place.jpeg_tables is None and self.jpeg_header is None else {
            "jpegtables": place.jpeg_tables,
            "jpegheader": self.jpeg_header,
        }  # fmt: skip
        try:
            pixels, _, shape = self.decode(data, index, **options)
        except BUGS:
            raise
        except Exception as error:  # every codec has its own
            raise FileFormatError(
                f"{place.path}: plane {page} cannot be decoded ({error}). The file is damaged or compressed in a way "
                "this version does not know; save it again uncompressed"
            ) from error
        return np.full(shape, self.fill, self.dtype) if pixels is None else np.asarray(pixels)


def series_of(tif: TiffFile) -> Sequence[TiffPageSeries]:
    """Return the images of an open file with all dimensions, also before tifffile 2026.5.2."""
    return tif.series(squeeze=False) if callable(tif.series) else tif.series


def dimensions(series: TiffPageSeries) -> tuple[str, tuple[int, ...]]:
    """Return letter and length of every dimension of a series of `series_of`, those of length 1 included."""
    if hasattr(series, "get_shape"):
        return series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    return series.axes, series.shape


def open_tif(path: Path, *, is_plain: bool = False) -> TiffFile:
    """Open a file; `is_plain`: as a sequence of planes, whatever its metadata say of them."""
    return open_set(path, is_imagej=False, is_ome=False, is_shaped=False) if is_plain else open_set(path)


def pages_of(series: TiffPageSeries, path: Path, index: int, *, is_plain: bool = False) -> Pages:
    """Return the planes of one series of an open file; `is_plain` as it was opened.

    Raises
    ------
    FileFormatError
        If the file ends before its pixels do, or stores them in a way that cannot be read plane by plane.
    """
    page = series.keyframe
    if page.dtype is None or series.transform is not None:
        raise FileFormatError(f"{path} stores pixels of a kind that cannot be read ({page.bitspersample} bit)")
    stored_dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    _, stored_shape = dimensions(series)
    page_shape = _page_shape(stored_shape, page, path)
    n = n_pages(stored_shape, page_shape)
    n_bytes = page.nbytes
    pages: Pages
    if series.dataoffset is not None and not series.is_multifile:
        first = series.dataoffset
        path = Path(page.parent.filehandle.path)
        pages = RawPages([path] * n, range(first, first + n * n_bytes, n_bytes), page_shape, stored_dtype)
        _require_bytes(path, first + n * n_bytes)
        return pages
    frames = list(series)
    if len(frames) != n:
        raise FileFormatError(f"{path} is damaged: its metadata lists {n} planes, it holds {len(frames)}")
    places = [None if frame is None else _place(frame, page) for frame in frames]
    complete = [place for place in places if place is not None]
    for place in complete:
        _require_bytes(place.path, max(map(sum, zip(place.offsets, place.byte_counts, strict=True))))
    if page.is_final and len(complete) == n and all(_is_contiguous(place, n_bytes) for place in complete):
        return RawPages([p.path for p in complete], [p.offsets[0] for p in complete], page_shape, stored_dtype)
    return EncodedPages(
        places=places,
        page_shape=page_shape,
        dtype=stored_dtype.newbyteorder("="),
        volume=page.shaped,
        segment=(page.tiledepth, page.tilelength, page.tilewidth)
        if page.is_tiled
        else (1, page.rowsperstrip, page.imagewidth),
        decode=page.decode,
        fill=page.nodata,
        jpeg_header=page.jpegheader,
        origin=(path, index, is_plain),
    )


def _page_shape(stored_shape: tuple[int, ...], page: TiffPage, path: Path) -> tuple[int, ...]:
    """Return the last dimensions of the series: those that lie inside one plane."""
    n_inside = len(page.shape)
    for n_trailing in (0, 1):  # ImageJ and OME series end in a sample axis even where there is one sample
        inside = stored_shape[len(stored_shape) - n_inside - n_trailing :]
        if inside == (*page.shape, *(1,) * n_trailing):
            return inside
    raise FileFormatError(
        f"{path} stores planes of shape {page.shape} for an image of shape {stored_shape}, which cannot be read plane "
        "by plane. Open it in ImageJ and save it as TIFF"
    )


def _place(frame: TiffPage | TiffFrame, keyframe: TiffPage) -> Place:
    is_jpeg = keyframe.compression in _JPEG_COMPRESSIONS
    return Place(
        Path(frame.parent.filehandle.path),
        tuple(frame.dataoffsets),
        tuple(frame.databytecounts),
        frame.jpegtables if is_jpeg else None,
    )


def _is_contiguous(place: Place, n_bytes: int) -> bool:
    ends = [offset + count for offset, count in zip(place.offsets, place.byte_counts, strict=True)]
    return ends[:-1] == list(place.offsets[1:]) and ends[-1] - place.offsets[0] >= n_bytes


def _require_bytes(path: Path, n_bytes: int) -> None:
    n_present = path.stat().st_size
    if n_present < n_bytes:
        raise FileFormatError(
            f"{path} is truncated: its pixels end at byte {n_bytes}, the file has {n_present}. The copy or the "
            "acquisition was not finished; copy it again"
        )


def _open(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise FileFormatError(f"{path} can no longer be read: {error.strerror}") from error


def _reopen(path: Path, index: int, is_plain: bool) -> Pages:
    with open_tif(path, is_plain=is_plain) as tif:
        return pages_of(series_of(tif)[index], path, index, is_plain=is_plain)
