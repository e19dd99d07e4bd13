"""The preview of a dialog: the selection, or the middle of the image, before and after, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.image import Image
from carezoo.valid import average_frames
from carezoo_fiji.calls import problem_of
from carezoo_fiji.images import display_range, selection, to_image, to_imageplus
from carezoo_fiji.java import load
from carezoo_fiji.leaving import start_worker

SIZE = 256
"""Largest width and height of what is restored, in pixels."""
DEPTH = 32
"""Most slices."""
GAP = 4
TITLE = "CARE preview (intensities measured in this part)"


def start(session: Any, source: Any, request: Any) -> None:
    """Begin to restore a part of the image; the last click wins. Returns at once."""
    _outdate(session)
    number = session.preview_number
    start_worker("CARE preview", lambda: _run(session, source, request, number), lambda: _outdate(session))


def close(session: Any) -> None:
    """Take the preview off the screen, and let one that is under way come to nothing."""
    _outdate(session)
    if session.preview is not None:
        session.preview.changes = False
        session.preview.close()
        session.preview = None


def _outdate(session: Any) -> None:
    session.preview_number += 1


def _run(session: Any, source: Any, request: Any, number: int) -> None:
    ij = load("ij.IJ")
    try:
        ij.showStatus("CARE preview ...")
        image = to_image(source, region=part(source, request.settings.average))
        model = session.models.get(request.reference)
        restored = model.restore(
            image, settings=request.settings, cancelled=lambda: session.preview_number != number
        ).images["mean"]
        if session.preview_number == number:
            before = average_frames(image, request.settings.average, request.settings.nodata)
            _show(session, side_by_side(before, restored, _plane(source)))
            ij.showStatus(f"CARE preview with {model.manifest.reference}")
    except Exception as error:
        if session.preview_number == number:
            ij.showStatus(f"CARE preview: {problem_of(error).line}")


def part(source: Any, average: int = 1) -> dict[str, slice]:
    """Return what the preview restores: the selection or the middle, of the current frame, around the current slice.

    Where `average` frames become one, those of the current one's mean, or of the last mean at the end of the series.
    """
    region = selection(source) or {"Y": slice(0, int(source.getHeight())), "X": slice(0, int(source.getWidth()))}
    chosen = {letter: _middle(bounds, SIZE) for letter, bounds in region.items()}
    n_slices, n_frames = int(source.getNSlices()), int(source.getNFrames())
    if n_slices > DEPTH:
        first = min(max(0, int(source.getZ()) - 1 - DEPTH // 2), n_slices - DEPTH)
        chosen["Z"] = slice(first, first + DEPTH)
    if n_frames > 1:
        mean = min((int(source.getT()) - 1) // average, max(n_frames // average - 1, 0))
        chosen["T"] = slice(mean * average, min((mean + 1) * average, n_frames))
    return chosen


def _middle(bounds: slice, size: int) -> slice:
    start = bounds.start + max(0, (bounds.stop - bounds.start - size) // 2)
    return slice(start, min(bounds.stop, start + size))


def _plane(source: Any) -> dict[str, float]:
    """Return where in the preview's part the current plane is: position along Z from 0 to 1, and the channel."""
    n_slices = min(int(source.getNSlices()), DEPTH)
    first = part(source).get("Z", slice(0, n_slices)).start
    return {"Z": (int(source.getZ()) - 1 - first + 0.5) / n_slices, "C": int(source.getC()) - 1}


def side_by_side(before: Image, after: Image, plane: dict[str, float]) -> NDArray[np.float32]:
    """Return one plane before and after, with a gap between, axes YX."""
    planes = [_take(image, plane) for image in (before, after)]
    low = min(float(each.min()) for each in planes)
    gap = np.full((planes[0].shape[0], GAP), low, np.float32)
    return np.hstack([planes[0], gap, planes[1]])


def _take(image: Image, plane: dict[str, float]) -> NDArray[np.float32]:
    array, axes = np.asarray(image.array(), np.float32), image.axes
    for letter in [letter for letter in axes if letter not in "YX"]:
        size = array.shape[axes.index(letter)]
        index = int(plane["Z"] * size) if letter == "Z" else int(plane["C"]) if letter == "C" else 0
        array, axes = np.take(array, min(index, size - 1), axes.index(letter)), axes.replace(letter, "")
    return array


def _show(session: Any, array: NDArray[np.float32]) -> None:
    made = to_imageplus(Image(array, "YX"), TITLE)
    half = array[:, array.shape[1] // 2 + GAP :]
    made.setDisplayRange(*display_range(half))
    if session.preview is not None and session.preview.getWindow() is not None:
        session.preview.setImage(made)
        session.preview.updateAndDraw()
    else:
        session.preview = made
        made.show()
