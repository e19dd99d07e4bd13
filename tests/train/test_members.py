"""Several members in one run: trained one after the other, resumed, packed together and alone."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
import test_tasks
import tifffile
import torch

from carezoo.check.run import check
from carezoo.errors import RecipeError, TrainError
from carezoo.package.manifest import Members
from carezoo.package.read import open_package
from carezoo.runtime.session import Session
from carezoo.train import history, loop
from carezoo.train.pack import draft_tools
from carezoo.train.recipe import Recipe
from carezoo.train.run import train
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.mixture import Mixture

TRAINING = {"n_epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "n_validation_patches": 2}


def recipe_of(folder, n_members, **changes):
    one = {"name": "made", "source": "low", "target": "high", "license": "CC0-1.0", "axes": "YX"}
    values = {
        "name": "blobs",
        "members": n_members,
        "data": {"folder": str(folder), "sets": [{**one, "split": {"choose": "choose.tif", "report": "report.tif"}}]},
        "patches": {"size": {"y": 16, "x": 16}},
        "network": {"depth": 1, "kernel": 3, "n_first": 2, "probabilistic": True},
        "training": TRAINING,
    }
    return Recipe.from_dict({**values, **changes})


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(draft_tools, "bytes_per_pixel", lambda weights, n_channels, rules: 100)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(1)
    for side in ("low", "high"):
        (folder / side).mkdir()
    for name in ("fit", "choose", "report"):
        for side, pixels in zip(("low", "high"), test_tasks.blobs(rng, 64, 64), strict=True):
            tifffile.imwrite(folder / side / f"{name}.tif", pixels)
    return folder


@pytest.fixture(scope="module")
def grown(pairs, tmp_path_factory):
    """Return a run that was begun with one member and continued with three."""
    out = tmp_path_factory.mktemp("grown")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draft_tools, "bytes_per_pixel", lambda weights, n_channels, rules: 100)
        assert train(recipe_of(pairs, 1), out).name == "blobs-0.1.0.zip"
        first = (out / "checkpoints" / "best.pt").read_bytes()
        assert train(recipe_of(pairs, 3), out, resume=True).name == "blobs-ensemble-0.1.0.zip"
        assert (out / "checkpoints" / "best.pt").read_bytes() == first
    return out


def copied(grown, tmp_path):
    return shutil.copytree(grown, tmp_path / "run")


def weights_of(out, number):
    own = out / f"member-{number}"
    return torch.load((own if own.exists() else out) / "checkpoints" / "best.pt", weights_only=True)["network"]


def initializers(package):
    graph = onnx.load_from_string(package.read_weights()).graph
    return {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}


def test_a_run_grows_and_its_members_differ_in_weights_and_patches(grown):
    assert {path.name for path in grown.iterdir() if path.is_dir()} >= {"checkpoints", "member-2", "member-3"}
    assert not (grown / "member-1").exists()
    curves = [history.read(folder) for folder in (grown, grown / "member-2", grown / "member-3")]
    assert [len(rows) for rows in curves] == [2, 2, 2]
    assert len({rows[0]["val_loss"] for rows in curves}) == 3
    first, second, third = (weights_of(grown, number)["encoder.0.first.weight"] for number in (1, 2, 3))
    assert (first - second).abs().max() > 0.1
    assert (second - third).abs().max() > 0.1


def test_the_graph_holds_the_members_and_mixes_them(grown):
    package = open_package(grown / "blobs-ensemble-0.1.0.zip")
    assert check(package).passed
    assert package.manifest.carezoo.members == Members("members", 3)
    assert [channel.kind for channel in package.manifest.carezoo.channels] == ["mean", "scale", "disagreement"]
    assert len(package.manifest.carezoo.training.members) == 3
    stored = {
        each.name: onnx.numpy_helper.to_array(each)
        for each in onnx.load_from_string(package.read_weights()).graph.initializer
    }
    for number in (1, 2, 3):
        for name, value in weights_of(grown, number).items():
            np.testing.assert_array_equal(stored[f"network.members.{number - 1}.{name}"], value.numpy())
    restored, each = Session(package.read_weights(), provider="cpu").run(
        np.random.default_rng(0).random((1, 1, 8, 8), np.float32)
    )
    mixture = Mixture(Laplace(each[0, :3], each[0, 3:]))
    np.testing.assert_allclose(restored[0, 0], mixture.mean, atol=1e-6)
    np.testing.assert_allclose(restored[0, 1], mixture.scale, rtol=1e-4)
    np.testing.assert_allclose(restored[0, 2], mixture.disagreement(), atol=1e-3)


def test_one_member_is_packed_alone_without_training(grown, pairs, tmp_path, monkeypatch):
    out = copied(grown, tmp_path)
    monkeypatch.setattr(loop._Run, "train", lambda self, batches: pytest.fail("nothing is left to train"))
    package = open_package(train(recipe_of(pairs, 3), out, member=2))
    assert package.manifest.id == "blobs"
    assert package.manifest.carezoo.members is None
    stored = initializers(package)
    for name, value in weights_of(out, 2).items():
        np.testing.assert_array_equal(stored[name], value.numpy())
    assert (out / "member-2" / "report" / "scores.json").exists()
    again = (out / "blobs-ensemble-0.1.0.zip").read_bytes()
    train(recipe_of(pairs, 3), out, resume=True)
    assert (out / "blobs-ensemble-0.1.0.zip").read_bytes() == again


def test_a_run_stopped_in_its_second_member_goes_on_there(pairs, tmp_path, monkeypatch):
    recipe, fit = recipe_of(pairs, 2, network={"depth": 1, "kernel": 3, "n_first": 2}), loop.fit

    def stopped(network, data, settings, folder, **options):
        if folder.name == "member-2":
            raise KeyboardInterrupt
        return fit(network, data, settings, folder, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "fit", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path)
    with pytest.raises(TrainError, match="holds a training"):
        train(recipe, tmp_path)
    assert train(recipe, tmp_path, member=1).name == "blobs-0.1.0.zip"
    before = (tmp_path / "member-1" / "log.csv").stat().st_mtime_ns
    package = open_package(train(recipe, tmp_path, resume=True))
    assert (tmp_path / "member-1" / "log.csv").stat().st_mtime_ns == before
    # Without scales there is nothing that tells disagreement from difference.
    assert [channel.kind for channel in package.manifest.carezoo.channels] == ["mean"]
    assert package.manifest.carezoo.calibration is None


def test_members_of_another_architecture_or_number_are_refused(grown, pairs, tmp_path):
    out = copied(grown, tmp_path)
    with pytest.raises(RecipeError, match=r"member 4: the recipe has members: 3"):
        train(recipe_of(pairs, 3), out, member=4)
    network = {"depth": 1, "kernel": 3, "n_first": 4, "probabilistic": True}
    with pytest.raises(RecipeError, match=r"begun with another recipe: network\.n_first \(2 there, 4 now\)"):
        train(recipe_of(pairs, 3, network=network), out, resume=True)
    train(recipe_of(pairs, 1, network=network), tmp_path / "other")
    shutil.copytree(tmp_path / "other" / "checkpoints", out / "member-2" / "checkpoints", dirs_exist_ok=True)
    packed = (out / "blobs-ensemble-0.1.0.zip").read_bytes()
    with pytest.raises(TrainError, match=r"member-2.*belongs to another network"):
        train(recipe_of(pairs, 3), out, resume=True)
    assert (out / "blobs-ensemble-0.1.0.zip").read_bytes() == packed


def test_members_start_from_those_of_an_ensemble(grown, pairs, tmp_path):
    still = recipe_of(pairs, 2, training={**TRAINING, "n_epochs": 1, "learning_rate": 1e-12})
    package = open_package(train(still, tmp_path, start_from=str(grown / "blobs-ensemble-0.1.0.zip")))
    assert package.manifest.rdf["parent"] == {"id": "blobs-ensemble", "version": "0.1.0"}
    for number in (1, 2):
        for name, value in weights_of(grown, number).items():
            torch.testing.assert_close(weights_of(tmp_path, number)[name], value, atol=1e-6, rtol=1e-6)


def test_scores_and_words_of_the_ensemble(grown):
    package = open_package(grown / "blobs-ensemble-0.1.0.zip")
    assert package.manifest.rdf["name"] == "blobs ensemble"
    card = package.read_bytes("README.md").decode()
    assert "3 members" in card
    assert "Member 3: 4 steps" in card
    assert package.manifest.carezoo.scores["n_images"] == 1
