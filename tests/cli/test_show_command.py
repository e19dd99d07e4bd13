"""carezoo show: from a model and from files, planes and stacks, and what is refused."""

import io

import numpy as np
import packages
import pytest
from matplotlib.image import imread

from carezoo import files
from carezoo.cli.main import run
from carezoo.image import Image
from carezoo.package.manifest import Calibration, Record
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.pictures import uncertainty, view
from carezoo.pictures.view import View
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.levels import Recalibration

SIZE = {"Y": 0.2, "X": 0.2}


@pytest.fixture
def cell(tmp_path):
    files.write_image(tmp_path / "cell.tif", Image(packages.picture((80, 64)), "YX", SIZE))
    return tmp_path / "cell.tif"


@pytest.fixture
def model(tmp_path):
    return write_package(packages.ensemble_2d(), tmp_path / "model.zip")


def shown(path):
    return imread(io.BytesIO(path.read_bytes()))


def test_with_a_model_or_from_files_it_shows_the_same_images(cell, model, tmp_path, capsys):
    assert run(["show", str(cell), "-m", str(model), "-o", str(tmp_path / "model.png")]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "model.png")
    assert f"{cell.name} restored with test-2d-ensemble 1.0.0" in said.err
    run(["restore", str(cell), "-m", str(model)])
    capsys.readouterr()
    assert run(["show", str(cell), "-o", str(tmp_path / "files.png")]) == 0
    assert f"{cell.name} restored with test-2d-ensemble 1.0.0" in capsys.readouterr().err
    one, other = shown(tmp_path / "model.png"), shown(tmp_path / "files.png")
    assert one.shape == other.shape
    np.testing.assert_array_equal(one[:400, :700], other[:400, :700])
    named = str(tmp_path / "clean.tif")
    run(["restore", str(cell), "-m", str(model), "-o", named])
    assert run(["show", str(cell), "--restored", named, "-o", str(tmp_path / "named.png")]) == 0
    np.testing.assert_array_equal(shown(tmp_path / "named.png"), other)


def calibrated(path, *levels):
    record = Record(calibration=Calibration(levels=Recalibration.from_plain([levels])))
    return write_package(packages.probabilistic_2d(record=record), path)


def test_the_band_drawn_from_files_is_as_wide_as_that_of_the_model(cell, tmp_path, capsys):
    model = calibrated(tmp_path / "model.zip", 0.9, 0.6)
    assert run(["show", str(cell), "-m", str(model), "-o", str(tmp_path / "model.png")]) == 0
    run(["restore", str(cell), "-m", str(model)])
    assert run(["show", str(cell), "-o", str(tmp_path / "files.png")]) == 0
    assert "levels" not in capsys.readouterr().err
    np.testing.assert_array_equal(shown(tmp_path / "files.png"), shown(tmp_path / "model.png"))
    of_model = view.view_model(files.open_image(cell), open_package(model), {})
    assert view.view_files(cell, tmp_path / "cell_restored.tif", {}).recalibration == of_model.recalibration
    scale = tmp_path / "cell_scale.tif"
    files.write_image(scale, Image(files.open_image(scale).array(), "YX"))
    assert run(["show", str(cell), "-o", str(tmp_path / "older.png")]) == 0
    assert "cell_scale.tif does not say at which levels its intervals hold" in capsys.readouterr().err


def test_channels_have_the_levels_of_their_own_models(tmp_path):
    source = tmp_path / "two.tif"
    files.write_image(source, Image(packages.picture((2, 40, 30)), "CYX"))
    chosen = [("-m", f"{i}={calibrated(tmp_path / f'{i}.zip', 0.9, 0.6 + 0.1 * i)}") for i in (0, 1)]
    assert run(["restore", str(source), *chosen[0], *chosen[1]]) == 0
    for i in (0, 1):
        levels = view.view_files(source, tmp_path / "two_restored.tif", {"C": i}).recalibration
        assert levels.level(0.9) == pytest.approx(0.6 + 0.1 * i)


def test_without_a_screen_the_picture_lies_here(cell, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("carezoo.cli.show._has_screen", lambda: False)
    assert run(["show", str(cell), "-m", str(model), "--at", "y=10"]) == 0
    assert shown(tmp_path / "cell_show.png").std() > 0.1


def test_on_a_screen_it_opens(cell, model, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("carezoo.cli.show._has_screen", lambda: True)
    monkeypatch.setattr("click.launch", opened.append)
    assert run(["show", str(cell), "-m", str(model)]) == 0
    assert opened[0].endswith("cell_show.png")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "x.jpg"], "a picture ends in .png"),
        ([], "name a model (--model), or the restored image (--restored)"),
        (["--restored", "a.tif", "-m", "b"], "a model or a restored file, not both"),
        (["--at", "q=1"], "expected axis=index"),
        (["--average", "2"], "--average goes with a model"),
        (["-m", "MODEL", "--average", "2", "-o", "x.png"], "means are taken over frames (T)"),
        (["-m", "MODEL", "--at", "t=3", "-o", "x.png"], None),
    ],
)
def test_wrong_wishes_are_told(cell, model, arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = run(["show", str(cell), *(str(model) if each == "MODEL" else each for each in arguments)])
    error = capsys.readouterr().err
    assert code == (2 if words else 0)
    assert (words or "") in error


def test_an_image_that_is_not_there_is_told_before_its_restoration(tmp_path, capsys):
    assert run(["show", str(tmp_path / "nope.tif")]) == 2
    assert "nope.tif does not exist" in capsys.readouterr().err


def test_a_plane_outside_of_the_image_is_told(model, tmp_path, capsys):
    stack = np.stack([packages.picture((64, 48), seed) for seed in range(3)])
    files.write_image(tmp_path / "series.tif", Image(stack, "TYX"))
    start = ["show", str(tmp_path / "series.tif"), "-m", str(model), "-o", str(tmp_path / "x.png")]
    assert run([*start, "--at", "t=3"]) == 2
    assert "t=3 is asked for, but T is 0 to 2" in capsys.readouterr().err
    assert run([*start, "--at", "t=2"]) == 0
    assert run([*start, "--at", "t=1"]) == 2
    assert "exists" in capsys.readouterr().err
    average = [*start, "--average", "3", "--overwrite"]
    assert run([*average, "--at", "t=1"]) == 2
    assert "t=1 is asked for, but T is 0 to 0" in capsys.readouterr().err
    assert run(average) == 0


def test_stacks_are_three_planes_at_their_true_proportions():
    rng = np.random.default_rng(0)
    stack = rng.uniform(0, 1, (10, 40, 50)).astype(np.float32)
    size = {"Z": 0.6, "Y": 0.2, "X": 0.2}
    cut = uncertainty._Cut(View("v", stack, stack, None, None, None, size, size), {"Z": 4, "Y": 7, "X": 9})
    image = cut.show(stack)
    assert image.shape == (40 + 2 + 30, 50 + 2 + 30)
    np.testing.assert_array_equal(image[:40, :50], stack[4])
    np.testing.assert_array_equal(image[42:, :50][1::3], stack[:, 7])
    np.testing.assert_array_equal(image[:40, 52:][:, 1::3], stack[:, :, 9].T)
    assert np.isnan(image[42:, 52:]).all()
    view = View("v", stack, stack, None, None, None, size, size)
    drawn = imread(io.BytesIO(uncertainty.picture(view, {"Z": 4, "Y": 7, "X": 9})))
    assert (drawn[230:360, 262:390] == 1).all()  # no bar and no line in the corner between the planes
    assert (drawn[170:210, 180:240] == 1).any()  # the white bar lies in the first plane


def test_a_source_with_fewer_planes_or_none_in_the_result():
    rng = np.random.default_rng(0)
    stack = rng.uniform(1, 2, (8, 40, 40)).astype(np.float32)
    scale = np.full_like(stack, 0.1)
    sizes = {"Z": 0.2, "Y": 0.2, "X": 0.2}
    upsampled = View("v", stack[::2], stack, scale, None, Laplace(stack, scale), {**sizes, "Z": 0.4}, sizes)
    assert uncertainty.picture(upsampled).startswith(b"\x89PNG")
    flat = View("v", stack, stack[3], None, None, None, sizes, {"Y": 0.2, "X": 0.2})
    assert uncertainty.picture(flat).startswith(b"\x89PNG")


def test_an_input_that_the_range_of_its_restoration_would_hide_has_a_range_of_its_own():
    restored = packages.picture((64, 64)).astype(np.float32)
    for source, title in ((restored + 5, "Input"), (restored + 5000, "Input (own contrast)")):
        each = View("v", source, restored, None, None, None, {}, {})
        panels = uncertainty._panels(each, uncertainty._Cut(each, {}))
        assert panels[0].title == title
        assert (panels[0].limits == panels[1].limits) == (title == "Input")
        low, high = panels[0].limits
        assert np.mean((panels[0].image >= low) & (panels[0].image <= high)) > 0.8
