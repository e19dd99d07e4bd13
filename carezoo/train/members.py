"""The members of a run: where each stands on disk, and what sets it apart from the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from carezoo.train import checkpoint
from carezoo.train.batches import Batch
from carezoo.train.loop import Data

MOST_STEPS = 10**9
"""A training that is longer would draw the patches of the next member."""


def folder_of(out: Path, number: int, n_members: int) -> Path:
    """Return the folder with the checkpoints and the log of a member.

    Parameters
    ----------
    out
        Folder of the run.
    number
        Of the member, from 1.
    n_members
        Of the run. The only member has no folder of its own, and stays where it is if others are trained later.
    """
    own = out / f"member-{number}"
    began_alone = checkpoint.exists(out / checkpoint.FOLDER)
    is_in_run = number == 1 and (began_alone or n_members == 1) and not checkpoint.exists(own / checkpoint.FOLDER)
    return out if is_in_run else own


def exists(out: Path, number: int, n_members: int) -> bool:
    """Whether the training of a member has begun."""
    return checkpoint.exists(folder_of(out, number, n_members) / checkpoint.FOLDER)


def seed_of(seed: int, number: int) -> int:
    """Return the seed of a member's initial weights, given that of the recipe."""
    return seed if number == 1 else int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0])


def data_of(data: Data, number: int) -> Data:
    """Return what a member is fitted to: patches of its own, and the validation patches of all."""
    shift = (number - 1) * MOST_STEPS

    def batches(steps: range, rank: int, n_ranks: int) -> Iterable[Batch]:
        return data.batches(range(steps.start + shift, steps.stop + shift), rank, n_ranks)

    return replace(data, batches=batches)
