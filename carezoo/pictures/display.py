"""What part of an image a picture shows, and between which intensities. Every choice is a function of the pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo.errors import InputError, PixelError
from carezoo.image import Image

PERCENTILES = (0.5, 99.8)
"""Shown as black and white."""

_PREVIEW_SIDE = 256
"""Most pixels of a preview along Y and X."""

Plane = NDArray[np.float32]


def to_plane(image: NDArray[Any], name: str) -> tuple[Plane, int]:
    """Return what is shown of `image`, and of how many planes it is the maximum projection.

    Parameters
    ----------
    image
        One channel, YX or ZYX; singleton axes in front are dropped.
    name
        What messages call the image.

    Returns
    -------
    tuple
        Plane with axes YX; 1 for a single plane.

    Raises
    ------
    InputError
        If the image has another number of axes, or is empty.
    PixelError
        If a pixel to be shown is NaN or infinite.
    """
    image = np.asarray(image)
    shape = image.shape
    while image.ndim > 2 and image.shape[0] == 1:
        image = image[0]
    if image.ndim not in {2, 3} or not image.size:
        raise InputError(f"a picture shows one channel with axes YX or ZYX; {name} has shape {shape}")
    plane = (image if image.ndim == 2 else image.max(axis=0)).astype(np.float32)
    if not np.isfinite(plane).all():
        raise PixelError(f"{name} has NaN or infinite pixels; expected finite ones")
    return plane, 1 if image.ndim == 2 else len(image)


def display_range(plane: Plane) -> tuple[float, float]:
    """Return the intensities shown as black and white: percentiles 0.5 and 99.8 of the mean over 3x3 pixels.

    The mean keeps noise and hot pixels from setting the range, so that a structure looks as bright in a noisy image as
    in its restoration.
    """
    low, high = (float(p) for p in np.percentile(_means_3x3(plane), PERCENTILES))
    return (low, high) if low < high else (low, low + 1.0)


def informative_region(plane: Plane, shape: tuple[int, int], *, in_both_halves: bool = False) -> tuple[slice, slice]:
    """Return the region of `shape` with the most structure: the largest sum of squared differences of neighbours.

    Intensities are limited to the display range first, so that one bright spot does not decide. Ties go to the first
    region in reading order; no randomness. With `in_both_halves`, the poorer of the left and the right half counts.

    Raises
    ------
    InputError
        If `shape` does not fit into the plane.
    """
    height, width = shape
    if not (0 < height <= plane.shape[0] and 0 < width <= plane.shape[1]):
        raise InputError(f"a region of {height} x {width} pixels does not fit into {plane.shape[0]} x {plane.shape[1]}")
    low, high = display_range(plane)
    shown = np.clip((plane.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    structure = np.diff(shown, axis=0, prepend=shown[:1]) ** 2 + np.diff(shown, axis=1, prepend=shown[:, :1]) ** 2
    sums = np.pad(structure, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    n = width // 2 if in_both_halves and width > 1 else width
    by_corner = sums[height:, n:] - sums[:-height, n:] - sums[height:, :-n] + sums[:-height, :-n]
    if n < width:
        by_corner = np.minimum(by_corner[:, : n - width], by_corner[:, width - n :])
    top, left = np.unravel_index(int(np.argmax(by_corner)), by_corner.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)


def preview(image: Image) -> NDArray[np.uint8]:
    """Return one plane of `image` as a small grey picture; nothing but that plane is read.

    Parameters
    ----------
    image
        Any axes. Shown is the middle Z plane of the first channel, time point and sample; of large planes every
        second, third, ... pixel.

    Returns
    -------
    NDArray[np.uint8]
        Axes YX, black and white at `display_range`.

    Raises
    ------
    PixelError
        If a pixel to be shown is NaN or infinite.
    """
    region = {letter: slice(0, 1) for letter in image.axes if letter not in "YX"}
    if "Z" in image.axes:
        middle = image.sizes["Z"] // 2
        region["Z"] = slice(middle, middle + 1)
    plane, _ = to_plane(axes_.move(image.crop(region).array(), image.axes, "YX"), image.name)
    low, high = display_range(plane)
    step = math.ceil(max(plane.shape) / _PREVIEW_SIDE)
    shown = np.clip((plane[::step, ::step] - low) / (high - low), 0, 1)
    grey: NDArray[np.uint8] = np.rint(shown * 255).astype(np.uint8)
    return grey


def scale_bar_um(width_um: float) -> float:
    """Return the length 1, 2 or 5 times a power of ten that is at most a quarter of `width_um`."""
    power = 10.0 ** math.floor(math.log10(width_um / 4))
    return max(step * power for step in (1, 2, 5) if step * power <= width_um / 4)


def _means_3x3(plane: Plane) -> Plane:
    height, width = (max(n - n % 3, 1) for n in plane.shape)
    blocks = plane[:height, :width]
    rows, columns = (3 if n >= 3 else 1 for n in (height, width))
    means: Plane = blocks.reshape(height // rows, rows, width // columns, columns).mean(axis=(1, 3))
    return means
