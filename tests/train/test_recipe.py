from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from carezoo.errors import RecipeError
from carezoo.pairs.section import FileSet, PairAxes
from carezoo.train.explain import explain
from carezoo.train.recipe import Recipe
from carezoo.train.sections import Data, NetworkSection, Training

MINIMAL = {"name": "denoise-cells", "data": {"sets": [{"source": "low", "target": "high"}]}}


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def changed(**sections: object) -> dict[str, object]:
    return {**MINIMAL, **sections}


def test_a_short_recipe_is_a_whole_one():
    recipe = Recipe.from_dict(MINIMAL)
    assert recipe.data.sets[0].source == ("low",)
    assert recipe.data.sets[0].name == "data1"
    assert recipe.spatial_axes == "YX"
    assert recipe.intensity.mode == "matched"
    assert recipe.training.loss == "auto"
    assert Recipe.from_dict(changed(patches={"size": {"z": 16, "y": 64, "x": 64}})).spatial_axes == "ZYX"


@pytest.mark.parametrize(
    ("sections", "pairs", "model"),
    [
        ({"patches": {"size": {"z": 8, "y": 64, "x": 64}}}, PairAxes("ZYX"), "ZYX"),
        ({"task": "isotropic", "factor": "51/5"}, PairAxes("YX"), "ZYX"),
        (
            {"task": "upsample", "factor": 10.2, "patches": {"size": {"z": 5}}},
            PairAxes("ZYX", "ZYX", Fraction(51, 5)),
            "ZYX",
        ),
        ({"task": "project", "patches": {"size": {"z": 7}}}, PairAxes("ZYX", "YX"), "ZYX"),
    ],
)
def test_a_task_says_which_axes_its_pairs_have(sections, pairs, model):
    recipe = Recipe.from_dict(changed(**sections))
    assert recipe.pair_axes == pairs
    assert recipe.spatial_axes == model
    assert recipe.patches.rotate == (recipe.task != "isotropic")
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_yaml_and_dictionary_round_trips(tmp_path):
    recipe = Recipe.from_dict(
        changed(
            authors=[{"name": "Ada Ünal", "orcid": "0000-0001-2345-6789"}],
            cite=[{"text": "Somebody 2019", "doi": "10.1000/xyz"}],
            data={"sets": [{"source": "low", "target": "high", "nodata": 0}]},
            package={"sample": {"source": "a.tif"}, "pixel_size_um": {"y": 0.1, "x": 0.1}},
            training={"learning_rate": 1e-3, "max_minutes": 2.5},
            seed=7,
        )
    )
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    again = Recipe.load(written(tmp_path, recipe.dumps()))
    assert again.to_dict() == recipe.to_dict()
    assert "Ada Ünal" in recipe.dumps()


def test_relative_paths_start_at_the_recipe_or_at_the_folder_given(tmp_path):
    path = written(tmp_path, yaml.safe_dump(MINIMAL))
    assert Recipe.load(path).path("low") == tmp_path.resolve() / "low"
    assert Recipe.load(path, tmp_path / "elsewhere").path("low") == tmp_path.resolve() / "elsewhere" / "low"
    own = {**MINIMAL, "data": {**MINIMAL["data"], "folder": "images"}}
    path = written(tmp_path, yaml.safe_dump(own))
    assert Recipe.load(path).path("low") == tmp_path.resolve() / "images" / "low"
    assert Recipe.load(path, tmp_path / "elsewhere").path("low") == tmp_path.resolve() / "elsewhere" / "low"


def test_the_record_names_no_folder_of_the_machine(tmp_path):
    assert str(tmp_path) not in Recipe.load(written(tmp_path, yaml.safe_dump(MINIMAL))).dumps()


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"trainig": {}}, ["recipe", "'trainig'", "training"]),
        (
            {"data": {"sets": [{"source": "low", "target": "high", "nodata": "padding"}]}},
            ["recipe.data.sets[0].nodata: expected auto, none or float, found 'padding'"],
        ),
        ({"training": {"learning_rat": 1}}, ["recipe.training", "'learning_rat'", "learning_rate"]),
        ({"training": {"loss": "mea"}}, ["recipe.training.loss", "mae", "'mea'"]),
        ({"training": {"n_epochs": 2.5}}, ["recipe.training.n_epochs", "int", "2.5"]),
        ({"training": {"n_epochs": True}}, ["recipe.training.n_epochs", "True"]),
        ({"training": {"learning_rate": -1}}, ["recipe.training", "learning_rate", "-1"]),
        ({"training": {"learning_rate": "nan"}}, ["learning_rate", "nan"]),
        ({"training": {"batch_size": 0}}, ["batch_size", "at least 1", "0"]),
        ({"training": {"plateau_factor": 1}}, ["plateau_factor"]),
        ({"training": {"averaging": 1}}, ["averaging"]),
        ({"training": {"loss": "faithful", "likelihood_from": 0}}, ["likelihood_from", "above 0"]),
        ({"training": {"likelihood_from": 0.5}}, ["likelihood_from", "loss: faithful", "leave it out"]),
        ({"training": {"n_workers": -1}}, ["n_workers"]),
        ({"network": {"kernel": 4}}, ["recipe.network", "kernel", "odd", "4"]),
        ({"network": {"depth": 0}}, ["depth", "1 to 6", "0"]),
        ({"training": {"loss": "laplace"}}, ["training.loss", "probabilistic"]),
        ({"network": {"probabilistic": True}, "training": {"loss": "mae"}}, ["training.loss", "laplace"]),
        ({"patches": {"size": {"y": 100, "x": 130}}}, ["patches.size", "multiples of 4", "x: 130"]),
        ({"patches": {"size": {"y": 0}}}, ["recipe.patches.size", "y", "0"]),
        ({"patches": {"flip": "ZYX"}}, ["flip", "YX", "'ZYX'"]),
        ({"patches": {"background_threshold": 1.0}}, ["background_threshold", "1"]),
        ({"patches": {"background_percentile": 0}}, ["background_percentile"]),
        ({"intensity": {"percentiles": [99.8, 2]}}, ["recipe.intensity", "percentiles", "low < high"]),
        ({"intensity": {"percentiles": [2]}}, ["percentiles"]),
        ({"intensity": {"range": [0, 255]}}, ["range", "matched", "mode: fixed"]),
        ({"intensity": {"mode": "fixed", "range": [255, 0]}}, ["range", "low < high"]),
        ({"intensity": {"mode": "fixed", "percentile_jitter": True}}, ["percentile_jitter", "fixed"]),
        ({"name": "Denoise Cells"}, ["name", "lower-case", "'Denoise Cells'"]),
        ({"version": "1.0"}, ["version", "MAJOR.MINOR.PATCH", "'1.0'"]),
        ({"version": 1.0}, ["recipe.version", "str", "1.0"]),
        ({"members": 0}, ["members", "at least 1", "0"]),
        ({"training": {"schedule": "linear"}}, ["schedule", "plateau, cosine"]),
        ({"training": {"max_gradient_norm": 0}}, ["max_gradient_norm", "above 0"]),
        ({"seed": -1}, ["seed"]),
        ({"task": "segment"}, ["recipe.task", "denoise", "'segment'"]),
        ({"task": "upsample"}, ["patches.size", "patches ZYX, found YX"]),
        ({"task": "isotropic"}, ["factor: task isotropic needs one", "51/5; found none"]),
        ({"task": "isotropic", "factor": 0.5}, ["factor", "found 1/2"]),
        ({"factor": 2}, ["factor", "no meaning for task denoise"]),
        ({"task": "isotropic", "factor": 4, "patches": {"size": {"z": 4}}}, ["patches YX, found ZYX"]),
        (
            {"task": "upsample", "factor": 10.2, "patches": {"size": {"z": 4}}},
            ["multiples of 5", "denominator of factor 51/5", "z: 4"],
        ),
        ({"task": "project", "patches": {"size": {"z": 7, "y": 40}}}, ["multiples of 16", "projection", "y: 40"]),
        ({"network": {"projection": {"kernel": [3, 2, 3]}}}, ["projection", "three odd numbers", "[3, 2, 3]"]),
        ({"network": {"projection": {"depth": 0}}}, ["depth", "1 to 6"]),
        ({"cite": [{"text": "Somebody"}]}, ["cite[0]", "doi or a url"]),
        ({"cite": [{"text": "Somebody", "doi": "https://doi.org/10.1/x"}]}, ["doi", "10.1038/"]),
        ({"authors": [{"name": "Ada", "orcid": "12"}]}, ["authors[0]", "orcid", "'12'"]),
        ({"package": {"pixel_size_um": {"y": 0, "x": 1}}}, ["pixel_size_um", "y", "above 0"]),
        ({"package": {"sample": {"source": "a.tif", "axes": "YXQ"}}}, ["recipe.package.sample", "'Q'"]),
        ({"data": {}}, ["recipe.data", "at least one set", "simulated"]),
        ({"data": {"sets": []}}, ["recipe.data", "at least one set"]),
        ({"data": {"sets": [{"source": "low"}]}}, ["recipe.data.sets[0]", "missing", "target"]),
        ({"data": {"sets": [{"source": [], "target": "a"}]}}, ["recipe.data.sets[0]", "source and target"]),
        ({"data": {"sets": [{"source": "a", "target": "b", "axes": "YY"}]}}, ["axes", "more than once"]),
        ({"data": {"sets": [{"source": "a", "target": "b", "source_channels": [-1]}]}}, ["source_channels", "from 0"]),
        (
            {"data": {"sets": [{"source": "a", "target": "b", "source_channels": [0, 1]}]}},
            ["2 channel(s)", "source_channels", "signal"],
        ),
        (
            {
                "data": {
                    "sets": [{"source": "a", "target": "b", "name": "x"}, {"source": "c", "target": "d", "name": "x"}]
                }
            },
            ["name of its own", "x, x"],
        ),
        ({"data": {"channels": ["a", "a"], "sets": MINIMAL["data"]["sets"]}}, ["channels", "different names"]),
        (
            {
                "data": {
                    "sets": [{"source": "a", "target": "b", "split": {"choose_fraction": 0.9, "report_fraction": 0.2}}]
                }
            },
            ["recipe.data.sets[0].split", "0.9", "0.2"],
        ),
        (
            {"data": {"channels": ["a", "b"], "target_channels": ["c"], "sets": MINIMAL["data"]["sets"]}},
            ["matched", "2 source and 1 target", "own"],
        ),
        (
            {
                "data": {"channels": ["a", "b"], "target_channels": ["c"], "sets": MINIMAL["data"]["sets"]},
                "intensity": {"mode": "own"},
                "network": {"residual": True},
            },
            ["network.residual"],
        ),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tmp_path, sections, words):
    path = written(tmp_path, yaml.safe_dump(changed(**sections)))
    with pytest.raises(RecipeError) as raised:
        Recipe.load(path)
    for word in [str(path), *words]:
        assert word in str(raised.value)
    assert str(raised.value).count(str(path)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["an empty file"]),
        ("- a\n- b\n", ["expected keys", "list"]),
        ("name: a\ndata: [\n", ["line 3", "not valid YAML"]),
        ("name: a\nname: b\n", ["line 2", "'name'", "twice"]),
        ("training: {loss: mae, loss: mse}\n", ["line 1", "'loss'", "twice"]),
    ],
)
def test_a_file_that_is_no_recipe_is_named_with_its_line(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(RecipeError) as raised:
        Recipe.load(path)
    for word in [str(path), *words]:
        assert word in str(raised.value)


def test_a_missing_or_binary_file_is_one_message(tmp_path):
    with pytest.raises(RecipeError, match=r"nothing\.yaml: cannot read the recipe: No such file"):
        Recipe.load(tmp_path / "nothing.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"binary\.yaml: expected a YAML text file"):
        Recipe.load(tmp_path / "binary.yaml")


def test_python_gets_the_same_checks():
    with pytest.raises(RecipeError, match="kernel"):
        NetworkSection(kernel=2)
    recipe = Recipe(name="a", data=Data(sets=(FileSet(source=("low",), target=("high",)),)))
    assert dataclasses.replace(recipe, training=Training(n_epochs=3)).training.n_epochs == 3
    with pytest.raises(RecipeError, match="probabilistic"):
        dataclasses.replace(recipe, training=Training(loss="laplace"))


def test_explain_names_every_field_with_its_meaning():
    text = explain()
    # Its keys are those of a recipe: removing type and meaning leaves a skeleton with every field.
    keys = yaml.safe_load(text)

    def check(section: type, found: object) -> None:
        assert isinstance(found, dict)
        assert list(found) == [field.name for field in dataclasses.fields(section)]

    check(Recipe, keys)
    check(NetworkSection, keys["network"])
    check(Training, keys["training"])
    check(FileSet, keys["data"]["sets"])
    assert "  kernel:  # whole number | null, default: null" in text
    assert "  learning_rate:  # number, default: 0.0004\n    # Of the Adam optimizer" in text
    assert "name:  # text, required" in text


def test_explain_fails_for_a_field_without_meaning():
    @dataclasses.dataclass(frozen=True)
    class Silent:
        told: int = 1
        """Something."""
        untold: int = 2

    with pytest.raises(KeyError, match="untold"):
        explain(Silent)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"title": "Cells, 2D"}, "title: expected 5 to 128 letters"),
        ({"description": "x" * 1025}, "description: expected"),
    ],
)
def test_words_the_package_format_refuses_are_refused_before_training(words, said):
    sets = [{"name": "s", "source": "noisy", "target": "clean", "axes": "YX"}]
    with pytest.raises(RecipeError, match=said):
        Recipe.from_dict({"name": "my-model", "data": {"channels": ["a"], "sets": sets}, **words})
