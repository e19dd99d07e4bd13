"""One frame through a network: pad, normalize, run and crop each tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo import tiling
from carezoo.errors import ManifestError
from carezoo.intensity import Normalization
from carezoo.package.manifest import Manifest, OutputAxis, OutputTensor, Result
from carezoo.runtime import postprocess
from carezoo.runtime.session import Session

Float = NDArray[np.float32]
Read = Callable[[tuple[slice, ...]], NDArray[np.generic]]
"""Returns a region of the frame, given one slice for each spatial axis: raw values, channel axis first."""

TENSOR_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


@dataclass(frozen=True)
class Piece:
    """A restored region of one result."""

    result: Result
    values: Float
    """Channel axis first, then the output's spatial axes; in the units of the result."""
    region: Mapping[str, slice]
    """Where it lies in the frame, in output pixels, by axis letter."""


class PackagedNetwork:
    """A session with the manifest that says what its tensors mean."""

    def __init__(self, session: Session, manifest: Manifest) -> None:
        self.session = session
        self.manifest = manifest
        self._post = tuple(postprocess.at_once(output) for output in manifest.outputs)
        names = [output.name for output in manifest.outputs]
        # Graphs made elsewhere may name their tensors otherwise than the manifest does: then the order counts.
        self._names = names if {port.name for port in session.outputs}.issuperset(names) else None

    def pieces(self, read: Read, plan: tiling.Plan, normalization: Normalization) -> Iterator[list[Piece]]:
        """Restore a frame tile by tile.

        Yields
        ------
        list of Piece
            For every tile, one piece of each result.

        Raises
        ------
        ManifestError
            If the graph gives tensors of other shapes than its manifest says.
        """
        for tile in plan:
            tensor = self._tensor(normalization.apply(read_padded(read, plan, tile.read)))
            found = self.session.run(tensor, self._names)
            self._check_shapes(found, tensor)
            outputs = [
                post.apply(self._block(values, output))
                for values, output, post in zip(found, self.manifest.outputs, self._post, strict=False)
            ]
            yield [self._piece(result, outputs, tile, plan, normalization) for result in self.manifest.results]

    def _check_shapes(self, found: Sequence[NDArray[np.generic]], given: NDArray[np.generic]) -> None:
        sizes = dict(zip(self.manifest.input.axes, given.shape, strict=True))
        for values, output in zip(found, self.manifest.outputs, strict=False):
            expected = output.shape(sizes)
            if values.shape != expected:
                raise ManifestError(
                    f"package {self.manifest.reference} contradicts itself: for an input of shape {given.shape} "
                    f"({self.manifest.input.axes}) its graph gives {output.name} of shape {values.shape}, its manifest "
                    f"says {expected} ({output.axes}). Nothing can be restored with it; carezoo check tells more, and "
                    "its makers should know"
                )

    def _tensor(self, block: Float) -> NDArray[np.generic]:
        laid_out = axes_.move(block, "C" + self.manifest.spatial_axes, self.manifest.input.axes)
        return np.ascontiguousarray(laid_out, dtype=TENSOR_TYPES.get(self.session.inputs[0].dtype, np.float32))

    def _block(self, tensor: NDArray[np.generic], output: OutputTensor) -> NDArray[np.generic]:
        return axes_.move(tensor, output.axes, "C" + self._spatial(output))

    def _spatial(self, output: OutputTensor) -> str:
        return "".join(letter for letter in self.manifest.spatial_axes if letter in output.sizes)

    def _piece(
        self, result: Result, outputs: list[Float], tile: tiling.Tile, plan: tiling.Plan, normalization: Normalization
    ) -> Piece:
        output = self.manifest.tensor(result)
        crop, region = {}, {}
        for letter, read, write, axis in zip(self.manifest.spatial_axes, tile.read, tile.write, plan.axes, strict=True):
            if letter in output.sizes:
                crop[letter], region[letter] = output_slices(read, write, axis, output.sizes[letter])
        block = outputs[result.tensor][list(result.channels)]
        block = block[(slice(None), *(crop[letter] for letter in self._spatial(output)))]
        return Piece(result, undo(block, result, normalization), region)


def output_slices(read: slice, write: slice, axis: tiling.AxisPlan, size: OutputAxis) -> tuple[slice, slice]:
    """Return which part of a tile's output is kept, and where it lies in the output of the frame."""
    first = floor(axis.pad_before * size.factor)  # output pixel of the image's first pixel
    start = floor(write.start * size.factor)
    stop = min(floor(write.stop * size.factor), first + max(1, floor(axis.size * size.factor)))
    seen_from = tiling.scale_slice(slice(read.start, read.start), size.factor).start - size.offset // 2
    return slice(start - seen_from, stop - seen_from), slice(start - first, stop - first)


def read_padded(read: Read, plan: tiling.Plan, region: tuple[slice, ...]) -> NDArray[np.generic]:
    """Read a region of the padded frame: what lies outside the frame is its mirror image."""
    indexes = [axis.source_index(span) for axis, span in zip(plan.axes, region, strict=True)]
    block = read(tuple(slice(int(index.min()), int(index.max()) + 1) for index in indexes))
    for dimension, index in enumerate(indexes, start=1):
        if block.shape[dimension] != len(index) or index[0] > index[-1] or (np.diff(index) != 1).any():
            block = np.take(block, index - index.min(), axis=dimension)
    return block


def undo(block: Float, result: Result, normalization: Normalization) -> Float:
    """Return a block of network output in the units of its result."""
    if result.undo == "none":
        return block
    channels = result.of or tuple(range(len(result.channels)))
    return normalization.undo(block, channels, is_scale=result.undo == "gain")
