"""Fit the noise of a camera from image files: what `carezoo simulate fit-noise` calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo.data.noise import NoiseFit, fit_pair, fit_repeats
from carezoo.errors import DataError
from carezoo.files import open_image
from carezoo.image import Image


def fit_files(
    noisy: Path, clean: Path | None = None, *, axes: str | None = None, channel: int = 0, offset: float | None = None
) -> NoiseFit:
    """Fit the noise from one file of repeated frames, or from a noisy and a clean file of one scene.

    Parameters
    ----------
    noisy
        With `clean`: one noisy image. Without: frames of one scene along T.
    axes
        Axes of the files; None: from their metadata. Frames that are stored as Z are named so: "TYX".
    channel
        Which channel, from 0.
    offset
        Grey level of no light, if it is known (from a dark frame).

    Raises
    ------
    DataError
        If a file has no frames or no such channel, or the fit is not possible (`carezoo.data.noise`).
    InputError
        If a file cannot be read.
    """
    first = open_image(noisy, axes)
    if clean is None:
        if first.sizes.get("T", 1) < 2:
            raise DataError(
                f"{noisy}: expected repeated frames along T, found axes {first.axes} with shape {first.shape}; name "
                "the axis of the frames T (--axes TYX), or give a clean image of the same scene as a second file"
            )
        return fit_repeats(_of_channel(first, channel, "T", noisy), offset=offset)
    second = open_image(clean, axes)
    return fit_pair(_of_channel(first, channel, "", noisy), _of_channel(second, channel, "", clean), offset=offset)


def _of_channel(image: Image, channel: int, lead: str, path: Path) -> NDArray[np.generic]:
    """Return one channel with axes `lead`, then ZYX where there are planes, else YX."""
    if not 0 <= channel < image.sizes.get("C", 1):
        raise DataError(f"{path} has {image.sizes.get('C', 1)} channel(s), counted from 0; found channel {channel}")
    chosen = image.cropped({"C": slice(channel, channel + 1)}) if "C" in image.axes else image
    letters = lead + ("ZYX" if image.sizes.get("Z", 1) > 1 else "YX")
    return axes_.move(chosen.array(), chosen.axes, letters)
