"""The spatial axes of training pairs: those of the images that a network is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

ONE = Fraction(1)


@dataclass(frozen=True)
class PairAxes:
    """Spatial axes of sources and targets, and how their sizes are related."""

    source: str
    """YX or ZYX."""
    target: str = ""
    """Those of the source, or YX for targets that are one plane of a whole stack; empty: those of the source."""
    factor: Fraction = ONE
    """Target planes for one source plane, at least 1; ``floor(planes * factor)`` in all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", self.target or self.source)

    @property
    def is_projected(self) -> bool:
        """Whether a target is one plane made of all planes of its source, which are never cut."""
        return self.target != self.source

    def fits(self, source: Mapping[str, int], target: Mapping[str, int]) -> bool:
        """Whether images of these sizes by axis letter may be a pair."""
        if any(letter not in source for letter in self.source) or any(letter not in target for letter in self.target):
            return False
        expected = {letter: source.get(letter, 1) for letter in "ZYX"} | self.target_size(source)
        if self.is_projected:
            expected["Z"] = 1
        return all(expected[letter] == target.get(letter, 1) for letter in "ZYX")

    def target_size(self, size: Mapping[str, int]) -> dict[str, int]:
        """Return the pixels of a target along each of its axes, given those of its source."""
        kept = {letter: size[letter] for letter in self.target}
        return kept | ({"Z": int(kept["Z"] * self.factor)} if "Z" in kept else {})

    def align_planes(self, target_plane: int) -> tuple[int, int]:
        """Return the planes of source and target at which a patch starts that should start at `target_plane`."""
        # Source and target planes start at the same depth only every `factor.numerator` target planes; round down to
        # the last such plane.
        aligned = target_plane // self.factor.numerator * self.factor.numerator
        return int(aligned / self.factor), aligned
