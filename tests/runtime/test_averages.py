"""Averages of frames: what is restored is the mean, and everything that leaves says so."""

import json

import numpy as np
import packages
import pytest
import tifffile

from carezoo import api, files
from carezoo.cli.main import run
from carezoo.errors import AxesError, InputError, PixelError
from carezoo.image import Image, Metadata
from carezoo.package.write import write_package
from carezoo.pictures import view


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return api.load(write_package(packages.ensemble_2d(), tmp_path_factory.mktemp("model") / "model.zip"))


@pytest.fixture
def series(tmp_path):
    """Return a file with eleven frames of growing brightness."""
    frames = packages.picture((11, 40, 30)) + (40 * np.arange(11, dtype=np.uint16))[:, None, None]
    image = Image(frames, "TYX", {"Y": 0.1, "X": 0.1}, Metadata(frame_interval_s=0.5), name="cell.tif")
    files.write_image(tmp_path / "cell.tif", image)
    return tmp_path / "cell.tif"


def _means(series, n):
    frames = tifffile.imread(series).astype(np.float64)
    return np.stack([frames[i : i + n].mean(0) for i in range(0, len(frames) - n + 1, n)]).astype(np.float32)


def test_the_restoration_of_averages_is_that_of_the_means(model, series):
    restored = model.restore(series, average=5)
    expected = model.restore(_means(series, 5), "TYX")
    for name in ("mean", "scale", "disagreement"):
        np.testing.assert_array_equal(restored.images[name].array(), expected.images[name].array())
    assert restored.images["mean"].sizes == {"T": 2, "Y": 40, "X": 30}
    assert restored.images["mean"].metadata.frame_interval_s == 2.5
    assert restored.report.provenance.average == 5
    assert restored.report.warnings == ("cell.tif: its last 1 of 11 frames fill no average of 5",)
    assert model.restore(series, average=11).report.warnings == ()
    np.testing.assert_array_equal(
        model.restore(series, average=5, is_per_frame=True).mean[1], model.restore(_means(series, 5)[1], "YX").mean
    )


def test_tiles_and_the_type_of_the_image_stay_what_they_are(model, series):
    whole, tiled = (model.restore(series, average=2, tile=tile).mean for tile in ("whole", 24))
    np.testing.assert_allclose(whole, tiled, atol=1e-5 * np.ptp(whole))
    assert model.restore(series, average=2, dtype="input").mean.dtype == np.uint16


def test_a_pixel_that_is_no_number_in_one_frame_is_none_in_the_mean(model):
    frames = packages.picture((6, 40, 30)).astype(np.float32)
    frames[4, 7, 9] = np.nan
    with pytest.raises(PixelError, match="nan at t=1, y=7, x=9"):
        model.restore(frames, "TYX", average=3, nan="refuse")
    restored = model.restore(frames, "TYX", average=3).mean
    np.testing.assert_array_equal(np.argwhere(np.isnan(restored)), [[1, 7, 9]])


def test_images_without_enough_frames(model):
    stack = packages.picture((4, 40, 30))
    with pytest.raises(AxesError, match="such as TYX if its planes are frames"):
        model.restore(stack, "ZYX", average=2)
    with pytest.raises(InputError, match=r"has 4 frame\(s\)"):
        model.restore(stack, "TYX", average=5)


def test_the_command_line_averages_records_and_skips(model, series, capsys):
    arguments = ["restore", str(series), "-m", str(model.package.path), "--crop", "t=1:11", "--average"]
    assert run([*arguments, "4"]) == 0
    assert "warning: cell.tif: its last 2 of 10 frames fill no average of 4" in capsys.readouterr().err
    path = series.with_name("cell_restored.tif")
    restored = files.open_image(path)
    assert restored.sizes["T"] == 2
    assert restored.metadata.frame_interval_s == pytest.approx(2.0)
    expected = model.restore(tifffile.imread(series)[1:], "TYX", average=4)
    np.testing.assert_array_equal(restored.array(), expected.mean)
    notes = files.read_notes(path)["carezoo"]
    assert (notes["options"]["average"], notes["run"]["average"]) == (4, 4)
    assert run([*arguments, "4"]) == 0
    assert "finished before" in capsys.readouterr().err
    assert run([*arguments, "5"]) == 2
    assert "cell_restored.tif exists and differs in options" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("axes", "average", "said"),
    [
        ("TYX", "12", "cell.tif has 11 frame(s)"),
        ("ZYX", "2", "--axes), such as TYX"),
        ("TYX", "0", "--average '0': expected how many frames"),
    ],
)
def test_the_command_line_leaves_nothing_after_a_mistake(model, series, capsys, axes, average, said):
    arguments = ["restore", str(series), "-m", str(model.package.path), "--axes", axes, "--average", average]
    assert run(arguments) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert [path.name for path in series.parent.iterdir()] == ["cell.tif"]


def test_channels_with_models_of_their_own(model, tmp_path, capsys):
    frames = packages.picture((4, 2, 40, 30))
    files.write_image(tmp_path / "two.tif", Image(frames, "TCYX"))
    path = str(model.package.path)
    arguments = ["restore", str(tmp_path / "two.tif"), "-m", f"0={path}", "-m", f"1={path}", "--average", "2", "--json"]
    assert run(arguments) == 0
    assert [each["provenance"]["average"] for each in json.loads(capsys.readouterr().out)[0]["reports"]] == [2, 2]
    restored = files.open_image(tmp_path / "two_restored.tif")
    assert restored.sizes == {"T": 2, "C": 2, "Y": 40, "X": 30}
    np.testing.assert_allclose(restored.array()[:, 1], model.restore(frames[:, 1], "TYX", average=2).mean, rtol=1e-5)


def test_what_is_shown_is_the_average(model, series):
    from carezoo.settings import Settings

    of_model = view.view_model(files.open_image(series), model.package, {"T": 1}, Settings(average=3))
    np.testing.assert_array_equal(of_model.source, _means(series, 3)[1])
    restored = model.restore_file(series, average=3)
    of_files = view.view_files(series, restored, {"T": 1})
    np.testing.assert_array_equal(of_files.source, of_model.source)
