"""Clean images to degrade: found, checked, measured once, and cut into pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo import axes as axes_
from carezoo.errors import DataError, InputError, RecipeError
from carezoo.files import open_image
from carezoo.files.listing import images_in
from carezoo.image import Image
from carezoo.statistics import REFERENCE_PERCENTILE


@dataclass(frozen=True, eq=False)
class CleanImage:
    """An image to degrade, read when a piece of it is cut, and what is measured on the whole of it."""

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
        self, piece: Mapping[str, int], rng: np.random.Generator
    ) -> tuple[NDArray[np.generic], NDArray[np.generic] | None]:
        """Return a piece of the image from a random place, and the same piece of the height map.

        `piece` has pixels by axis; an axis that is missing is taken whole.
        """
        region = self._draw_region(piece, rng)
        pixels = axes_.move(self.image.crop(region).array(), self.image.axes, self.axes)
        if self.height is None:
            return pixels, None
        same = {letter: bounds for letter, bounds in region.items() if letter in "YX"}
        return pixels, axes_.move(self.height.crop(same).array(), self.height.axes, "YX")

    def whole(self, axes: str) -> NDArray[np.generic]:
        """Return all of that part of the image, with `axes`."""
        return axes_.move(self.image.crop(dict(self.bounds)).array(), self.image.axes, axes)

    def _draw_region(self, piece: Mapping[str, int], rng: np.random.Generator) -> dict[str, slice]:
        region = dict(self.bounds)
        if self.planes:
            inside = range(self.image.sizes["Z"])[self.bounds.get("Z", slice(None))]
            shown = [z for z in self.planes if z in inside] or list(inside)
            z = shown[int(rng.integers(len(shown)))]
            region["Z"] = slice(z, z + 1)
        for letter, size in piece.items():
            first = self.bounds[letter].start if letter in self.bounds else 0
            start = first + int(rng.integers(0, self.sizes[letter] - size + 1))
            region[letter] = slice(start, start + size)
        return region


def open_clean_images(
    patterns: Sequence[str],
    folder: Path,
    axes: str | None,
    spatial_axes: str,
    *,
    black: float | None = None,
    takes_channels: bool = True,
    each_channel: bool = False,
) -> tuple[CleanImage, ...]:
    """Find, open and measure clean images, each read whole once.

    Parameters
    ----------
    patterns
        File names or patterns, relative to `folder`.
    axes
        Axes of the files; None: from their metadata.
    spatial_axes
        YX or ZYX, the axes of the pieces.
    black
        Value that means no light; None: the 0.1 percentile of each channel.
    takes_channels
        Whether images may have C.
    each_channel
        Whether every channel becomes an image of its own.

    Raises
    ------
    RecipeError
        If no file matches.
    DataError
        If an image has other axes or no contrast, or images differ in their channels.
    """
    images = tuple(
        _measure(path, image, spatial_axes, black, takes_channels=takes_channels, each_channel=each_channel)
        for path in _find_files(patterns, folder, "images")
        for image in _open(path, axes, each_channel=each_channel)
    )
    for image in images:
        if len(image.ranges) != len(images[0].ranges) or image.axes != images[0].axes:
            raise DataError(
                f"{image.path} has {len(image.ranges)} channel(s) ({image.image.axes}), and {images[0].path} has "
                f"{len(images[0].ranges)} ({images[0].image.axes}): expected the same of all images of a set; make two "
                "sets"
            )
    return images


def add_heights(images: Sequence[CleanImage], patterns: Sequence[str], folder: Path) -> tuple[CleanImage, ...]:
    """Return `images` with their height maps in order; `RecipeError` if no file matches, or their number differs."""
    paths = _find_files(patterns, folder, "heights")
    if len(paths) != len(images):
        raise RecipeError(f"heights: expected one for each of {len(images)} images, found {len(paths)}")
    return tuple(replace(image, height=open_image(path)) for image, path in zip(images, paths, strict=True))


def _find_files(patterns: Sequence[str], folder: Path, what: str) -> list[Path]:
    found: list[Path] = []
    for pattern in patterns:
        path = folder / pattern
        try:
            found += images_in(path) if path.exists() else images_in(path.parent, path.name)
        except InputError as error:
            raise RecipeError(f"{what}: no file matches {pattern!r} in {folder.resolve()}: {error}") from error
    return found


def _open(path: Path, axes: str | None, *, each_channel: bool) -> Sequence[Image]:
    """Return the image of a file, or each of its channels."""
    image = open_image(path, axes)
    if not each_channel or "C" not in image.axes:
        return [image]
    return [image.crop({"C": slice(channel, channel + 1)}) for channel in range(image.sizes["C"])]


def _measure(
    path: Path, image: Image, spatial: str, black: float | None, *, takes_channels: bool, each_channel: bool
) -> CleanImage:
    axes = f"C{spatial}" if "C" in image.axes and takes_channels and not each_channel else spatial
    allowed = set(axes) | ({"Z"} if takes_channels else set()) | ({"C"} if each_channel else set())
    if not set(spatial) <= set(image.axes) or not set(image.axes) <= allowed:
        raise DataError(
            f"{path}: expected axes {spatial}"
            + (" with or without C" if takes_channels else "")
            + f" (pixel_size_um has {len(spatial)} numbers), found {image.axes} with shape {image.shape}; set axes, or "
            "give pixel_size_um for the axes of the image"
        )
    pixels = image.array().astype(np.float32)
    channels = np.moveaxis(pixels, image.axes.index("C"), 0) if "C" in image.axes else pixels[None]
    ranges = tuple(_measure_range(channel, black, path) for channel in channels)
    planes = _find_telling_planes(channels, ranges) if "Z" in image.axes and "Z" not in axes else ()
    return CleanImage(image, axes, ranges, None, path, planes)


def _find_telling_planes(channels: NDArray[np.float32], ranges: Sequence[tuple[float, float]]) -> tuple[int, ...]:
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


def check_size(clean: CleanImage, piece: Mapping[str, int]) -> None:
    """Raise `DataError` if pieces of the size `piece` (pixels by axis) are larger than `clean`."""
    if any(clean.sizes[letter] < size for letter, size in piece.items()):
        found = " x ".join(f"{letter} {clean.sizes[letter]}" for letter in piece)
        where = f" in the part of it that is cut ({_format_bounds(clean.bounds)})" if clean.bounds else ""
        raise DataError(
            f"{clean.path}: shape {list(piece.values())} is larger than the image, {found}{where}; reduce it"
        )


def _format_bounds(bounds: Mapping[str, slice]) -> str:
    return ", ".join(f"{letter} {part.start} to {part.stop - 1}" for letter, part in bounds.items())


def _measure_range(channel: NDArray[np.float32], black: float | None, path: Path) -> tuple[float, float]:
    if not np.isfinite(channel).all():
        raise DataError(f"{path} has NaN or infinite pixels; remove them, or leave the image out")
    darkest, white = (float(p) for p in np.percentile(channel, (0.1, REFERENCE_PERCENTILE)))
    black = darkest if black is None else black
    if white <= black:
        raise DataError(f"{path} is dark or constant (brightest pixels {white:g}, black {black:g}); leave it out")
    return black, white
