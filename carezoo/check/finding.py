"""What checks look at, and what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo.image import Image
from carezoo.package.manifest import Manifest
from carezoo.package.read import Package
from carezoo.runtime.layout import Layout
from carezoo.runtime.predict import TENSOR_TYPES
from carezoo.runtime.session import Session
from carezoo.tiling import AxisRule
from carezoo.valid import ValidPixels

Float = NDArray[np.float32]

Severity = Literal["error", "warning"]

MAX_PIXELS = 1 << 19
"""Pixels of the largest image that is run, before or behind the network."""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    name: str
    passed: bool
    detail: str
    severity: Severity = "error"
    """A warning that did not pass concerns other readers, or a promise nobody made; the package still passes."""


@dataclass(frozen=True)
class Subject:
    """A package with its graph loaded."""

    package: Package
    session: Session
    rng: np.random.Generator
    """Of images and sizes."""

    @property
    def manifest(self) -> Manifest:
        """What the package says of itself."""
        return self.package.manifest

    @property
    def severity(self) -> Severity:
        """How serious seams are: our packages promise that there are none, the format does not."""
        return "error" if self.manifest.is_by_carezoo else "warning"

    @property
    def max_pixels(self) -> float:
        """Input pixels of the largest image that is run: fewer for networks that make more out of them."""
        factors = [math.prod(size.factor for size in output.sizes.values()) for output in self.manifest.outputs]
        return MAX_PIXELS / float(max(1, *factors))

    def rules(self) -> dict[str, AxisRule]:
        """Return the rules as the runtime uses them, with what the network cuts off."""
        spatial = self.manifest.spatial_axes
        blank = Image(np.zeros((len(self.manifest.input.channels),) + (1,) * len(spatial), np.float32), "C" + spatial)
        layout = Layout(blank, self.manifest, loops="", is_per_frame=False, valid=ValidPixels(blank))
        return dict(zip(spatial, layout.rules(), strict=True))

    def image(self, sizes: Mapping[str, int]) -> Float:
        """Return a random image in normalized units, axes C and then the spatial ones."""
        shape = (len(self.manifest.input.channels), *(sizes[letter] for letter in self.manifest.spatial_axes))
        return self.rng.random(shape, dtype=np.float32)

    def run(self, image: Float) -> list[NDArray[np.generic]]:
        """Run the graph on a normalized image, channel axis first, and return the listed outputs."""
        laid_out = axes_.move(image, "C" + self.manifest.spatial_axes, self.manifest.input.axes)
        return run_listed(self.session, self.manifest, laid_out)


def run_listed(session: Session, manifest: Manifest, tensor: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """Run a graph on its input tensor and return the outputs that the manifest lists, in its order.

    Graphs made elsewhere may name their tensors otherwise than the manifest does: then the order counts.
    """
    names = [output.name for output in manifest.outputs]
    is_named = {port.name for port in session.outputs}.issuperset(names)
    dtype = TENSOR_TYPES.get(session.inputs[0].dtype, np.float32)
    return session.run(np.ascontiguousarray(tensor, dtype), names if is_named else None)[: len(names)]


def format_sizes(sizes: Mapping[str, int]) -> str:
    """Return sizes as people write them: 10x24x32."""
    return "x".join(map(str, sizes.values()))
