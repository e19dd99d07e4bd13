"""A video of what a restoration may be: every frame draws each pixel anew from its distribution.

Where the model is sure the video stands still, where it is not it flickers (Supplementary Video 9 of the CARE paper).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError, MissingExtraError
from carezoo.files.atomic import replacing
from carezoo.pictures import display
from carezoo.pictures.view import View

N_FRAMES = {".mp4": 48, ".gif": 24}
"""By ending of the file; noise does not compress, least of all as GIF."""

FRAMES_PER_S = 12

_LARGEST, _SMALLEST = 1024, 256
"""Pixels of a side: larger images are thinned, smaller ones enlarged, by whole numbers."""


def check_name(path: Path) -> None:
    """Refuse a name that is not a video, before any work.

    Raises
    ------
    InputError
        If the ending is not one of `N_FRAMES`.
    """
    if path.suffix.lower() not in N_FRAMES:
        raise InputError(f"{path}: a flicker video ends in {' or '.join(N_FRAMES)}, found {path.suffix or 'no ending'}")


def frames(view: View, z: int | None = None, n: int = 48, seed: int = 0) -> NDArray[np.uint8]:
    """Return `n` grey frames (frames, Y, X), all at the display range of the mean; the same for the same seed.

    Parameters
    ----------
    z
        Plane of a stack; None: maximum projection of what is drawn for all its planes.

    Raises
    ------
    InputError
        If the model gives no scale.
    """
    if view.distribution is None:
        raise InputError(f"{view.name}: a flicker video draws from a distribution; use a probabilistic model")
    if z is not None and view.restored.ndim == 3 and not 0 <= z < len(view.restored):
        raise InputError(f"{view.name}: z={z} is asked for, but Z is 0 to {len(view.restored) - 1}")

    def plane(image: NDArray[Any]) -> NDArray[np.float32]:
        flat = image if image.ndim == 2 else image.max(axis=0) if z is None else image[z]
        return _pad_to_even(np.asarray(flat, np.float32))

    low, high = display.display_range(plane(view.restored))
    rng = np.random.default_rng(seed)
    shown = []
    for _ in range(n):
        grey = np.clip((plane(view.distribution.sample(rng)) - low) / (high - low), 0, 1)
        shown.append(np.rint(255 * grey).astype(np.uint8))
    return np.stack(shown)


def write(shown: NDArray[np.uint8], path: str | os.PathLike[str]) -> None:
    """Write frames as a video that plays in a loop (GIF) or everywhere (H.264 in MP4).

    Raises
    ------
    InputError
        If the name is not a video, or the file cannot be written.
    MissingExtraError
        If the extra `video` is not installed.
    """
    target = Path(path)
    check_name(target)
    try:
        import imageio.v2 as imageio

        if target.suffix.lower() == ".mp4":
            import imageio_ffmpeg  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of(str(error.name).replace("_", "-"), "video", "to write videos") from error
    with replacing(target, n_bytes=shown.size // 4) as temporary:
        if target.suffix.lower() == ".gif":
            imageio.mimwrite(temporary, list(shown), format="GIF", duration=1000 / FRAMES_PER_S, loop=0)
        else:
            # The codec wants even sides.
            even = np.pad(shown, ((0, 0), (0, shown.shape[1] % 2), (0, shown.shape[2] % 2)), mode="edge")
            how = {"fps": FRAMES_PER_S, "codec": "libx264", "quality": 9, "macro_block_size": 2}
            imageio.mimwrite(temporary, list(even), format="FFMPEG", **how)


def _pad_to_even(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    step = -(-max(plane.shape) // _LARGEST)
    times = max(1, _SMALLEST // max(plane.shape))
    return plane[::step, ::step].repeat(times, axis=0).repeat(times, axis=1)
