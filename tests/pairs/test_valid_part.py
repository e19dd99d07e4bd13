"""Pairs are trained on and scored where both images have valid pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import packages
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from carezoo import api
from carezoo.errors import DataError
from carezoo.files.atomic import hash_file
from carezoo.image import Image
from carezoo.package.write import write_package
from carezoo.pairs.cache import make_raw
from carezoo.pairs.find import Pair, find_pairs
from carezoo.pairs.intensity import Intensity, match
from carezoo.pairs.section import FileSet, PairAxes
from carezoo.pairs.valid_part import keep_valid_parts, trim
from carezoo.train.sections import Data


def make_pair(source, target, axes="YX", name="a"):
    images = [Image(np.asarray(each), axes, name=called) for each, called in ((source, name), (target, "target"))]
    return Pair(name, *images, Path(f"{name}_source.tif"), Path("target.tif"), "", (0,), (0,))


def clean(*shape):
    return packages.picture(shape).astype(np.float32) + 100


def test_pairs_without_invalid_pixels_are_left_as_they_are():
    pair = make_pair(clean(60, 60), clean(60, 60))
    assert keep_valid_parts([pair])[0] is pair


@pytest.mark.parametrize("value", [0, np.nan])
@pytest.mark.parametrize("side", ["source", "target"])
def test_both_images_are_cropped_to_what_is_valid_in_both(value, side):
    images = {"source": clean(60, 50), "target": clean(60, 50)}
    images[side][:, :13] = value
    images[side][:7] = value
    (kept,) = keep_valid_parts([make_pair(**images)])
    for name, found in (("source", kept.source), ("target", kept.target)):
        np.testing.assert_array_equal(found.array(), images[name][7:, 13:])


def test_drift_and_blank_frames():
    movie, target = clean(4, 60, 50), clean(60, 50)
    movie[1, :9], movie[2, -8:], movie[3] = 0, 0, 0
    pair = make_pair(movie, movie, "TYX")
    (kept,) = keep_valid_parts([pair])
    assert kept.source.shape == (4, 43, 50)
    pairs = [make_pair(frame, target, name=str(i)) for i, frame in enumerate(movie[:3])]
    assert {one.source.shape for one in keep_valid_parts(pairs)} == {(43, 50)}


@pytest.mark.parametrize("value", [0, np.nan])
@pytest.mark.parametrize("side", ["source", "target"])
def test_blank_frames_are_left_out_of_trainings(caplog, value, side):
    images = {"source": clean(6, 40, 50), "target": clean(6, 40, 50)}
    images[side][[1, 4]] = value
    pair = make_pair(**images, axes="TYX")
    assert keep_valid_parts([pair])[0] is pair
    (kept,) = keep_valid_parts([pair], is_blank_kept=False)
    for name, found in (("source", kept.source), ("target", kept.target)):
        np.testing.assert_array_equal(found.array(), images[name][[0, 2, 3, 5]])
        np.testing.assert_array_equal(found.pixels[1:3, 5, 2:9], images[name][[2, 3], 5, 2:9])
        np.testing.assert_array_equal(found.pixels[2, 5:7, 3], images[name][3, 5:7, 3])
    assert "a: frame(s) 1, 4 have no valid pixel, and are left out" in caplog.text


def test_pairs_with_one_target_lose_the_same_frames():
    movie, other, still = clean(5, 40, 50), clean(5, 40, 50) + 1, clean(40, 50)
    movie[1], other[3] = 0, 0
    pairs = [make_pair(each, clean(5, 40, 50), "TYX", name) for each, name in ((movie, "a"), (other, "b"))]
    for kept, image in zip(keep_valid_parts(pairs, is_blank_kept=False), (movie, other), strict=True):
        np.testing.assert_array_equal(kept.source.array(), image[[0, 2, 4]])
        assert kept.target.shape == (3, 40, 50)
    one = Pair("c", Image(movie, "TYX"), Image(still, "YX"), Path("c.tif"), Path("still.tif"), "", (0,), (0,))
    (kept,) = keep_valid_parts([one], is_blank_kept=False)
    np.testing.assert_array_equal(kept.source.array(), movie[[0, 2, 3, 4]])
    np.testing.assert_array_equal(kept.target.array(), still)


@pytest.mark.parametrize(("nodata", "n"), [("auto", 3), (0, 3), ("none", 5)])
def test_statistics_of_a_stack_leave_blank_planes_out(nodata, n):
    stack = clean(5, 40, 40)
    stack[3:] = 0
    pair = replace(make_pair(stack, stack, "ZYX"), nodata=nodata)
    scaling = match([pair], Intensity(), PairAxes("ZYX")).scalings(pair)[0]
    np.testing.assert_allclose(scaling.source.at(99.8), np.percentile(stack[:n], 99.8), rtol=1e-6)
    np.testing.assert_allclose(scaling.source.at(2.0), np.percentile(stack[:n], 2.0), rtol=1e-6)


def test_a_declared_value_is_left_out_and_none_keeps_padding():
    image = clean(60, 60)
    image[:, :20] = 0
    image[40:] = 7
    pair = make_pair(image, clean(60, 60))
    for nodata, region in ((7, np.s_[:40, :]), ("none", np.s_[:, :])):
        (kept,) = keep_valid_parts([replace(pair, nodata=nodata)])
        np.testing.assert_array_equal(kept.source.array(), image[region])


def test_means_are_cut_where_a_frame_is_valid(tmp_path):
    movie = clean(4, 60, 50)
    movie[0, :20], movie[1, :8], movie[3, :, -9:] = 0, 0, 0
    (tmp_path / "low").mkdir()
    (tmp_path / "high").mkdir()
    tifffile.imwrite(tmp_path / "low/a.tif", movie, photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "high/a.tif", clean(60, 50))
    data = Data(sets=(FileSet(source=("low",), target=("high",), axes="TYX", average=2),), folder=str(tmp_path))
    (kept,) = keep_valid_parts(find_pairs(data, PairAxes("YX")), is_blank_kept=False)
    expected = np.stack([movie[:2].mean(0), movie[2:].mean(0)])
    expected[0, 8:20], expected[1, :, -9:] = movie[1, 8:20], movie[2, :, -9:]
    np.testing.assert_array_equal(kept.source.array(), expected[:, 8:])
    assert kept.target.shape == (52, 50)


def test_a_pair_with_hardly_a_valid_pixel_is_refused_with_the_share():
    image = clean(60, 60)
    image[::7, ::7] = np.nan
    with pytest.raises(DataError, match="a: too little of it is valid: 2% of the pixels"):
        keep_valid_parts([make_pair(image, clean(60, 60))])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_is_left_holds_no_invalid_pixel(seed):
    rng = np.random.default_rng(seed)
    invalid = rng.random((20, 30)) < rng.choice([0.002, 0.02])
    rows, columns = trim(invalid)
    assert not invalid[rows, columns].any()
    border = np.ones((20, 30), bool)
    border[3:15, 4:28] = False
    assert trim(border) == (slice(3, 15), slice(4, 28))


def test_cropped_files_are_decoded_apart(tmp_path):
    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for path in paths:
        tifffile.imwrite(path, clean(60, 60), compression="zlib")
    from carezoo.files import open_image

    image = open_image(paths[0])
    pair = Pair("a", image, open_image(paths[1]), *paths, "", (0,), (0,))
    crop = {"Y": slice(5, 40)}
    cropped = Pair("a", image.crop(crop), pair.target.crop(crop), *paths, "", (0,), (0,))
    whole, part = make_raw([pair, cropped], tmp_path / "cache")
    assert whole.source.sizes["Y"] == 60
    np.testing.assert_array_equal(part.source.array().squeeze(), clean(60, 60)[5:40])


def test_scores_leave_padding_out(tmp_path):
    pytest.importorskip("skimage")
    model = api.load(write_package(packages.denoise_2d(), tmp_path / "m.zip"))
    target = clean(64, 70)
    source = target + np.random.default_rng(0).normal(0, 30, target.shape).astype(np.float32)
    for name, value in (("alone", None), ("zero", 0), ("nan", np.nan)):
        images = (
            [source, target]
            if value is None
            else [np.pad(each, ((0, 30), (20, 0)), constant_values=value) for each in (source, target)]
        )
        for side, image in zip(("s", "t"), images, strict=True):
            tifffile.imwrite(tmp_path / f"{name}_{side}.tif", image)
    scores = [
        model.evaluate(tmp_path / f"{name}_s.tif", tmp_path / f"{name}_t.tif", baselines=()).overall.scores
        for name in ("alone", "zero", "nan")
    ]
    assert len({one.restored.mean.psnr_db for one in scores}) == 1


def test_blank_sources_are_named_and_the_rest_is_scored(tmp_path, caplog):
    pytest.importorskip("skimage")
    model = api.load(write_package(packages.denoise_2d(), tmp_path / "m.zip"))
    for name in ("low", "high"):
        (tmp_path / name).mkdir()
        for i in range(2):
            tifffile.imwrite(
                tmp_path / name / f"{i}.tif", clean(48, 48) if (name, i) != ("low", 1) else clean(48, 48) * 0
            )
    found = model.evaluate(tmp_path / "low", tmp_path / "high", baselines=("gaussian",), settings={"tile": 48})
    assert found.skipped == (("1.tif", "its source is blank: every pixel is 0; leave this image out"),)
    assert found.overall.n_files == 1


def test_files_that_trained_the_model_are_named(tmp_path, caplog):
    pytest.importorskip("skimage")
    for name in ("low", "high"):
        (tmp_path / name).mkdir()
        for i in range(3):
            tifffile.imwrite(tmp_path / name / f"{i}.tif", clean(48, 48) + i + 10 * (name == "high"))
    hashes = [hash_file(tmp_path / "low" / f"{i}.tif")[0] for i in range(3)]
    rows = "dataset,part,role,sha256\n" + "".join(
        f"a,{part},source,{found}\n" for part, found in zip(("fit", "choose", "report"), hashes, strict=True)
    )
    draft = packages.denoise_2d()
    draft = replace(draft, files={**draft.files, "training_data.csv": rows.encode()})
    model = api.load(write_package(draft, tmp_path / "m.zip"))
    model.evaluate(tmp_path / "low", tmp_path / "high", baselines=())
    said = [each.message for each in caplog.records if "trained this model" in each.message]
    assert said == [
        "low/0.tif trained this model (part fit): scores on it say nothing about other images",
        "low/1.tif trained this model (part choose): scores on it say nothing about other images",
    ]
