"""Arrays of other libraries as images: NumPy's, anything indexed like them, tensors of torch, arrays of xarray.

None of these libraries is imported: their arrays are known by what they offer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from carezoo.errors import AxesError, InputError
from carezoo.files.units import length_um, time_s
from carezoo.image import Image, Metadata, Pixels

_LETTERS = {
    **dict.fromkeys(("s", "sample", "position", "scene", "series"), "S"),
    **dict.fromkeys(("t", "time", "frame"), "T"),
    **dict.fromkeys(("c", "channel", "band", "wavelength"), "C"),
    **dict.fromkeys(("z", "plane", "depth"), "Z"),
    **dict.fromkeys(("y", "row"), "Y"),
    **dict.fromkeys(("x", "col", "column"), "X"),
}
"""Axes by the names that dimensions of xarray, Zarr and HDF5 go by."""

_REGULAR = 1e-3
"""By how much of a step coordinates may deviate from equal steps."""


def to_image(values: object, axes: str | None = None, guess: Callable[[Pixels], str] | None = None) -> Image:
    """Return an array as an image.

    Parameters
    ----------
    values
        An `Image`; a NumPy array or what is indexed like one (Dask, Zarr, h5py), which is not read; a torch tensor; an
        xarray.DataArray: its dimensions give the axes, regular coordinates with units the pixel size and the time
        between frames, labels the names of channels; anything NumPy makes numbers of.
    axes
        Letters over STCZYX in array order; None: those of the dimensions' names.
    guess
        Gives the axes of an array that does not name its dimensions.

    Raises
    ------
    InputError
        If `values` are no array of numbers.
    AxesError
        If the axes are neither given nor known, or do not fit.
    """
    if isinstance(values, Image):
        return values
    if hasattr(values, "dims") and hasattr(values, "coords"):
        return _convert_labelled(values, axes, guess)
    pixels = _convert(values)
    return Image(pixels, axes or _guess_axes(pixels, guess))


def letter_of(name: str) -> str | None:
    """Return the axis that a dimension of this name means, such as Z for "depth"."""
    return _LETTERS.get(name.lower())


def _guess_axes(pixels: Pixels, guess: Callable[[Pixels], str] | None) -> str:
    if guess is not None:
        return guess(pixels)
    raise AxesError(
        f"the array has {len(pixels.shape)} dimensions {tuple(pixels.shape)}: say what they are, for example axes='ZYX'"
    )


def _convert(values: Any) -> Pixels:
    """Return `values` as pixels: as they are where they can be read piece by piece."""
    try:
        if hasattr(values, "detach") and hasattr(values, "cpu"):  # a tensor, perhaps on a GPU or with gradients
            values = values.detach().cpu().numpy()
        if isinstance(values, Pixels) and _has_numpy_type(values):
            return values
        pixels = np.asarray(values)
    except Exception as error:  # whatever a foreign library raises when it is asked for NumPy's array
        raise InputError(f"{_describe(values)}, which cannot be converted: {error}") from error
    if pixels.dtype.kind not in "uifbc":
        raise InputError(_describe(values))
    return pixels


def _has_numpy_type(values: Pixels) -> bool:
    try:
        return np.dtype(values.dtype).kind != "O"
    except TypeError:  # the type of another library
        return False


def _describe(values: object) -> str:
    kind = type(values)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return (
        "expected an image: a path, a carezoo.Image, or an array of numbers (NumPy, Dask, Zarr, h5py, torch, "
        f"xarray.DataArray), found {name}"
    )


def _convert_labelled(values: Any, axes: str | None, guess: Callable[[Pixels], str] | None) -> Image:
    if hasattr(values, "data_vars"):
        variables = ", ".join(map(str, values.data_vars)) or "none"
        raise InputError(f"{_describe(values)}; choose one of its variables ({variables}), such as dataset['NAME']")
    pixels, names = _convert(values.data), [str(name) for name in values.dims]
    if axes is None:
        # xarray's own names say nothing.
        is_unnamed = all(re.fullmatch(r"dim_\d+", name) for name in names)
        axes = _guess_axes(pixels, guess) if is_unnamed else _name_axes(names)
    image = Image(pixels, axes)
    size, origin = {}, {}
    interval, channels = None, tuple[str, ...]()
    for name, letter in zip(values.dims, image.axes, strict=True):
        if name not in values.coords:
            continue
        coordinate = values.coords[name]
        if letter == "C":
            channels = tuple(map(str, np.asarray(coordinate).tolist()))
            continue
        unit = coordinate.attrs.get("units", coordinate.attrs.get("unit", ""))
        step, first = _measure_step(np.asarray(coordinate)), np.asarray(coordinate).flat[0]
        if letter in "ZYX" and step and (um := length_um(unit)):
            size[letter], origin[letter] = step * um, float(first) * um
        elif letter == "T" and step and (s := time_s(unit)):
            interval = step * s
    metadata = Metadata(channel_names=channels, frame_interval_s=interval, origin_um=origin)
    name = str(values.name) if getattr(values, "name", None) else image.name
    return Image(pixels, image.axes, size, metadata, name)


def _name_axes(names: list[str]) -> str:
    unknown = [name for name in names if letter_of(name) is None]
    letters = "".join(letter_of(name) or "" for name in names)
    if unknown or len(set(letters)) < len(letters):
        raise AxesError(
            f"dimensions {', '.join(names)}: expected names such as t, channel, z, y, x, each axis once"
            + (f", found {', '.join(unknown)}" if unknown else "")
            + "; rename them, or say what they are, for example axes='ZYX'"
        )
    return letters


def _measure_step(coordinate: np.ndarray[Any, np.dtype[Any]]) -> float | None:
    """Return the distance of coordinates that rise in equal steps."""
    if coordinate.ndim != 1 or coordinate.size < 2 or coordinate.dtype.kind not in "uif":
        return None
    steps = np.diff(coordinate.astype(np.float64))
    step = float(steps.mean())
    return step if step > 0 and np.abs(steps - step).max() <= _REGULAR * step else None
