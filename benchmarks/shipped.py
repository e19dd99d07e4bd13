"""Models that ship, or the packages that variables of the environment name in their place."""

from __future__ import annotations

import os
from dataclasses import replace

import yaml

import carezoo
from carezoo.errors import CarezooError
from carezoo.package.read import Package
from carezoo.pairs.find import Pair
from carezoo.pairs.split import split_pairs
from carezoo.train.prepare import find_acquired_pairs
from carezoo.train.recipe import Recipe


def model(variable: str, name: str) -> carezoo.Model | None:
    """Return the package that `variable` names, or the model `name`; None if there is none."""
    try:
        return carezoo.load(os.environ.get(variable, name))
    except CarezooError:
        return None


def reported_pairs(package: Package, folder: str) -> tuple[Pair, ...]:
    """Return the acquired pairs below `folder` that the recipe of a package reports on: it learned from none."""
    recipe = Recipe.from_dict(yaml.safe_load(package.read_bytes("recipe.yaml")))
    acquired = find_acquired_pairs(replace(recipe, data=replace(recipe.data, folder=folder)))
    return split_pairs(acquired, recipe.data.sets, recipe.seed).report
