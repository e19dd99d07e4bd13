"""TIFF files written region by region, in any order, with the metadata a microscopist wants back.

Pixels are not compressed: that makes every region addressable, and memory does not grow with the image. Three carriers:

ImageJ hyperstack
    Names in ``.tif``, 8 and 16-bit integers (int16 too) and float32, axes out of TZCYX. Above 4 GiB all planes follow
    the first page without pages of their own, which is how ImageJ itself writes large stacks.
OME-TIFF
    Names in ``.ome.tif``; BigTIFF above 4 GiB.
Plain
    Names in ``.tif`` for all other types, for the sample axis S, and for single planes above 4 GiB (BigTIFF).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import DTypeLike

from carezoo import axes as axes_
from carezoo.errors import FileFormatError, RestoreError
from carezoo.files import imagej, ome, plain, units
from carezoo.files.arrays import to_image
from carezoo.files.atomic import replacing
from carezoo.files.notes import append
from carezoo.files.tiff_pages import series_of
from carezoo.files.tiff_read import open_tiff
from carezoo.files.tiff_target import FileLayout, TiffTarget
from carezoo.image import Image, Metadata

_IMAGEJ_DTYPES = frozenset(np.dtype(name) for name in ("uint8", "uint16", "int16", "float32"))
_MOST_CLASSIC_BYTES = 2**32 - 2**25
"""Above, offsets of a classic TIFF could overflow; tifffile's own limit."""


@contextmanager
def create_image(
    path: str | os.PathLike[str],
    *,
    shape: tuple[int, ...],
    axes: str,
    dtype: DTypeLike,
    like: Image | None = None,
    pixel_size_um: Mapping[str, float] | None = None,
    metadata: Metadata | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Iterator[TiffTarget]:
    """Create a TIFF file region by region; it appears under its name when the block ends without an exception.

    Parameters
    ----------
    path
        ``.tif`` (ImageJ hyperstack where it can be one) or ``.ome.tif``. An existing file is replaced at the end.
    shape, axes
        Of the image, in the order in which regions are written; the file has the order TZCYX.
    dtype
        Type of a pixel: integer or floating point.
    like
        Image that lends its pixel size and metadata.
    pixel_size_um, metadata
        Take the place of those of `like`. What stands once for each channel is kept if the number of channels fits.
    notes
        Provenance: anything JSON can hold; `read_notes` returns it.

    Yields
    ------
    TiffTarget
        Accepts ``target[region] = array``.

    Raises
    ------
    FileFormatError
        If the name does not end in a TIFF suffix, or the carrier has no such type or axis.
    InputError
        If the folder is missing or not writable, or the disk too full.
    RestoreError
        If the block ends before every pixel was written exactly once.
    """
    target = Path(path)
    layout = FileLayout(axes, shape, dtype)
    size_um = pixel_size_um if pixel_size_um is not None else like.pixel_size_um if like is not None else {}
    described = metadata or (like.metadata if like is not None else Metadata())
    size_um, described = units.plausible(size_um, described, target.name)
    arguments = _arguments(target, layout, size_um, described, notes)
    with replacing(target, n_bytes=layout.file_bytes, verify=lambda written: _verify(written, layout)) as temporary:
        offset = _allocate(temporary, layout, arguments)
        with temporary.open("r+b") as file:
            writing = TiffTarget(file, offset, layout, target.name)
            yield writing
            writing.finish()


def write_image(
    path: str | os.PathLike[str], image: object, notes: Mapping[str, Any] | None = None, *, axes: str | None = None
) -> None:
    """Write an image plane by plane.

    Parameters
    ----------
    path, notes
        As in `create_image`, as are the errors.
    image
        An `Image`, or an array: of NumPy or indexed like one, a torch tensor, an xarray.DataArray.
    axes
        Of an array that does not name its dimensions: letters over STCZYX in array order.
    """
    image = to_image(image, axes)
    with create_image(path, shape=image.shape, axes=image.axes, dtype=image.dtype, like=image, notes=notes) as target:
        planes: list[Iterable[int | slice]] = [
            (slice(None),) if letter in "YX" else range(n) for letter, n in image.sizes.items()
        ]
        for region in itertools.product(*planes):
            target[region] = image.pixels[region]


def _arguments(
    path: Path,
    layout: FileLayout,
    pixel_size_um: Mapping[str, float],
    metadata: Metadata,
    notes: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what tifffile needs to write the header; decides the carrier."""
    name = path.name.lower()
    letters = layout.stored_axes
    sizes = axes_.sizes(letters, layout.stored_shape)
    size_um = {letter: float(pixel_size_um[letter]) for letter in letters if letter in pixel_size_um}
    fitted = metadata.for_channels(sizes.get("C", 1))
    text = append(metadata.notes, notes)
    if not name.endswith((".tif", ".tiff")):
        raise FileFormatError(f"{path} cannot be written: expected a name in .tif or .ome.tif, found {path.suffix!r}")
    if layout.dtype.kind not in "uif":
        raise FileFormatError(f"{path} cannot hold pixels of type {layout.dtype}; convert them to uint8 or float32")
    is_big = layout.file_bytes > _MOST_CLASSIC_BYTES
    if name.endswith((".ome.tif", ".ome.tiff")):
        if layout.dtype not in ome.DTYPES or "S" in letters:
            raise FileFormatError(
                f"OME-TIFF has no place for axes {letters} with pixels of type {layout.dtype}; expected axes out of "
                f"TZCYX and one of {', '.join(sorted(str(one) for one in ome.DTYPES))}. Write {path.name} as plain .tif"
            )
        return {"bigtiff": is_big} | ome.to_tags(sizes, size_um, fitted, text)
    if layout.dtype in _IMAGEJ_DTYPES and "S" not in letters and layout.plane_bytes < _MOST_CLASSIC_BYTES:
        return {"truncate": is_big} | imagej.to_tags(sizes, layout.dtype, size_um, fitted, text)
    return {"bigtiff": is_big} | plain.to_tags(letters, size_um, fitted, text)


def _allocate(temporary: Path, layout: FileLayout, arguments: dict[str, Any]) -> int:
    """Write everything but the pixels; return where the first pixel goes."""
    tifffile.imwrite(
        temporary,
        data=None,
        dtype=layout.stored_dtype,
        byteorder="<",
        photometric="minisblack",
        software="carezoo",
        **({"shape": layout.stored_shape} | arguments),
    )
    with tifffile.TiffFile(temporary) as tif:
        offset = series_of(tif)[0].dataoffset
    if offset is None:
        raise RestoreError(f"the pixels of {temporary} do not lie in one block; another version of tifffile may help")
    return offset


def _verify(written: Path, layout: FileLayout) -> None:
    """Open the finished file as a reader would."""
    image = open_tiff(written, None, None)
    found, expected = (
        {letter: n for letter, n in sizes.items() if n > 1}
        for sizes in (image.sizes, axes_.sizes(layout.axes, layout.shape))
    )
    if found != expected or image.dtype != layout.dtype:
        raise RestoreError(
            f"the file just written reads as {found} {image.dtype}, expected {expected} {layout.dtype}; it was removed"
        )
