"""How an image of any axes meets a network: what is looped over, what is normalized together, what comes out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo.errors import AxesError
from carezoo.image import Image
from carezoo.package.manifest import Manifest, OutputTensor, Result
from carezoo.statistics import Blocks
from carezoo.tiling import AxisRule
from carezoo.valid import ValidPixels

_ALIKE = 1.15
"""Ratio up to which voxel shapes count as those a model is made for."""

_SAME_SIZE = 1.25
"""Ratio up to which voxel edges do."""

_FEWEST = 2
"""Fewest positions along an axis from which a network makes others."""

Index = Mapping[str, int]
"""Position along the axes that are looped over, by letter."""


@dataclass(frozen=True)
class Layout:
    """An image laid out for a network."""

    image: Image
    manifest: Manifest
    loops: str
    """Axes of the image the network does not know, outermost first."""
    is_per_frame: bool
    """True: every time point gets statistics of its own."""
    valid: ValidPixels
    """Which pixels of the image count."""

    @property
    def spatial(self) -> str:
        """Axes of the network besides batch and channel, in the order of its input tensor."""
        return self.manifest.spatial_axes

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Size of the image along `spatial`."""
        return tuple(self.image.sizes[letter] for letter in self.spatial)

    @property
    def n_channels(self) -> int:
        """Channels that enter the network together."""
        return len(self.manifest.input.channels)

    def rules(self) -> tuple[AxisRule, ...]:
        """Return what the network asks of each spatial axis, with the border it cuts off added to the halo."""
        return tuple(self._rule(letter) for letter in self.spatial)

    def _rule(self, letter: str) -> AxisRule:
        rule, margin = self.manifest.input.rules[letter], 0
        for output in self.manifest.outputs:
            size = output.sizes.get(letter)
            if size is not None and size.offset < 0:
                margin = max(margin, int(-size.offset / 2 / size.factor))
        grid = rule.grid
        return replace(rule, margin=margin, halo=max(rule.halo, -(-margin // grid) * grid))

    def groups(self) -> Iterator[list[Index]]:
        """Yield the positions of the frames that share statistics, part by part."""
        shared = [letter for letter in self.loops if not self._is_separate(letter)]
        separate = [letter for letter in self.loops if self._is_separate(letter)]
        for group in self._positions(separate):
            yield [{**group, **frame} for frame in self._positions(shared)]

    def _is_separate(self, letter: str) -> bool:
        """Samples and channels are different things; time points and planes of one series belong together."""
        return letter in "SC" or (letter == "T" and self.is_per_frame)

    def _positions(self, letters: list[str]) -> Iterator[Index]:
        for position in itertools.product(*(range(self.image.sizes[letter]) for letter in letters)):
            yield dict(zip(letters, position, strict=True))

    @property
    def n_frames(self) -> int:
        """How often the network has to restore a whole frame."""
        return int(np.prod([self.image.sizes[letter] for letter in self.loops], dtype=np.int64))

    def read(self, position: Index, region: tuple[slice, ...]) -> NDArray[np.generic]:
        """Read one region of one frame.

        Parameters
        ----------
        position
            Where along `loops`.
        region
            One slice for each letter of `spatial`.

        Returns
        -------
        NDArray
            Raw values, channel axis first, then `spatial`.
        """
        bounds: dict[str, int | slice] = {**position, **dict(zip(self.spatial, region, strict=True))}
        key = tuple(bounds.get(letter, slice(None)) for letter in self.image.axes)
        block = np.asarray(self.image.pixels[key])
        left = "".join(letter for letter in self.image.axes if letter not in position)
        return axes_.move(block, left, "C" + self.spatial)

    def blocks(self, frames: list[Index], channel: int) -> Blocks:
        """Return the valid pixels of one channel over all `frames`, plane by plane."""

        def iterate() -> Iterator[NDArray[np.generic]]:
            for frame in frames:
                for plane in self.planes({"C": channel, **frame}):
                    values = self.valid.values(plane)
                    if values.size:
                        yield values

        return iterate

    def planes(self, position: Index) -> Iterator[Index]:
        """Yield the positions of all planes (YX) of one channel of a frame."""
        stacked = [letter for letter in self.spatial if letter not in "YX"]
        for found in self._positions(stacked):
            yield {**position, **found}

    def name_part(self, channel: int, position: Index) -> str:
        """Return what messages call one channel of a frame."""
        part = self.valid.name({"C": channel, **position})
        return f"{self.image.name}: {part}" if part else self.image.name

    def result_axes(self, result: Result) -> str:
        """Return the axes of one result: those of the image, without what the network leaves out.

        Where the network gives several channels for an image without a channel axis, C comes before the first spatial
        axis.
        """
        output = self.manifest.tensor(result)
        kept = "".join(letter for letter in self.image.axes if letter not in self.spatial or letter in output.sizes)
        if "C" in kept or len(result.channels) == 1:
            return kept
        first = min((kept.index(letter) for letter in axes_.SPATIAL if letter in kept), default=len(kept))
        return kept[:first] + "C" + kept[first:]

    def result_shape(self, result: Result) -> tuple[int, ...]:
        """Return the shape of one result, in the order of `result_axes`."""
        output = self.manifest.tensor(result)
        return tuple(self._result_size(letter, result, output) for letter in self.result_axes(result))

    def _result_size(self, letter: str, result: Result, output: OutputTensor) -> int:
        if letter == "C" and "C" not in self.loops:
            return len(result.channels)
        size = self.image.sizes[letter]
        return output.restored_size(letter, size) if letter in self.spatial else size

    def result_pixel_size_um(self, result: Result) -> dict[str, float]:
        """Return the pixel size of one result: a network that makes planes brings them closer together."""
        output = self.manifest.tensor(result)
        return {
            letter: size / float(output.factor(letter))
            for letter, size in self.image.pixel_size_um.items()
            if letter in self.result_axes(result)
        }

    def result_origin_um(self, result: Result) -> dict[str, float]:
        """Return the centre of the first pixel: closer planes start nearer to the border (half-pixel convention)."""
        old, new = self.image.pixel_size_um, self.result_pixel_size_um(result)
        shifts = {letter: (new[letter] - old[letter]) / 2 for letter in new if new[letter] != old[letter]}
        origin = self.image.metadata.origin_um
        return {letter: origin.get(letter, 0.0) + shifts.get(letter, 0.0) for letter in {*origin, *shifts}}

    def remarks(self) -> Iterator[str]:
        """Yield what is odd about the size of the image's voxels, against those the model is made for."""
        for letter in self.spatial:
            if self.manifest.factor(letter) != 1:
                yield from self._odd_shape(letter, float(self.manifest.factor(letter)))
        if self.manifest.carezoo.training_images is None:  # that record is compared on its own, and knows better
            yield from self._odd_sizes()

    def _odd_shape(self, letter: str, factor: float) -> Iterator[str]:
        known, found = self.manifest.input.pixel_size_um, self.image.pixel_size_um
        if not {letter, "X"} <= found.keys():
            return
        given = found[letter] / found["X"]
        begin = f"{self.image.name}: along {letter} its voxels are {given:.3g} times as long as along X, "
        end = ". Check the pixel size of the image, or take another model"
        if {letter, "X"} <= known.keys():
            wanted = known[letter] / known["X"]
            if not 1 / _ALIKE < given / wanted < _ALIKE:
                yield (
                    f"{begin}those model {self.manifest.id} is made for {wanted:.3g} times; it puts {factor:.4g} in "
                    f"the place of each all the same{end}"
                )
        elif given < factor / _ALIKE:
            yield (
                f"{begin}and model {self.manifest.id} puts {factor:.4g} in the place of each: they become finer along "
                f"{letter} than along X{end}"
            )

    def _odd_sizes(self) -> Iterator[str]:
        known, found = self.manifest.input.pixel_size_um, self.image.pixel_size_um
        for letter in (letter for letter in self.spatial if letter in known and letter in found):
            if not 1 / _SAME_SIZE < found[letter] / known[letter] < _SAME_SIZE:
                yield (
                    f"{self.image.name}: its pixel size along {letter} is {found[letter]:.3g} µm, model "
                    f"{self.manifest.id} is made for {known[letter]:.3g} µm. Check the pixel size of the image, "
                    "rescale it, or take another model"
                )

    def result_key(self, result: Result, position: Index, region: Mapping[str, slice]) -> tuple[int | slice, ...]:
        """Return where a region of one frame lies in a result."""
        bounds: dict[str, int | slice] = {**position, **region}
        return tuple(bounds.get(letter, slice(None)) for letter in self.result_axes(result))


def lay_out(
    image: Image,
    manifest: Manifest,
    *,
    is_per_frame: bool = False,
    nodata: Literal["auto", "none"] | float = "auto",
    is_nan_refused: bool = False,
) -> Layout:
    """Lay an image out for a network.

    Raises
    ------
    AxesError
        If the image lacks an axis the network works along, has a number of channels it cannot take, or has a single
        plane where the network makes others out of several.
    """
    spatial = manifest.spatial_axes
    missing = [letter for letter in spatial if letter not in image.axes]
    if missing:
        raise AxesError(
            f"model {manifest.id} works along {spatial}, but {image.name} has axes {image.axes} {image.shape}: "
            f"{', '.join(missing)} is missing. Choose a model for {image.axes}, or name the axes (--axes)"
        )
    _require_planes(image, manifest)
    known = spatial + ("C" if _takes_channels_jointly(image, manifest) else "")
    loops = "".join(letter for letter in image.axes if letter not in known)
    return Layout(image, manifest, loops, is_per_frame, ValidPixels(image, nodata, is_nan_refused))


def _require_planes(image: Image, manifest: Manifest) -> None:
    """Refuse a single position along an axis the network changes: nothing lies between it, nothing to choose from."""
    for letter in manifest.spatial_axes:
        changed = [o for o in manifest.outputs if letter not in o.sizes or o.factor(letter) != 1]
        if changed and image.sizes[letter] < _FEWEST:
            kept = changed[0].sizes.get(letter)
            does = f"puts {float(kept.factor):.4g} in the place of each" if kept else "makes one out of all of them"
            raise AxesError(
                f"model {manifest.id} needs at least {_FEWEST} positions along {letter} ({does}), but {image.name} has "
                f"{image.sizes[letter]}: axes {image.axes} {image.shape}. Restore a whole stack, name the axes "
                f"(--axes), or choose a model for {image.axes.replace(letter, '')}"
            )


def _takes_channels_jointly(image: Image, manifest: Manifest) -> bool:
    wanted, found = len(manifest.input.channels), image.sizes.get("C", 1)
    if wanted == 1:
        if found > 1 and any(len(result.channels) > 1 for result in manifest.results):
            raise AxesError(
                f"model {manifest.id} makes several channels out of one, but {image.name} has {found}. "
                "Choose one with --crop c=0:1"
            )
        return found == 1
    if wanted != found:
        raise AxesError(
            f"model {manifest.id} takes {wanted} channels together ({', '.join(manifest.input.channels)}), but "
            f"{image.name} has {found}. Choose the channels with --crop, or a model for one channel"
        )
    return True
