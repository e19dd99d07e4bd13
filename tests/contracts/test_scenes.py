"""Several images in one file: every surface chooses among them, and results are named by scene."""

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import packages
import pytest
import tifffile

import carezoo
from carezoo import files
from carezoo.cli.main import run
from carezoo.errors import DataError, FileFormatError, InputError
from carezoo.evaluate.pairs import conditions, find_pairs
from carezoo.files.scenes import Scene
from carezoo.host.shared import SharedArrays
from carezoo.host.worker import Verbs, WorkerTask
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.pairs import find
from carezoo.pairs.cache import make_raw
from carezoo.pairs.section import FileSet, PairAxes
from carezoo.pairs.split import split_pairs
from carezoo.runtime.batch import Job, conflicts, restore_files
from carezoo.train.sections import Data

ROOT = Path(__file__).parents[2]
PICTURES = [packages.picture((24, 20), seed=seed) for seed in range(3)]


def write_scenes(path, pictures, names):
    with tifffile.TiffWriter(path, ome=True) as writer:
        for picture, name in zip(pictures, names, strict=True):
            writer.write(picture, metadata={"axes": "YX", "Name": name} if name else {"axes": "YX"})


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "one.zip"
    write_package(packages.denoise_2d(), path)
    return path


@pytest.fixture
def model(package):
    return carezoo.load(package)


@pytest.fixture
def path(tmp_path):
    write_scenes(tmp_path / "plate.ome.tif", PICTURES, ["A1/pos 1", "A1/pos 2", "B2"])
    return tmp_path / "plate.ome.tif"


def restored(model, number):
    return model.restore(PICTURES[number], "YX").mean


def test_the_first_is_taken_and_the_others_are_listed(path, model, caplog):
    with caplog.at_level(logging.WARNING, "carezoo"):
        result = model.restore_file(path)
    assert result.name == "plate_restored.ome.tif"
    assert np.array_equal(files.open_image(result).array(), restored(model, 0))
    (said,) = [message for message in caplog.messages if "holds" in message]
    assert "plate.ome.tif holds 3 images (A1/pos 1, A1/pos 2, B2); the first is taken. Choose with --scene" in said


@pytest.mark.parametrize(("asked", "number"), [("A1/pos 2", 1), ("1", 1), (1, 1), ("B2", 2), (0, 0)])
def test_names_and_numbers_mean_an_image(path, model, caplog, asked, number):
    result = model.restore_file(path, scene=asked)
    assert result.name == f"plate_{('A1-pos-1', 'A1-pos-2', 'B2')[number]}_restored.ome.tif"
    assert np.array_equal(files.open_image(result).array(), restored(model, number))
    assert np.array_equal(model.restore(path, scene=asked).mean, restored(model, number))
    assert not [message for message in caplog.messages if "holds" in message]
    assert model.restore_file(path, scene=number) == result  # finished before, however it was asked for


@pytest.mark.parametrize("asked", ["C3", "3", 3, -1, "all "])
def test_others_are_refused_with_those_there_are(path, asked):
    with pytest.raises(FileFormatError, match=r"has no scene .*; it has A1/pos 1, A1/pos 2, B2 \(numbers from 0 to 2"):
        files.open_image(path, scene=asked)


def test_the_command_restores_all_and_a_file_with_one_keeps_its_name(path, package, model, capsys):
    files.write_image(path.parent / "one.tif", carezoo.Image(PICTURES[0], "YX"))
    words = ["restore", str(path.parent), "--model", str(package), "--scene", "all", "-o", str(path.parent / "out")]
    assert run(words) == 0
    assert "4 restored" in capsys.readouterr().err
    made = {file.name: files.open_image(file).array() for file in (path.parent / "out").iterdir()}
    assert set(made) == {
        "one_restored.tif", "plate_A1-pos-1_restored.ome.tif", "plate_A1-pos-2_restored.ome.tif",
        "plate_B2_restored.ome.tif",
    }  # fmt: skip
    assert np.array_equal(made["plate_B2_restored.ome.tif"], restored(model, 2))
    assert run(words) == 0
    said = capsys.readouterr().err
    assert "4 skipped" in said
    assert "plate.ome.tif, scene B2 ->" in said
    assert run([*words[:-2], "-o", str(path.parent / "x.tif")]) == 2  # a folder with several, one name
    assert run(["restore", str(path), *words[2:-1], str(path.parent / "x.tif")]) == 2
    assert "x.tif is the name of one image" in capsys.readouterr().err
    assert run(["show", str(path), "--model", str(package), "--scene", "B2", "-o", str(path.parent / "b.png")]) == 0
    assert run(["show", str(path), "--model", str(package), "--scene", "all", "-o", str(path.parent / "c.png")]) == 2
    assert run([*words[:-1], str(path.parent / "again"), "--scene", "9"]) == 2


def test_names_that_do_not_tell_apart_are_numbered(tmp_path):
    write_scenes(tmp_path / "a.ome.tif", PICTURES, ["x", "X", "?"])
    found = files.choose_scenes(tmp_path / "a.ome.tif", "all")
    assert found == (Scene(0, "0-x"), Scene(1, "1-X"), Scene(2, "2"))
    write_scenes(tmp_path / "b.ome.tif", PICTURES, ["0", "all", "1"])  # a name wins over a number, "all" over a name
    assert files.choose_scenes(tmp_path / "b.ome.tif", "all") == (Scene(0, "0"), Scene(1, "all"), Scene(2, "1"))
    assert files.choose_scenes(tmp_path / "b.ome.tif", "1") == (Scene(2, "1"),)


def test_pairs_of_recipes_and_evaluations(path, package, tmp_path):
    manifest = open_package(package).manifest
    pairs = find_pairs(conditions(path, path), manifest, scene="all")
    assert [pair.name for pair in pairs] == [f"plate.ome.tif, {name}" for name in ("A1-pos-1", "A1-pos-2", "B2")]
    assert all(np.array_equal(pair.target.array(), each) for pair, each in zip(pairs, PICTURES, strict=True))
    files.write_image(tmp_path / "clean.tif", carezoo.Image(PICTURES[2], "YX"))
    each = FileSet(source=(path.name,), target=("clean.tif",), scene="B2")
    for scene in ("B2", 2):
        data = Data(sets=(replace(each, scene=scene),), folder=str(tmp_path))
        (pair,) = find.find_pairs(data, PairAxes("YX"))
        assert np.array_equal(pair.source.array(), pair.target.array())
    with pytest.raises(DataError, match="has no scene 'C9'"):
        find.find_pairs(Data(sets=(replace(each, scene="C9"),), folder=str(tmp_path)), PairAxes("YX"))


def test_the_worker(path, package, model):
    desk = Verbs()
    inputs = {"model": str(package), "path": str(path), "scene": "B2"}
    shared = desk.restore(WorkerTask("1", "restore", inputs), lambda *_: None)["results"]["mean"]["array"]
    with SharedArrays().attach(shared) as pixels:
        assert np.array_equal(pixels, restored(model, 2))
    desk.close()


def test_knime(path, package, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bridges" / "knime" / "src"))
    from carezoo_knime.restoring import restore_rows
    from carezoo_knime.scoring import score_rows

    job = Job(models={None: open_package(package)}, output=path.parent / "out", scene="B2")
    (row,) = restore_rows([str(path)], job)
    assert row.restored == str(path.parent / "out" / "plate_B2_restored.ome.tif")
    (scored,) = score_rows([{"restored": row.restored, "reference": str(path), "noisy": str(path)}], scene="B2")
    assert scored.error is None
    with pytest.raises(InputError, match="name one scene"):
        restore_rows([str(path)], replace(job, scene="all"))


def test_fiji(path, package, monkeypatch):
    pytest.importorskip("jpype", reason='needs jpype1 (pip install "carezoo[fiji]")')
    from carezoo_fiji import folders
    from carezoo_fiji.form import answer_from_options

    options = f"input_folder=[{path.parent}] output_folder=[{path.parent}/out] model=one scene=all"
    call = SimpleNamespace(ask=lambda fields, **_: answer_from_options("CARE Restore Folder...", fields, options))
    loaded = SimpleNamespace(get=lambda _: carezoo.load(package))
    monkeypatch.setattr(folders, "model_fields", lambda _: [folders.Field("model", "text")])
    monkeypatch.setattr(folders, "reference", lambda values: values["model"])
    found, job = folders.ask(SimpleNamespace(HELP="", remembered={}, models=loaded), call)
    outcomes = list(restore_files(found.images, job))
    assert [outcome.scene for outcome in outcomes] == ["A1-pos-1", "A1-pos-2", "B2"]


def test_scenes_of_source_and_target_are_paired_by_name(tmp_path, package):
    manifest = open_package(package).manifest
    for folder in ("low", "high"):
        (tmp_path / folder).mkdir()
    write_scenes(tmp_path / "low" / "m.ome.tif", PICTURES[:2], ["p", "q"])
    write_scenes(tmp_path / "high" / "m.ome.tif", PICTURES[1::-1], ["q", "p"])
    for pair in find_pairs(conditions(tmp_path / "low", tmp_path / "high"), manifest, scene="all"):
        np.testing.assert_array_equal(pair.source.array(), pair.target.array())


def test_scenes_of_one_name_are_chosen_by_number_and_have_results_of_their_own(tmp_path, model):
    path = tmp_path / "a.ome.tif"
    write_scenes(path, PICTURES, ["p", "p", "q"])
    with pytest.raises(FileFormatError, match=r"has 2 scenes 'p'; choose by number: 0, 1"):
        files.open_image(path, scene="p")
    assert [each.label for each in files.choose_scenes(path, "all")] == ["0-p", "1-p", "2-q"]
    model.restore_file(path, tmp_path / "out", scene="all")
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_results_of_scenes_collide_with_those_of_files(tmp_path, package):
    write_scenes(tmp_path / "a.ome.tif", PICTURES[:2], ["x", "y"])
    write_scenes(tmp_path / "a_y.ome.tif", PICTURES[:1], ["z"])
    sources = [tmp_path / "a.ome.tif", tmp_path / "a_y.ome.tif"]
    for scene in ("all", None):
        job = Job(models={None: open_package(package)}, scene=scene, output=tmp_path / "out")
        found = conflicts(sources, job)
        assert list(found) == ([sources[1]] if scene else [])
        if scene:
            assert "a_y_restored.ome.tif; restore them into different folders" in str(found[sources[1]])


@pytest.mark.parametrize("n_targets", [1, 4])
def test_every_scene_is_a_pair_and_a_scene_of_a_recipe(tmp_path, n_targets):
    pictures = [packages.picture((24, 20), seed=seed) for seed in range(4)]
    names = ["p", "q", "r", "s"]
    write_scenes(tmp_path / "low.ome.tif", pictures, names)
    write_scenes(tmp_path / "high.ome.tif", pictures[::-1][:n_targets], names[::-1][:n_targets])
    each = FileSet(name="one", source=("low.ome.tif",), target=("high.ome.tif",), scene="all")
    pairs = find.find_pairs(Data(sets=(each,), folder=str(tmp_path)), PairAxes("YX"))
    assert [pair.name for pair in pairs] == [f"one: {tmp_path.name}/low.ome.tif, {name}" for name in names]
    assert len({pair.target_key for pair in pairs}) == n_targets
    if n_targets > 1:
        for pair in pairs:
            np.testing.assert_array_equal(pair.source.array(), pair.target.array())
        parts = split_pairs(pairs, (each,), seed=1)
        assert sorted(pair.name for _, pair in parts.all()) == sorted(pair.name for pair in pairs)
        assert min(len(parts.fit), len(parts.choose), len(parts.report)) > 0


def test_decoded_scenes_of_one_file_are_told_apart(tmp_path):
    with tifffile.TiffWriter(tmp_path / "low.ome.tif", ome=True) as writer:
        for picture in PICTURES:
            writer.write(picture, compression="zlib", metadata={"axes": "YX"})
    each = FileSet(source=("low.ome.tif",), target=("low.ome.tif",), scene="all")
    pairs = find.find_pairs(Data(sets=(each,), folder=str(tmp_path)), PairAxes("YX"))
    for pair, picture in zip(make_raw(pairs, tmp_path / "cache"), PICTURES, strict=True):
        np.testing.assert_array_equal(pair.source.array().squeeze(), picture)


def test_suggest_and_fit_noise(tmp_path, capsys):
    rng = np.random.default_rng(1)
    scene = 40 + 60 * packages.picture((64, 64), seed=3)
    frames = (rng.poisson(scene, (40, 64, 64)) * 2.0 + 100).astype(np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(np.full((2, 64, 64), 5, np.uint16), metadata={"axes": "TYX", "Name": "dark"})
        writer.write(frames, metadata={"axes": "TYX", "Name": "cells"})
    assert run(["suggest", str(tmp_path / "a.ome.tif"), "--scene", "cells"]) == 0
    assert run(["suggest", str(tmp_path / "a.ome.tif"), "--scene", "no"]) == FileFormatError.exit_code
    assert "it has dark, cells" in capsys.readouterr().err
    words = ["simulate", "fit-noise", str(tmp_path / "a.ome.tif"), "--offset", "100"]
    assert run(words) != 0
    assert run([*words, "--scene", "cells", "--json"]) == 0
    assert '"gain"' in capsys.readouterr().out
