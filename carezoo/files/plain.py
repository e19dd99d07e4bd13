"""TIFF that is neither ImageJ nor OME: the one carrier for every type of pixel and for the sample axis.

tifffile notes shape and axes as JSON in the description ("shaped"); carezoo adds its fields there. LSM, STK and SVS
have tags of their makers. Of other TIFF files the description is kept as text, and the resolution is taken where it can
be one of a microscope.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from tifffile import TiffFile, TiffPageSeries

from carezoo.files import units
from carezoo.files.tiff_pages import series_of
from carezoo.image import Metadata

_RESOLUTION_UNIT_UM = {2: 25400.0, 3: 10000.0}  # inch, centimetre
Described = tuple[dict[str, float], float | None]
"""Pixel size (um, by axis), and seconds between frames."""

_COARSEST_UM = 20.0
"""Coarser pixels come from the 72 to 600 dots per inch that graphics programs write into any file."""


def text(tif: TiffFile) -> str:
    """Return the free text of the file."""
    if tif.is_shaped:
        fields = (tif.shaped_metadata or ({},))[0]
        return str(fields.get("notes", ""))
    return tif.pages.first.description


def describe(tif: TiffFile, index: int, sizes: Mapping[str, int]) -> tuple[dict[str, float], Metadata]:
    """Return pixel size (um, by axis) and metadata of series number `index`, whose axes and lengths are `sizes`."""
    series = series_of(tif)[index]
    shaped = tif.shaped_metadata or () if series.kind == "shaped" else ()
    fields: dict[str, Any] = dict(shaped[index]) if index < len(shaped) else {}
    if "pixel_size_um" not in fields:
        found = _describe_lsm(tif) or _describe_stk(tif) or _describe_svs(tif)
        size_um, interval = found or (_resolution_um(series), None)
        return size_um, Metadata(frame_interval_s=interval, notes=text(tif))
    luts = [np.frombuffer(bytes.fromhex(lut), np.uint8).reshape(3, 256) for lut in fields["luts"]]
    metadata = Metadata(
        channel_names=tuple(fields["channel_names"]),
        frame_interval_s=fields["frame_interval_s"],
        origin_um=dict(fields["origin_um"]),
        luts=tuple(luts),
        display_ranges=tuple((low, high) for low, high in fields["display_ranges"]),
        display_mode=fields["display_mode"],
        notes=text(tif),
    )
    return dict(fields["pixel_size_um"]), metadata.for_channels(sizes.get("C", 1))


def to_tags(letters: str, pixel_size_um: Mapping[str, float], metadata: Metadata, text: str) -> dict[str, Any]:
    """Return the arguments that make tifffile write this metadata.

    `letters` are the axes in the file, Y and X last; `text` is free text.
    """
    fields = {
        "axes": letters,
        "pixel_size_um": dict(pixel_size_um),
        "channel_names": metadata.channel_names,
        "frame_interval_s": metadata.frame_interval_s,
        "origin_um": dict(metadata.origin_um),
        "luts": [np.asarray(lut, np.uint8).tobytes().hex() for lut in metadata.luts],
        "display_ranges": metadata.display_ranges,
        "display_mode": metadata.display_mode,
        "notes": text,
    }
    arguments: dict[str, Any] = {"metadata": fields}
    if "X" in pixel_size_um and "Y" in pixel_size_um:
        arguments["resolution"] = (1e4 / pixel_size_um["X"], 1e4 / pixel_size_um["Y"])
        arguments["resolutionunit"] = "CENTIMETER"
    return arguments


def _describe_lsm(tif: TiffFile) -> Described | None:
    """Return what Zeiss LSM files say, in metres and seconds."""
    found = tif.lsm_metadata
    if not found:
        return None
    size_um = {letter: 1e6 * float(found[f"VoxelSize{letter}"]) for letter in "ZYX"}
    interval = float(found.get("TimeIntervall", 0))  # so it is spelled
    return _positive(size_um), interval if interval > 0 else None


def _describe_stk(tif: TiffFile) -> Described | None:
    """Return what MetaMorph STK files say: a calibration with a unit, the distance of planes, and times in ms."""
    found = tif.stk_metadata
    if not found:
        return None
    unit_um = units.length_um(found.get("CalibrationUnits"))
    lateral = {letter: float(found.get(f"{letter}Calibration", 0)) for letter in "YX"}
    distances = np.abs(np.ravel(found.get("ZDistance", 0)).astype(float))
    times = np.ravel(found.get("TimeCreated", 0)).astype(float)
    interval = float(np.median(np.diff(times))) / 1e3 if times.size > 1 else 0.0
    size_um = {letter: size * (unit_um or 0) for letter, size in (("Z", float(np.median(distances))), *lateral.items())}
    return _positive(size_um), interval if interval > 0 else None


def _describe_svs(tif: TiffFile) -> Described | None:
    """Return what Aperio SVS files say: micrometres per pixel, in the description."""
    if not tif.is_svs:
        return None
    match = re.search(r"\bMPP\s*=\s*([\d.]+)", tif.pages.first.description)
    return _positive(dict.fromkeys("YX", float(match[1]))) if match else {}, None


def _positive(size_um: dict[str, float]) -> dict[str, float]:
    return {letter: size for letter, size in size_um.items() if size > 0}


def _resolution_um(series: TiffPageSeries) -> dict[str, float]:
    tags = series.keyframe.tags
    unit_um = _RESOLUTION_UNIT_UM.get(int(tags.valueof("ResolutionUnit", 1)))
    if unit_um is None:
        return {}
    size_um = {}
    for letter, tag in (("Y", "YResolution"), ("X", "XResolution")):
        numerator, denominator = tags.valueof(tag, (0, 0))
        if numerator > 0 and denominator > 0 and denominator / numerator * unit_um < _COARSEST_UM:
            size_um[letter] = denominator / numerator * unit_um
    return size_um
