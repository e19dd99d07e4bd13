"""What ImageJ writes beside the pixels of a hyperstack, to and from Metadata.

Sources: ij.io.FileSaver (description), ij.io.TiffEncoder (the IJMetadata tag), as tifffile presents both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile

from carezoo.files import units
from carezoo.image import DerivedPixels, Metadata

AXES = "TZCYX"
"""Order of a hyperstack in the file."""

_SIGNED_OFFSET = 32768
"""ImageJ keeps signed 16-bit values with this offset, also where it notes what is displayed."""
_TIFFFILE_VERSION = "1.11a"
"""What tifffile calls the ImageJ it imitates."""


@dataclass(frozen=True, eq=False)
class SignedPixels(DerivedPixels):
    """Signed 16-bit pixels that ImageJ stored unsigned, with an offset and a calibration that takes it away."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel."""
        return np.dtype(np.int16)

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[np.int16]:
        """Read one region."""
        return np.asarray(self.pixels[key] ^ np.uint16(_SIGNED_OFFSET)).view(np.int16)


def is_signed(tif: TiffFile) -> bool:
    """Return whether the calibration of the image says that its unsigned pixels are signed ones."""
    found = tif.imagej_metadata or {}
    calibration = (found.get("cf"), found.get("c0"), found.get("c1"))
    return calibration == (0, -_SIGNED_OFFSET, 1) and tif.pages.first.dtype == np.uint16


def info(tif: TiffFile) -> str:
    """Return the text ImageJ shows as Image > Show Info..."""
    return str((tif.imagej_metadata or {}).get("Info", ""))


def describe_planes(tif: TiffFile) -> str:
    """Return how many planes the description of a hyperstack lists."""
    found = tif.imagej_metadata or {}
    counts = {name: int(found.get(name, 1)) for name in ("channels", "slices", "frames")}
    return f"{prod(counts.values())} planes ({', '.join(f'{n} {name}' for name, n in counts.items())})"


def describe(tif: TiffFile, sizes: Mapping[str, int]) -> tuple[dict[str, float], Metadata]:
    """Return pixel size (um, by axis) and metadata of a hyperstack whose image has axes and lengths `sizes`."""
    found = dict(tif.imagej_metadata or {})
    n_channels = sizes.get("C", 1)
    pixel_size_um = _pixel_size_um(tif, found)
    offset = _SIGNED_OFFSET if is_signed(tif) or tif.pages.first.dtype == np.int16 else 0
    return pixel_size_um, Metadata(
        channel_names=_channel_names(found, sizes),
        frame_interval_s=_frame_interval_s(found),
        origin_um=_origin_um(found, pixel_size_um),
        luts=_luts(tif, found, n_channels),
        display_ranges=tuple((low - offset, high - offset) for low, high in _display_ranges(found, n_channels)),
        display_mode=str(found["mode"]) if n_channels > 1 and "mode" in found else None,
        notes=info(tif),
    )


def to_tags(
    sizes: Mapping[str, int],
    dtype: np.dtype[Any],
    pixel_size_um: Mapping[str, float],
    metadata: Metadata,
    text: str,
) -> dict[str, Any]:
    """Return the arguments that make tifffile write this metadata.

    `sizes` are the axes and lengths of the hyperstack, in the order of `AXES`; Image > Show Info... shows `text`.
    """
    offset = _SIGNED_OFFSET if dtype == np.int16 else 0
    calibration, display = _calibration(sizes, pixel_size_um, metadata), _display(sizes, offset, metadata)
    fields = {"axes": AXES + "S", **calibration, **display}
    if text:
        fields["Info"] = text
    # All six axes: of fewer, tifffile takes a last axis of length 1 for samples.
    shape = (*(sizes.get(letter, 1) for letter in AXES), 1)
    arguments: dict[str, Any] = {"imagej": True, "shape": shape, "metadata": fields}
    if "unit" in fields:
        arguments["resolution"] = (1 / pixel_size_um["X"], 1 / pixel_size_um["Y"])
    if len(metadata.luts) == 1:  # of a single channel ImageJ reads the colour map, whatever the depth
        colormap = np.asarray(metadata.luts[0], np.uint16) * 257
        arguments["extratags"] = [("ColorMap", "H", colormap.size, colormap.ravel().tolist(), True)]
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


def _display(sizes: Mapping[str, int], offset: int, metadata: Metadata) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if sizes.get("C", 1) > 1:
        fields["mode"] = metadata.display_mode or "composite"
    if metadata.display_ranges:
        limits = [limit + offset for pair in metadata.display_ranges for limit in pair]
        fields["min"], fields["max"], fields["Ranges"] = limits[0], limits[1], tuple(limits)
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
