"""Units as microscope files write them, in micrometres and seconds."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace

from carezoo.image import Metadata

logger = logging.getLogger("carezoo")

_SMALLEST_UM, _LARGEST_UM = 1e-5, 1e7
"""Pixels smaller than an atom, or as large as a house, are a mistake of the metadata; no file could note them."""

_LENGTHS_UM = {
    "m": 1e6,
    "meter": 1e6,
    "cm": 1e4,
    "centimeter": 1e4,
    "mm": 1e3,
    "millimeter": 1e3,
    "um": 1.0,
    "µm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "pm": 1e-6,
    "picometer": 1e-6,
    "å": 1e-4,
    "angstrom": 1e-4,
    "inch": 25400.0,
    "in": 25400.0,
}

_TIMES_S = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}


def length_um(unit: object) -> float | None:
    r"""Return how many micrometres one `unit` is; None for pixels and unknown units.

    ImageJ escapes the micro sign as ``\u00B5``; the Greek letter mu is used for it as well.
    """
    return _LENGTHS_UM.get(_plain(unit))


def time_s(unit: object) -> float | None:
    """Return how many seconds one `unit` is; None for unknown units."""
    return _TIMES_S.get(_plain(unit))


def _plain(unit: object) -> str:
    text = str(unit).replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("μ", "µ").replace("\\u00C5", "Å")
    return text.strip().lower()


def plausible(pixel_size_um: Mapping[str, float], metadata: Metadata, name: str) -> tuple[dict[str, float], Metadata]:
    """Return pixel size and metadata without numbers that cannot be; each of them is said in the log.

    Parameters
    ----------
    name
        What the log calls the image.
    """
    sizes = {letter: float(size) for letter, size in pixel_size_um.items() if _SMALLEST_UM <= size <= _LARGEST_UM}
    origin = {letter: float(place) for letter, place in metadata.origin_um.items() if math.isfinite(place)}
    limits = [limit for pair in metadata.display_ranges for limit in pair]
    ranges = metadata.display_ranges if all(map(math.isfinite, limits)) else ()
    interval = metadata.frame_interval_s
    if interval is not None and not (math.isfinite(interval) and interval >= 0):
        interval = None
    odd = [f"pixel size {letter} of {size} um" for letter, size in pixel_size_um.items() if letter not in sizes]
    odd += [f"position {letter} of {place} um" for letter, place in metadata.origin_um.items() if letter not in origin]
    odd += [f"frame interval of {metadata.frame_interval_s} s"] if interval != metadata.frame_interval_s else []
    odd += [f"display range of {metadata.display_ranges}"] if len(ranges) < len(metadata.display_ranges) else []
    for what in odd:
        logger.warning("%s: a %s cannot be, and is ignored", name, what)
    return sizes, replace(metadata, origin_um=origin, display_ranges=ranges, frame_interval_s=interval)
