"""What the inputs of a training look like, for the package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from carezoo.data import isotropic_volumes, simulate
from carezoo.data.simulated_sets import OpenSet
from carezoo.data.written_pairs import as_image
from carezoo.likeness import Sample, describe
from carezoo.train.prepare import Prepared
from carezoo.train.recipe import Recipe

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
    kinds: dict[str, list[Sample]] = {}
    for pair in prepared.parts.fit:
        if recipe.model_axes.fits(pair.source.sizes, pair.target.sizes):
            kinds.setdefault(pair.dataset, []).append(Sample(pair.source, pair.source_channels))
    for opened in prepared.computed:
        if recipe.model_axes == recipe.pair_axes or opened.described.n_report:
            kinds.setdefault(opened.described.name, []).extend(_computed(opened))
    return describe(kinds, np.random.default_rng(recipe.seed))


def _computed(opened: OpenSet) -> Iterator[Sample]:
    of_fit, seed = opened.parts["fit"], opened.seeds["fit"]
    make = isotropic_volumes.pair if opened.described.simulate.task == "isotropic" else simulate.pair
    for i in range(_N_COMPUTED):
        yield Sample(as_image(of_fit, make(of_fit, seed, i).source, is_source=True), tuple(range(opened.n_channels)))
