"""Intensities of training pairs: the target in the units of its source, both normalized as at restoration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from carezoo.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """How intensities are normalized."""

    mode: Literal["matched", "own", "fixed"] = "matched"
    """matched: targets are mapped into the units of their sources (`fit`), then both are normalized by the source's \
percentiles, as at restoration: restored intensities have no bias. own: each by its own percentiles, as CSBDeep does; \
the gain of restored images is then arbitrary. fixed: as matched, but with two constants for all images (`range`)."""
    percentiles: tuple[float, ...] = (2.0, 99.8)
    """Percentiles of the whole image that become 0 and 1."""
    percentile_jitter: bool = False
    """Draw the percentiles anew for each patch, from 1 to 3 and from 99.5 to 99.9, as CSBDeep does. Images are \
restored with `percentiles` all the same."""
    fit: Literal["dataset", "pair", "none"] = "dataset"
    """Least-squares fit of target to source (gain and offset of each channel): one for each data set, one for each \
pair (if exposures differ within the set), or none (targets are in the units of the sources, such as averages)."""
    range: tuple[float, ...] = ()
    """Mode fixed only: the two intensities that become 0 and 1; empty: `percentiles` of all sources to fit together."""

    def __post_init__(self) -> None:
        if not (len(self.percentiles) == 2 and 0 <= self.percentiles[0] < self.percentiles[1] <= 100):
            raise RecipeError(f"percentiles: expected two numbers, 0 <= low < high <= 100, found {self.percentiles}")
        if self.range and not (len(self.range) == 2 and self.range[0] < self.range[1]):
            raise RecipeError(f"range: expected two numbers, low < high, found {self.range}")
        if self.range and self.mode != "fixed":
            raise RecipeError(f"range: has no meaning for mode {self.mode}; remove it, or use mode: fixed")
        if self.percentile_jitter and self.mode == "fixed":
            raise RecipeError("percentile_jitter: mode fixed has no percentiles to vary; remove one of the two")
