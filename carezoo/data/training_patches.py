"""Everything a training draws from its images, acquired and computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from carezoo.data.matching import Intensity, Levels, Matching
from carezoo.data.mixed_patches import MixedSampler
from carezoo.data.pair_axes import PairAxes
from carezoo.data.patches import Patches, Sampler, prepare_patches
from carezoo.data.simulated_patches import SimulatedSampler, measured_constants
from carezoo.data.simulated_sets import OpenSet
from carezoo.data.split import Part, Parts
from carezoo.errors import DataError


@dataclass(frozen=True)
class TrainingPatches:
    """What a training draws from."""

    fit: Sampler
    choose: Sampler
    matching: Matching
    """What was measured on the images to fit."""


@dataclass(frozen=True)
class Drawing:
    """The recipe's words on patches."""

    intensity: Intensity
    settings: Patches
    axes: PairAxes
    seed: int


def prepare_all(parts: Parts, opened: Sequence[OpenSet], how: Drawing, cache: Path) -> TrainingPatches:
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
        constants = measured_constants(first.parts["fit"], how.intensity, first.seeds["fit"])
        matching = replace(matching, constants=constants)
    drawn: dict[Part, list[tuple[Sampler, float]]] = {
        "fit": [(files.fit, 1.0)] if files.fit else [],
        "choose": [(files.choose, 1.0)] if files.choose else [],
    }
    for each in opened:
        for part, samplers in drawn.items():
            if part == "fit" or each.described.n_choose:
                samplers.append((_sampler(each, part, how, matching.constants), each.described.share))
    if not drawn["choose"]:
        raise DataError(
            "nothing is left to choose on; give a simulated set n_choose of 1 or more, or name files (split)"
        )
    return TrainingPatches(_together(drawn["fit"]), _together(drawn["choose"]), matching)


def _sampler(opened: OpenSet, part: Part, how: Drawing, constants: Levels | None) -> Sampler:
    return SimulatedSampler(
        opened.parts[part],
        how.axes,
        how.settings,
        how.intensity,
        opened.seeds[part],
        n_per_image=opened.described.patches_per_image,
        constants=constants,
    )


def _together(samplers: Sequence[tuple[Sampler, float]]) -> Sampler:
    if len(samplers) == 1:
        return samplers[0][0]
    return MixedSampler([sampler for sampler, _ in samplers], [share for _, share in samplers])
