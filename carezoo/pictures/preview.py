"""A small grey picture of an image, for tables and lists."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo.image import Image
from carezoo.pictures import display


def preview(image: Image, largest_side: int = 256) -> NDArray[np.uint8]:
    """Return one plane of `image` as a small grey picture; nothing but that plane is read.

    Parameters
    ----------
    image
        Any axes. Shown is the middle Z plane of the first channel, time point and sample.
    largest_side
        Largest height and width in pixels; of larger planes every second, third, ... pixel is shown.

    Returns
    -------
    NDArray[np.uint8]
        Axes YX, black and white at `carezoo.pictures.display.display_range`.

    Raises
    ------
    PixelError
        If all pixels are NaN or infinite.
    """
    one = {letter: slice(0, 1) for letter in image.axes if letter not in "YX"}
    if "Z" in image.axes:
        middle = image.sizes["Z"] // 2
        one["Z"] = slice(middle, middle + 1)
    plane, _ = display.to_plane(axes_.move(image.cropped(one).array(), image.axes, "YX"), image.name)
    low, high = display.display_range(plane)
    step = math.ceil(max(plane.shape) / largest_side)
    shown = np.clip((plane[::step, ::step] - low) / (high - low), 0, 1)
    grey: NDArray[np.uint8] = np.rint(shown * 255).astype(np.uint8)
    return grey
