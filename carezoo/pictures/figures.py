"""Figures off screen: drawn without pyplot, the same bytes for the same content."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from carezoo.errors import MissingExtraError
from carezoo.files.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#555555"


@contextmanager
def figure(width: int, height: int) -> Iterator[Figure]:
    """Yield an empty figure of this size in pixels, with matplotlib's own defaults in force.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import style
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("matplotlib", "evaluate", "to draw pictures") from error
    with style.context("default", after_reset=True):
        made = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(made)
        yield made


def png(figure: Figure, path: str | os.PathLike[str] | None) -> bytes:
    """Return `figure` as the bytes of a PNG file, written to `path` as well if there is one."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    if path is not None:
        with replacing(path, n_bytes=buffer.tell()) as temporary:
            temporary.write_bytes(buffer.getvalue())
    return buffer.getvalue()
