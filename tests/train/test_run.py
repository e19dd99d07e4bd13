"""From a recipe to a package, on small pieces of real pairs."""

from __future__ import annotations

import csv
import importlib
import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

import carezoo
from carezoo.check.run import check
from carezoo.errors import CheckError, DataError, MissingExtraError, ParityError, PixelError, RecipeError, TrainError
from carezoo.package.manifest import IntensityUse
from carezoo.package.read import open_package
from carezoo.tiling import AxisRule
from carezoo.train import networks
from carezoo.train.pack import draft_tools, measure
from carezoo.train.recipe import Recipe
from carezoo.train.run import train

ROOT = Path(__file__).parents[2]
SOURCE = {"license": "CC0-1.0", "origin": "GigaDB"}
SPLIT = {"choose": ["choose.tif"], "report": ["report.tif"]}
TRAINING = {"n_epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "n_validation_patches": 4}


def save_pairs(folder, sources, targets):
    """Save pairs called fit, choose and report."""
    for side, images in (("low", sources), ("high", targets)):
        (folder / side).mkdir(parents=True)
        for name, image in zip(("fit", "choose", "report"), images, strict=True):
            tifffile.imwrite(folder / side / f"{name}.tif", image, metadata={"axes": "ZYX"[-image.ndim :]})


def recipe_of(folder, **changes):
    values = {
        "name": "cells",
        "seed": 4,
        "data": {
            "folder": str(folder),
            "sets": [
                {"name": "bpae", "source": "low", "target": "high", "split": SPLIT, **SOURCE},
            ],
        },
        "patches": {"size": {"y": 32, "x": 32}},
        "network": {"depth": 1, "kernel": 3, "n_first": 2},
        "training": TRAINING,
    }  # fmt: skip
    return Recipe.from_dict({**values, **changes})


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Return a folder with three fields of a real pair (fixed BPAE cells, short and long exposure, CC0)."""
    folder = tmp_path_factory.mktemp("pairs")
    noisy, clean = (tifffile.imread(ROOT / "zoo" / "demo" / name) for name in ("noisy.tif", "clean.tif"))
    corners = [(64, 64), (64, 256), (256, 128)]
    save_pairs(folder, *([image[y : y + 128, x : x + 160] for y, x in corners] for image in (noisy, clean)))
    return folder


@pytest.fixture
def _quick(monkeypatch):
    """Leave out the processes that measure memory; one test in this file runs them."""
    monkeypatch.setattr(draft_tools, "bytes_per_pixel", lambda weights, n_channels, rules: 100)


@pytest.fixture(scope="module")
def trained(pairs, tmp_path_factory):
    """Return the folder of a finished training."""
    out = tmp_path_factory.mktemp("run")
    assert train(recipe_of(pairs), out) == out / "cells-0.1.0.zip"
    return out


def test_a_training_leaves_everything_in_its_folder(trained):
    found = {path.name for path in trained.iterdir()}
    assert found == {
        *("recipe.yaml", "log.csv", "curves.png", "tensorboard", "checkpoints", "cache", "report", "package"),
        *("examples", "registration.csv"),
        "cells-0.1.0.zip",
    }
    assert {path.name for path in (trained / "report").iterdir()} == {
        *("index.html", "scores.json", "scores.csv"),
    }
    page = (trained / "report" / "index.html").read_text(encoding="utf-8")
    for expected in ("Gaussian", "Loss", "Learning rate", "A validation patch over time", "Epoch 2", "4 in 2 epochs"):
        assert expected in page
    assert "http" not in page.replace("http://www.w3.org", "")  # one file, no network


def test_the_package_is_complete_and_passes_its_check(trained):
    package = open_package(trained / "cells-0.1.0.zip")
    assert check(package).passed
    assert set(package.names()) == {
        *("rdf.yaml", "weights.onnx", "test_input.npy", "test_output.npy", "sample_input.tif", "sample_output.tif"),
        *("cover.png", "README.md", "recipe.yaml", "training_data.csv"),
    }
    assert open_package(trained / "package").sha256 == package.sha256
    assert package.load_array("test_input.npy").dtype == np.uint8


def test_config_carezoo_tells_what_was_measured(trained):
    manifest = open_package(trained / "package").manifest
    section = manifest.carezoo
    assert manifest.input.rules["Y"] == AxisRule(2, 2, 10)
    assert 0 < section.halo_measured["y"] <= 10
    assert section.parity["torch"] < 1e-5
    assert len(section.parity["sizes"]) == 4
    assert 32 < section.bytes_per_pixel < 400
    assert section.fast.get("unmeasured") or section.fast["rms_difference"] < 0.1
    assert section.network.n_parameters == sum(p.numel() for p in networks.core(recipe_of("")).parameters())
    assert section.network.settings["kernel"] == 3
    training = section.training
    assert training.data[0].n_files == {"fit": 1, "choose": 1, "report": 1}
    assert training.members[0].n_steps == 4
    assert training.libraries["torch"]


def test_scores_are_those_of_the_package_on_the_report_file(trained, pairs):
    section = open_package(trained / "package").manifest.carezoo
    noisy, clean = (tifffile.imread(pairs / side / "report.tif") for side in ("low", "high"))
    restored = carezoo.load(trained / "cells-0.1.0.zip").restore(noisy, "YX").mean
    expected = carezoo.score(restored, clean)
    assert section.scores["psnr_db"] == pytest.approx(expected.psnr_db, abs=1e-2)
    assert section.scores["psnr_db_input"] == pytest.approx(carezoo.score(noisy, clean).psnr_db, abs=1e-2)
    assert json.loads((trained / "report" / "scores.json").read_text())["all"]["scores"]["n"] == 1
    assert section.scores["psnr_db_best_baseline"] > section.scores["psnr_db_input"]


def test_the_training_data_are_recorded_without_paths_of_the_machine(trained, pairs):
    package = open_package(trained / "package")
    rows = list(csv.DictReader(io.StringIO(package.read_bytes("training_data.csv").decode())))
    assert {(row["part"], row["role"], row["name"]) for row in rows} == {
        (part, role, f"{side}/{part}.tif")
        for part in ("fit", "choose", "report")
        for role, side in (("source", "low"), ("target", "high"))
    }
    assert all(len(row["sha256"]) == 64 and row["license"] == "CC0-1.0" for row in rows)
    for name in package.names():
        assert str(pairs).encode() not in package.read_bytes(name), name


def test_the_card_says_how_good_on_what_and_how_to_use_it(trained):
    text = open_package(trained / "package").read_bytes("README.md").decode()
    for expected in (
        *("# cells 0.1.0", "## Validation", "low/report.tif", "gain error", "| Gaussian (", "CC0-1.0", "GigaDB"),
        *("carezoo restore image.tif --model cells-0.1.0.zip", 'carezoo.load("cells-0.1.0.zip")', "## Limits"),
        "intensity units of the input",
    ):
        assert expected in text


def test_sample_files_hold_the_piece_and_its_restoration(trained):
    package = open_package(trained / "package")
    before, after = (
        tifffile.imread(io.BytesIO(package.read_bytes(f"sample_{end}.tif"))) for end in ("input", "output")
    )
    np.testing.assert_array_equal(before.squeeze(), package.load_array("test_input.npy").squeeze())
    restored = carezoo.load(trained / "package").restore(before.squeeze(), "YX").mean
    np.testing.assert_allclose(after.squeeze(), restored, atol=1e-3)


@pytest.mark.usefixtures("_quick")
def test_packing_again_gives_the_same_bytes(trained, pairs, tmp_path, monkeypatch):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    measured = open_package(trained / "package").manifest.carezoo.bytes_per_pixel
    monkeypatch.setattr(draft_tools, "bytes_per_pixel", lambda weights, n_channels, rules: measured)
    again = train(recipe_of(pairs), out, resume=True)
    assert again.read_bytes() == (trained / again.name).read_bytes()


@pytest.mark.usefixtures("_quick")
def test_a_training_continues_under_another_length_but_no_other_recipe(trained, pairs, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    with pytest.raises(TrainError, match="holds a training; continue it with --resume"):
        train(recipe_of(pairs), out)
    with pytest.raises(RecipeError, match=r"begun with another recipe: seed \(4 there, 5 now\)"):
        train(recipe_of(pairs, seed=5), out, resume=True)
    longer = recipe_of(pairs, version="0.2.0", training={**TRAINING, "n_epochs": 3})
    assert train(longer, out, resume=True).name == "cells-0.2.0.zip"
    assert len((out / "log.csv").read_text().splitlines()) == 4
    assert open_package(out / "package").manifest.version == "0.2.0"


def save_sparse(folder, pairs, sides, kind="sparse"):
    """Copy the pairs, and add report files of which one side is nearly empty or constant."""
    shutil.copytree(pairs, folder)
    for side in ("low", "high"):
        image = tifffile.imread(folder / side / "report.tif")
        if side in sides:
            image = np.full_like(image, 7)
            image[60, 80] += 200 if kind == "sparse" else 0
        tifffile.imwrite(folder / side / "empty.tif", image, metadata={"axes": "YX"})


def split_of(report):
    split = {"fit": ["fit.tif"], "choose": ["choose.tif"], "report": report}
    return {"sets": [{"name": "bpae", "source": "low", "target": "high", "split": split, **SOURCE}]}


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("kind", ["sparse", "constant"])
@pytest.mark.parametrize("side", ["low", "high"])
def test_a_report_file_that_cannot_be_scored_is_left_out_before_the_training(pairs, tmp_path, caplog, side, kind):
    save_sparse(tmp_path / "data", pairs, side, kind)
    recipe = recipe_of(
        tmp_path / "data", data={"folder": str(tmp_path / "data"), **split_of(["report.tif", "empty.tif"])}
    )
    package = open_package(train(recipe, tmp_path / "run"))
    assert "bpae: low/empty.tif is left out of the scores" in caplog.text
    assert package.manifest.carezoo.scores["n_images"] == 1
    assert b"empty.tif" not in package.read_bytes("training_data.csv")


def test_where_no_report_file_can_be_scored_nothing_is_trained(pairs, tmp_path):
    save_sparse(tmp_path / "data", pairs, "low")
    recipe = recipe_of(tmp_path / "data", data={"folder": str(tmp_path / "data"), **split_of(["empty.tif"])})
    with pytest.raises(
        DataError, match=r"no file to report on can be scored \(low/empty\.tif: percentiles 2 and 99\.8"
    ):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.usefixtures("_quick")
def test_a_finished_training_is_packed_without_scores_where_none_can_be_had(
    trained, pairs, tmp_path, monkeypatch, caplog
):
    shutil.copytree(trained, tmp_path / "run")
    monkeypatch.setattr("carezoo.evaluate.frames.restore", lambda *_, **__: (_ for _ in ()).throw(PixelError("broken")))
    package = open_package(train(recipe_of(pairs), tmp_path / "run", resume=True))
    assert package.manifest.carezoo.scores is None
    assert "could be scored" in package.read_bytes("README.md").decode()
    assert "bpae: low/report.tif is left out: broken" in caplog.text
    assert "continue with --resume" in caplog.text


@pytest.mark.usefixtures("_quick")
def test_resume_takes_other_report_files_times_and_words(pairs, tmp_path):
    shutil.copytree(pairs, tmp_path / "data")
    for side in ("low", "high"):
        shutil.copy(pairs / side / "report.tif", tmp_path / "data" / side / "other.tif")
    folder = {"folder": str(tmp_path / "data")}
    train(recipe_of(pairs, data={**folder, **split_of(["report.tif", "other.tif"])}), tmp_path / "run")
    words = {"title": "Cells again", "description": "Cells.", "authors": [{"name": "A"}], "tags": ["cells"]}
    fewer = split_of(["report.tif"])
    fewer["sets"][0]["origin"] = "elsewhere"
    changed = recipe_of(pairs, data={**folder, **fewer}, **words)
    package = open_package(train(changed, tmp_path / "run", resume=True, max_minutes=1))
    assert package.manifest.carezoo.scores["n_images"] == 1
    assert package.manifest.carezoo.training.members[0].n_steps == 4
    other = split_of(["report.tif"])
    other["sets"][0]["split"]["choose"] = ["other.tif"]
    with pytest.raises(RecipeError, match=r"begun with another recipe: data\.sets\[0\]\.split\.choose"):
        train(recipe_of(pairs, data={**folder, **other}), tmp_path / "run", resume=True)


@pytest.mark.usefixtures("_quick")
def test_fine_tuning_starts_from_a_package_and_says_so(trained, pairs, tmp_path):
    still = recipe_of(pairs, name="tuned", training={**TRAINING, "n_epochs": 1, "learning_rate": 1e-12})
    train(still, tmp_path / "run", start_from=str(trained / "cells-0.1.0.zip"))
    tuned, first = (open_package(folder / "package") for folder in (tmp_path / "run", trained))
    assert tuned.manifest.rdf["parent"] == {"id": "cells", "version": "0.1.0"}
    # At that learning rate the weights are still those of the package.
    for name in ("psnr_db", "nrmse", "gain_error"):
        assert tuned.manifest.carezoo.scores[name] == pytest.approx(first.manifest.carezoo.scores[name], rel=1e-3)
    train(replace(still, version="0.2.0"), tmp_path / "run", resume=True)
    assert open_package(tmp_path / "run" / "package").manifest.rdf["parent"]["id"] == "cells"


@pytest.mark.usefixtures("_quick")
def test_a_3d_probabilistic_model_with_constants(tmp_path):
    clean = tifffile.imread(ROOT / "tests" / "images" / "nuclei_zyx_imagej.tif").astype(np.float32)
    rng = np.random.default_rng(1)
    noisy = (rng.poisson(clean / 400) * 400 + rng.normal(0, 400, clean.shape)).astype(np.float32)
    save_pairs(tmp_path, *([image[:, :, x : x + 16] for x in (0, 16, 32)] for image in (noisy, clean)))
    recipe = recipe_of(
        tmp_path,
        patches={"size": {"z": 4, "y": 16, "x": 16}},
        network={"depth": 1, "n_first": 2, "probabilistic": True},
        intensity={"mode": "fixed", "fit": "none"},
        package={"pixel_size_um": {"z": 0.29, "y": 0.26, "x": 0.26}},
    )
    out = tmp_path / "run"
    train(recipe, out)
    package = open_package(out / "package")
    assert package.manifest.input.axes == "BCZYX"
    assert package.manifest.carezoo.network.settings["kernel"] == 3
    assert package.manifest.input.pixel_size_um == pytest.approx({"Z": 0.29, "Y": 0.26, "X": 0.26})
    assert [channel.kind for channel in package.manifest.carezoo.channels] == ["mean", "scale"]
    assert package.manifest.carezoo.intensity == IntensityUse("fixed", "in_rdf")
    # The test image is a real one, continued by reflection where it has too few planes and columns.
    assert package.load_array("test_input.npy").shape == (1, 1, 32, 32, 32)
    restoration = carezoo.load(out / "package").restore(noisy, "ZYX")
    assert restoration.mean.shape == restoration.scale.shape == noisy.shape
    assert restoration.scale.min() > 0
    assert abs(np.median(restoration.mean) - np.median(clean)) < 0.5 * np.ptp(clean)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("fault", ["parity", "halo"])
def test_a_package_that_fails_a_check_is_never_there(pairs, tmp_path, monkeypatch, fault):
    if fault == "parity":
        monkeypatch.setattr(measure, "TOLERANCE", 0.0)
    else:
        monkeypatch.setattr("carezoo.train.networks.unet.axis_rule", lambda depth, kernel: AxisRule(2, 2, 2))
    with pytest.raises({"parity": ParityError, "halo": CheckError}[fault]):
        train(recipe_of(pairs), tmp_path / "run")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left.isdisjoint({"package", "cells-0.1.0.zip"})
    assert not any(name.startswith(".") for name in left)
    assert "checkpoints" in left


def test_a_mistake_in_the_data_leaves_nothing_but_the_recipe(pairs, tmp_path):
    recipe = recipe_of(pairs, patches={"size": {"y": 512, "x": 512}})
    with pytest.raises(DataError, match="smaller than a patch"):
        train(recipe, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["recipe.yaml"]


@pytest.mark.usefixtures("_quick")
def test_an_image_that_may_be_shown_takes_the_place_of_the_data(pairs, tmp_path, caplog):
    shown = {"source": str(ROOT / "tests/images/hela_cyx_imagej.tif"), "axes": "CYX", "license": "CC-BY-4.0"}
    with pytest.raises(RecipeError, match=r"package\.sample: expected .*1 channel.*hela_cyx_imagej\.tif"):
        train(recipe_of(pairs, package={"sample": shown}), tmp_path / "wrong")
    tifffile.imwrite(tmp_path / "free.tif", np.arange(200 * 200, dtype=np.uint16).reshape(200, 200) % 251)
    shown = {"source": str(tmp_path / "free.tif"), "license": "CC0-1.0", "origin": "made up"}
    train(recipe_of(pairs, package={"sample": shown}), tmp_path / "run")
    package = open_package(tmp_path / "run" / "package")
    piece = package.load_array("test_input.npy")[0, 0]
    assert piece.shape == (128, 128)
    assert (np.diff(piece.astype(int), axis=1) % 251 == 1).all()
    assert "free.tif, made up (CC0-1.0)" in package.read_bytes("README.md").decode()


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "carezoo.train.run")
    with pytest.raises(MissingExtraError, match=r"torch is needed to train models.*carezoo\[train\]"):
        importlib.import_module("carezoo.train.run")


@pytest.mark.slow
def test_a_short_training_gains_psnr_on_a_field_it_has_not_seen(pairs, tmp_path):
    recipe = recipe_of(
        pairs,
        network={"depth": 2, "kernel": 3, "n_first": 8},
        patches={"size": {"y": 64, "x": 64}},
        training={"n_epochs": 8, "steps_per_epoch": 40, "batch_size": 4, "learning_rate": 2e-3, "averaging": 0.98},
    )
    package = open_package(train(recipe, tmp_path / "run"))
    scores = package.manifest.carezoo.scores
    assert scores["psnr_gain_db"] > 4
    assert scores["ssim"] > scores["ssim_input"] + 0.1
    assert abs(scores["gain_error"]) < 0.25
    assert check(package, bioimageio=True).passed
