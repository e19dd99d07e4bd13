"""What ImageJ writes beside the pixels of a hyperstack, to and from Metadata.

Sources: ij.io.FileSaver (description), ij.io.TiffEncoder (the IJMetadata tag), as tifffile presents both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile

from carezoo.files import units
from carezoo.image import Metadata

AXES = "TZCYX"
"""Order of a hyperstack in the file."""

_TIFFFILE_VERSION = "1.11a"
"""What tifffile calls the ImageJ it imitates."""


def info(tif: TiffFile) -> str:
    """Return the text ImageJ shows as Image > Show Info..."""
    return str((tif.imagej_metadata or {}).get("Info", ""))


def describe(tif: TiffFile, sizes: Mapping[str, int]) -> tuple[dict[str, float], Metadata]:
    """Return pixel size (um, by axis) and metadata of a hyperstack whose image has axes and lengths `sizes`."""
    found = dict(tif.imagej_metadata or {})
    n_channels = sizes.get("C", 1)
    pixel_size_um = _pixel_size_um(tif, found)
    return pixel_size_um, Metadata(
        channel_names=_channel_names(found, sizes),
        frame_interval_s=_frame_interval_s(found),
        origin_um=_origin_um(found, pixel_size_um),
        luts=_luts(tif, found, n_channels),
        display_ranges=_display_ranges(found, n_channels),
        display_mode=str(found["mode"]) if n_channels > 1 and "mode" in found else None,
        notes=info(tif),
    )


def to_tags(
    letters: str, shape: tuple[int, ...], pixel_size_um: Mapping[str, float], metadata: Metadata, text: str
) -> dict[str, Any]:
    """Return the arguments that make tifffile write this metadata.

    Parameters
    ----------
    letters, shape
        Of the hyperstack, in the order of `AXES`.
    text
        For Image > Show Info...
    """
    sizes = dict(zip(letters, shape, strict=True))
    fields = {"axes": letters, **_calibration(sizes, pixel_size_um, metadata), **_display(sizes, metadata)}
    if text:
        fields["Info"] = text
    arguments: dict[str, Any] = {"imagej": True, "metadata": fields}
    if "unit" in fields:
        arguments["resolution"] = (1 / pixel_size_um["X"], 1 / pixel_size_um["Y"])
    return arguments


def _calibration(sizes: Mapping[str, int], pixel_size_um: Mapping[str, float], metadata: Metadata) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if "X" in pixel_size_um and "Y" in pixel_size_um:  # one unit for all: without these two it would claim 1 um
        fields["unit"] = "um"
        if "Z" in pixel_size_um:
            fields["spacing"] = pixel_size_um["Z"]
        for letter, position in metadata.origin_um.items():
            if letter in pixel_size_um:
                fields[f"{letter.lower()}origin"] = -position / pixel_size_um[letter]
    if metadata.frame_interval_s is not None and "T" in sizes:
        fields["finterval"] = metadata.frame_interval_s
    return fields


def _display(sizes: Mapping[str, int], metadata: Metadata) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if metadata.display_mode is not None:
        fields["mode"] = metadata.display_mode
    if metadata.display_ranges:
        fields["min"], fields["max"] = metadata.display_ranges[0]
        fields["Ranges"] = tuple(value for pair in metadata.display_ranges for value in pair)
    if metadata.luts:
        fields["LUTs"] = list(metadata.luts)
    if metadata.channel_names:
        n_planes = int(np.prod([n for letter, n in sizes.items() if letter in "TZC"]))
        fields["Labels"] = list(metadata.channel_names) * (n_planes // len(metadata.channel_names))
    return fields


def _pixel_size_um(tif: TiffFile, found: dict[str, Any]) -> dict[str, float]:
    lateral_um = units.length_um(found.get("unit"))
    if lateral_um is None:
        return {}
    size_um = {}
    for letter, tag in (("X", "XResolution"), ("Y", "YResolution")):
        numerator, denominator = tif.pages.first.tags.valueof(tag, (0, 0))
        if numerator > 0 and denominator > 0:
            unit_um = (
                units.length_um(found[f"{letter.lower()}unit"]) if f"{letter.lower()}unit" in found else lateral_um
            )
            if unit_um is not None:
                size_um[letter] = denominator / numerator * unit_um
    # ImageJ leaves out a spacing of 1. tifffile leaves it out when nobody gave one.
    unwritten = None if found.get("ImageJ") == _TIFFFILE_VERSION else 1.0
    spacing = found.get("spacing", unwritten)
    axial_um = units.length_um(found["zunit"]) if "zunit" in found else lateral_um
    if isinstance(spacing, int | float) and spacing != 0 and axial_um is not None:
        size_um["Z"] = abs(float(spacing)) * axial_um
    return size_um


def _frame_interval_s(found: dict[str, Any]) -> float | None:
    interval, rate = found.get("finterval"), found.get("fps")
    if isinstance(interval, int | float) and interval > 0:
        unit_s = units.time_s(found.get("tunit", "s"))
        return None if unit_s is None else float(interval) * unit_s
    return 1 / float(rate) if isinstance(rate, int | float) and rate > 0 else None


def _origin_um(found: dict[str, Any], pixel_size_um: dict[str, float]) -> dict[str, float]:
    """Return the position of the first pixel: ImageJ notes where the zero is, in pixels."""
    origin = {}
    for letter, size_um in pixel_size_um.items():
        zero = found.get(f"{letter.lower()}origin")
        if isinstance(zero, int | float) and zero != 0:
            origin[letter] = -float(zero) * size_um
    return origin


def _channel_names(found: dict[str, Any], sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Return the slice labels if they name channels: the same in every plane of a channel, C fastest."""
    labels, n_channels = found.get("Labels"), sizes.get("C", 1)
    if not isinstance(labels, list) or n_channels == 1:
        return ()
    n_planes = int(np.prod([n for letter, n in sizes.items() if letter in "TZC"]))
    names = tuple(str(label) for label in labels[:n_channels])
    is_periodic = len(labels) == n_planes and labels == list(names) * (n_planes // n_channels)
    return names if is_periodic and len(set(names)) == n_channels else ()


def _luts(tif: TiffFile, found: dict[str, Any], n_channels: int) -> tuple[NDArray[np.uint8], ...]:
    palette = tif.pages.first.colormap
    if palette is not None and n_channels == 1:
        return ((palette >> 8).astype(np.uint8),)
    luts = found.get("LUTs", [])
    tables = [luts] if isinstance(luts, np.ndarray) else list(luts)
    is_complete = len(tables) == n_channels and all(np.shape(table) == (3, 256) for table in tables)
    return tuple(np.asarray(table, np.uint8) for table in tables) if is_complete else ()


def _display_ranges(found: dict[str, Any], n_channels: int) -> tuple[tuple[float, float], ...]:
    values = [float(value) for value in np.ravel(found.get("Ranges", ()))]
    if len(values) == 2 * n_channels:
        return tuple(zip(values[::2], values[1::2], strict=True))
    low, high = found.get("min"), found.get("max")
    if n_channels == 1 and isinstance(low, int | float) and isinstance(high, int | float):
        return ((float(low), float(high)),)
    return ()
