"""Zarr: OME-Zarr images, what holds several of them (bioformats2raw, HCS plates, wells), and plain arrays.

OME-NGFF 0.1 to 0.5: https://ngff.openmicroscopy.org. The layout of bioformats2raw is its transitional section; names
of its images stand in ``OME/METADATA.ome.xml``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from carezoo.errors import FileFormatError
from carezoo.files import units
from carezoo.files.arrays import letter_of
from carezoo.files.file_axes import StoredAxes
from carezoo.files.stored_pixels import Array, Region, StoredFile, StoredImage
from carezoo.image import Metadata

_MARKS = ("zarr.json", ".zgroup", ".zarray")
_FIRST_AXES = "tczyx"
"""Of versions 0.1 and 0.2, which do not name them."""


@dataclass(frozen=True)
class _Place:
    """Where an image lies."""

    name: str
    path: str
    """Of its group or array, in the root."""
    index: int = 0
    """Which of the group's multiscale images."""


def is_zarr(path: Path) -> bool:
    """Return whether a folder is Zarr: by its suffix, or by what marks an image inside of a plate."""
    return path.is_dir() and (path.suffix.lower() == ".zarr" or any((path / mark).is_file() for mark in _MARKS))


def open_file(path: Path) -> StoredFile:
    """Open a Zarr folder with all images in it."""
    root = importlib.import_module("zarr").open(str(path), mode="r")
    places = _list_array(root) if hasattr(root, "dtype") else _list_group(root, path)
    if not places:
        raise FileFormatError(f"{path} holds no image: neither its metadata list one, nor is there an array in it")
    return StoredFile(tuple(place.name for place in places), lambda number: _read(root, places[number], path.name))


def _list_array(root: Any) -> list[_Place]:
    del root
    return [_Place("0", "")]


def _list_group(root: Any, path: Path) -> list[_Place]:
    """Return the images of a group: those its metadata name, else its arrays."""
    fields = _ome(root)
    if "plate" in fields:
        wells = [str(well["path"]) for well in fields["plate"].get("wells", ())]
        return [place for well in wells if well in root for place in _list_well(root[well], well)]
    if "well" in fields:
        return _list_well(root, "")
    if "multiscales" in fields:
        names = [str(each.get("name") or "") for each in fields["multiscales"]]
        is_clear = all(names) and len(set(names)) == len(names)
        return [_Place(name if is_clear else str(i), "", i) for i, name in enumerate(names)]
    if "bioformats2raw.layout" in fields:
        return _list_series(root, path)
    return [_Place(name, name) for name in sorted(root.array_keys())]


def _list_well(well: Any, path: str) -> list[_Place]:
    fields = [str(image["path"]) for image in _ome(well).get("well", {}).get("images", ())]
    return [_Place("/".join(filter(None, (path, field))), "/".join(filter(None, (path, field)))) for field in fields]


def _list_series(root: Any, path: Path) -> list[_Place]:
    """Return the images of a root of bioformats2raw: those it lists, else groups numbered from 0."""
    listed = _ome(root["OME"]).get("series", ()) if "OME" in root else ()
    series = [str(name) for name in listed] or sorted((key for key in root.group_keys() if key.isdigit()), key=int)
    names = _read_names(path / "OME" / "METADATA.ome.xml")
    is_clear = len(names) == len(series) and all(names) and len(set(names)) == len(names)
    return [_Place(names[i] if is_clear else each, each) for i, each in enumerate(series)]


def _read_names(path: Path) -> list[str]:
    try:
        return [image.get("Name", "") for image in ElementTree.parse(path).getroot().iterfind("{*}Image")]
    except (OSError, ElementTree.ParseError):
        return []


def _ome(node: Any) -> Mapping[str, Any]:
    """Return OME's fields of a group: since version 0.5 they have a name space."""
    attributes = node.attrs.asdict()
    return {**attributes, **attributes["ome"]} if isinstance(attributes.get("ome"), dict) else attributes


def _read(root: Any, place: _Place, name: str) -> StoredImage:
    node = root[place.path] if place.path else root
    if hasattr(node, "dtype"):
        return _stored(node, name, _names_of_array(node), is_plain=True)
    fields = _ome(node)
    multiscale = fields["multiscales"][place.index]
    dataset = multiscale["datasets"][0]
    array = node[dataset["path"]]
    axes = _axes(multiscale, array.ndim)
    names = [str(axis["name"]) for axis in axes]
    scale, origin = _transform(
        [*dataset.get("coordinateTransformations", ()), *multiscale.get("coordinateTransformations", ())], array.ndim
    )
    size_um, origin_um = {}, {}
    interval = None
    for axis, step, start in zip(axes, scale, origin, strict=True):
        letter, unit = letter_of(str(axis["name"])), axis.get("unit")
        if step == 1 and unit is None:  # what writers note of a size they do not know
            continue
        um = 1.0 if unit is None else units.length_um(unit)
        if letter and letter in "ZYX" and um is not None:
            size_um[letter], origin_um[letter] = step * um, start * um
        elif letter == "T" and unit is not None and (s := units.time_s(unit)) is not None:
            interval = step * s
    channels = tuple(str(each.get("label", "")) for each in fields.get("omero", {}).get("channels", ()))
    return _stored(
        array, name, names, size_um,
        Metadata(channels if all(channels) else (), interval, {k: v for k, v in origin_um.items() if v}),
    )  # fmt: skip


def _stored(
    array: Any,
    name: str,
    names: Sequence[str],
    pixel_size_um: Mapping[str, float] | None = None,
    metadata: Metadata | None = None,
    *,
    is_plain: bool = False,
) -> StoredImage:
    letters = "".join(letter_of(each) or "_" for each in names)
    dtype = np.dtype(array.dtype).newbyteorder("=")
    shape = tuple(map(int, array.shape))
    chunk = tuple(map(int, array.chunks))
    axes = StoredAxes(name, letters, shape, keeps_singletons=is_plain)
    read = partial(_read_region, array, dtype)
    return StoredImage(axes, dtype, read, chunk, pixel_size_um or {}, metadata or Metadata())


def _read_region(array: Any, dtype: np.dtype[Any], region: Region) -> Array:
    return np.asarray(array[region]).astype(dtype, copy=False)


def _names_of_array(array: Any) -> list[str]:
    """Return the names of the dimensions of a plain array; of those without, the last two are Y and X."""
    names = array.attrs.asdict().get("_ARRAY_DIMENSIONS") or getattr(array.metadata, "dimension_names", None)
    if names and all(names):
        return list(map(str, names))
    return ["_"] * (array.ndim - 2) + ["y", "x"][-array.ndim :]


def _axes(multiscale: Mapping[str, Any], n: int) -> list[Mapping[str, Any]]:
    """Return the axes: objects since version 0.4, names in 0.3, none before."""
    axes = multiscale.get("axes") or list(_FIRST_AXES[-n:])
    return [{"name": axis} if isinstance(axis, str) else axis for axis in axes]


def _transform(steps: Sequence[Mapping[str, Any]], n: int) -> tuple[list[float], list[float]]:
    """Return scale and translation of transformations that follow each other."""
    scale, origin = np.ones(n), np.zeros(n)
    for step in steps:
        if step.get("type") == "scale":
            scale, origin = scale * step["scale"], origin * step["scale"]
        elif step.get("type") == "translation":
            origin = origin + step["translation"]
    return scale.tolist(), origin.tolist()
