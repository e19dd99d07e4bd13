"""Ranges are free of units, may be given by channel, and say what is odd about them."""

import numpy as np
import packages
import pytest
import tifffile

from carezoo import api
from carezoo.cli.main import run
from carezoo.errors import InputError
from carezoo.package.write import write_package
from carezoo.settings import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(folder):
    return api.load(write_package(packages.probabilistic_2d(), folder / "probabilistic.zip"))


@pytest.fixture(scope="module")
def joint(folder):
    return api.load(write_package(packages.two_channels_2d(), folder / "joint.zip"))


@pytest.mark.parametrize("gain", [1e-12, 1e-8, 1e-7, 1e-3, 0.1, 7.0, 1e4, 1e12])
@pytest.mark.parametrize("offset", [0.0, -0.5, 20.0])
def test_other_units_give_the_same_image_in_other_units(model, gain, offset):
    image = packages.picture((50, 40)).astype(np.float32)
    width = float(np.ptp(image))
    expected = model.restore(image, "YX")
    found = model.restore((image + offset * width).astype(np.float64) * gain, "YX")
    tolerance = 1e-5 * max(1, abs(offset)) * width  # float32 holds so many digits of a pixel on an offset
    np.testing.assert_allclose(found.mean / gain - offset * width, expected.mean, atol=tolerance)
    np.testing.assert_allclose(found.scale / gain, expected.scale, atol=tolerance)


def test_channels_may_have_ranges_of_their_own(model, joint):
    image = packages.picture((3, 40, 40)).astype(np.float32)
    ranges = {0: (90, 1200), 2: (0, 700)}
    found = model.restore(image, "CYX", intensity_range=ranges)
    for channel in range(3):
        options = {"intensity_range": ranges[channel]} if channel in ranges else {}
        np.testing.assert_array_equal(found.mean[channel], model.restore(image[channel], "YX", **options).mean)
    one = joint.restore(image[:2], "CYX", intensity_range={1: (90, 1200)}).mean
    low, high = np.percentile(image[0], (2, 99.8))
    both = joint.restore(image[:2], "CYX", intensity_range={0: (low, high), 1: (90, 1200)}).mean
    np.testing.assert_allclose(one, both, rtol=1e-4)
    with pytest.raises(InputError, match=r"range of channel 3: image has 3 channel\(s\), counted from 0"):
        model.restore(image, "CYX", intensity_range={3: (0, 1)})


def test_a_given_range_makes_a_sparse_channel_restorable(model):
    image = np.zeros((2, 40, 40), np.uint8)
    image[:, 5, 5] = 90
    found = model.restore(image, "CYX", intensity_range={1: (0, 100)})
    np.testing.assert_array_equal(found.mean[0], image[0])
    assert not np.array_equal(found.mean[1], image[1])
    assert [said.split(":")[1] for said in found.report.warnings] == [" channel 0"]


def test_texts_say_the_same_as_python():
    expected = {0: (90, 1200), 1: (100, 3000)}
    assert Settings(intensity_range="1=100,3000 0=90,1200").intensity_range == expected
    assert Settings(intensity_range={"0": [90, 1200], 1: (100, 3000)}).intensity_range == expected
    assert Settings(intensity_range=expected).list_deciding()["intensity_range"] == {"0": [90, 1200], "1": [100, 3000]}
    assert Settings(intensity_range=expected).of_channel(1).intensity_range == (100, 3000)
    assert Settings(intensity_range=expected).of_channel(2).intensity_range is None


def test_the_command_line_takes_a_range_for_each_channel(model, folder, tmp_path, capsys):
    image = packages.picture((2, 40, 40)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "cell.tif", image, imagej=True, metadata={"axes": "CYX"})
    words = ["restore", str(tmp_path / "cell.tif"), "-o", str(tmp_path / "out"), "--range", "0=9,400"]
    zipped = str(folder / "probabilistic.zip")
    expected = model.restore(image, "CYX", intensity_range={0: (9, 400), 1: (3, 500)}).mean
    for models in (["-m", zipped], ["-m", f"0={zipped}", "-m", f"1={zipped}"]):
        assert run([*words, *models, "--range", "1=3,500", "--overwrite"]) == 0
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "cell_restored.tif"), expected)
    assert run([*words, "-m", zipped, "--range", "0=1,2", "--overwrite"]) == 2
    assert "--range '0=9,400 0=1,2': expected two numbers" in capsys.readouterr().err


@pytest.mark.parametrize(("share", "value"), [(0.0025, 10000), (0.004, 30000), (0.01, 60000)])
def test_a_few_very_bright_pixels_are_named_with_the_remedy(model, share, value):
    image = packages.picture((100, 100)).astype(np.float32)
    dirty = image.copy()
    dirty.flat[np.random.default_rng(0).permutation(10000)[: round(share * 10000)]] = value
    (said,) = model.restore(dirty, "YX").report.warnings
    assert said.startswith(f"image: {100 * share:.2g} % of the pixels are so bright")
    range_ = said.split("--range ")[1]
    assert model.restore(dirty, "YX", intensity_range=range_).report.warnings == ()
    low, high = map(float, range_.split(","))
    assert (low, high) == pytest.approx(np.percentile(image, (2, 98)), rel=0.2)
    assert model.restore(image, "YX").report.warnings == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_saturation_is_named_with_its_share(model, dtype):
    image = packages.picture((100, 100)) / 8
    top = round(float(np.percentile(image, 96)))
    (said,) = model.restore(np.minimum(image, top).astype(dtype), "YX").report.warnings
    assert f"have the highest value, {top}: saturated" in said
    assert said.startswith(f"image: {100 * np.mean(image >= top):.2g} % of the pixels")


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05, 0.2, 1.0, 3.0])
@pytest.mark.parametrize("gain", [1, 37.5])
def test_sparse_photons_are_not_called_saturated(model, rate, gain):
    rng = np.random.default_rng(0)
    for mean in (np.full((128, 128), rate), rate * packages.picture((128, 128)) / 100):
        said = model.restore((100 + gain * rng.poisson(mean)).astype(np.float32), "YX").report.warnings
        assert not any("saturated" in each for each in said)
    said = model.restore(np.minimum(rng.poisson(np.full((128, 128), rate)), 12).astype(np.uint8), "YX").report.warnings
    assert not any("saturated" in each for each in said)


@pytest.mark.parametrize(("share", "value"), [(0.001, 20000), (0.0025, 10000), (0.01, 60000), (0.015, 9000)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_robust_restores_around_hot_pixels_as_without_them(model, share, value, dtype):
    image = packages.picture((100, 100)).astype(dtype)
    dirty, hot = image.copy(), np.random.default_rng(0).permutation(10000)[: round(share * 10000)]
    dirty.flat[hot] = value
    assert "(--robust)" in model.restore(dirty, "YX").report.warnings[0]
    found, expected = model.restore(dirty, "YX", is_robust=True), model.restore(image, "YX")
    (said,) = found.report.warnings
    assert said.startswith(f"image: {100 * share:.2g} % of the pixels are above ")
    np.testing.assert_array_equal(found.mean.flat[hot], value)
    assert not found.scale.flat[hot].any()
    off = np.delete(np.abs(found.mean - expected.mean).ravel(), hot)
    spoilt = np.delete(np.abs(model.restore(dirty, "YX").mean - expected.mean).ravel(), hot)
    assert np.sqrt(np.mean(off**2)) < 0.03 * np.ptp(expected.mean)
    assert np.mean(off) < 0.3 * np.mean(spoilt)
    tiled = model.restore(dirty, "YX", is_robust=True, tile=48).mean
    np.testing.assert_allclose(tiled, found.mean, atol=1e-5 * value)


def test_robust_changes_no_ordinary_image(model):
    image = packages.picture((3, 60, 60))
    for result in ("mean", "scale"):
        np.testing.assert_array_equal(
            getattr(model.restore(image, "TYX", is_robust=True), result), getattr(model.restore(image, "TYX"), result)
        )


def test_robust_is_measured_where_ranges_are(model, joint):
    movie = packages.picture((3, 60, 60)).astype(np.float32)
    dirty = movie.copy()
    dirty[1, 10:14, 10:14] = 50000
    for options in ({}, {"is_per_frame": True}, {"background": 50}):
        found = model.restore(dirty, "TYX", is_robust=True, **options)
        clean = np.ma.masked_array(dirty, dirty == 50000)
        np.testing.assert_allclose(found.mean, model.restore(clean, "TYX", **options).mean, rtol=1e-6)
    both = np.stack([movie[0], dirty[1]])
    found = joint.restore(both, "CYX", is_robust=True)
    np.testing.assert_allclose(found.mean, joint.restore(np.ma.masked_equal(both, 50000), "CYX").mean, rtol=1e-6)
    assert found.report.warnings[0].startswith("image: channel 1: 0.44 % of the pixels are above")
    given = joint.restore(both, "CYX", is_robust=True, intensity_range={1: (80, 300)})
    assert given.report.warnings == ()
    np.testing.assert_array_equal(given.mean, joint.restore(both, "CYX", intensity_range={1: (80, 300)}).mean)


@pytest.mark.parametrize(
    "options", [{"intensity_range": (0, 9)}, {"intensity_range": {0: (0, 9)}}, {"is_robust": True}]
)
def test_models_that_measure_nothing_refuse_what_would_be_ignored(tmp_path, options):
    fixed = api.load(write_package(packages.fixed_2d(), tmp_path / "fixed.zip"))
    with pytest.raises(InputError, match="is not normalized by percentiles, but every image by the same constants"):
        fixed.restore(packages.picture((40, 40)), "YX", **options)
    with pytest.raises(InputError, match="robust and intensity_range both say what is bright"):
        Settings(is_robust=True, intensity_range=(0, 9))


def test_warnings_are_logged_where_python_shows_them(model, tmp_path, caplog):
    image = np.pad(packages.picture((40, 40)), [(0, 0), (0, 20)])
    (said,) = model.restore(image, "YX", settings={"tile": 32}).report.warnings
    assert [(each.name, each.levelname, each.message) for each in caplog.records] == [("carezoo", "WARNING", said)]
    tifffile.imwrite(tmp_path / "a.tif", image)
    caplog.clear()
    model.restore_file(tmp_path / "a.tif", settings={"tile": 32})
    assert [each.message for each in caplog.records] == [said.replace("image: ", "a.tif: ")]


def test_many_remarks_are_cut_short(model):
    movie = np.zeros((9, 40, 40), np.uint8)
    movie[:, 5, 5] = 90
    warnings = model.restore(movie, "TYX", is_per_frame=True).report.warnings
    assert len(warnings) == 6
    assert warnings[0].startswith("image: frame 0: passed through")
    assert warnings[-1] == "... and 4 more remarks on intensities"
