"""`Model.restore_file`: file to file in one line of Python, for scripts inside other programs."""

import json

import numpy as np
import packages
import pytest

import carezoo
from carezoo import files
from carezoo.cli.main import run
from carezoo.errors import InputError, OutOfMemoryError, PixelError
from carezoo.image import Image
from carezoo.package.write import write_package
from carezoo.runtime.session import Session


@pytest.fixture
def model(tmp_path):
    write_package(packages.ensemble_2d(), tmp_path / "many.zip")
    for i in (0, 1):
        files.write_image(
            tmp_path / f"cell{i}.tif", Image(packages.picture((30, 40), seed=i), "YX", {"Y": 0.1, "X": 0.1})
        )
    return carezoo.load(tmp_path / "many.zip")


def test_the_file_holds_what_restore_returns(model, tmp_path):
    path = model.restore_file(tmp_path / "cell0.tif", str(tmp_path / "new" / "out"))
    assert path == tmp_path / "new" / "out" / "cell0_restored.tif"
    expected = model.restore(tmp_path / "cell0.tif")
    assert np.array_equal(files.open_image(path).array(), expected.mean)
    assert np.array_equal(files.open_image(path.with_name("cell0_scale.tif")).array(), expected.scale)
    assert files.open_image(path).pixel_size_um == pytest.approx({"Y": 0.1, "X": 0.1})


def test_the_restored_image_may_be_named(model, tmp_path):
    path = model.restore_file(tmp_path / "cell0.tif", tmp_path / "mine.ome.tif")
    assert path == tmp_path / "mine.ome.tif"
    assert files.open_image(path).sizes == {"Y": 30, "X": 40}
    assert (tmp_path / "mine_scale.ome.tif").exists()


def test_a_file_is_not_restored_twice_and_the_network_is_loaded_once(model, tmp_path):
    first = model.restore_file(tmp_path / "cell0.tif")
    written = first.stat().st_mtime_ns
    assert model.restore_file(tmp_path / "cell0.tif") == first
    assert first.stat().st_mtime_ns == written
    (session,) = model._sessions.values()
    model.restore_file(tmp_path / "cell1.tif", n_threads=None)
    assert list(model._sessions.values()) == [session]


def test_what_goes_wrong_is_raised_and_nothing_is_replaced(model, tmp_path):
    with pytest.raises(InputError, match=r"missing\.tif does not exist"):
        model.restore_file(tmp_path / "missing.tif")
    path = model.restore_file(tmp_path / "cell0.tif")
    with pytest.raises(InputError, match="exists and was made with --dtype float32 instead of uint16; choose"):
        model.restore_file(tmp_path / "cell0.tif", dtype="uint16")
    assert files.open_image(path).dtype == np.float32
    assert model.restore_file(tmp_path / "cell0.tif", dtype="uint16", is_overwriting=True) == path
    assert files.open_image(path).dtype == np.uint16
    with pytest.raises(InputError, match="dtype 'foo': expected a type such as"):
        model.restore_file(tmp_path / "cell0.tif", dtype="foo")
    with pytest.raises(TypeError, match="give settings or dtype, not both"):
        model.restore_file(tmp_path / "cell0.tif", settings=carezoo.Settings(), dtype="uint16")


def test_results_made_before_a_setting_was_there_are_still_finished(model, tmp_path, monkeypatch):
    path = model.restore_file(tmp_path / "cell0.tif")
    written, notes = path.stat().st_mtime_ns, files.read_notes(path)
    assert notes["carezoo"]["options"].pop("intensity_range", "missing") is None
    assert notes["carezoo"]["options"].pop("is_robust", "missing") is False
    monkeypatch.setattr(files, "read_notes", lambda _: notes)
    assert model.restore_file(tmp_path / "cell0.tif").stat().st_mtime_ns == written
    with pytest.raises(InputError, match=r"exists and was made with --range none instead of 0\.0,100\.0; choose"):
        model.restore_file(tmp_path / "cell0.tif", intensity_range=(0, 100))


def test_another_model_and_another_image_are_named(model, tmp_path):
    path = model.restore_file(tmp_path / "cell0.tif", tmp_path / "out.tif")
    other = carezoo.load(write_package(packages.denoise_2d(seed=1, version="2.0.0"), tmp_path / "other.zip"))
    with pytest.raises(InputError, match=r"exists and was made with another model \(test-2d-ensemble 1\.0\.0\)"):
        other.restore_file(tmp_path / "cell0.tif", path)
    with pytest.raises(InputError, match="exists and was made from another image, with --axes none instead of YX"):
        model.restore_file(tmp_path / "cell1.tif", path, axes="YX")


def test_numbers_that_float32_cannot_hold_are_no_pixels_or_refused(model):
    image = packages.picture((30, 40)).astype(np.float64)
    image[3, 5] = 1e200
    with pytest.raises(PixelError, match=r"holds 1e\+200 at y=3, x=5; expected numbers up to 3\.4e\+38"):
        model.restore(image, "YX", nan="refuse")
    np.testing.assert_array_equal(np.argwhere(np.isinf(model.restore(image, "YX").mean)), [[3, 5]])
    assert np.isfinite(model.restore(image, "YX", nan="zero").mean).all()


def test_a_folder_whose_pixels_were_replaced_is_not_taken_for_the_restored_one(model, tmp_path, monkeypatch):
    pixels = tmp_path / "cell.zarr" / "0" / "chunk"
    pixels.parent.mkdir(parents=True)
    pixels.write_bytes(b"first")
    image = files.open_image(tmp_path / "cell0.tif")  # stands for the reader of such folders
    monkeypatch.setattr("carezoo.files.open_image", lambda *_, **__: image)
    path = model.restore_file(tmp_path / "cell.zarr")
    assert model.restore_file(tmp_path / "cell.zarr") == path
    pixels.write_bytes(b"other")
    with pytest.raises(InputError, match="exists and was made before the image changed"):
        model.restore_file(tmp_path / "cell.zarr")


@pytest.mark.parametrize("channel", [0, 1])
def test_a_channel_that_runs_out_of_memory_midway_is_written_again_alone(model, tmp_path, monkeypatch, capsys, channel):
    image = Image(packages.picture((2, 90, 90)), "CYX")
    files.write_image(tmp_path / "two.tif", image)
    parts = [image.crop({"C": slice(i, i + 1)}) for i in (0, 1)]
    alone = [model.restore(part, tile=64) for part in parts]
    n_tiles, n_runs, run_network = alone[0].report.provenance.n_tiles, 0, Session.run

    def fails_midway(*arguments):
        nonlocal n_runs
        n_runs += 1
        if n_runs == channel * n_tiles + 2:
            raise OutOfMemoryError("no memory")
        return run_network(*arguments)

    monkeypatch.setattr(Session, "run", fails_midway)
    named = [word for i in (0, 1) for word in ("-m", f"{i}={tmp_path / 'many.zip'}")]
    assert run(["restore", str(tmp_path / "two.tif"), "--tile", "64", "--json", *named]) == 0
    reports = json.loads(capsys.readouterr().out)[0]["reports"]
    assert ["did not fit into memory" in str(report["warnings"]) for report in reports] == [channel == 0, channel == 1]
    restored = files.open_image(tmp_path / "two_restored.tif").array()
    np.testing.assert_allclose(restored, np.concatenate([each.mean for each in alone]), rtol=1e-4)
