"""From a recipe to what a network is fitted to, and a record of which files that was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from carezoo.data.matching import Matching
from carezoo.data.pairs import find_pairs
from carezoo.data.patches import PatchSampler, Sampler, prepare_patches
from carezoo.data.records import FileRecord, record_files
from carezoo.data.split import Parts, split_pairs
from carezoo.train.batches import Batch, default_workers, draw_batches
from carezoo.train.loop import Data
from carezoo.train.recipe import Recipe, Training


@dataclass(frozen=True)
class Prepared:
    """Everything a training needs of its images."""

    parts: Parts
    matching: Matching
    """Intensities as measured on the files to fit."""
    data: Data
    choose: Sampler
    """Of the files to choose on."""
    records: tuple[FileRecord, ...]


def prepare(recipe: Recipe, cache: Path) -> Prepared:
    """Find, split, match and check the images of a recipe.

    Parameters
    ----------
    cache
        Folder for decoded images; may be deleted after the training.

    Raises
    ------
    DataError
        If the images cannot be used; see `find_pairs`, `split_pairs`, `record_files` and `prepare_patches`.
    """
    sets = recipe.data.sets
    parts = split_pairs(find_pairs(recipe.data, recipe.pair_axes), sets, recipe.seed)
    records = record_files(parts, sets)
    patches = prepare_patches(parts, recipe.intensity, recipe.patches, cache, recipe.seed, recipe.pair_axes)
    data = Data(_batches(patches.fit, recipe.training), _validation(patches.choose, recipe.training))
    return Prepared(parts, patches.matching, data, patches.choose, records)


def _batches(sampler: PatchSampler, settings: Training) -> Callable[[range, int, int], Iterable[Batch]]:
    has_gpu, n_workers = torch.cuda.is_available(), settings.n_workers
    if n_workers is None:
        n_workers = default_workers("cuda" if has_gpu else "cpu")

    def batches(steps: range, rank: int, n_ranks: int) -> Iterable[Batch]:
        batch_size = settings.batch_size // n_ranks
        return draw_batches(
            sampler, steps, batch_size, n_workers=n_workers, rank=rank, n_ranks=n_ranks, pin_memory=has_gpu
        )

    return batches


def _validation(sampler: PatchSampler, settings: Training) -> list[Batch]:
    source, target = (torch.from_numpy(each) for each in sampler.fixed_patches(settings.n_validation_patches))
    return [
        (source[first : first + settings.batch_size], target[first : first + settings.batch_size])
        for first in range(0, len(source), settings.batch_size)
    ]
