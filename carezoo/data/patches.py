"""Patches for training, drawn lazily from images that may be larger than memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from carezoo import axes as axes_
from carezoo.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class PatchSize:
    """Pixels of a patch along each axis."""

    y: int = 128
    """Rows."""
    x: int = 128
    """Columns."""
    z: int | None = None
    """Planes; null: the network is 2D, and planes and frames are images of their own."""

    def __post_init__(self) -> None:
        for letter, size in self.by_axis.items():
            if size < 1:
                raise RecipeError(f"{letter.lower()}: expected at least 1 pixel, found {size}")

    @property
    def by_axis(self) -> dict[str, int]:
        """Length by axis letter, in the order (Z)YX."""
        sizes = {"Y": self.y, "X": self.x}
        return sizes if self.z is None else {"Z": self.z, **sizes}


@dataclass(frozen=True, kw_only=True)
class Patches:
    """How patches are drawn."""

    size: PatchSize = field(default_factory=PatchSize)
    """Pixels along each axis. With z the network is 3D."""
    background_threshold: float = 0.4
    """A patch is drawn only where its middle (half of its length along each axis) holds a pixel of the target above \
this share of a high percentile of the target, in any channel. 0: everywhere."""
    background_percentile: float = 99.9
    """That percentile."""
    flip: str = "YX"
    """Axes along which half of the patches are mirrored; "" for none."""
    rotate: bool = True
    """Turn patches by multiples of 90 degrees in YX, where they are square. Z never becomes Y or X."""

    def __post_init__(self) -> None:
        if not 0 <= self.background_threshold < 1:
            raise RecipeError(f"background_threshold: expected 0 <= share < 1, found {self.background_threshold:g}")
        if not 0 < self.background_percentile <= 100:
            raise RecipeError(f"background_percentile: expected 0 to 100, found {self.background_percentile:g}")
        unknown = set(self.flip.upper()) - set(self.size.by_axis)
        if unknown:
            raise RecipeError(
                f"flip: expected axes out of {''.join(self.size.by_axis)} (those of size), found {self.flip!r}"
            )
        object.__setattr__(self, "flip", axes_.ordered(set(self.flip.upper())))
