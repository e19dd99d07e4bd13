"""Provenance notes inside the free text of an image file: one line of JSON after what the text said before.

The text is ImageJ's Info (Image > Show Info...), the description of an OME image, or that of a plain TIFF. A file that
is restored twice keeps both lines; the last one speaks for its pixels.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

_KEY = "carezoo: "

logger = logging.getLogger("carezoo")


def append(text: str, notes: Mapping[str, Any] | None) -> str:
    """Return `text` with `notes`, anything JSON can hold, as its last line; as it is without notes."""
    if notes is None:
        return text
    line = _KEY + json.dumps(notes, sort_keys=True)
    return f"{text.rstrip()}\n{line}" if text.strip() else line


def extract(text: str) -> dict[str, Any] | None:
    """Return the last notes in `text`, or None."""
    for line in reversed(text.splitlines()):
        if line.startswith(_KEY):
            try:
                found = json.loads(line.removeprefix(_KEY))
            except json.JSONDecodeError as error:
                logger.warning("provenance notes cannot be read (%s): %s", error, line[:80])
                return None
            return found if isinstance(found, dict) else None
    return None
