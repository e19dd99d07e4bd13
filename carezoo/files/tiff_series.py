"""The series of a TIFF file with all their dimensions, from whatever release of tifffile is installed.

Since 2026.5.2 tifffile offers the dimensions of length 1 by a choice of series, before by methods of each series.
"""

from __future__ import annotations

from collections.abc import Sequence

from tifffile import TiffFile, TiffPageSeries


def series_of(tif: TiffFile) -> Sequence[TiffPageSeries]:
    """Return the images of an open file; `dimensions` tells their axes."""
    return tif.series(squeeze=False) if callable(tif.series) else tif.series


def dimensions(series: TiffPageSeries) -> tuple[str, tuple[int, ...]]:
    """Return letter and length of every dimension of a series of `series_of`, those of length 1 included."""
    if hasattr(series, "get_shape"):
        return series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    return series.axes, series.shape
