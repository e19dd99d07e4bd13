"""Formats of microscope makers, through the bioio readers (extra ``formats``)."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import BUGS, AxesError, CarezooError, FileFormatError, MissingExtraError, is_raised_in
from carezoo.files import file_axes, scenes
from carezoo.files.plane_pixels import DECODED, PlanePixels
from carezoo.image import Image, Metadata


@dataclass(frozen=True)
class Reader:
    """A bioio reader carezoo knows by name."""

    module: str
    library: str
    """Module with which it reads the file."""
    package: str
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments that make it read plane by plane."""


TIFF_SUFFIXES = (".tif", ".tiff")

_PLANEWISE = {"chunk_dims": ["Y", "X"]}

READERS = {
    ".czi": Reader("bioio_czi", "pylibCZIrw", "bioio-czi", _PLANEWISE),
    ".lif": Reader("bioio_lif", "liffile", "bioio-lif", _PLANEWISE),
    ".nd2": Reader("bioio_nd2", "nd2", "bioio-nd2"),
    ".zarr": Reader("bioio_ome_zarr", "zarr", "bioio-ome-zarr"),
}
"""By suffix. Files with other suffixes go to whatever bioio readers are installed."""


@dataclass(frozen=True, eq=False)
class DaskPages:
    """The planes of a dask array; its chunks are read whole, and kept for a while."""

    array: Any
    """dask array whose last dimensions are those of a plane."""
    page_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    name: str
    reader: Reader | None
    """None: one that carezoo does not know by name."""
    token: object = field(default_factory=object)

    def read(self, page: int, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return a region of one plane."""
        counting = self.array.shape[: -len(self.page_shape)]
        index = tuple(int(i) for i in np.unravel_index(page, counting))
        asked = [*(slice(i, i + 1) for i in index), *region]
        found = np.empty([bound.stop - bound.start for bound in asked], self.dtype)
        for pieces in itertools.product(*map(_pieces, self.array.chunks, asked)):
            chunk = tuple(piece.chunk for piece in pieces)
            values = DECODED.get((self.token, chunk), partial(self._compute, chunk, page))
            found[tuple(piece.target for piece in pieces)] = values[tuple(piece.source for piece in pieces)]
        return found.reshape(found.shape[len(counting) :])

    def _compute(self, chunk: tuple[int, ...], page: int) -> NDArray[Any]:
        try:
            return np.asarray(self.array.blocks[chunk].compute(scheduler="synchronous"))
        except Exception as error:  # every reader has its own
            if _is_bug(error, self.reader):
                raise
            raise FileFormatError(
                f"{self.name}: plane {page} cannot be read ({error}). The file is damaged, or its reader does not know "
                "this kind of scan; save it as OME-TIFF from the program that made it"
            ) from error


@dataclass(frozen=True)
class _Piece:
    """The part of a region that lies in one chunk, along one dimension."""

    chunk: int
    source: slice
    """In the chunk."""
    target: slice
    """In the region."""


def _pieces(lengths: Sequence[int], asked: slice) -> Iterator[_Piece]:
    start = 0
    for chunk, length in enumerate(lengths):
        first, last = max(start, asked.start), min(start + length, asked.stop)
        if first < last:
            yield _Piece(chunk, slice(first - start, last - start), slice(first - asked.start, last - asked.start))
        start += length


def missing_package(path: Path) -> str | None:
    """Return the package without which a file of this suffix cannot be read; None if it can. Nothing is imported."""
    reader = READERS.get(path.suffix.lower())
    needed = {"bioio": "bioio", reader.module: reader.package} if reader else {}
    return next((package for module, package in needed.items() if importlib.util.find_spec(module) is None), None)


def open_other(path: Path, axes: str | None, scene: int | str | None) -> Image:
    """Open a file that is not TIFF; parameters and errors as in `carezoo.files.open_image`."""
    with _open(path) as opened:
        opened.set_scene(scenes.choose_number(path, opened.scenes, scene))
        return _to_image(opened, path, axes, READERS.get(path.suffix.lower()))


def read_scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the images in a file that is not TIFF."""
    with _open(path) as opened:
        return tuple(opened.scenes)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Yield bioio's view of the file; what its reader raises becomes a FileFormatError, a bug stays one."""
    reader = READERS.get(path.suffix.lower())
    bioio = _import("bioio", "bioio", path)
    options: dict[str, Any] = {}
    if reader is not None:
        options = {"reader": _import(reader.module, reader.package, path).Reader, **reader.options}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the readers' own dependencies: nothing a user could act on
            yield bioio.BioImage(path, **options)
    except CarezooError:
        raise
    except Exception as error:  # every reader has its own
        if _is_bug(error, reader):
            raise
        if reader is None:
            raise _make_unknown_error(path) from error
        reason = " ".join(str(error).split())[-200:]  # bioio lists at length who failed, and at the end says why
        raise FileFormatError(
            f"{path} cannot be read by {reader.package} ({reason}). It may be damaged; "
            "save it as OME-TIFF from the program that made it"
        ) from error


def _is_bug(error: Exception, reader: Reader | None) -> bool:
    """Return whether no file is to blame. A part that a damaged file lacks is None in a reader: no bug of ours."""
    is_missing_part = isinstance(error, AttributeError | TypeError)
    if reader is not None and is_missing_part and is_raised_in(error, reader.module, reader.library):
        return False
    return isinstance(error, BUGS)


def _import(module: str, package: str, path: Path) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if path.suffix.lower() not in READERS:
            raise _make_unknown_error(path) from error
        raise MissingExtraError.of(package, "formats", f"to read {path.suffix[1:].upper()} files") from error


def _make_unknown_error(path: Path) -> FileFormatError:
    return FileFormatError(
        f"{path} has a format carezoo does not know. It reads TIFF; CZI, LIF, ND2 and OME-Zarr with "
        f'pip install "carezoo[formats]"; and whatever other bioio readers are installed for. Or save it as OME-TIFF'
    )


def _to_image(opened: Any, path: Path, axes: str | None, reader: Reader | None) -> Image:
    """Return the chosen scene; bioio orders it TCZYX, and S behind for colour."""
    array, letters = opened.dask_data, str(opened.dims.order)
    if not letters.startswith("TCZYX"):
        raise AxesError(f"{path} has axes {letters}; expected axes out of TCZYX (tiles have to be stitched before)")
    page_shape = tuple(int(n) for n in array.shape[3:])
    stored = file_axes.StoredAxes(path.name, letters, tuple(map(int, array.shape)), has_colour_samples="S" in letters)
    given, kept = file_axes.assign(stored, axes)
    pixels = PlanePixels(DaskPages(array, page_shape, np.dtype(array.dtype), path.name, reader), stored.shape, kept)
    sizes = dict(zip(given, pixels.shape, strict=True))
    metadata = Metadata(tuple(map(str, opened.channel_names or ())), _frame_interval_s(opened))
    return Image(
        pixels,
        given,
        {letter: size for letter, size in _pixel_size_um(opened).items() if letter in given},
        metadata.for_channels(sizes.get("C", 1)),
        path.name,
    )


def _pixel_size_um(opened: Any) -> dict[str, float]:
    """Return pixel sizes; makers' formats give micrometres, OME-Zarr says its unit."""
    size_um = {}
    for letter in "ZYX":
        size = getattr(opened.physical_pixel_sizes, letter)
        unit = getattr(opened.dimension_properties, letter).unit
        factor = 1.0 if unit is None else float((1.0 * unit).to("micrometer").magnitude)
        if size is not None and size > 0:
            size_um[letter] = float(size) * factor
    return size_um


def _frame_interval_s(opened: Any) -> float | None:
    """Return the time between frames: most readers give a time span, OME-Zarr's a number with a unit apart."""
    interval = opened.time_interval
    if isinstance(interval, timedelta):
        return interval.total_seconds()
    unit = opened.dimension_properties.T.unit
    return None if interval is None or unit is None else float((interval * unit).to("second").magnitude)
