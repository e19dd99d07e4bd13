"""A known background (the offset of the camera) in the place of the low percentile."""

from dataclasses import replace

import numpy as np
import packages
import pytest

import carezoo
from carezoo import files, intensity
from carezoo.cli.main import run
from carezoo.errors import InputError
from carezoo.image import Image
from carezoo.intensity import Affine, ScaleRange, Standardize
from carezoo.package.write import write_package
from carezoo.settings import Settings

PERCENTILES = ScaleRange(2.0, 99.8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return carezoo.load(write_package(packages.denoise_2d(), tmp_path_factory.mktemp("model") / "model.zip"))


@pytest.fixture
def noisy():
    return packages.picture((60, 50))


def measured(operations, image, **settings):
    """Return the normalization of an image with the channel first."""
    chosen = intensity.with_settings(operations, Settings(**settings))
    return intensity.measure(chosen, [lambda c=channel: [c] for channel in image], "cell.tif")


def test_it_is_the_dark_end_of_every_channel_and_the_bright_end_is_measured():
    image = np.stack([packages.picture((40, 40)), 3 * packages.picture((40, 40), seed=1)]).astype(np.float32)
    found = measured([PERCENTILES], image, background=90).apply(image)
    bright = np.percentile(image, 99.8, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found, (image - 90) / (bright - 90 + 1e-6), rtol=1e-5, atol=1e-6)
    assert not np.allclose(found, measured([PERCENTILES], image).apply(image), atol=1e-3)


def test_pixels_are_those_of_the_range_it_makes_and_stay_in_the_units_of_the_image(model, noisy):
    bright = float(np.percentile(noisy, 99.8))
    found = model.restore(noisy, "YX", background=80).mean
    np.testing.assert_allclose(found, model.restore(noisy, "YX", intensity_range=(80, bright)).mean, rtol=1e-4)
    assert np.abs(found - model.restore(noisy, "YX").mean).max() > 0.1
    assert noisy.min() / 2 < np.median(found) < noisy.max()


def test_per_frame_every_frame_has_the_same_dark_value(model, noisy):
    series = np.stack([noisy, 2 * noisy])
    both = model.restore(series, "TYX", background=80, is_per_frame=True).mean
    alone = [model.restore(frame, "YX", background=80).mean for frame in series]
    np.testing.assert_allclose(both, alone, rtol=1e-5)


def test_a_file_says_its_background_and_another_one_makes_it_anew(model, noisy, tmp_path, capsys):
    files.write_image(tmp_path / "cell.tif", Image(noisy, "YX"))
    command = ["restore", str(tmp_path / "cell.tif"), "-m", str(model.package.path), "--background"]
    assert run([*command, "80"]) == 0
    restored = tmp_path / "cell_restored.tif"
    np.testing.assert_array_equal(files.open_image(restored).array(), model.restore(noisy, "YX", background=80).mean)
    assert files.read_notes(restored)["carezoo"]["options"]["background"] == 80
    assert run([*command, "80.0"]) == 0
    assert "finished before" in capsys.readouterr().err
    assert run([*command, "90"]) == 2
    assert "exists and was made with --background 80.0 instead of 90.0; choose another" in capsys.readouterr().err


@pytest.mark.parametrize("operation", [Affine((0.01,), (-1.0,)), Standardize()])
def test_a_model_that_is_not_normalized_by_percentiles_refuses_it(operation):
    with pytest.raises(InputError, match="background 80: this model is not normalized by percentiles"):
        measured([operation], np.ones((1, 4, 4)), background=80)


def test_a_package_with_constants_refuses_it_in_words(noisy, tmp_path, capsys):
    files.write_image(tmp_path / "cell.tif", Image(noisy, "YX"))
    package = write_package(packages.fixed_2d(), tmp_path / "fixed.zip")
    assert run(["restore", str(tmp_path / "cell.tif"), "-m", str(package), "--background", "80"]) == 2
    assert "this model is not normalized by percentiles" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cell.tif", "fixed.zip"]


@pytest.mark.parametrize("background", [500.0, 4.0])
def test_it_has_to_be_darker_than_the_bright_end(background):
    image = np.minimum(np.arange(100.0).reshape(1, 10, 10), 4)
    said = rf"cell.tif: background {background:g} is not below its bright value 4 \(percentile 99.8\)"
    with pytest.raises(InputError, match=said):
        measured([PERCENTILES], image, background=background)


def test_an_almost_empty_image_is_measurable_with_it_where_its_bright_end_is():
    image = np.zeros((1, 10, 10))
    image[0, 0, :3] = 50  # percentiles 2 and 90 coincide
    assert "too few pixels hold anything" in measured([replace(PERCENTILES, high_percentile=90.0)], image).unmeasured[0]
    assert measured([replace(PERCENTILES, high_percentile=90.0)], image, background=-10).apply(
        image
    ).max() == pytest.approx(6)


def test_only_one_may_name_the_dark_value():
    with pytest.raises(InputError, match="background and intensity_range both name the dark value"):
        Settings(background=80, intensity_range=(80, 900))
