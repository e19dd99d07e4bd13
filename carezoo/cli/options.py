"""Option values as people type them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from carezoo import axes as axes_
from carezoo.errors import InputError


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
