"""Pixels that can be cut anywhere without decoding: mapped where they lie, or decoded once into a cache."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import math
import mmap
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo import axes as axes_
from carezoo.errors import DataError
from carezoo.files.atomic import replacing
from carezoo.files.stored_pixels import PlanePixels
from carezoo.files.tiff_pages import RawPages
from carezoo.image import Averages, DerivedPixels, Image, Picked, Pixels, Window
from carezoo.pairs.find import Pair
from carezoo.statistics import Blocks

log = logging.getLogger("carezoo")

CACHED_AXES = "STZCYX"
"""Order of the axes in a decoded file: one plane with all its channels after the other."""


@dataclass(frozen=True)
class RawPixels:
    """Pixels lying uncompressed in a file.

    The file is mapped anew for every read, which takes microseconds: nothing stays open, pages are returned to the
    system at once, so that memory does not grow with the data, and the value can be sent to worker processes.
    """

    path: Path
    offset: int
    """Bytes before the first pixel."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> NDArray[np.generic]:
        """Read one region into memory."""
        return np.array(self.map_pixels()[key])

    def map_pixels(self) -> NDArray[np.generic]:
        """Return all pixels as a read-only map of the file, which closes with the array."""
        with self.path.open("rb") as file:
            # Not np.memmap, which takes five times as long to make.
            bytes_of_file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.ndarray(self.shape, self.dtype, bytes_of_file, self.offset)


def make_raw(pairs: Sequence[Pair], cache: Path) -> tuple[Pair, ...]:
    """Return `pairs` with pixels that can be cut anywhere.

    Parameters
    ----------
    pairs
        Images that lie uncompressed in one piece are mapped; others are decoded into `cache`, unless they are there
        already.
    cache
        Folder for decoded images; made if anything must be decoded.

    Raises
    ------
    DataError
        If the disk has too little room, before anything is decoded.
    """
    ends = [(path, image) for pair in pairs for path, image in _list_ends(pair)]
    files = {_locate_decoded(path, image, cache): (path, image) for path, image in ends}
    raw = {key: mapped for key, (_, image) in files.items() if (mapped := _map_file(image))}
    encoded = {key: end for key, end in files.items() if key not in raw}
    _check_room([(key, image) for key, (_, image) in encoded.items()], cache)
    raw |= {key: _decode(path, image, key) for key, (path, image) in encoded.items()}
    made = (tuple(raw[_locate_decoded(path, image, cache)] for path, image in _list_ends(pair)) for pair in pairs)
    return tuple(
        dataclasses.replace(pair, source=source, target=target)
        for pair, (source, target) in zip(pairs, made, strict=True)
    )


def _list_ends(pair: Pair) -> tuple[tuple[Path, Image], tuple[Path, Image]]:
    return (pair.source_path, pair.source), (pair.target_path, pair.target)


def _map_file(image: Image) -> Image | None:
    """Return `image` with its pixels mapped where they lie, if they lie there uncompressed in one piece."""
    pixels = image.pixels
    if isinstance(pixels, np.ndarray | RawPixels):
        return image
    if not (isinstance(pixels, PlanePixels) and isinstance(pixels.pages, RawPages)):
        return None
    pages = pixels.pages
    n_bytes = math.prod(pages.page_shape) * pages.stored_dtype.itemsize
    if list(pages.offsets) != [pages.offsets[0] + i * n_bytes for i in range(len(pages.offsets))]:
        return None
    if len(set(pages.paths)) > 1:
        return None
    return dataclasses.replace(
        image, pixels=RawPixels(pages.paths[0], pages.offsets[0], pixels.shape, pages.stored_dtype)
    )


def _locate_decoded(path: Path, image: Image, cache: Path) -> Path:
    """Return where `image` is decoded to: another place when its file changes, or is read in another way."""
    state = path.stat()
    key = f"{path}|{image.name}|{state.st_size}|{state.st_mtime_ns}|{image.axes}|{_describe_view(image.pixels)}"
    return cache / f"{path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.raw"


def _describe_view(pixels: Pixels) -> str:
    """Return in what way pixels are read out of their file."""
    if isinstance(pixels, Averages):
        return f"average {pixels.n}, {_describe_view(pixels.pixels)}"
    if isinstance(pixels, Picked):
        return f"frames {pixels.positions}, {_describe_view(pixels.pixels)}"
    if isinstance(pixels, MovedPixels):
        return f"moved {pixels.shift}, {_describe_view(pixels.pixels)}"
    if isinstance(pixels, Window):
        return f"cropped {pixels.bounds}, {_describe_view(pixels.pixels)}"
    return "whole"


def _check_room(images: Sequence[tuple[Path, Image]], cache: Path) -> None:
    if not images:
        return
    cache.mkdir(parents=True, exist_ok=True)
    missing = [image for decoded, image in images if not decoded.exists()]
    wanted = sum(math.prod(image.shape) * image.dtype.itemsize for image in missing)
    free = shutil.disk_usage(cache).free
    if wanted > free:
        raise DataError(
            f"the training images need {wanted / 2**30:.1f} GiB decoded, but {cache} has {free / 2**30:.1f} GiB free; "
            "train into a folder on a larger disk, or save the images as uncompressed TIFF, which needs no copy"
        )


def _decode(path: Path, image: Image, decoded: Path) -> Image:
    lengths = {**dict.fromkeys(CACHED_AXES, 1), **image.sizes}
    shape = tuple(lengths[letter] for letter in CACHED_AXES)
    if not decoded.exists():
        log.info("decoding %s into %s", path, decoded.parent)
        with replacing(decoded) as temporary, temporary.open("wb") as file:
            for region in plane_regions(image):
                file.write(np.ascontiguousarray(read(image, region), dtype=image.dtype).data)
    return dataclasses.replace(image, pixels=RawPixels(decoded, 0, shape, image.dtype), axes=CACHED_AXES)


def plane_regions(image: Image, s: int | None = None) -> Iterator[dict[str, slice]]:
    """Go over the planes of `image`, or those of its sample `s`, in the order of S, T, Z."""
    lengths = image.sizes
    samples = range(lengths.get("S", 1)) if s is None else (s,)
    for sample, t, z in itertools.product(samples, range(lengths.get("T", 1)), range(lengths.get("Z", 1))):
        yield {"S": slice(sample, sample + 1), "T": slice(t, t + 1), "Z": slice(z, z + 1)}


def read(image: Image, region: Mapping[str, slice]) -> NDArray[np.generic]:
    """Read one region as an array with axes CZYX; a pixel that is NaN or infinite is a `DataError`.

    `region` has slices by axis letter: missing axes are read whole, axes the image has not are ignored. S and T have
    length 1; an image with one sample or frame gives it for all.
    """
    key = tuple(
        slice(None) if letter in "ST" and length == 1 else region.get(letter, slice(None))
        for letter, length in image.sizes.items()
    )
    pixels = axes_.move(image.pixels[key], image.axes, "CZYX")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise DataError(f"{image.name} has pixels that are NaN or infinite; repair it, or leave it out (split)")
    return pixels


def channel_blocks(image: Image, channel: int, s: int | None = None) -> Blocks:
    """Return the pixels of one channel of `image`, or of its sample `s`, plane by plane."""
    one = {"C": slice(channel, channel + 1)}
    return lambda: (read(image, {**region, **one}) for region in plane_regions(image, s))


_MARGIN = 12
"""Pixels read around a region: a cubic spline carries an error at their end by no more than 0.27**12 = 1e-7."""


@dataclass(frozen=True, eq=False)
class MovedPixels(DerivedPixels):
    """Pixels moved by a shift: interpolated by cubic splines, with the border pixels repeated outside."""

    shift: tuple[float, ...]
    """By how many pixels along each dimension, towards higher indices."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel."""
        return np.dtype(np.float32)

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[np.float32]:
        """Read one region."""
        read, cut = [], []
        for item, length, shift in zip(key, self.shape, self.shift, strict=True):
            positions = range(length)[item if isinstance(item, slice) else slice(item, item + 1)]
            margin = ceil(abs(shift)) + _MARGIN if shift else 0
            first = max(0, positions.start - margin)
            read.append(slice(first, min(length, positions.stop + margin)))
            inside = slice(positions.start - first, positions.stop - first)
            cut.append(inside if isinstance(item, slice) else inside.start)
        around = np.asarray(self.pixels[tuple(read)], np.float32)
        moved: NDArray[np.float32] = ndimage.shift(around, self.shift, order=3, mode="nearest")
        return moved[tuple(cut)]
