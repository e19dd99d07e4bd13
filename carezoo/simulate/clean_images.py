"""Clean images to degrade: found, checked, measured once, and cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo import axes as axes_
from carezoo.errors import DataError, InputError, RecipeError
from carezoo.files import open_image
from carezoo.files.listing import images_in
from carezoo.image import Image
from carezoo.simulate.camera import REFERENCE_PERCENTILE
from carezoo.simulate.section import Simulation


@dataclass(frozen=True, eq=False)
class CleanImage:
    """An image to degrade, read when a piece of it is cut, and what no piece can tell."""

    image: Image
    axes: str
    """Axes of the pieces: YX or ZYX, after C if the image has it."""
    ranges: tuple[tuple[float, float], ...]
    """Black and white of each channel, over the whole image."""
    height: Image | None
    """Height map YX of a stack to project."""
    path: Path
    """File of the image."""
    planes: tuple[int, ...] = ()
    """Of a stack whose planes are images of their own: those that show something."""
    bounds: Mapping[str, slice] = field(default_factory=dict)
    """The part of the image from which pieces are cut, by axis; missing axes: all of it."""

    @property
    def sizes(self) -> dict[str, int]:
        """Length of that part along each axis."""
        return {letter: len(range(n)[self.bounds.get(letter, slice(None))]) for letter, n in self.image.sizes.items()}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of that part, with the axes of the pieces."""
        return tuple(self.sizes[letter] for letter in self.axes)

    def cut(
        self, simulation: Simulation, rng: np.random.Generator
    ) -> tuple[NDArray[np.generic], NDArray[np.generic] | None]:
        """Return a random piece of the image as large as `simulation` wants, and that of the height map."""
        region = self._region(simulation, rng)
        pixels = axes_.move(self.image.cropped(region).array(), self.image.axes, self.axes)
        if self.height is None:
            return pixels, None
        same = {letter: bounds for letter, bounds in region.items() if letter in "YX"}
        return pixels, axes_.move(self.height.cropped(same).array(), self.height.axes, "YX")

    def whole(self, axes: str) -> NDArray[np.generic]:
        """Return all of that part of the image, with `axes`."""
        return axes_.move(self.image.cropped(dict(self.bounds)).array(), self.image.axes, axes)

    def _region(self, simulation: Simulation, rng: np.random.Generator) -> dict[str, slice]:
        wanted = _wanted(simulation)
        region = dict(self.bounds)
        if self.planes:
            inside = range(self.image.sizes["Z"])[self.bounds.get("Z", slice(None))]
            shown = [z for z in self.planes if z in inside] or list(inside)
            z = shown[int(rng.integers(len(shown)))]
            region["Z"] = slice(z, z + 1)
        for letter, size in wanted.items():
            first = self.bounds[letter].start if letter in self.bounds else 0
            start = first + int(rng.integers(0, self.sizes[letter] - size + 1))
            region[letter] = slice(start, start + size)
        return region


def _wanted(simulation: Simulation) -> dict[str, int]:
    """Return the size of a piece by axis; axes that are taken whole are missing."""
    sizes = dict(zip("ZYX"[-len(simulation.pixel_size_um) :], simulation.shape, strict=False))
    if simulation.task == "project":
        # The whole depth: a sheet must not be cut.
        sizes.pop("Z", None)
    return sizes


def open_clean_images(simulation: Simulation, folder: Path) -> tuple[CleanImage, ...]:
    """Find, open and measure the images of `simulation`, each read whole once.

    Raises
    ------
    RecipeError
        If no file matches, or there are not as many height maps as stacks.
    DataError
        If an image has other axes, is smaller than the pieces to cut, or has no contrast.
    """
    paths, heights = (_found(names, folder, what) for names, what in _patterns(simulation))
    if heights and len(heights) != len(paths):
        raise RecipeError(f"heights: expected one for each of {len(paths)} images, found {len(heights)}")
    maps: list[Image | None] = [open_image(path) for path in heights]
    maps = maps or [None] * len(paths)
    images = tuple(_measured(path, height, simulation) for path, height in zip(paths, maps, strict=True))
    for image in images:
        if len(image.ranges) != len(images[0].ranges) or image.axes != images[0].axes:
            raise DataError(
                f"{image.path} has {len(image.ranges)} channel(s) ({image.image.axes}), and {images[0].path} has "
                f"{len(images[0].ranges)} ({images[0].image.axes}): expected the same of all images of a set; make two "
                "sets"
            )
    return images


def _patterns(simulation: Simulation) -> Iterator[tuple[Sequence[str], str]]:
    yield simulation.images, "images"
    yield simulation.heights, "heights"


def _found(patterns: Sequence[str], folder: Path, what: str) -> list[Path]:
    found: list[Path] = []
    for pattern in patterns:
        path = folder / pattern
        try:
            found += images_in(path) if path.exists() else images_in(path.parent, path.name)
        except InputError as error:
            raise RecipeError(f"{what}: no file matches {pattern!r} in {folder.resolve()}: {error}") from error
    return found


def _measured(path: Path, height: Image | None, simulation: Simulation) -> CleanImage:
    image = open_image(path, simulation.axes)
    letters = "ZYX"[-len(simulation.pixel_size_um) :]
    axes = f"C{letters}" if "C" in image.axes and simulation.task != "project" else letters
    allowed = set(axes) | ({"Z"} if simulation.task != "project" else set())
    if not set(letters) <= set(image.axes) or not set(image.axes) <= allowed:
        raise DataError(
            f"{path}: expected axes {letters}"
            + ("" if simulation.task == "project" else " with or without C")
            + f" (pixel_size_um has {len(letters)} numbers), found {image.axes} with shape {image.shape}; set axes, or "
            "give pixel_size_um for the axes of the image"
        )
    pixels = image.array().astype(np.float32)
    channels = np.moveaxis(pixels, image.axes.index("C"), 0) if "C" in image.axes else pixels[None]
    ranges = tuple(_range(channel, simulation, path) for channel in channels)
    planes = _telling_planes(channels, ranges) if "Z" in image.axes and "Z" not in axes else ()
    clean = CleanImage(image, axes, ranges, height, path, planes)
    check_size(clean, simulation)
    return clean


def _telling_planes(channels: NDArray[np.float32], ranges: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """Return the planes (axes CZYX) with at least half the contrast of the best one, in any channel.

    Others are out of focus or empty: normalized on their own, which no stack is, they would be nothing but noise.
    """
    contrasts = []
    for channel, (black, white) in zip(channels, ranges, strict=True):
        smooth = ndimage.uniform_filter(channel, (1, 5, 5))
        low, high = np.percentile(smooth, (50, 99.5), axis=(1, 2))
        contrasts.append((high - low) / (white - black))
    best = np.max([contrast / contrast.max() for contrast in contrasts], axis=0)
    return tuple(int(z) for z in np.flatnonzero(best >= 0.5))


def check_size(clean: CleanImage, simulation: Simulation) -> None:
    """Check that pieces as large as `simulation` wants can be cut from `clean`.

    Raises
    ------
    DataError
        If they are larger.
    """
    found = {letter: clean.sizes[letter] for letter in _wanted(simulation)}
    if any(found[letter] < size for letter, size in _wanted(simulation).items()):
        words = " x ".join(f"{letter} {size}" for letter, size in found.items())
        where = f" in the part of it that is cut ({_described(clean.bounds)})" if clean.bounds else ""
        raise DataError(
            f"{clean.path}: shape {list(simulation.shape)} is larger than the image, {words}{where}; reduce it"
        )


def _described(bounds: Mapping[str, slice]) -> str:
    return ", ".join(f"{letter} {part.start} to {part.stop - 1}" for letter, part in bounds.items())


def _range(channel: NDArray[np.float32], simulation: Simulation, path: Path) -> tuple[float, float]:
    if not np.isfinite(channel).all():
        raise DataError(f"{path} has NaN or infinite pixels; remove them, or leave the image out")
    black, white = (float(p) for p in np.percentile(channel, (0.1, REFERENCE_PERCENTILE)))
    if simulation.camera is not None and simulation.camera.dose_factor is not None:
        black = simulation.camera.clean_offset
    if white <= black:
        raise DataError(f"{path} is dark or constant (brightest pixels {white:g}, black {black:g}); leave it out")
    return black, white
