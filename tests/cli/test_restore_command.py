"""`carezoo restore` as a user runs it: files in, files out, one line and an exit code for every mistake."""

import json
import shutil
import subprocess
import sys

import numpy as np
import packages
import pytest
import tifffile

from carezoo import files
from carezoo.cli.main import run
from carezoo.image import Image, Metadata
from carezoo.package.write import write_package
from carezoo.runtime import batch
from carezoo.settings import Settings


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return a folder with two models and an image, and stand in it."""
    monkeypatch.chdir(tmp_path)
    write_package(packages.denoise_2d(), tmp_path / "one.zip")
    write_package(packages.ensemble_2d(), tmp_path / "many.zip")
    stack = packages.picture((2, 3, 40, 30))
    image = Image(stack, "TZYX", {"Z": 0.5, "Y": 0.1, "X": 0.1}, Metadata(frame_interval_s=2.0, notes="from the bench"))
    files.write_image(tmp_path / "cell.tif", image)
    return tmp_path


def test_a_file_is_restored_beside_itself_with_its_metadata(here, capsys):
    assert run(["restore", "cell.tif", "-m", "one.zip"]) == 0
    restored = files.open_image(here / "cell_restored.tif")
    assert (restored.axes, restored.dtype) == ("TZYX", np.float32)
    assert restored.pixel_size_um == pytest.approx({"Z": 0.5, "Y": 0.1, "X": 0.1})
    assert restored.metadata.frame_interval_s == pytest.approx(2.0)
    assert "from the bench" in restored.metadata.notes
    notes = files.read_notes(here / "cell_restored.tif")["carezoo"]
    assert notes["run"]["model"] == "test-2d"
    assert len(notes["input"]["sha256"]) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "restored cell.tif -> cell_restored.tif  (test-2d 1.0.0, cpu exact" in captured.err


def test_finished_files_are_skipped_and_others_are_never_replaced_silently(here, capsys):
    assert run(["restore", "cell.tif", "-m", "one.zip"]) == 0
    before = (here / "cell_restored.tif").stat().st_mtime_ns
    assert run(["restore", "cell.tif", "-m", "one.zip"]) == 0
    assert "finished before" in capsys.readouterr().err
    assert (here / "cell_restored.tif").stat().st_mtime_ns == before
    assert run(["restore", "cell.tif", "-m", "one.zip", "--dtype", "uint16"]) == 2
    assert "cell_restored.tif exists and was made with --dtype float32 instead of uint16" in capsys.readouterr().err
    assert run(["restore", "cell.tif", "-m", "one.zip", "--dtype", "uint16", "--overwrite"]) == 0
    assert files.open_image(here / "cell_restored.tif").dtype == np.uint16


def test_every_result_has_a_file_and_json_says_what_ran(here, capsys):
    assert run(["restore", "cell.tif", "-m", "many.zip", "-o", "out", "--crop", "z=1:3,y=0:20", "--json"]) == 0
    (outcome,) = json.loads(capsys.readouterr().out)
    assert outcome["outputs"] == [f"out/cell_{name}.tif" for name in ("restored", "scale", "disagreement")]
    assert outcome["reports"][0]["provenance"]["provider"] == "cpu"
    for path in outcome["outputs"]:
        assert files.open_image(here / path).sizes == {"T": 2, "Z": 2, "Y": 20, "X": 30}


def test_the_result_of_one_file_may_have_a_name_of_its_own(here, capsys):
    assert run(["restore", "cell.tif", "-m", "many.zip", "-o", "out/clean.tif", "--json"]) == 0
    (outcome,) = json.loads(capsys.readouterr().out)
    assert outcome["outputs"] == ["out/clean.tif", "out/clean_scale.tif", "out/clean_disagreement.tif"]
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        "clean.tif", "clean_disagreement.tif", "clean_scale.tif",
    ]  # fmt: skip
    assert run(["restore", "cell.tif", "-m", "many.zip", "-o", "out/clean.tif"]) == 0
    assert "finished before" in capsys.readouterr().err


def test_a_name_for_one_image_is_refused_for_several_and_for_the_image_itself(here, capsys):
    (here / "b.tif").write_bytes((here / "cell.tif").read_bytes())
    before = sorted(here.iterdir())
    assert run(["restore", "cell.tif", "b.tif", "-m", "one.zip", "-o", "out.tif"]) == 2
    assert "out.tif is the name of one image, and there are 2 to restore; name a folder" in capsys.readouterr().err
    assert run(["restore", "cell.tif", "-m", "one.zip", "-o", "cell.tif", "--overwrite"]) == 2
    assert "cell.tif is both an input and the result of cell.tif" in capsys.readouterr().err
    assert sorted(here.iterdir()) == before


def test_tiles_do_not_change_the_file(here):
    assert run(["restore", "cell.tif", "-m", "one.zip", "-o", "a", "--tile", "whole"]) == 0
    assert run(["restore", "cell.tif", "-m", "one.zip", "-o", "b", "--tile", "16,20"]) == 0
    first, second = (tifffile.imread(here / folder / "cell_restored.tif") for folder in "ab")
    np.testing.assert_allclose(first, second, atol=1e-5 * np.ptp(first))


def test_a_folder_with_one_broken_file(here, capsys):
    (here / "bad.tif").write_bytes(b"not an image")
    assert run(["restore", ".", "-m", "one.zip", "-o", "out"]) == 2
    told = capsys.readouterr().err
    assert "failed   bad.tif is not a TIFF file" in told
    assert "1 restored, 1 failed" in told
    assert sorted(path.name for path in (here / "out").iterdir()) == ["cell_restored.tif"]


@pytest.mark.parametrize("kind", [TypeError, ZeroDivisionError, RuntimeError])
def test_a_bug_in_one_file_does_not_stop_the_others(here, capsys, monkeypatch, kind):
    for name in ("a.tif", "dull.tif"):
        shutil.copy(here / "cell.tif", here / name)
    (here / "damaged.tif").write_bytes(b"not an image")
    original = batch.restore

    def restore(image, *arguments, **options):
        if image.name == "cell.tif":
            raise kind("of nobody's doing")
        return original(image, *arguments, **options)

    monkeypatch.setattr(batch, "restore", restore)
    assert run(["restore", ".", "-m", "one.zip", "-o", "out", "--json"]) == 1  # a bug, though a damaged file came later
    told, err = capsys.readouterr()
    assert f"failed   cell.tif: {kind.__name__}: of nobody's doing\nThis is a bug in carezoo" in err
    assert "2 restored, 2 failed" in err
    assert "Traceback" not in err
    assert {each["source"]: each["error"] and each["error"]["type"] for each in json.loads(told)} == {
        "a.tif": None,
        "cell.tif": "BugError",
        "damaged.tif": "FileFormatError",
        "dull.tif": None,
    }
    assert sorted(path.name for path in (here / "out").iterdir()) == ["a_restored.tif", "dull_restored.tif"]


def test_a_folder_is_restored_again_with_its_results_in_it(here, capsys):
    assert run(["restore", ".", "-m", "many.zip"]) == 0
    capsys.readouterr()
    (here / "._cell.tif").write_bytes(b"what macOS keeps")
    assert run(["restore", ".", "-m", "many.zip"]) == 0
    told = capsys.readouterr().err
    assert "finished before  cell.tif" in told
    assert "3 result(s) of carezoo in . are left out" in told
    (here / "cell.tif").unlink()
    assert run(["restore", ".", "-m", "many.zip"]) == 2
    assert "holds 3 result(s) of carezoo and no other image" in capsys.readouterr().err


def test_what_an_asterisk_names_is_restored_again_without_its_results(here, capsys):
    assert run(["restore", "cell.tif", "-m", "one.zip"]) == 0
    named = sorted(str(path) for path in here.glob("*.tif"))
    assert len(named) == 2
    capsys.readouterr()
    assert run(["restore", *named, "-m", "one.zip"]) == 0
    assert "1 result(s) of carezoo beside the images they were made from are left out" in capsys.readouterr().err
    assert run(["restore", "cell_restored.tif", "-m", "one.zip", "-o", "twice"]) == 0  # by itself it is taken
    assert (here / "twice" / "cell_restored_restored.tif").is_file()


def test_a_file_named_twice_is_restored_once(here, capsys):
    assert run(["restore", "cell.tif", ".", str(here / "cell.tif"), "-m", "one.zip"]) == 0
    assert capsys.readouterr().err.count("restored cell.tif") == 1


def test_a_truncated_file_is_told_in_one_line(here):
    """In a process of its own: what tifffile logs goes to stderr only where nobody listens."""
    whole = (here / "cell.tif").read_bytes()
    (here / "cut.tif").write_bytes(whole[: len(whole) // 2])
    command = [sys.executable, "-m", "carezoo", "restore", "cut.tif", "-m", "one.zip"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("failed   cut.tif")


def test_the_model_of_channel_0_restores_an_image_without_channels(here):
    assert run(["restore", "cell.tif", "-m", "0=one.zip", "-o", "a"]) == 0
    assert run(["restore", "cell.tif", "-m", "one.zip", "-o", "b"]) == 0
    first, second = (tifffile.imread(here / folder / "cell_restored.tif") for folder in "ab")
    np.testing.assert_array_equal(first, second)


def test_a_model_for_each_channel(here):
    image = Image(packages.picture((2, 40, 30)), "CYX")
    files.write_image(here / "two.tif", image)
    write_package(packages.denoise_2d(seed=5), here / "other.zip")
    assert run(["restore", "two.tif", "-m", "0=one.zip", "-m", "1=other.zip"]) == 0
    restored = tifffile.imread(here / "two_restored.tif")
    for channel, model in enumerate(["one.zip", "other.zip"]):
        from carezoo import load

        alone = load(here / model).restore(image.crop({"C": slice(channel, channel + 1)})).mean
        np.testing.assert_allclose(restored[channel], alone[0], rtol=1e-5)


def test_stopping_leaves_nothing_half_written(here, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("carezoo.cli.restore.Bar.__call__", stop)
    before = sorted(path.name for path in here.iterdir())
    assert run(["restore", "cell.tif", "-m", "one.zip"]) == 130
    assert sorted(path.name for path in here.iterdir()) == before
    assert "stopped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["cell.tif", "-m", "nope"], 4, "no model 'nope' is known here"),
        (["cell.tif", "-m", "folder/nope.zip"], 4, "no package at folder/nope.zip"),
        (["nope.tif", "-m", "one.zip"], 2, "nope.tif does not exist"),
        (["cell.tif", "-m", "one.zip", "--axes", "QZYX"], 2, "expected letters out of STCZYX, found 'Q'"),
        (["cell.tif", "-m", "one.zip", "--axes", "YX"], 2, "axes YX name 2 dimension(s)"),
        (["cell.tif", "-m", "one.zip", "--tile", "big"], 2, "tile 'big': expected auto, whole"),
        (["cell.tif", "-m", "one.zip", "--tile", "1,2,3"], 2, "has 3 sizes; the model works along YX"),
        (["cell.tif", "-m", "one.zip", "--crop", "y=0:99"], 2, "crop Y=0:99 is not inside cell.tif, whose Y is 0:40"),
        (["cell.tif", "-m", "one.zip", "--crop", "y-3"], 2, "--crop y-3: expected axis=start:stop"),
        (["cell.tif", "-m", "one.zip", "--range", "9,3"], 2, "--range '9,3': expected two numbers, dark and bright"),
        (["cell.tif", "-m", "one.zip", "--provider", "tensorrt"], 5, "provider tensorrt does not load"),
        (["cell.tif", "-m", "0=one.zip", "-m", "many.zip"], 2, "not both"),
        (["cell.tif", "-m", "0=one.zip", "-m", "1=one.zip"], 2, "has one channel, number 0 (axes TZYX), but models"),
        (["cell.tif", "-m", "1=one.zip"], 2, "or one model without a number for all"),
        (["cell.tif", "sub/cell.tif", "-m", "one.zip", "-o", "out"], 2, "would both be written to"),
        (["cell.tif", "cell_restored.tif", "-m", "one.zip"], 2, "is both an input and the result of cell.tif"),
        (["cell.tif", "-m", "cell.tif"], 3, "cell.tif is not a model package: expected a zip file"),
        (["cell.tif"], 2, "carezoo list shows the models there are"),
        (["cell.tif", "-m", "one.zip", "-o", "one.zip"], 2, "one.zip is a file. Choose another folder"),
        (["cell.tif", "-m", "one.zip", "-o", "one.zip/out/a"], 2, "one.zip is a file. Choose another folder"),
    ],
)
def test_each_mistake_has_one_message_and_a_code(here, capsys, arguments, code, said):
    before = sorted(path.name for path in here.iterdir())
    assert run(["restore", *arguments]) == code
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert "bug in carezoo" not in told
    assert sorted(path.name for path in here.iterdir()) == before


@pytest.mark.parametrize(
    ("model", "axes", "said"),
    [
        (
            "upsample_3d",
            "TZYX",
            "needs at least 2 positions along Z (puts 2.5 in the place of each), but cell.tif has 1",
        ),
        ("project_3d", "TZYX", "needs at least 2 positions along Z (makes one out of all of them), but cell.tif has 1"),
        ("project_3d", "TCYX", "model test-project works along ZYX, but cell.tif has axes TCYX (2, 1, 40, 30): Z is"),
        ("two_channels_2d", "TZYX", "takes 2 channels together (nuclei, membranes), but cell.tif has 1"),
        ("two_channels_2d", "CZYX", ""),
    ],
)
def test_images_that_are_not_what_the_method_takes(here, capsys, model, axes, said):
    write_package(getattr(packages, model)(), here / "model.zip")
    tifffile.imwrite(here / "cell.tif", packages.picture((2, 1, 40, 30)))
    assert run(["restore", "cell.tif", "-m", "model.zip", "-o", "out", "--axes", axes]) == (2 if said else 0)
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert (here / "out").exists() is not bool(said)


def test_a_read_only_folder(here, capsys, monkeypatch):
    """Root may write anywhere, so the refusal of the system is played."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "out")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert run(["restore", "cell.tif", "-m", "one.zip", "-o", "out"]) == 2
    assert "Permission denied" in capsys.readouterr().err


def test_bugs_are_told_as_bugs(here, capsys, monkeypatch):
    monkeypatch.setattr("carezoo.cli.restore.collect_images", lambda _: 1 / 0)
    assert run(["restore", "cell.tif", "-m", "one.zip"]) == 1
    assert "bug in carezoo" in capsys.readouterr().err


@pytest.mark.parametrize("missing", [AttributeError, TypeError, ImportError])
def test_a_library_that_does_not_fit_is_a_bug_and_no_damage_of_the_file(here, capsys, monkeypatch, missing):
    def of_another_release(*_):
        raise missing("of another release")

    monkeypatch.setattr("carezoo.files.tiff_read.series_of", of_another_release)
    assert run(["restore", "cell.tif", "-m", "one.zip"]) == 1
    told = capsys.readouterr().err
    assert f"failed   cell.tif: {missing.__name__}: of another release" in told
    assert f"tifffile {tifffile.__version__}, numpy {np.__version__}, Python {sys.version.split()[0]}" in told
    assert "cannot be read as TIFF" not in told


def test_python_and_command_line_give_the_same_pixels(here):
    from carezoo import load

    assert run(["restore", "cell.tif", "-m", "one.zip"]) == 0
    restored = load(here / "one.zip").restore(here / "cell.tif")
    np.testing.assert_array_equal(tifffile.imread(here / "cell_restored.tif"), restored.mean)
    assert Settings().precision == restored.report.provenance.precision
