"""The recipe for people who have noisy images and nothing else: everything follows from the images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from carezoo.errors import DataError
from carezoo.files import open_image
from carezoo.files.listing import images_in
from carezoo.image import Image
from carezoo.pairs.split import LEAST_FRAMES, PARTS
from carezoo.train.recipe import Recipe

LEAST_PLANES = 8
"""Of stacks that a 3D network is trained on; planes of others are images of their own."""

LARGEST_PATCH = {2: {"y": 96, "x": 96}, 3: {"z": 8, "y": 48, "x": 48}}
"""By axes of the network."""

SMALLEST_PATCH = 16

MINUTES = 9.0
"""That a training takes at most."""

_DEPTH = {2: 3, 3: 2}
"""Of the network, by its axes."""

_TRAINING = {
    "n_epochs": 60,
    "steps_per_epoch": 50,
    "batch_size": 4,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "max_gradient_norm": 1.0,
    "averaging": 0.99,
    "max_minutes": MINUTES,
}


def describe_noisy(path: str | Path, *, n_axes: int | None = None, depth: int | None = None) -> Recipe:
    """Return a recipe that trains on the noisy images in a folder, or on one image.

    The network is 3D where every image is a stack of 8 planes or more. Photoelectrons are thinned, and the noise is
    measured on the images.

    Parameters
    ----------
    path
        A folder of images of one detector with one setting, or one such image: raw grey levels, neither averaged nor
        scaled.
    n_axes, depth
        Of a network that there is already: 2 or 3 spatial axes, and how often it halves them.

    Raises
    ------
    InputError
        If there is no image, or one cannot be read.
    DataError
        If the images differ in their channels, or are too small.
    """
    path = Path(path).resolve()
    files = images_in(path)
    images = [open_image(each) for each in files]
    n_channels = _find_channels(images, files)
    if n_axes is None:
        n_axes = 3 if all(image.sizes.get("Z", 1) >= LEAST_PLANES for image in images) else 2
    step = 2 ** (_DEPTH[n_axes] if depth is None else depth)
    return Recipe.from_dict(
        {
            "name": f"denoise-{_slug(path.stem)}",
            "description": "Removes noise. Trained on noisy images alone.",
            "data": {
                "folder": str(path.parent),
                "channels": ["signal"] if n_channels == 1 else [f"channel{i}" for i in range(n_channels)],
                "sets": [{"name": "noisy", "source": path.name, "target": "thinned"}],
            },
            "patches": {"size": _choose_patch(images, files, n_axes, step)},
            "network": {
                "depth": depth or _DEPTH[n_axes],
                "kernel": 3,
                "n_first": 16,
                "probabilistic": True,
            },
            "training": _TRAINING,
        }
    )


def _find_channels(images: list[Image], files: list[Path]) -> int:
    numbers = [image.sizes.get("C", 1) for image in images]
    if len(set(numbers)) > 1:
        other = next(i for i, n in enumerate(numbers) if n != numbers[0])
        raise DataError(
            f"{files[other]} has {numbers[other]} channel(s), and {files[0]} has {numbers[0]}; put images with the "
            "same channels into a folder of their own"
        )
    return numbers[0]


def _choose_patch(images: list[Image], files: list[Path], n_axes: int, step: int) -> dict[str, Any]:
    """Return the size of patches: as large as is useful, and small enough for all images and their parts."""
    size = {}
    for letter, largest in LARGEST_PATCH[n_axes].items():
        lengths = [image.sizes.get(letter.upper(), 1) for image in images]
        if letter == "y" and _are_cut_along_y(images):
            lengths = [length // len(PARTS) for length in lengths]
        least = step if letter == "z" else max(step, SMALLEST_PATCH)
        size[letter] = min(largest, min(lengths)) // step * step
        if size[letter] < least:
            raise DataError(
                f"{files[lengths.index(min(lengths))]} is too small along {letter.upper()}: expected at least {least} "
                f"pixels to fit, to choose and to report on each, found {min(lengths)}; use larger images, or three "
                "and more of them"
            )
    return size


def _are_cut_along_y(images: list[Image]) -> bool:
    return len(images) < len(PARTS) and any(image.sizes.get("T", 1) < LEAST_FRAMES for image in images)


def _slug(name: str) -> str:
    """Return a name of lower-case letters, digits and single hyphens."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower())) or "noisy-images"
