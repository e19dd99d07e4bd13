"""Models ranked for an image: what cannot take it, what it looks like, and why not."""

import json
from pathlib import Path

import numpy as np
import packages
import pytest
from zoos import add_draft

import carezoo
from carezoo import files
from carezoo.cli.main import run
from carezoo.domain_check import ImageSample, describe
from carezoo.image import Image
from carezoo.package.manifest import Record
from carezoo.registry.suggest import suggest

DEMO = Path(__file__).parents[2] / "zoo" / "demo"


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Three models: one trained on images like the noisy one of the demo, one on smooth ones, one that says nothing."""
    rng = np.random.default_rng(0)
    noisy = files.open_image(DEMO / "noisy.tif")
    smooth = Image(np.cumsum(np.cumsum(rng.normal(size=(256, 256)), 0), 1).astype(np.float32), "YX")
    for name, image in (("near", noisy), ("far", smooth)):
        record = describe({name: [ImageSample(image, (0,))]}, rng)
        add_draft(tmp_path / "zoo", packages.denoise_2d(id=name, record=Record(training_images=record)), "zips")
    add_draft(tmp_path / "zoo", packages.denoise_2d(id="silent"))
    add_draft(tmp_path / "zoo", packages.two_channels_2d(id="pair"))
    add_draft(tmp_path / "zoo", packages.project_3d(id="stack"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAREZOO_CACHE", str(tmp_path / "cache"))
        patch.delenv("CAREZOO_ZOO", raising=False)
        yield tmp_path / "zoo"


def _of_zoo(found):
    return [each for each in found if each.name in {"near", "far", "silent", "pair", "stack"}]


def test_the_nearest_comes_first_and_what_cannot_run_last(zoo):
    found = _of_zoo(suggest(DEMO / "noisy.tif", zoos=[zoo]))
    assert [(each.name, each.verdict) for each in found] == [
        ("near", "fits"),
        ("far", "unlike"),
        ("silent", "unknown"),
        ("pair", "impossible"),
        ("stack", "impossible"),
    ]
    assert found[0].reasons == ()
    assert found[0].distance < found[1].distance
    assert found[1].reasons
    assert "does not say what it was trained on" in found[2].reasons[0]
    assert "needs 2 channels (nuclei, membranes), the image has 1" in found[3].reasons[0]
    assert "needs ZYX, the image has one pixel along Z" in found[4].reasons[0]


def test_tasks_are_chosen_and_small_images_are_not_judged(zoo):
    projecting = carezoo.suggest(DEMO / "noisy.tif", task="project", zoos=[zoo])
    assert {each.task for each in projecting} == {"project"}
    assert [each.name for each in _of_zoo(projecting)] == ["stack"]
    tiny = Image(np.random.default_rng(0).random((20, 20)).astype(np.float32), "YX")
    near = next(each for each in suggest(tiny, zoos=[zoo]) if each.name == "near")
    assert near.verdict == "unknown"
    assert "smaller than 64 pixels" in near.reasons[0]


def test_the_command_tells_reasons(zoo, capsys):
    assert run(["suggest", str(DEMO / "noisy.tif"), "--zoo", str(zoo)]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0].split()[:4] == ["near", "1.0.0", "denoise", "fits"]
    assert "- needs 2 channels" in told
    assert run(["suggest", str(DEMO / "noisy.tif"), "--zoo", str(zoo), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["name"] == "near"
    assert {row["distance"] for row in rows if row["verdict"] == "impossible"} == {None}
    assert run(["suggest", str(zoo / "missing.tif")]) == 2
    assert "missing.tif" in capsys.readouterr().err


def test_of_models_that_fit_those_that_know_a_camera_come_first(zoo):
    record = describe(
        {"simulated": [ImageSample(files.open_image(DEMO / "noisy.tif"), (0,))]}, np.random.default_rng(0)
    )
    draft = packages.denoise_2d(id="all-simulated", record=Record(training_images=record), tags=("synthetic",))
    add_draft(zoo, draft, "zips")
    found = [each for each in suggest(DEMO / "noisy.tif", zoos=[zoo]) if each.verdict == "fits"]
    assert [each.is_synthetic for each in found] == sorted(each.is_synthetic for each in found)
    ours = next(each for each in found if each.name == "all-simulated")
    assert ours.nearest == "simulated"
