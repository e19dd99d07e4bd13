"""Pixels that are not numbers: refused with their position, or replaced when the user says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import PixelError
from carezoo.image import Image, Pixels

LARGEST = np.finfo(np.float32).max
"""Networks compute in float32; a larger number in a double-precision image would become infinite on the way."""


def finite(image: Image, policy: Literal["refuse", "zero"]) -> Pixels:
    """Return the pixels of `image`, guarded against NaN and infinity if its type can hold them."""
    return Finite(image.pixels, image.axes, image.name, policy) if image.dtype.kind == "f" else image.pixels


@dataclass(frozen=True, eq=False)
class Finite:
    """Pixels of which every read region holds numbers that float32 can hold."""

    pixels: Pixels
    axes: str
    name: str
    policy: Literal["refuse", "zero"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        return self.pixels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one pixel."""
        return self.pixels.dtype

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[np.generic]:
        """Read one region.

        Raises
        ------
        PixelError
            At the first NaN, infinite or too large pixel, unless the policy replaces them.
        """
        block = np.asarray(self.pixels[key])
        good = np.abs(block) <= LARGEST
        if good.all():
            return block
        if self.policy == "zero":
            return np.where(good, block, block.dtype.type(0))
        raise PixelError(
            f"{self.name} holds {block[~good][0]} at {self._position(key, ~good)}; expected numbers up to "
            f"{LARGEST:.2g}. Repair the image, or replace such pixels by zero (--nan zero)"
        )

    def _position(self, key: tuple[int | slice, ...], bad: NDArray[np.bool_]) -> str:
        inside = iter(np.argwhere(bad)[0].tolist())
        places = [item if isinstance(item, int) else (item.start or 0) + next(inside) for item in key]
        return ", ".join(f"{letter.lower()}={place}" for letter, place in zip(self.axes, places, strict=True))
