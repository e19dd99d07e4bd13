"""Averages of frames: what is restored is the mean, and everything that leaves says so."""

import json

import numpy as np
import packages
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from carezoo import api, files
from carezoo.cli.main import run
from carezoo.errors import AxesError, InputError, PixelError
from carezoo.image import Image, Metadata
from carezoo.package.write import write_package
from carezoo.pictures import view
from carezoo.valid import average_frames


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


def test_a_mean_is_that_of_the_frames_that_are_numbers(model):
    frames = packages.picture((6, 40, 30)).astype(np.float32)
    frames[4, 7, 9] = np.nan
    frames[3:, 20, 5] = [np.inf, np.nan, np.nan]
    with pytest.raises(PixelError, match="image holds inf at t=3, y=20, x=5"):
        model.restore(frames, "TYX", average=3, nan="refuse")
    found = model.restore(frames, "TYX", average=3)
    np.testing.assert_array_equal(np.argwhere(np.isnan(found.mean)), [[1, 20, 5]])
    assert found.report.warnings == ("image: 0.056 % of the pixels are NaN or infinite: left out of the means",)
    repaired = frames.copy()
    repaired[4, 7, 9] = (frames[3, 7, 9] + frames[5, 7, 9]) / 2
    np.testing.assert_array_equal(found.mean, model.restore(repaired, "TYX", average=3).mean)
    assert model.restore(frames, "TYX", average=3, nan="zero").mean[1, 20, 5] == 0


def drifting(n=8, offset=400):
    """Return a movie on a camera offset, and where the padding of each frame is, as registration leaves it."""
    movie = packages.picture((n, 80, 70)).astype(np.float32) + offset
    invalid = np.zeros(movie.shape, bool)
    for t in range(n):
        invalid[t, : 6 + 3 * t] = True
        invalid[t, :, 70 - 4 * t :] = True
    return movie, invalid


@pytest.mark.parametrize("kind", ["padding", "nan", "mask", "declared"])
@pytest.mark.parametrize("axes", ["TYX", "YXT", "TXY"])
def test_padding_of_single_frames_is_no_darkness_in_a_mean(model, kind, axes):
    movie, invalid = drifting()
    value = np.nan if kind == "nan" else 0
    movie[invalid] = value
    n = (~invalid).reshape(2, 4, 80, 70).sum(1)
    total = np.where(invalid, 0, movie).astype(np.float64).reshape(2, 4, 80, 70).sum(1)
    hidden = n == 0
    means = np.ma.masked_array(np.where(hidden, value, total / np.maximum(n, 1)).astype(np.float32), hidden)
    order = ["TYX".index(letter) for letter in axes]
    given = np.ma.masked_array(movie, invalid) if kind == "mask" else movie
    options = {"nodata": {"declared": 0, "padding": "auto"}.get(kind, "none")}
    found = model.restore(given.transpose(order), axes, average=4, **options)
    expected = model.restore(means.transpose(order), axes, nodata="none")
    for name in ("mean", "scale", "disagreement"):
        np.testing.assert_array_equal(found.images[name].array(), expected.images[name].array())
    np.testing.assert_array_equal(found.mean.transpose(np.argsort(order))[hidden], value)
    tiled = model.restore(given.transpose(order), axes, average=4, tile=24, **options).mean
    np.testing.assert_allclose(tiled, found.mean, atol=1e-5 * np.nanmax(found.mean))


def test_blank_frames_are_left_out_of_means_and_named(model):
    movie = packages.picture((6, 40, 40)).astype(np.uint16) + 400
    movie[[1, 3, 4, 5]] = 0
    found = model.restore(movie, "TYX", average=3)
    expected = model.restore(movie[[0, 2]].mean(0, dtype=np.float64).astype(np.float32), "YX")
    np.testing.assert_array_equal(found.mean[0], expected.mean)
    assert not found.mean[1].any()
    assert found.report.warnings == (
        "image: frame 1, frame 3, frame 4, frame 5: every pixel is 0; left out of the means",
    )
    counted = model.restore(movie, "TYX", average=3, nodata="none").mean
    np.testing.assert_array_equal(
        counted, model.restore(movie.reshape(2, 3, 40, 40).mean(1), "TYX", nodata="none").mean
    )
    assert not model.restore(np.zeros((4, 20, 20)), "TYX", average=2).mean.any()


@settings(max_examples=40, deadline=None)
@given(axes=st.permutations("TCYX"), seed=st.integers(0, 10**6))
def test_any_region_of_means_is_cut_out_of_the_whole(axes, seed):
    rng = np.random.default_rng(seed)
    shape = [{"T": 6, "C": 2, "Y": 12, "X": 9}[letter] for letter in axes]
    pixels = rng.random(shape)
    pixels[rng.random(shape) < 0.5] = np.nan
    means = average_frames(Image(pixels, "".join(axes)), 2)
    whole = means.pixels[(slice(None),) * 4]
    key = []
    for size in means.shape:
        start, stop = sorted(rng.choice(size + 1, 2, replace=False).tolist())
        key.append(start if rng.random() < 0.3 else slice(start, stop))
    part = means.pixels[tuple(key)]
    np.testing.assert_array_equal(np.ma.getmaskarray(part), np.ma.getmaskarray(whole)[tuple(key)])
    np.testing.assert_array_equal(np.asarray(part), np.asarray(whole)[tuple(key)])
    split = [2 * size if letter == "T" else size for letter, size in zip(axes, means.shape, strict=True)]
    at = axes.index("T")
    apart = pixels.reshape(*split[:at], 3, 2, *split[at + 1 :])
    assert (np.ma.getmaskarray(whole) == np.isnan(apart).all(at + 1)).all()


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
    assert "cell_restored.tif exists and was made with --average 4 instead of 5" in capsys.readouterr().err


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
