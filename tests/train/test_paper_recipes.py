"""Recipes for the data sets of the paper, which are not at hand: they parse, and say that they were not trained."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tifffile

from carezoo.train.recipe import Recipe

FOLDER = Path(__file__).parents[2] / "zoo" / "recipes-paper"
TASKS = {
    "flywing": ("project", "ZYX"),
    "liver": ("isotropic", "ZYX"),
    "planaria": ("denoise", "ZYX"),
    "retina": ("isotropic", "ZYX"),
    "tribolium": ("denoise", "ZYX"),
}


def test_all_data_sets_of_the_paper_have_one():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(TASKS)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_it_is_a_whole_recipe_marked_as_not_trained(name):
    path = FOLDER / f"{name}.yaml"
    recipe = Recipe.load(path)
    assert (recipe.task, recipe.spatial_axes) == TASKS[name]
    assert recipe.members == 5
    assert recipe.network.probabilistic
    assert path.read_text().startswith("# Not trained here")
    assert f"zoo/recipes-paper/{name}.yaml --data DIR" in path.read_text()


def test_patches_in_one_archive_become_folders(tmp_path):
    spec = importlib.util.spec_from_file_location("unpack_patches", FOLDER / "unpack_patches.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sources = np.random.default_rng(0).random((230, 1, 4, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "data.npz", X=sources, Y=sources + 1)
    assert module.unpack(tmp_path / "data.npz", tmp_path / "planaria") == 3
    last = tifffile.imread(tmp_path / "planaria" / "GT" / "patches0002.tif")
    np.testing.assert_array_equal(last, sources[200:, 0] + 1)
