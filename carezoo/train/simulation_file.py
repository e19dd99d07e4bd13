"""What `carezoo simulate` reads: a section `simulate` by itself, or the recipe of a training that has one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from carezoo.errors import RecipeError
from carezoo.schema import yaml_file
from carezoo.simulate.pairs import describe
from carezoo.simulate.section import Simulation
from carezoo.train.recipe import Recipe


def load(
    path: Path,
    folder: Path | None = None,
    *,
    name: str | None = None,
    n_pairs: int | None = None,
    seed: int | None = None,
) -> tuple[Simulation, Path]:
    """Read a description, and where its relative paths start.

    Parameters
    ----------
    folder
        Where they start, instead of its own choice.
    name
        Which set of a training recipe.
    n_pairs, seed
        Instead of its own.

    Raises
    ------
    RecipeError
        If the file cannot be read, is not understood, or has no such set.
    """
    values = yaml_file.read(path)
    if "data" in values:
        recipe = Recipe.load(path, folder)
        simulation, start = _take_from_training(recipe, path, name), Path(recipe.data.folder)
    else:
        if name is not None:
            raise RecipeError(f"{path}: --set chooses from the sets of a training recipe, but this is one simulation")
        section = values.get("simulate", values)
        other = sorted(set(values) - {"simulate"}) if "simulate" in values else []
        if other or not isinstance(section, dict):
            found = ", ".join(other) or repr(section)
            raise RecipeError(f"{path}: expected a section simulate and nothing else, or its keys alone, found {found}")
        try:
            simulation, start = describe(section), path.parent if folder is None else folder
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None
    chosen: dict[str, Any] = {"n_pairs": n_pairs, "seed": seed}
    return replace(simulation, **{key: value for key, value in chosen.items() if value is not None}), start


def _take_from_training(recipe: Recipe, path: Path, name: str | None) -> Simulation:
    sets = {each.name: each.simulate for each in recipe.data.simulated}
    if not sets:
        raise RecipeError(f"{path}: this training has no simulated set (data.simulated)")
    if name is None and len(sets) > 1:
        raise RecipeError(f"{path}: several sets are simulated; choose one with --set: {', '.join(sets)}")
    if name is not None and name not in sets:
        raise RecipeError(f"{path}: no simulated set is called {name}; there are {', '.join(sets)}")
    return sets[name] if name is not None else next(iter(sets.values()))
