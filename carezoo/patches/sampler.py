"""Everything a training draws from its images, acquired and computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import DataError
from carezoo.pairs.intensity import Intensity, Levels, Matching
from carezoo.pairs.section import PairAxes
from carezoo.pairs.split import PairParts, Part
from carezoo.patches.files import Patch, Patches, Sampler, prepare_patches
from carezoo.patches.simulated import SimulatedSampler, measure_constants
from carezoo.simulate.sets import OpenSet


@dataclass(frozen=True)
class TrainingPatches:
    """What a training draws from."""

    fit: Sampler
    choose: Sampler
    matching: Matching
    """What was measured on the images to fit."""


@dataclass(frozen=True)
class PatchPlan:
    """What a recipe says about patches."""

    intensity: Intensity
    settings: Patches
    axes: PairAxes
    seed: int


def prepare_all(parts: PairParts, opened: Sequence[OpenSet], how: PatchPlan, cache: Path) -> TrainingPatches:
    """Make files and computed sets ready for drawing patches.

    Parameters
    ----------
    parts
        Files, as `split_pairs` returns them.
    opened
        Sets of computed pairs. All files together have share 1 of the patches.

    Raises
    ------
    DataError
        As `prepare_patches`; or simulated pairs have no contrast.
    """
    files = prepare_patches(parts, how.intensity, how.settings, cache, how.seed, how.axes)
    matching = files.matching
    if how.intensity.mode == "fixed" and matching.constants is None:
        first = opened[0]
        constants = measure_constants(first.parts["fit"], how.intensity, first.seeds["fit"])
        matching = replace(matching, constants=constants)
    drawn: dict[Part, list[tuple[Sampler, float]]] = {
        "fit": [(files.fit, 1.0)] if files.fit else [],
        "choose": [(files.choose, 1.0)] if files.choose else [],
    }
    for each in opened:
        for part, samplers in drawn.items():
            if part == "fit" or each.described.n_choose:
                samplers.append((_make_sampler(each, part, how, matching.constants), each.described.share))
    if not drawn["choose"]:
        raise DataError(
            "nothing is left to choose on; give a simulated set n_choose of 1 or more, or name files (split)"
        )
    return TrainingPatches(_combine(drawn["fit"]), _combine(drawn["choose"]), matching)


def _make_sampler(opened: OpenSet, part: Part, how: PatchPlan, constants: Levels | None) -> Sampler:
    return SimulatedSampler(
        opened.parts[part],
        how.axes,
        how.settings,
        how.intensity,
        opened.seeds[part],
        n_per_image=opened.described.patches_per_image,
        constants=constants,
    )


def _combine(samplers: Sequence[tuple[Sampler, float]]) -> Sampler:
    if len(samplers) == 1:
        return samplers[0][0]
    return MixedSampler([sampler for sampler, _ in samplers], [share for _, share in samplers])


_ROUND = 64
"""Patches after which the shares are exact, as far as they can be."""


class MixedSampler:
    """Draws from several samplers in turn (`patches.Sampler`).

    Each gets its own numbers without gaps, so that samplers that cut several patches from one image lose nothing.
    """

    def __init__(self, samplers: Sequence[Sampler], shares: Sequence[float]) -> None:
        self.samplers = tuple(samplers)
        self._turns = _spread_turns(shares)
        # How many patches of its own sampler come before each turn of a round.
        self._before = np.array([np.count_nonzero(self._turns[:i] == which) for i, which in enumerate(self._turns)])

    def patch(self, number: int) -> Patch:
        """Return the `number`-th patch of the training."""
        cycle, turn = divmod(number, len(self._turns))
        which = int(self._turns[turn])
        n_in_round = int(np.count_nonzero(self._turns == which))
        return self.samplers[which].patch(cycle * n_in_round + int(self._before[turn]))

    def fixed_patches(self, n: int, *, is_anywhere: bool = False) -> Patch:
        """Return `n` patches that are always the same, as many of each sampler as its share."""
        turns = self._turns[np.arange(n) % len(self._turns)]
        drawn = [
            sampler.fixed_patches(int(np.count_nonzero(turns == which)), is_anywhere=is_anywhere)
            for which, sampler in enumerate(self.samplers)
            if (turns == which).any()
        ]
        return tuple(np.concatenate(each) for each in zip(*drawn, strict=True))


def _spread_turns(shares: Sequence[float]) -> NDArray[np.intp]:
    """Return whose turn it is in a round: as evenly spread as the shares allow, everybody at least once."""
    wanted = np.asarray(shares, float) / sum(shares)
    counts = np.maximum(1, np.rint(wanted * _ROUND)).astype(int)
    # Each spreads its turns evenly over the round.
    at = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    return np.repeat(np.arange(len(counts)), counts)[np.argsort(at, kind="stable")]
