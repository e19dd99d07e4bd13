"""Pixels that are no image are not measured, do not harm those beside them, and come back as they were."""

import dataclasses
import itertools

import numpy as np
import packages
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carezoo import api
from carezoo.errors import PixelError
from carezoo.image import Image
from carezoo.intensity import MatchMoments
from carezoo.package.write import write_package
from carezoo.runtime.restore import restore
from carezoo.settings import Settings
from carezoo.valid import WINDOW, ValidPixels, fill, find_padding

MODELS = ["denoise_2d", "probabilistic_2d", "fixed_2d", "two_channels_2d", "ensemble_2d", "denoise_3d", "upsample_3d"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Return models by name, written once."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = api.load(write_package(getattr(packages, name)(), tmp_path_factory.mktemp(name) / "m.zip"))
        return made[name]

    return get


def picture(*shape, offset=400, dtype=np.float32):
    """Return noise and blobs on a camera offset."""
    return (packages.picture(shape).astype(np.float64) + offset).astype(dtype)


def padded(image, width, value, sides="YX"):
    """Return the image in a frame of one value: beyond the end of each of the last axes."""
    ends = [(0, width if letter in sides else 0) for letter in "ZYX"[-image.ndim :]]
    return np.pad(image, ends, constant_values=value)


def near(found, expected, tolerance=1e-3):
    """Say whether two restored images are alike, in parts of the range."""
    return np.abs(found - expected).max() <= tolerance * np.ptp(expected)


@pytest.mark.parametrize("offset", [100, 400, 1000])
@pytest.mark.parametrize(("dtype", "value"), [(np.uint16, 0), (np.float32, 0), (np.float32, -1), (np.uint16, 65535)])
def test_an_image_in_padding_is_restored_as_if_it_were_alone(opened, offset, dtype, value):
    alone = picture(64, 72, offset=offset, dtype=dtype)
    model, image = opened("denoise_2d"), padded(alone, 40, value)
    found, expected = model.restore(image, "YX"), model.restore(alone, "YX")
    halo = 16
    assert near(found.mean[: 64 - halo, : 72 - halo], expected.mean[: 64 - halo, : 72 - halo])
    assert near(found.mean[:64, :72], expected.mean, 0.1)
    assert (found.mean[64:] == value).all()
    assert (found.mean[:, 72:] == value).all()
    share = 100 * (1 - 64 * 72 / image.size)
    (said,) = found.report.warnings
    assert said.startswith(f"image: {share:.2g} % of the pixels are exactly {value}: taken as padding")
    assert "--nodata none" in said
    counted = model.restore(image, "YX", nodata="none").mean
    assert not near(counted[:64, :72], expected.mean, 0.02)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["padding", "nan", "mask", "declared"])
def test_every_model_and_every_way_to_say_it(opened, name, kind):
    model = opened(name)
    axes = ("C" if name == "two_channels_2d" else "") + model.manifest.spatial_axes
    shape = tuple({"C": 2, "Z": 6, "Y": 64, "X": 64}[letter] for letter in axes)
    alone = picture(*shape)
    image = np.pad(alone, [(0, 0)] * (len(shape) - 1) + [(0, 40)], constant_values=np.nan if kind == "nan" else 7)
    options = {"nodata": {"declared": 7, "padding": "auto"}.get(kind, "none")}
    if kind == "mask":
        image = np.ma.masked_array(image, image == 7)
    found, expected = model.restore(image, axes, **options), model.restore(alone, axes)
    for result in found.images:
        pixels, wanted = found.images[result].array(), expected.images[result].array()
        assert near(pixels[..., :40], wanted[..., :40]), result
        given_back = 7 if kind != "nan" else np.nan
        np.testing.assert_array_equal(pixels[..., 64:], given_back if result == "mean" else 0)
    if "scale" in found.images:
        assert np.isfinite(found.interval(0.9)[0][..., :64]).all()


@pytest.mark.parametrize("nan", ["keep", "zero"])
@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_nan_comes_back_as_asked(opened, nan, dtype):
    image = picture(60, 60)
    image[:, :20] = np.nan
    found = opened("denoise_2d").restore(image, "YX", nan=nan, dtype=dtype)
    expected = np.nan if (nan, dtype) == ("keep", "float32") else 0
    np.testing.assert_array_equal(found.mean[:, :20], expected)
    alone = opened("denoise_2d").restore(image[:, 20:], "YX")
    assert near(found.mean[:, 40:], alone.mean[:, 20:], 2e-3)
    assert "33 % of the pixels are NaN or infinite" in found.report.warnings[0]


def test_an_image_without_a_valid_pixel_is_refused(opened):
    for image in (np.full((20, 20), np.nan), np.ma.masked_array(picture(20, 20), True)):
        with pytest.raises(PixelError, match="image has no valid pixel"):
            opened("denoise_2d").restore(image, "YX")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_can_be_refused_with_its_position(opened, bad):
    image = picture(2, 30, 30)
    image[1, 7, 11] = bad
    with pytest.raises(PixelError, match=rf"image holds {bad} at t=1, y=7, x=11.*--nan keep"):
        opened("denoise_2d").restore(image, "TYX", nan="refuse")


@pytest.mark.parametrize("name", ["denoise_2d", "denoise_3d", "upsample_3d"])
@settings(max_examples=8, deadline=None)
@given(tile=st.integers(16, 60), seed=st.integers(0, 99))
def test_tiles_do_not_change_what_is_filled(opened, name, tile, seed):
    model = opened(name)
    image = picture(*((5, 90, 70) if name != "denoise_2d" else (90, 70)))
    rng = np.random.default_rng(seed)
    invalid = np.zeros(image.shape, bool)
    for _ in range(3):
        y, x = rng.integers(0, 60, 2)
        invalid[..., y : y + 30, x : x + 20] = True
    image[invalid] = np.nan
    whole, tiled = (model.restore(image, model.manifest.spatial_axes, tile=each).mean for each in ("whole", tile))
    np.testing.assert_allclose(tiled, whole, atol=1e-5 * np.nanmax(whole))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), reach=st.integers(1, 6))
def test_a_region_is_filled_as_in_the_whole_plane(seed, reach):
    rng = np.random.default_rng(seed)
    plane = rng.random((50, 40))
    invalid = np.zeros(plane.shape, bool)
    for _ in range(4):
        y, x = rng.integers(-5, 40, 2)
        invalid[max(y, 0) : y + 12, max(x, 0) : x + 12] = True
    whole = plane.copy()
    left = fill(whole, invalid, reach)
    assert not (left & ~invalid).any()
    np.testing.assert_array_equal(whole[~invalid], plane[~invalid])
    rows, columns, wide = slice(20, 30), slice(18, 25), WINDOW * reach
    around = slice(max(0, 20 - wide), 30 + wide), slice(max(0, 18 - wide), 25 + wide)
    part = plane[around].copy()
    left_of_part = fill(part, invalid[around], reach)
    inside = slice(20 - around[0].start, 30 - around[0].start), slice(18 - around[1].start, 25 - around[1].start)
    np.testing.assert_array_equal(part[inside], whole[rows, columns])
    np.testing.assert_array_equal(left_of_part[inside], left[rows, columns])


def test_blank_frames_of_a_movie_are_named_and_leave_the_others_alone(opened):
    model, movie = opened("ensemble_2d"), picture(5, 40, 40)
    expected = model.restore(movie[[0, 2, 4]], "TYX")
    movie[[1, 3]] = [[[0]], [[900]]]
    found = model.restore(movie, "TYX")
    assert near(found.mean[[0, 2, 4]], expected.mean)
    assert [np.unique(frame).tolist() for frame in found.mean[[1, 3]]] == [[0], [900]]
    assert found.report.warnings == ("image: frame 1, frame 3: every pixel is 0 or 900; passed through as it is",)


@pytest.mark.parametrize("name", ["denoise_3d", "upsample_3d", "project_3d"])
def test_blank_planes_of_a_stack(opened, name):
    model, stack = opened(name), picture(6, 40, 40)
    blank = np.concatenate([stack, np.zeros((3, 40, 40), np.float32)])
    found, expected = model.restore(blank, "ZYX").mean, model.restore(stack, "ZYX").mean
    factor = int(2 * model.manifest.factor("Z")) if found.ndim == 3 else 0
    if found.ndim == 3:
        assert (found[-factor:] == 0).all()
        assert near(found[:factor], expected[:factor], 0.01)
    else:
        assert found.min() > 300
    whole = model.restore(np.zeros((4, 40, 40), np.uint8), "ZYX")
    assert not whole.mean.any()
    assert "plane 0, plane 1, plane 2, plane 3: every pixel is 0" in whole.report.warnings[-1]


def test_a_pixel_of_a_projection_is_no_pixel_where_its_whole_column_is_none(opened):
    stack = picture(5, 40, 50)
    stack[:, :, :20] = np.nan
    stack[2, :, :30] = np.nan
    found = opened("project_3d").restore(stack, "ZYX").mean
    np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(np.arange(50) < 20, (40, 50)))


def test_a_sparse_channel_is_passed_through_and_named(opened):
    image = picture(3, 40, 40, offset=0, dtype=np.uint8)
    image[2] = 0
    image[2, 5, 5], image[2, 6, 9] = 90, 70
    model = opened("ensemble_2d")
    found, expected = model.restore(image, "CYX"), model.restore(image[:2], "CYX")
    for result in found.images:
        np.testing.assert_array_equal(found.images[result].array()[:2], expected.images[result].array())
    np.testing.assert_array_equal(found.mean[2], image[2])
    assert not found.scale[2].any()
    (said,) = found.report.warnings
    assert said.startswith("image: channel 2: passed through as it is, because percentiles 2 and 99.8 are both 0")
    joint = opened("two_channels_2d").restore(image[1:], "CYX")
    np.testing.assert_array_equal(joint.mean[1], image[2])
    assert np.isfinite(joint.mean[0]).all()


def test_a_sparse_frame_is_passed_through_where_frames_are_measured_alone(opened):
    movie = picture(3, 40, 40)
    movie[1] = 0
    movie[1, 3, 3] = 9
    found = opened("denoise_2d").restore(movie, "TYX", is_per_frame=True)
    np.testing.assert_array_equal(found.mean[1], movie[1])
    assert found.report.warnings[0].startswith("image: frame 1: passed through")
    np.testing.assert_array_equal(found.mean[2], opened("denoise_2d").restore(movie[2], "YX").mean)


@pytest.mark.parametrize("value", [0, 65535])
@pytest.mark.parametrize("border", ["left", "all around", "corner"])
def test_padding_of_any_outline_is_found(border, value):
    plane = picture(120, 120, dtype=np.uint16)
    y, x = np.mgrid[:120, :120]
    outline = {
        "left": x < 6,
        "all around": np.minimum.reduce([y, x, 119 - y, 119 - x]) < 1,
        "corner": (y + 2 * x < 60) | (y + 3 * x > 450),
    }[border]
    plane[outline] = value
    mask, found = find_padding(plane)
    assert found == value
    assert (mask & ~outline).sum() == 0
    assert (outline & ~mask).sum() <= 0.02 * outline.sum()


@pytest.mark.parametrize("rate", [0.001, 0.02, 0.3, 1.0, 3.0])
def test_photons_on_exact_zeros_are_no_padding(rate):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    glow = 6 * np.exp(-((y - 128) ** 2 + (x - 100) ** 2) / 1500)
    for mean in (np.full((256, 256), rate), rate / 10 + glow):
        assert find_padding(rng.poisson(mean).astype(np.uint8)) is None


def test_a_subtracted_background_and_saturation_are_no_padding():
    y, x = np.mgrid[:256, :256]
    smooth = 1000 * np.exp(-((y - 128) ** 2 + (x - 100) ** 2) / 1500)
    assert find_padding(np.maximum(smooth - 50, 0).astype(np.uint16)) is None
    assert find_padding(np.minimum(10 + smooth[:, ::-1][:, :200] * 9, 255).astype(np.uint8)) is None
    assert find_padding((y > 100).astype(np.uint8)) is None
    assert find_padding(picture(64, 64)) is None


def test_small_padding_is_left_alone():
    plane = picture(400, 400)
    plane[:25, :25] = 0
    assert find_padding(plane) is None
    plane[:30, :30] = 0
    assert find_padding(plane) is not None


@pytest.mark.parametrize("axes", [*map("".join, itertools.permutations("CYX")), "TYX", "SYX"])
def test_planes_are_judged_one_by_one_in_any_order_of_axes(axes):
    pixels = picture(*({"Y": 60, "X": 50}.get(letter, 2) for letter in axes))
    first = np.moveaxis(pixels, [axes.index(letter) for letter in axes if letter not in "YX"], [0])[0]
    first[:20] = 0 if axes.index("Y") < axes.index("X") else first[:20]
    if axes.index("Y") > axes.index("X"):
        first[:, :20] = 0
    other = next(letter for letter in axes if letter not in "YX")
    valid = ValidPixels(Image(pixels, axes))
    np.testing.assert_array_equal(valid.invalid({other: 0}), np.broadcast_to(np.arange(60)[:, None] < 20, (60, 50)))
    assert valid.invalid({other: 1}) is None


def test_a_crop_of_a_masked_array_is_masked(opened):
    image = np.ma.masked_array(picture(60, 60), False)
    image[:, :20] = np.ma.masked
    crop = Image(image, "YX").crop({"X": slice(10, 60)})
    found = restore(crop, opened("denoise_2d").package, Settings())
    np.testing.assert_array_equal(found.mean[:, :10], image.data[:, 10:20])


def test_a_narrow_image_is_filled_from_its_one_valid_part():
    plane = np.full((400, 8), np.nan, np.float32)
    plane[:50] = 7.0
    invalid = np.isnan(plane)
    left = fill(plane, invalid, 96)
    assert np.isfinite(plane[:146]).all()
    assert np.isnan(plane[left]).all()
    assert left[-50:].all()


@pytest.mark.filterwarnings("error")
def test_infinite_pixels_of_half_precision_images_are_found(opened):
    image = picture(48, 48, offset=0).astype(np.float16)
    image[5, 6] = np.inf
    restored = opened("denoise_2d").restore(image, "YX").mean
    assert np.isinf(restored[5, 6])
    assert np.isfinite(np.delete(restored.ravel(), 5 * 48 + 6)).all()


def along_time(model):
    """Return the package of a network along Z, as if it had been made along T."""

    def rename(found):
        return found.replace("Z", "T") if isinstance(found, str) else {rename(key): each for key, each in found.items()}

    manifest = model.manifest
    source = dataclasses.replace(
        manifest.input, axes=rename(manifest.input.axes), rules=rename(manifest.input.rules), pixel_size_um={}
    )
    outputs = [dataclasses.replace(each, axes=rename(each.axes), sizes=rename(each.sizes)) for each in manifest.outputs]
    return dataclasses.replace(
        model.package, manifest=dataclasses.replace(manifest, input=source, outputs=tuple(outputs))
    )


@pytest.mark.parametrize("kind", ["blank", "nan", "padding"])
def test_models_along_time(opened, kind):
    package, stack = along_time(opened("denoise_3d")), picture(8, 50, 60)
    assert package.manifest.spatial_axes == "TYX"
    if kind == "padding":
        stack[:, :, 40:] = 0
    else:
        stack[[3, 7]] = 0 if kind == "blank" else np.nan
    found = restore(Image(stack, "TYX"), package, Settings())
    expected = opened("denoise_3d").restore(stack, "ZYX")
    np.testing.assert_array_equal(found.mean, expected.mean)
    invalid = np.isnan(stack) | (stack == 0)
    np.testing.assert_array_equal(found.mean[invalid], stack[invalid])
    assert np.isfinite(found.mean[~invalid]).all()
    tiled = restore(Image(stack, "TYX"), package, Settings(tile=(8, 24, 24))).mean
    np.testing.assert_allclose(tiled, found.mean, atol=1e-5 * np.nanmax(stack))
    assert ("frame 3, frame 7" in found.report.warnings[-1]) == (kind == "blank")


def matching_moments(model, **changes):
    """Return the package of a model whose output gets the moments of the image."""
    output = dataclasses.replace(model.manifest.outputs[0], postprocessing=(MatchMoments(**changes),))
    results = tuple(dataclasses.replace(each, undo="none") for each in model.manifest.results)
    return dataclasses.replace(
        model.package, manifest=dataclasses.replace(model.manifest, outputs=(output,), results=results)
    )


@pytest.mark.parametrize("is_per_channel", [True, False])
@pytest.mark.parametrize("kind", ["padding", "nan", "mask"])
def test_moments_are_those_of_valid_pixels(opened, kind, is_per_channel):
    package = matching_moments(opened("denoise_2d"), is_per_channel=is_per_channel)
    alone = picture(64, 64)
    image = np.pad(alone, [(0, 0), (0, 80)], constant_values=np.nan if kind == "nan" else 0)
    if kind == "mask":
        image = np.ma.masked_array(image, image == 0)
    found, expected = restore(Image(image, "YX"), package).mean, restore(Image(alone, "YX"), package).mean
    assert near(found[:, :40], expected[:, :40], 5e-3)
    assert found[:, :64].mean() == pytest.approx(alone.mean(), rel=1e-4)
    assert found[:, :64].std() == pytest.approx(alone.std(), rel=1e-4)


def test_moments_of_blank_frames(opened):
    package = matching_moments(opened("denoise_2d"))
    movie = picture(4, 40, 40)
    movie[[0, 2]] = [[[0]], [[7]]]
    found = restore(Image(movie, "TYX"), package)
    np.testing.assert_array_equal(found.mean[[0, 2]], movie[[0, 2]])
    for t in (1, 3):
        assert found.mean[t].mean() == pytest.approx(movie[t].mean(), rel=1e-4)
        assert found.mean[t].std() == pytest.approx(movie[t].std(), rel=1e-4)
    assert found.report.warnings == ("image: frame 0, frame 2: every pixel is 0 or 7; passed through as it is",)


def test_blank_planes_are_looked_up_not_searched():
    n = 3000
    valid = ValidPixels(Image(np.zeros((n, 8, 8), np.uint8), "TYX"))
    for t in range(n):
        valid.exclude({"T": t, "C": 0})
    (found,) = valid._excluded.values()
    assert len(found) == n
    assert all(valid.is_blank({"T": t}) for t in range(n))
    assert not valid._planes  # nothing was read
