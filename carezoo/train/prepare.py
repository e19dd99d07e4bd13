"""From a recipe to what a network is fitted to, and a record of which files that was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from carezoo.domain_check import ImageSample, describe
from carezoo.errors import DataError, RecipeError
from carezoo.pairs.find import ImageKey, Pair, find_pairs
from carezoo.pairs.intensity import Matching, Relation, check_scorable, make_identity
from carezoo.pairs.noisy import pair_noisy_images
from carezoo.pairs.registration import RegistrationReport, check_files, refuse_mistakes, register_pairs
from carezoo.pairs.section import ONE
from carezoo.pairs.split import PairParts, Part, split_pairs
from carezoo.pairs.valid_part import keep_valid_parts
from carezoo.patches.files import Sampler
from carezoo.patches.sampler import PatchPlan, prepare_all
from carezoo.simulate import pairs as pairs_
from carezoo.simulate.files import to_image
from carezoo.simulate.sets import OpenSet, open_set, write_report_files
from carezoo.train.batches import Batch, default_workers, draw_batches
from carezoo.train.loop import TrainingData
from carezoo.train.pack.records import FileRecord, record_clean_files, record_files
from carezoo.train.recipe import Recipe
from carezoo.train.sections import Training

log = logging.getLogger("carezoo")


@dataclass(frozen=True)
class Prepared:
    """Everything a training needs of its images."""

    parts: PairParts
    matching: Matching
    """Intensities as measured on the files to fit."""
    data: TrainingData
    choose: Sampler
    """Of the files to choose on."""
    records: tuple[FileRecord, ...]
    registration: RegistrationReport | None
    """How the acquired pairs match, as far as that was measured."""
    computed: tuple[OpenSet, ...]
    """Sets of pairs that are computed while training."""


def prepare(recipe: Recipe, cache: Path) -> Prepared:
    """Find, split, match and check the images of a recipe, acquired and computed.

    Parameters
    ----------
    cache
        Folder for decoded images and for computed pairs to report on; may be deleted after the training.

    Raises
    ------
    RecipeError
        If a set of computed pairs does not serve the task.
    DataError
        If the images cannot be used, or none to report on can be scored; see `find_pairs`, `split_pairs`,
        `record_files` and `prepare_all`.
    """
    opened = _open_sets(recipe)
    written = tuple(files for each in opened if (files := write_report_files(each, cache)) is not None)
    sets = (*recipe.data.sets, *written)
    acquired = find_acquired_pairs(recipe)
    computed = find_pairs(replace(recipe.data, sets=written, simulated=()), recipe.model_axes) if written else ()
    elsewhere: tuple[Part, ...] = ("fit", "choose") if opened else ()
    least = recipe.patches.size.by_axis
    split = split_pairs((*acquired, *computed), sets, recipe.seed, elsewhere=elsewhere, least=least)
    paired = pair_noisy_images(split, acquired, recipe.data.sets, Path(recipe.data.folder))
    parts = _keep_scorable(paired, recipe)
    records = (*record_files(parts, sets), *(record for each in opened for record in record_clean_files(each)))
    how = PatchPlan(recipe.intensity, recipe.patches, recipe.pair_axes, recipe.seed)
    registration = check_files([pair for pair in acquired if pair.has_target], recipe.pair_axes)
    if registration:
        refuse_mistakes(registration, acquired, recipe.data.sets)
    patches = prepare_all(parts, opened, how, cache)
    batches = _batches(patches.fit, recipe.training, is_computed=bool(opened))
    data = TrainingData(batches, _validation(patches.choose, recipe.training))
    return Prepared(parts, patches.matching, data, patches.choose, records, registration, opened)


def _keep_scorable(parts: PairParts, recipe: Recipe) -> PairParts:
    """Leave out files to report on that could not be scored when the training is over."""
    kept, reasons = [], []
    for pair in parts.report:
        try:
            check_scorable(pair, recipe.intensity)
        except DataError as error:
            log.warning("%s is left out of the scores: %s", pair.name, error)
            reasons.append(str(error))
        else:
            kept.append(pair)
    if reasons and not kept:
        raise DataError(f"no file to report on can be scored ({reasons[0]}); name others (split.report)")
    return replace(parts, report=tuple(kept))


def find_acquired_pairs(recipe: Recipe) -> tuple[Pair, ...]:
    """Return the valid parts of all files of a recipe, targets moved onto their sources where a set asks for that.

    Raises
    ------
    DataError
        See `find_pairs`, `keep_valid_parts` and `register_pairs`.
    """
    pairs = keep_valid_parts(find_pairs(recipe.data, recipe.pair_axes), is_blank_kept=False)
    return register_pairs(pairs, recipe.data.sets, recipe.pair_axes)


def list_known_relations(recipe: Recipe, prepared: Prepared, pairs: Sequence[Pair]) -> dict[ImageKey, Relation]:
    """Return how targets and restored images are related, by file of the source, where nothing has to be fitted.

    That is known of computed pairs, which share their units (a fit to a source that is blurred, or has light that the
    target lacks, would find another gain), and of projections, whose sources show no plane to fit to. Acquired pairs of
    other tasks are fitted one by one, so that errors of gain and offset are those of the model, not of their exposure.
    """
    if recipe.intensity.mode == "own":
        return {}
    computed = {each.described.name for each in prepared.computed}
    known = {}
    for pair in pairs:
        if pair.dataset in computed:
            known[pair.source_key] = make_identity(len(pair.target_channels))
        elif recipe.model_axes.is_projected:
            known[pair.source_key] = prepared.matching.relation(pair)
    return known


def _open_sets(recipe: Recipe) -> tuple[OpenSet, ...]:
    opened = []
    for each in recipe.data.simulated:
        found = (each.simulate.task, each.simulate.plane_factor)
        if found != (recipe.task, recipe.factor or ONE):
            factor = f" and factor {recipe.factor}" if recipe.factor else ""
            raise RecipeError(
                f"set {each.name}: a model for task {recipe.task} learns from a simulation with the same task{factor}, "
                f"found task {found[0]}" + (f" and factor {found[1]}" if found[1] != 1 else "")
            )
        opened.append(open_set(each, Path(recipe.data.folder), recipe.seed))
        _check_axes(opened[-1], recipe)
    return tuple(opened)


def _check_axes(opened: OpenSet, recipe: Recipe) -> None:
    name, channels, axes = opened.described.name, recipe.data.channels, recipe.pair_axes.source
    found = opened.described.simulate.spatial_axes
    if found != axes:
        raise RecipeError(
            f"set {name}: simulates {found}, and the model takes patches {axes}; give pixel_size_um (and shape) for "
            f"{axes}, or change patches.size (z makes the network 3D)"
        )
    n_channels = opened.n_channels
    if n_channels != len(channels):
        raise RecipeError(
            f"set {name}: makes {n_channels} channel(s), and the model has {len(channels)}: {', '.join(channels)}; "
            "name as many in data.channels as the clean images have"
        )


def _batches(
    sampler: Sampler, settings: Training, *, is_computed: bool
) -> Callable[[range, int, int], Iterable[Batch]]:
    has_gpu, n_workers = torch.cuda.is_available(), settings.n_workers
    if n_workers is None:
        n_workers = default_workers("cuda" if has_gpu else "cpu", is_computed=is_computed)

    def batches(steps: range, rank: int, n_ranks: int) -> Iterable[Batch]:
        batch_size = settings.batch_size // n_ranks
        return draw_batches(
            sampler, steps, batch_size, n_workers=n_workers, rank=rank, n_ranks=n_ranks, pin_memory=has_gpu
        )

    return batches


def _validation(sampler: Sampler, settings: Training) -> list[Batch]:
    drawn = [torch.from_numpy(each) for each in sampler.fixed_patches(settings.n_validation_patches)]
    firsts = range(0, settings.n_validation_patches, settings.batch_size)
    return [tuple(each[first : first + settings.batch_size] for each in drawn) for first in firsts]


_N_COMPUTED = 12
"""Pairs of a set of computed ones that are made to be looked at."""


def training_images(recipe: Recipe, prepared: Prepared) -> dict[str, Any] | None:
    """Describe the sources of the files to fit, and of pairs like those that are computed to fit, set by set.

    Described are images as the packed model takes them. Slices, to which the network of an isotropic model is fitted,
    are none; there the stacks that computed pairs are scored on stand for them.

    Returns
    -------
    dict or None
        Section `training_images` of `config.carezoo`; None if there is no such image of 64 x 64 pixels.
    """
    kinds: dict[str, list[ImageSample]] = {}
    for pair in prepared.parts.fit:
        if recipe.model_axes.fits(pair.source.sizes, pair.target.sizes):
            kinds.setdefault(pair.dataset, []).append(ImageSample(pair.source, pair.source_channels))
    for opened in prepared.computed:
        if recipe.model_axes == recipe.pair_axes or opened.described.n_report:
            kinds.setdefault(opened.described.name, []).extend(_make_computed(opened))
    return describe(kinds, np.random.default_rng(recipe.seed))


def _make_computed(opened: OpenSet) -> Iterator[ImageSample]:
    of_fit, seed = opened.parts["fit"], opened.seeds["fit"]
    for i in range(_N_COMPUTED):
        yield ImageSample(
            to_image(of_fit, pairs_.make_whole_pair(of_fit, seed, i).source, is_source=True),
            tuple(range(opened.n_channels)),
        )
