"""The image a package shows: a piece of it becomes test tensors and sample files, all of it the cover."""

from __future__ import annotations

import io
import logging
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo import intensity
from carezoo.errors import RecipeError
from carezoo.files import open_image, write_image
from carezoo.image import Image, Metadata
from carezoo.intensity import Normalization, Operation
from carezoo.package import consistency
from carezoo.pairs.cache import read
from carezoo.pairs.find import Pair
from carezoo.pairs.section import ONE, PairAxes
from carezoo.pairs.split import PairParts
from carezoo.pictures import display
from carezoo.runtime.session import Session
from carezoo.statistics import Blocks
from carezoo.tiling import AxisRule
from carezoo.train.networks.network import Network
from carezoo.train.recipe import Recipe

log = logging.getLogger("carezoo")

_LEAST_SIDE = {2: 128, 3: 32}
"""Of the piece, by number of spatial axes: enough to show structure."""

_MOST_PLANES = 32
"""Of the restored piece, where planes are made: test tensors should not outweigh the network."""


@dataclass(frozen=True, eq=False)
class SampleImage:
    """One frame of an image whose pixels may be shown."""

    image: Image
    """Axes C and the network's, in memory."""
    target: Image | None
    """The clean image with the same axes, where there is one."""
    license: str
    origin: str


def choose_sample(recipe: Recipe, parts: PairParts) -> SampleImage:
    """Return the image that the recipe names, else the first one to report on.

    Raises
    ------
    RecipeError
        If the named image does not fit the model, or none is named and no source of a pair would fit.
    InputError
        If it cannot be read.
    """
    named, axes = recipe.package.sample, recipe.model_axes
    if named is None:
        pair = next((each for each in parts.report if axes.fits(each.source.sizes, each.target.sizes)), None)
        if pair is None:
            raise RecipeError(
                f"package.sample: name an image with axes {axes.source} to show what the model does; the sources to "
                f"report on have axes {parts.report[0].source.axes}"
            )
        chosen = next(each for each in recipe.data.every_set if each.name == pair.dataset)
        if not chosen.license:
            log.warning(
                "the package will show pixels of %s, but the recipe states no license for set %s; state it, or name an "
                "image that may be shown (package.sample)",
                pair.source_path.name,
                chosen.name,
            )
        return replace(take_from_pair(pair, axes), license=chosen.license, origin=chosen.origin)
    source = _name(recipe, named.source, len(recipe.data.channels), axes.source)
    clean = _name(recipe, named.target, len(recipe.data.restored), axes.target) if named.target else None
    return SampleImage(source, clean, named.license, named.origin)


def take_from_pair(pair: Pair, axes: PairAxes) -> SampleImage:
    """Return one frame of a pair."""
    source = take_frame(pair.source, pair.source_channels, axes.source)
    return SampleImage(source, take_frame(pair.target, pair.target_channels, axes.target), "", "")


def _name(recipe: Recipe, name: str, n_channels: int, axes: str) -> Image:
    image = open_image(recipe.path(name), recipe.package.sample.axes if recipe.package.sample else None)
    missing = [letter for letter in axes if letter not in image.axes]
    if missing or image.sizes.get("C", 1) != n_channels:
        raise RecipeError(
            f"package.sample: expected an image with axes {axes} and {n_channels} channel(s), found "
            f"{image.name} with axes {image.axes} and shape {image.shape}"
        )
    return take_frame(image, range(n_channels), axes)


def take_frame(image: Image, channels: Sequence[int], spatial: str) -> Image:
    """Return the first sample and frame, and the middle one of planes that the network sees one by one."""
    region = {letter: slice(0, 1) for letter in "ST"}
    if "Z" not in spatial:
        middle = image.sizes.get("Z", 1) // 2
        region["Z"] = slice(middle, middle + 1)
    pixels = axes_.move(read(image, region)[list(channels)], "CZYX", "C" + spatial)
    size = {letter: image.pixel_size_um[letter] for letter in spatial if letter in image.pixel_size_um}
    return Image(pixels, "C" + spatial, size, Metadata(), image.name)


def cut_out(sample: SampleImage, rules: Mapping[str, AxisRule], factors: Mapping[str, Fraction] | None = None) -> Image:
    """Return the piece of the image with the most structure, at a size every reader of the package accepts.

    An axis that is too short is continued by reflection. Where planes are projected, all of them are taken.
    """
    image = sample.image
    spatial = image.axes[1:]
    sizes = {
        letter: _length(image.sizes[letter], rule, (factors or {}).get(letter, ONE), _LEAST_SIDE[len(spatial)])
        for letter, rule in rules.items()
    }
    pixels = _fill_reflected(image.array(), [sizes[letter] for letter in spatial])
    shown = sample.target if sample.target and sample.target.shape[-2:] == image.shape[-2:] else image
    plane = _fill_reflected(shown.array().max(axis=tuple(range(len(shown.shape) - 2))), [sizes["Y"], sizes["X"]])
    rows, columns = display.informative_region(plane.astype(np.float32), (sizes["Y"], sizes["X"]))
    if "Z" in spatial:
        start = (pixels.shape[1] - sizes["Z"]) // 2
        pixels = pixels[:, start : start + sizes["Z"]]
    return Image(np.ascontiguousarray(pixels[..., rows, columns]), image.axes, image.pixel_size_um, name=image.name)


def _length(present: int, rule: AxisRule, factor: Fraction, least: int) -> int:
    """Return how many pixels of an axis are taken: their output is whole."""
    if rule.is_tileable:
        return max(consistency.format_minimum(rule, factor), rule.round_up(least))
    unit = math.lcm(rule.grid, factor.denominator)
    wanted = present if factor == 1 else min(present, int(_MOST_PLANES / factor))
    return max(unit, wanted // unit * unit)


def side_by_side(
    source: NDArray[Any], restored: NDArray[Any], factors: Mapping[str, Fraction]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both images, (Z)YX, as a picture should show them: where planes were made, an axial section."""
    factor = factors.get("Z", ONE)
    if factor == 1:
        return source, restored
    row = int(restored.std(axis=(0, 2)).argmax())
    planes = [min(int((z + Fraction(1, 2)) / factor), len(source) - 1) for z in range(len(restored))]
    return source[planes, row], restored[:, row]


def _fill_reflected(pixels: NDArray[Any], least: Sequence[int]) -> NDArray[Any]:
    """Return `pixels` with the last axes reflected up to the lengths `least`."""
    present = pixels.shape[-len(least) :]
    missing = [max(0, wanted - n) for wanted, n in zip(least, present, strict=True)]
    pads = [(0, 0)] * (pixels.ndim - len(least)) + [(n // 2, n - n // 2) for n in missing]
    return np.pad(pixels, pads, mode="reflect")


@dataclass(frozen=True, eq=False)
class Tensors:
    """Test tensors of a package."""

    source: NDArray[Any]
    """Raw pixels, BC(Z)YX."""
    normalized: NDArray[np.float32]
    """What enters the graph."""
    restored: NDArray[np.float32]
    """What the package says comes out of `source`."""

    def files(self, names: tuple[str, str]) -> dict[str, bytes]:
        """Return both test tensors as NumPy files."""
        return {name: _npy(array) for name, array in zip(names, (self.source, self.restored), strict=True)}


def tensors_of(
    piece: Image, weights: bytes, network: Network, operations: Sequence[Operation], *, is_undone: bool
) -> Tensors:
    """Return a piece before and after the graph, as the manifest describes the way.

    Parameters
    ----------
    is_undone
        Whether the package returns to the intensities of the input itself (constants do).
    """
    raw = piece.array()
    normalization = intensity.measure(operations, [_blocks(channel) for channel in raw], piece.name)
    normalized = normalization.apply(raw)[np.newaxis]
    restored = np.asarray(Session(weights, provider="cpu").run(normalized)[0], np.float32)
    if is_undone:
        restored = _undone(restored[0], network, normalization)[np.newaxis]
    return Tensors(raw[np.newaxis], normalized, restored)


def _undone(restored: NDArray[np.float32], network: Network, normalization: Normalization) -> NDArray[np.float32]:
    result = restored.copy()
    for kind in ("mean", "scale"):
        chosen = [i for i, channel in enumerate(network.outputs) if channel.kind == kind]
        sources = [network.outputs[i].target for i in chosen]
        result[chosen] = normalization.undo(restored[chosen], sources, is_scale=kind == "scale")
    return result


def to_tiff(image: Image) -> bytes:
    """Return `image` as a TIFF file."""
    with tempfile.TemporaryDirectory(prefix="carezoo-") as folder:
        path = Path(folder, "image.tif")
        write_image(path, image)
        return path.read_bytes()


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _blocks(channel: NDArray[np.generic]) -> Blocks:
    return lambda: (channel,)
