"""Readers of other libraries: microscope makers' formats through bioio, HDF5, MRC, NPY, PNG and JPEG."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from carezoo.errors import AxesError, FileFormatError
from carezoo.files.arrays import letter_of
from carezoo.files.file_axes import StoredAxes
from carezoo.files.stored_pixels import Array, Region, StoredFile, StoredImage
from carezoo.image import Metadata

_ANGSTROM_UM = 1e-4
_OPTIONS: Mapping[str, dict[str, Any]] = {name: {"chunk_dims": ["Y", "X"]} for name in ("bioio_czi", "bioio_lif")}
"""What makes a reader read plane by plane."""


def open_bioio(path: Path, module: str | None = None) -> StoredFile:
    """Open a file with the bioio reader of a module; None: with whichever takes it."""
    options: dict[str, Any] = {}
    if module is not None:
        options = {"reader": importlib.import_module(module).Reader, **_OPTIONS.get(module, {})}
    opened = importlib.import_module("bioio").BioImage(path, **options)
    return StoredFile(tuple(opened.scenes), partial(_read_bioio, opened, path))


def _read_bioio(opened: Any, path: Path, number: int) -> StoredImage:
    """Return the image of a number; bioio orders it TCZYX, and S behind for colour."""
    opened.set_scene(number)
    array, letters = opened.dask_data, str(opened.dims.order)
    if not letters.startswith("TCZYX"):
        raise AxesError(f"{path} has axes {letters}; expected axes out of TCZYX (tiles have to be stitched before)")
    return StoredImage(
        StoredAxes(path.name, letters, tuple(map(int, array.shape)), has_colour_samples="S" in letters),
        np.dtype(array.dtype),
        partial(_compute, array),
        tuple(lengths[0] for lengths in array.chunks),
        _pixel_size_um(opened),
        Metadata(tuple(map(str, opened.channel_names or ())), _frame_interval_s(opened)),
    )


def _compute(array: Any, region: Region) -> Array:
    return np.asarray(array[region].compute(scheduler="synchronous"))


def _pixel_size_um(opened: Any) -> dict[str, float]:
    """Return pixel sizes; readers that give no unit give micrometres."""
    size_um = {}
    for letter in "ZYX":
        size = getattr(opened.physical_pixel_sizes, letter)
        unit = getattr(opened.dimension_properties, letter).unit
        factor = 1.0 if unit is None else float((1.0 * unit).to("micrometer").magnitude)
        if size is not None and size > 0:
            size_um[letter] = float(size) * factor
    return size_um


def _frame_interval_s(opened: Any) -> float | None:
    """Return the time between frames: most readers give a time span, others a number with a unit apart."""
    interval = opened.time_interval
    if isinstance(interval, timedelta):
        return interval.total_seconds()
    unit = opened.dimension_properties.T.unit
    return None if interval is None or unit is None else float((interval * unit).to("second").magnitude)


def open_hdf5(path: Path) -> StoredFile:
    """Open an HDF5 file: every dataset of two dimensions or more is an image, named by its path inside."""
    names: list[str] = []

    def note(name: str, node: Any) -> None:
        if hasattr(node, "dtype") and node.dtype.kind in "uifb" and len(node.shape) > 1:
            names.append(name)

    with importlib.import_module("h5py").File(path, "r") as file:
        file.visititems(note)
    if not names:
        raise FileFormatError(f"{path} holds no dataset of two dimensions or more")
    return StoredFile(tuple(names), lambda number: _read_hdf5(path, names[number]))


def _read_hdf5(path: Path, name: str) -> StoredImage:
    with importlib.import_module("h5py").File(path, "r") as file:
        data = file[name]
        letters = _letters_of_hdf5(data)
        sizes = np.ravel(data.attrs.get("element_size_um", ()))  # of the last three dimensions, as ImageJ's plugin has
        return StoredImage(
            StoredAxes(path.name, letters, data.shape, keeps_singletons=True),
            data.dtype.newbyteorder("="),
            partial(_read_dataset, path, name),
            data.chunks,
            dict(zip("ZYX", map(float, sizes), strict=True)) if len(sizes) == 3 else {},
        )


def _read_dataset(path: Path, name: str, region: Region) -> Array:
    with importlib.import_module("h5py").File(path, "r") as file:
        return _native(file[name][region])


def _letters_of_hdf5(data: Any) -> str:
    """Return the axes by the labels of the dimensions, or as ilastik notes them."""
    labels = [dimension.label for dimension in data.dims]
    if not all(labels) and "axistags" in data.attrs:
        labels = [str(axis["key"]) for axis in json.loads(data.attrs["axistags"])["axes"]]
    if all(labels) and len(labels) == data.ndim:
        return "".join(letter_of(label) or "_" for label in labels)
    return _unnamed(data.ndim)


def open_mrc(path: Path) -> StoredFile:
    """Open an MRC file: a volume, or a stack of images whose axis the file does not name."""
    return StoredFile(("0",), partial(_read_mrc, path))


def _read_mrc(path: Path, number: int) -> StoredImage:
    del number
    with importlib.import_module("mrcfile").mmap(path, "r") as file:
        data, voxel = file.data, file.voxel_size
        letters = "ZYX" if file.is_volume() else _unnamed(data.ndim)
        sizes = {letter: float(getattr(voxel, letter.lower())) * _ANGSTROM_UM for letter in "ZYX"}
        return StoredImage(
            StoredAxes(path.name, letters, data.shape, keeps_singletons=True),
            data.dtype.newbyteorder("="),
            partial(_read_mapped, path),
            pixel_size_um={letter: size for letter, size in sizes.items() if size > 0},
        )


def _read_mapped(path: Path, region: Region) -> Array:
    with importlib.import_module("mrcfile").mmap(path, "r") as file:
        return _native(np.array(file.data[region]))


def open_npy(path: Path) -> StoredFile:
    """Open a file of `numpy.save`, whose axes have no names."""
    return StoredFile(("0",), partial(_read_npy, path))


def _read_npy(path: Path, number: int) -> StoredImage:
    del number
    data = np.load(path, mmap_mode="r")
    return StoredImage(
        StoredAxes(path.name, _unnamed(data.ndim), data.shape, keeps_singletons=True),
        data.dtype.newbyteorder("="),
        partial(_read_array, path),
    )


def _read_array(path: Path, region: Region) -> Array:
    return _native(np.array(np.load(path, mmap_mode="r")[region]))


def open_png(path: Path) -> StoredFile:
    """Open a PNG file of 8 or 16 bit, grey or colour."""
    return _open_picture(path, imagecodecs.png_decode)


def open_jpeg(path: Path) -> StoredFile:
    """Open a JPEG file, grey or colour."""
    return _open_picture(path, imagecodecs.jpeg8_decode)


def _open_picture(path: Path, decode: Callable[[bytes], Array]) -> StoredFile:
    return StoredFile(("0",), partial(_read_picture, path, decode))


def _read_picture(path: Path, decode: Callable[[bytes], Array], number: int) -> StoredImage:
    del number
    pixels = _decode(path, decode)
    return StoredImage(
        StoredAxes(path.name, "YXS"[: pixels.ndim], pixels.shape, has_colour_samples=pixels.ndim == 3),
        pixels.dtype,
        partial(_read_decoded, path, decode),
        chunk=pixels.shape,
    )


def _read_decoded(path: Path, decode: Callable[[bytes], Array], region: Region) -> Array:
    return _decode(path, decode)[region]


def _decode(path: Path, decode: Callable[[bytes], Array]) -> Array:
    """Return the pixels of a picture without its transparency."""
    pixels = decode(path.read_bytes())
    if pixels.ndim == 2:
        return pixels
    n_colours = {2: 1, 4: 3}.get(pixels.shape[2], pixels.shape[2])
    return pixels[..., 0] if n_colours == 1 else pixels[..., :n_colours]


def _native(pixels: Array) -> Array:
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _unnamed(n: int) -> str:
    """Return the letters of an array without names: the last two are Y and X."""
    return "_" * (n - 2) + "YX"[-n:]
