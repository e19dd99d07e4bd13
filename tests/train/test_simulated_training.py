"""Trainings on simulated pairs, from the recipe to what the package says of them."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from carezoo.errors import RecipeError
from carezoo.package.read import open_package
from carezoo.train.batches import default_workers
from carezoo.train.pack import draft_tools
from carezoo.train.prepare import list_known_relations, prepare
from carezoo.train.recipe import Recipe
from carezoo.train.run import train

TUBULES = {
    "structures": {"kind": "tubules"},
    "psf": {"kind": "gaussian", "sigma_um": 0.12},
    "camera": {"photons": {"log": [20, 200]}},
    "shape": [48, 48],
}
SIMULATED = {"name": "synthetic", "license": "CC0-1.0", "origin": "nowhere", "n_choose": 2, "n_report": 2}
NUCLEI = {"kind": "nuclei", "radius_um": 1.5, "coverage": 0.3}
OTHER_TASKS = {
    "isotropic": (
        {"structures": NUCLEI, "pixel_size_um": [0.4, 0.4], "shape": [32, 32],
         "axial_psfs": {"kind": "widths", "axial_um": 0.8, "lateral_um": 0.3}},
        {"y": 16, "x": 16},
    ),
    "upsample": (
        {"structures": NUCLEI, "pixel_size_um": [0.4, 0.4, 0.4], "shape": [16, 24, 24],
         "psf": {"kind": "gaussian", "sigma_um": 0.4, "sigma_z_um": 0.6}},
        {"z": 4, "y": 16, "x": 16},
    ),
    "project": (
        {"structures": {"kind": "epithelium", "cell_diameter_um": 2.0, "second": "none"}, "shape": [8, 48, 48],
         "pixel_size_um": [0.9, 0.2, 0.2], "psf": {"kind": "gaussian", "sigma_um": 0.2, "sigma_z_um": 0.5}},
        {"z": 8, "y": 32, "x": 32},
    ),
}  # fmt: skip


def recipe_of(folder: Path, *sets: dict, **changes: object) -> Recipe:
    values = {
        "name": "made-up",
        "data": {"folder": str(folder), "simulated": list(sets)},
        "patches": {"size": {"y": 32, "x": 32}},
        "network": {"depth": 1, "kernel": 3, "n_first": 2},
        "training": {"n_epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "n_validation_patches": 4, "n_workers": 1},
    }
    return Recipe.from_dict({**values, **changes})


@pytest.fixture
def packed_fast(monkeypatch):
    monkeypatch.setattr(draft_tools, "bytes_per_pixel", lambda weights, n_channels, rules: 100)


def test_a_model_learns_from_nothing_and_says_so(tmp_path, packed_fast):
    package = open_package(train(recipe_of(tmp_path, {**SIMULATED, "simulate": TUBULES}), tmp_path / "run"))
    (data,) = package.manifest.carezoo.training.data
    assert data.parts == "simulated pairs, made anew while training to fit, 2 to choose on, 2 to report on"
    assert "simulated pairs, made anew while training" in package.read_bytes("README.md").decode()
    records = list(csv.DictReader(io.StringIO(package.read_bytes("training_data.csv").decode())))
    assert {(row["part"], row["role"]) for row in records} == {("report", "source"), ("report", "target")}
    assert not (tmp_path / "run" / "registration.csv").exists()


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_every_task_draws_what_its_network_takes(tmp_path, task):
    simulation, size = OTHER_TASKS[task]
    factor = {} if task == "project" else {"factor": 2}
    simulated = {**SIMULATED, "simulate": {**simulation, **factor, "task": task, "camera": {"photons": 100}}}
    network = {"depth": 1, "kernel": 3, "n_first": 2, "projection": {"depth": 1, "n_filters": 2}}
    recipe = recipe_of(
        tmp_path, simulated, task=task, **factor, patches={"size": size, "background_threshold": 0}, network=network
    )
    prepared = prepare(recipe, tmp_path / "cache")
    ((source, target),) = prepared.data.batches(range(1), 0, 1)
    assert tuple(source.shape[2:]) == tuple(size.values())
    expected = {"isotropic": (16, 16), "upsample": (8, 16, 16), "project": (32, 32)}[task]
    assert tuple(target.shape[2:]) == expected
    for pair in prepared.parts.report:
        assert "Z" in pair.source.axes
        n_planes = {"isotropic": 2, "upsample": 2, "project": 0}[task] * pair.source.sizes["Z"]
        assert pair.target.sizes.get("Z", 0) == n_planes


def test_a_simulation_for_another_task_is_told(tmp_path):
    simulation = {**OTHER_TASKS["upsample"][0], "task": "upsample", "factor": 4, "camera": {"photons": 100}}
    recipe = recipe_of(tmp_path, {**SIMULATED, "simulate": simulation})
    with pytest.raises(RecipeError, match=r"a model for task denoise .* the same task, found task upsample"):
        prepare(recipe, tmp_path / "cache")
    size = {"size": {"z": 4, "y": 16, "x": 16}}
    recipe = recipe_of(tmp_path, {**SIMULATED, "simulate": simulation}, task="upsample", factor=2, patches=size)
    with pytest.raises(RecipeError, match="factor 2, found task upsample and factor 4"):
        prepare(recipe, tmp_path / "cache")


def test_channels_and_axes_must_be_those_of_the_model(tmp_path):
    recipe = recipe_of(tmp_path, {**SIMULATED, "simulate": TUBULES}, patches={"size": {"z": 4, "y": 16, "x": 16}})
    with pytest.raises(RecipeError, match="simulates YX, and the model takes patches ZYX"):
        prepare(recipe, tmp_path / "cache")
    data = {"folder": str(tmp_path), "channels": ["a", "b"], "simulated": [{**SIMULATED, "simulate": TUBULES}]}
    with pytest.raises(RecipeError, match=r"makes 1 channel\(s\), and the model has 2: a, b"):
        prepare(recipe_of(tmp_path, data=data), tmp_path / "cache")
    image = np.random.default_rng(0).integers(0, 999, (3, 64, 64)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "cyx.tif", image, imagej=True, metadata={"axes": "CYX"})
    degraded = {"images": "cyx.tif", "camera": {"photons": 100}}
    with pytest.raises(RecipeError, match=r"makes 3 channel\(s\), and the model has 1: signal"):
        prepare(recipe_of(tmp_path, {**SIMULATED, "simulate": degraded}), tmp_path / "cache")


def test_acquired_and_simulated_sets_are_mixed(tmp_path):
    rng = np.random.default_rng(0)
    for side in ("low", "high"):
        (tmp_path / side).mkdir()
    for name in ("fit", "choose", "report"):
        image = rng.integers(0, 999, (64, 64)).astype(np.uint16)
        tifffile.imwrite(tmp_path / "low" / f"{name}.tif", image)
        tifffile.imwrite(tmp_path / "high" / f"{name}.tif", image + 7)
    acquired = {
        "name": "acquired", "source": "low", "target": "high", "axes": "YX",
        "split": {"choose": ["choose.tif"], "report": ["report.tif"]},
    }  # fmt: skip
    data = {"folder": str(tmp_path), "sets": [acquired], "simulated": [{**SIMULATED, "simulate": TUBULES}]}
    recipe = recipe_of(tmp_path, data=data, intensity={"fit": "none"})
    prepared = prepare(recipe, tmp_path / "cache")
    assert {pair.dataset for pair in prepared.parts.report} == {"acquired", "synthetic"}
    known = list_known_relations(recipe, prepared, prepared.parts.report)
    assert set(known) == {pair.source_key for pair in prepared.parts.report if pair.dataset == "synthetic"}
    assert {(*each.gain, *each.offset) for each in known.values()} == {(1.0, 0.0)}
    own = replace(recipe, intensity=replace(recipe.intensity, mode="own"))
    assert list_known_relations(own, prepared, prepared.parts.report) == {}
    sources = [batch[0] for batch in prepared.data.batches(range(8), 0, 1)]
    # Half of the patches are white noise, half are smooth tubules.
    rough = [float(np.abs(np.diff(patch[0], axis=1)).mean()) > 0.2 for batch in sources for patch in batch.numpy()]
    assert rough.count(True) == 8
    assert prepared.registration is not None
    assert [match.name for match in prepared.registration.pairs] == [
        f"acquired: low/{name}.tif" for name in ("choose", "fit", "report")
    ]


def test_acquired_pairs_may_report_alone(tmp_path):
    image = np.random.default_rng(0).integers(0, 999, (64, 64)).astype(np.uint16)
    for side in ("low", "high"):
        (tmp_path / side).mkdir()
        tifffile.imwrite(tmp_path / side / "real.tif", image)
    acquired = {"name": "real", "source": "low", "target": "high", "axes": "YX", "split": {"report": ["*"]}}
    data = {"folder": str(tmp_path), "sets": [acquired], "simulated": [{**SIMULATED, "simulate": TUBULES}]}
    prepared = prepare(recipe_of(tmp_path, data=data), tmp_path / "cache")
    assert [pair.dataset for pair in prepared.parts.report] == ["real", "synthetic", "synthetic"]
    assert prepared.parts.fit == prepared.parts.choose == ()


def test_a_worker_makes_the_pairs_where_there_are_cores_to_spare(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert default_workers("cpu") == 0
    assert default_workers("cpu", is_computed=True) == 1
    assert default_workers("cuda") == 3
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert default_workers("cpu", is_computed=True) == 0
