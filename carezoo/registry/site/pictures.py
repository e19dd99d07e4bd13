"""Before and after, as two PNG files of one size: the package's own test tensors, which everybody may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo.errors import CarezooError
from carezoo.package.read import Package
from carezoo.pictures.display import display_range

_COLOURS = ((1.0, 1.0, 1.0), (1.0, 0.3, 1.0), (0.3, 1.0, 0.3), (0.3, 0.6, 1.0))
"""One channel grey; two magenta and green; a third one blue."""

LEAST_SIDE = 256
"""Smaller pictures are enlarged by repeating pixels, so that a browser does not blur the noise away."""


@dataclass(frozen=True)
class BeforeAfter:
    """Two PNG files."""

    before: bytes
    after: bytes
    width: int
    height: int
    caption: str
    """What is shown: the plane, a projection, or a section."""


def before_after(package: Package) -> BeforeAfter | None:
    """Return a package's test image before and after restoration; None where it has none that can be drawn."""
    manifest = package.manifest
    if manifest.test_input is None or not manifest.test_outputs:
        return None
    try:
        source = package.load_array(manifest.test_input)
        restored = package.load_array(manifest.test_outputs[manifest.results[0].tensor])
        output = manifest.main
        before = _channels(source, manifest.input.axes, range(len(manifest.input.channels)))
        after = _channels(restored, output.axes, manifest.results[0].channels)
    except (CarezooError, ValueError, IndexError):
        return None
    planes, caption = _planes(before, after)
    height = max(plane.shape[1] for plane in planes)
    width = max(plane.shape[2] for plane in planes)
    factor = max(1, -(-LEAST_SIDE // max(height, width, 1)))
    images = [_colour(_stretch(plane, height * factor, width * factor)) for plane in planes]
    files = [bytes(imagecodecs.png_encode(np.ascontiguousarray(image))) for image in images]
    return BeforeAfter(files[0], files[1], width * factor, height * factor, caption)


def _channels(tensor: NDArray[Any], layout: str, channels: Any) -> NDArray[np.float32]:
    """Return axes CZYX of the first image of a tensor; an axis the tensor does not have is one long."""
    pixels = axes_.move(np.asarray(tensor, np.float32), layout, "BTCZYX")[0, 0]
    chosen: NDArray[np.float32] = np.nan_to_num(pixels[list(channels)])
    return chosen


def _planes(before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[list[NDArray[np.float32]], str]:
    """Return both as CYX, seen the way that tells most."""
    n_before, n_after = before.shape[1], after.shape[1]
    if n_before == 1 and n_after == 1:
        return [before[:, 0], after[:, 0]], "the test image of the package"
    if n_after == n_before or n_after == 1:
        return [before.max(axis=1), after.max(axis=1)], "maximum along Z of the test image of the package"
    # More planes come out than went in: what was gained is seen from the side.
    middle = before.shape[2] // 2, after.shape[2] // 2
    return [before[:, :, middle[0]], after[:, :, middle[1]]], "section along Z of the test image of the package"


def _stretch(planes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return CYX at a given size by repeating pixels."""
    rows = np.arange(height) * planes.shape[1] // height
    columns = np.arange(width) * planes.shape[2] // width
    return planes[:, rows][:, :, columns]


def _colour(planes: NDArray[np.float32]) -> NDArray[np.uint8]:
    shown = []
    for plane in planes[:3]:
        low, high = display_range(plane)
        shown.append(np.clip((plane - low) / (high - low), 0, 1))
    if len(shown) == 1:
        return _bytes(shown[0])
    colours = np.array(_COLOURS[1 : len(shown) + 1], np.float32)
    return _bytes(np.einsum("cyx,ck->yxk", np.stack(shown), colours))


def _bytes(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    scaled: NDArray[np.uint8] = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    return scaled
