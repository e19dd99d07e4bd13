"""What OME-XML says beside the pixels, to and from Metadata.

Schema: https://www.openmicroscopy.org/Schemas/OME/2016-06. OME has no place for a display range and for tables of
colours: they stand in a map annotation of namespace ``carezoo.display``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import prod
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile

from carezoo.files import units
from carezoo.image import Metadata

DTYPES = frozenset(map(np.dtype, ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")))
"""Types of a pixel OME-TIFF knows."""

_DISPLAY = "carezoo.display"
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def descriptions(tif: TiffFile) -> str:
    """Return the descriptions of all images of the file, one after the other."""
    root = ElementTree.fromstring(tif.ome_metadata or "<OME/>")
    return "\n".join(_text(image, "Description") for image in root.findall("{*}Image"))


def describe_planes(tif: TiffFile, index: int) -> str:
    """Return how many planes of which size the metadata of image number `index` list; empty if they list none."""
    found = ElementTree.fromstring(tif.ome_metadata or "<OME/>").findall("{*}Image/{*}Pixels")
    if index >= len(found):
        return ""
    n = prod(int(found[index].get(f"Size{letter}", 1)) for letter in "ZCT")
    return f"{n} planes of {found[index].get('SizeY')} x {found[index].get('SizeX')} pixels"


def describe(tif: TiffFile, index: int, sizes: Mapping[str, int]) -> tuple[dict[str, float], Metadata]:
    """Return pixel size (um, by axis) and metadata of image number `index`, whose axes and lengths are `sizes`."""
    root = ElementTree.fromstring(tif.ome_metadata or "<OME/>")
    images = root.findall("{*}Image")
    image = images[index] if index < len(images) else ElementTree.Element("Image")
    pixels = image.find("{*}Pixels")
    if pixels is None:
        return {}, Metadata(notes=_text(image, "Description"))
    pixel_size_um = {
        letter: size
        for letter in "ZYX"
        if (size := _quantity(pixels, f"PhysicalSize{letter}", "µm", units.length_um)) is not None and size > 0
    }
    n_channels = sizes.get("C", 1)
    channels = pixels.findall("{*}Channel")
    names = tuple(channel.get("Name", "") for channel in channels)
    display = _display(root)
    return pixel_size_um, Metadata(
        channel_names=names if len(names) == n_channels and all(names) else (),
        frame_interval_s=_quantity(pixels, "TimeIncrement", "s", units.time_s),
        origin_um=_origin_um(pixels),
        luts=_luts(channels, display, n_channels),
        display_ranges=_display_ranges(display, n_channels),
        display_mode=display.get("mode"),
        notes=_text(image, "Description"),
    )


def to_tags(
    sizes: Mapping[str, int], pixel_size_um: Mapping[str, float], metadata: Metadata, text: str
) -> dict[str, Any]:
    """Return the arguments that make tifffile write this metadata.

    `sizes` are the axes and lengths in the file, Y and X last; `text` describes the image.
    """
    fields: dict[str, Any] = {"axes": "".join(sizes)}
    for letter, size_um in pixel_size_um.items():
        fields[f"PhysicalSize{letter}"], fields[f"PhysicalSize{letter}Unit"] = size_um, "µm"
    if metadata.frame_interval_s is not None and "T" in sizes:
        fields["TimeIncrement"], fields["TimeIncrementUnit"] = metadata.frame_interval_s, "s"
    if metadata.origin_um:
        fields["Plane"] = _positions(sizes, pixel_size_um, metadata.origin_um)
    channel: dict[str, Any] = {}
    if metadata.channel_names:
        channel["Name"] = [_NOT_XML.sub(" ", name) for name in metadata.channel_names]
    if metadata.luts:
        channel["Color"] = [_color(lut) for lut in metadata.luts]
    if channel:
        fields["Channel"] = channel
    display = _display_fields(metadata)
    if display:
        fields["MapAnnotation"] = {"Namespace": _DISPLAY, "display": json.dumps(display)}
    if text:
        fields["Description"] = _NOT_XML.sub(" ", text)
    arguments: dict[str, Any] = {"ome": True, "metadata": fields}
    if "X" in pixel_size_um and "Y" in pixel_size_um:  # for ImageJ, which does not read OME-XML
        arguments["resolution"] = (1e4 / pixel_size_um["X"], 1e4 / pixel_size_um["Y"])
        arguments["resolutionunit"] = "CENTIMETER"
    return arguments


def _text(image: ElementTree.Element, tag: str) -> str:
    return image.findtext(f"{{*}}{tag}") or ""


def _quantity(element: ElementTree.Element, name: str, default_unit: str, factor: Any) -> float | None:
    try:
        value = float(element.get(name, ""))
    except ValueError:
        return None
    unit = factor(element.get(f"{name}Unit", default_unit))
    return None if unit is None else value * float(unit)


def _origin_um(pixels: ElementTree.Element) -> dict[str, float]:
    plane = pixels.find("{*}Plane")
    if plane is None:
        return {}
    positions = {letter: _quantity(plane, f"Position{letter}", "reference frame", units.length_um) for letter in "ZYX"}
    return {letter: position for letter, position in positions.items() if position is not None}


def _positions(
    sizes: Mapping[str, int], pixel_size_um: Mapping[str, float], origin_um: Mapping[str, float]
) -> dict[str, Any]:
    """Return the position of every plane, in the order of the file."""
    counting = {letter: n for letter, n in sizes.items() if letter not in "YX"}
    plane: dict[str, Any] = {}
    for letter, origin in origin_um.items():
        positions = np.full(tuple(counting.values()), origin, np.float64)
        if letter == "Z" and "Z" in counting:
            offsets = np.arange(counting["Z"]) * pixel_size_um.get("Z", 0.0)
            positions += offsets.reshape([-1 if one == "Z" else 1 for one in counting])
        plane[f"Position{letter}"] = positions.ravel().tolist()
        plane[f"Position{letter}Unit"] = ["µm"] * positions.size
    return plane


def _color(lut: NDArray[np.uint8]) -> int:
    """Return the brightest entry of a table as OME writes colours: RGBA in a signed 32-bit integer."""
    red, green, blue = (int(value) for value in lut[:, -1])
    return int(np.array([red << 24 | green << 16 | blue << 8 | 255], np.uint32).view(np.int32)[0])


def _ramp(color: int) -> NDArray[np.uint8]:
    """Return the table from black to an OME colour."""
    brightest = [color >> shift & 255 for shift in (24, 16, 8)]
    return np.stack([np.linspace(0, value, 256).round() for value in brightest]).astype(np.uint8)


def _display_fields(metadata: Metadata) -> dict[str, Any]:
    """Return what OME has no place for; tables of colours only where they are more than a ramp."""
    display: dict[str, Any] = {}
    if metadata.display_ranges:
        display["ranges"] = metadata.display_ranges
    if metadata.display_mode is not None:
        display["mode"] = metadata.display_mode
    if any(not np.array_equal(lut, _ramp(_color(lut))) for lut in metadata.luts):
        display["luts"] = [np.asarray(lut, np.uint8).tobytes().hex() for lut in metadata.luts]
    return display


def _display(root: ElementTree.Element) -> dict[str, Any]:
    for annotation in root.iterfind("{*}StructuredAnnotations/{*}MapAnnotation"):
        if annotation.get("Namespace") == _DISPLAY:
            found = json.loads(annotation.findtext("{*}Value/{*}M") or "{}")
            return found if isinstance(found, dict) else {}
    return {}


def _luts(channels: list[ElementTree.Element], display: dict[str, Any], n_channels: int) -> tuple[Any, ...]:
    if len(display.get("luts", ())) == n_channels:
        return tuple(np.frombuffer(bytes.fromhex(lut), np.uint8).reshape(3, 256) for lut in display["luts"])
    colors = [channel.get("Color") for channel in channels]
    if len(colors) != n_channels or None in colors:
        return ()
    return tuple(_ramp(int(color)) for color in colors if color is not None)


def _display_ranges(display: dict[str, Any], n_channels: int) -> tuple[tuple[float, float], ...]:
    ranges = display.get("ranges", ())
    return tuple((float(low), float(high)) for low, high in ranges) if len(ranges) == n_channels else ()
