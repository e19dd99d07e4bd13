"""Section `package` of a recipe: what the package shows and says beyond the network."""

from __future__ import annotations

import math
from dataclasses import dataclass

from carezoo import axes as axes_
from carezoo.errors import AxesError, RecipeError


@dataclass(frozen=True, kw_only=True)
class PixelSize:
    """Distance of neighbouring pixels in micrometers."""

    y: float
    """Along Y."""
    x: float
    """Along X."""
    z: float | None = None
    """Along Z."""

    def __post_init__(self) -> None:
        for letter, size in self.by_axis.items():
            if not (size > 0 and math.isfinite(size)):
                raise RecipeError(f"{letter.lower()}: expected a length above 0, found {size:g}")

    @property
    def by_axis(self) -> dict[str, float]:
        """Length by axis letter, in the order (Z)YX."""
        sizes = {"Y": self.y, "X": self.x}
        return sizes if self.z is None else {"Z": self.z, **sizes}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """An image whose pixels everybody may see."""

    source: str
    """Degraded image: a file."""
    target: str = ""
    """Its clean image, for the cover; empty: the cover shows source and restored image alone."""
    axes: str | None = None
    """Axes of the files over STCZYX; null: from their metadata."""
    license: str = ""
    """Licence of the image."""
    origin: str = ""
    """Where it comes from and whom to credit."""

    def __post_init__(self) -> None:
        if self.axes is not None:
            try:
                object.__setattr__(self, "axes", axes_.parse(self.axes))
            except AxesError as error:
                raise RecipeError(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class Packing:
    """What the package shows and says beyond the network."""

    sample: Sample | None = None
    """Image for test tensors, sample files and cover, whose licence must allow that; null: the first file to report."""
    pixel_size_um: PixelSize | None = None
    """Pixel size the model is made for; null: from the metadata of the files."""
    ensemble_name: str = ""
    """Name of the package with all members; empty: NAME-ensemble."""
