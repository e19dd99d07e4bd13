"""What a bug asks of the one who meets it, and the traceback that it asks for."""

from __future__ import annotations

import os
import traceback

REPORT = "Please report it with the output of the same command after setting the environment variable CAREZOO_DEBUG=1"


def trace(error: BaseException) -> None:
    """Print the traceback of `error` on stderr, where CAREZOO_DEBUG is set."""
    if os.environ.get("CAREZOO_DEBUG"):
        traceback.print_exception(error)
