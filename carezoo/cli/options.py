"""Option values as people type them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from carezoo import axes as axes_
from carezoo.errors import InputError


def tile(text: str) -> Literal["auto", "whole"] | int | tuple[int, ...]:
    """Parse ``auto``, ``whole``, ``512`` or ``16,256,256``."""
    if text == "auto":
        return "auto"
    if text == "whole":
        return "whole"
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise InputError(f"tile {text!r}: expected auto, whole, one size (512), or one for each axis (16,256,256)")
    sizes = tuple(map(int, text.split(",")))
    return sizes if len(sizes) > 1 else sizes[0]


def crop(text: str) -> dict[str, slice]:
    """Parse ``z=0:10,y=100:356`` into slices by axis letter."""
    region: dict[str, slice] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([A-Za-z])\s*=\s*(\d*)\s*:\s*(\d*)\s*", part)
        if not match or match[1].upper() not in axes_.LETTERS:
            raise InputError(f"--crop {text}: expected axis=start:stop, such as y=100:356,x=0:256, found {part!r}")
        region[match[1].upper()] = slice(int(match[2] or 0), int(match[3]) if match[3] else None)
    return region


def position(text: str) -> dict[str, int]:
    """Parse ``z=12,t=0`` into indices by axis letter."""
    found: dict[str, int] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([A-Za-z])\s*=\s*(\d+)\s*", part)
        if not match or match[1].upper() not in axes_.LETTERS:
            raise InputError(f"{text!r}: expected axis=index, such as z=12,t=0, found {part!r}")
        found[match[1].upper()] = int(match[2])
    return found


def intensity_range(text: str) -> tuple[float, float]:
    """Parse ``100,3000``."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise InputError(f"--range {text}: expected two numbers, dark and bright, such as 100,3000") from None
    if not low < high:
        raise InputError(f"--range {text}: the first number must be the lower one")
    return low, high


def n_frames(text: str) -> int:
    """Parse how many frames become one."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise InputError(f"average={text}: expected how many frames become one, 1 or more")
    return int(text)


def models(texts: Sequence[str]) -> Mapping[int | None, str]:
    """Parse ``NAME``, or ``0=NAME 1=NAME`` for a model a channel, into references by channel."""
    by_channel: dict[int | None, str] = {}
    for text in texts:
        match = re.fullmatch(r"(\d+)=(.+)", text)
        channel, reference = (int(match[1]), match[2]) if match else (None, text)
        if channel in by_channel:
            which = "without a channel" if channel is None else f"for channel {channel}"
            raise InputError(f"--model was given twice {which}: {by_channel[channel]} and {reference}")
        by_channel[channel] = reference
    if None in by_channel and len(by_channel) > 1:
        raise InputError("--model: give one model for the whole image, or one for each channel (0=NAME), not both")
    return by_channel
