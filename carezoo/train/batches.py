"""Batches of patches as torch tensors, in the order of the training steps."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch.utils.data import DataLoader, Dataset

from carezoo.patches.files import Patch, Sampler, stack_patches

Batch = tuple[torch.Tensor, ...]
"""Source and target, axes BC(Z)YX, and of noisy targets their noise, BC2, as in `carezoo.patches.files.Patch`."""

MOST_WORKERS = 4
"""Processes that draw patches for a GPU; a batch of 16 x 128 x 128 takes one of them some 10 ms."""


class _Steps(Dataset[Patch]):
    """The patches of each training step, by the number of the step."""

    def __init__(self, sampler: Sampler, batch_size: int, rank: int, n_ranks: int) -> None:
        self.sampler, self.batch_size, self.rank, self.n_ranks = sampler, batch_size, rank, n_ranks

    def __getitem__(self, step: int) -> Patch:
        first = (step * self.n_ranks + self.rank) * self.batch_size
        return stack_patches([self.sampler.patch(number) for number in range(first, first + self.batch_size)])


def draw_batches(
    sampler: Sampler,
    steps: range,
    batch_size: int,
    *,
    n_workers: int = 0,
    rank: int = 0,
    n_ranks: int = 1,
    pin_memory: bool = False,
) -> Iterable[Batch]:
    """Return the batches of `steps`, one by one.

    Which patches are in the batch of a step depends on the sampler and the arguments `batch_size`, `rank` and
    `n_ranks`, and on nothing else: a training that resumes at step k asks for ``range(k, n)`` and goes on as if it had
    never stopped.

    Parameters
    ----------
    steps
        Numbers of the training steps, counted from 0 over all epochs.
    batch_size
        Patches in a batch of one process.
    n_workers
        Processes that draw at most two batches each ahead of the training; 0: batches are drawn when asked for.
    rank, n_ranks
        Which of several training processes this is: each gets patches of its own.
    pin_memory
        Put batches into memory from which a GPU copies fast.
    """
    return DataLoader(
        _Steps(sampler, batch_size, rank, n_ranks),
        batch_size=None,
        sampler=steps,
        num_workers=n_workers,
        prefetch_factor=2 if n_workers else None,
        pin_memory=pin_memory,
    )


def default_workers(device: str, *, is_computed: bool = False) -> int:
    """Return how many processes should draw patches for a training on `device` (torch's name of its type).

    None for a CPU where patches are cut from files: that takes a hundredth of a step there, and workers would take the
    cores the step computes on. Pairs that are computed take a tenth of a step or more, which one worker takes off it
    where there are cores to spare.
    """
    n_cores = os.cpu_count() or 1
    if device == "cpu":
        return int(is_computed and n_cores > 2)
    return min(MOST_WORKERS, max(1, n_cores - 1))
