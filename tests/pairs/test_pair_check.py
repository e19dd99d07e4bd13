"""What a training tells of its acquired pairs before it begins."""

import csv
import logging
from fractions import Fraction

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from carezoo.errors import DataError
from carezoo.pairs.cache import MovedPixels, make_raw
from carezoo.pairs.find import find_pairs
from carezoo.pairs.registration import check_files, refuse_mistakes, register_pairs, write_table
from carezoo.pairs.section import FileSet, PairAxes
from carezoo.train.sections import Data


def scene(seed, shape=(120, 120)):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), 3)
    return (1000 + 300 * smooth / smooth.std()).astype(np.float32)


@pytest.fixture
def found(tmp_path):
    """Return a function that saves pairs and finds them again."""

    def save(*images, axes="YX", spatial="YX"):
        for side, which in (("low", 0), ("high", 1)):
            (tmp_path / side).mkdir()
            for i, pair in enumerate(images):
                tifffile.imwrite(tmp_path / side / f"{i}.tif", pair[which], photometric="minisblack")
        data = Data(sets=(FileSet(source=("low",), target=("high",), axes=axes),), folder=str(tmp_path))
        return find_pairs(data, PairAxes(spatial))

    return save


def test_pairs_that_match_are_told_with_numbers(found, caplog, tmp_path):
    pairs = found(*((0.5 * scene(k) + 20, scene(k)) for k in range(3)))
    with caplog.at_level(logging.INFO, "carezoo"):
        report = check_files(pairs, PairAxes("YX"))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "source = 0.5 * target +20" in caplog.text
    assert "3 pairs match" in caplog.text
    write_table(report, tmp_path / "registration.csv")
    rows = list(csv.DictReader((tmp_path / "registration.csv").read_text().splitlines()))
    assert [row["pair"] for row in rows] == [f"data1: low/{k}.tif" for k in range(3)]
    assert float(rows[0]["gain"]) == pytest.approx(0.5, rel=0.01)
    assert abs(float(rows[0]["shift_y_px"])) < 0.05


def test_a_shifted_pair_is_warned_of_and_left_as_it_is(found, caplog):
    moved = ndimage.shift(scene(0), (0, 3), mode="nearest")
    pairs = found((moved, scene(0)), (scene(1), scene(1)))
    with caplog.at_level(logging.INFO, "carezoo"):
        report = check_files(pairs, PairAxes("YX"))
    (warning,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert "1 of 2 pairs do not match" in warning
    assert "shifted by 3.0" in warning
    assert not report.is_fine
    np.testing.assert_array_equal(pairs[0].source.array(), moved)


def test_the_middle_frame_is_measured_against_its_own_target(found):
    series = np.stack([scene(k) for k in range(3)])
    other = series.copy()
    other[1] = ndimage.shift(series[1], (2, 0), mode="nearest")
    report = check_files(found((other, series), axes="TYX"), PairAxes("YX"))
    assert report.pairs[0].shift_px == pytest.approx((2.0, 0.0), abs=0.1)


def test_constant_images_are_warned_of(found, caplog):
    pairs = found((np.zeros((80, 80), np.float32), scene(0, (80, 80))))
    assert check_files(pairs, PairAxes("YX")) is None
    assert "constant" in caplog.text


def test_pairs_with_other_planes_are_left_alone(found):
    pairs = found((scene(0), scene(0)))
    assert check_files(pairs, PairAxes("ZYX", "YX")) is None
    assert check_files(pairs, PairAxes("ZYX", factor=Fraction(4))) is None
    assert check_files((), PairAxes("YX")) is None


REGISTER = (FileSet(source=("low",), target=("high",), register=True, name="data1"),)
"""The set that `found` makes, with targets to be moved."""


def drifted(seed, shift, shape=(120, 120)):
    return ndimage.shift(scene(seed, shape), shift, order=5, mode="nearest")


@pytest.mark.parametrize(
    ("shape", "spatial", "shift"), [((120, 120), "YX", (0.6, -2.3)), ((24, 90, 90), "ZYX", (0.4, 0.5, 1.6))]
)
def test_targets_are_moved_onto_their_sources_where_a_set_asks_for_it(found, tmp_path, shape, spatial, shift):
    source = 0.5 * drifted(0, shift, shape) + 20
    pairs, axes = found((source, scene(0, shape)), axes=spatial, spatial=spatial), PairAxes(spatial)
    assert register_pairs(pairs, [FileSet(source=("low",), target=("high",), name="data1")], axes) == pairs
    (moved,) = register_pairs(pairs, REGISTER, axes)
    np.testing.assert_array_equal(moved.source.array(), source)
    inside = (slice(4, -4),) * len(shape)
    expected = (source - 20) / 0.5
    assert np.abs(moved.target.array() - expected)[inside].max() < 0.05 * scene(0, shape).std()
    assert check_files([moved], axes).pairs[0].shift_px == pytest.approx((0,) * len(shape), abs=0.02)
    (raw,) = make_raw([moved], tmp_path / "cache")
    np.testing.assert_allclose(raw.target.array().reshape(shape), moved.target.array(), rtol=1e-5)


def test_sources_of_one_target_move_it_each_by_their_own_shift(tmp_path):
    shifts = {"a": (0.5, 0.0), "b": (0.0, -1.5)}
    for folder, image in {"high": scene(0), **{name: drifted(0, shift) for name, shift in shifts.items()}}.items():
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "0.tif", image, photometric="minisblack")
    sets = (FileSet(source=("a", "b"), target=("high",), axes="YX", register=True, name="levels"),)
    pairs = register_pairs(find_pairs(Data(sets=sets, folder=str(tmp_path)), PairAxes("YX")), sets, PairAxes("YX"))
    for pair, shift in zip(make_raw(pairs, tmp_path / "cache"), shifts.values(), strict=True):
        difference = pair.target.array().reshape(120, 120) - drifted(0, shift)
        assert np.abs(difference[4:-4, 4:-4]).max() < 0.05 * scene(0).std()


def test_what_cannot_be_registered_is_refused(found):
    pairs = found((scene(0), scene(1)))
    with pytest.raises(DataError, match=r"cannot be registered.*hardly show the same scene.*leave it out"):
        register_pairs(pairs, REGISTER, PairAxes("YX"))
    with pytest.raises(DataError, match="tasks upsample and project"):
        register_pairs(pairs, REGISTER, PairAxes("ZYX", factor=Fraction(4)))


def test_a_region_of_moved_pixels_is_that_of_all_of_them():
    pixels = scene(3, (4, 80, 90))
    moved = MovedPixels(pixels, (0.0, 0.37, -2.6))
    assert moved.shape == pixels.shape
    whole = moved[:, :, :]
    np.testing.assert_allclose(moved[2, 30:50, 5:41], whole[2, 30:50, 5:41], rtol=1e-5)
    np.testing.assert_allclose(moved[1:3, 0:7, 80:], whole[1:3, 0:7, 80:], rtol=1e-5)
    np.testing.assert_allclose(whole[1], ndimage.shift(pixels[1], (0.37, -2.6), mode="nearest"), rtol=1e-5)


def noisy(seed, sigma):
    return scene(seed) + np.random.default_rng(100 + seed).normal(0, sigma, (120, 120)).astype(np.float32)


SET, ACCEPTED = (FileSet(source=("low",), target=("high",), name="data1", accept=accept) for accept in (False, True))


def test_swapped_folders_are_refused_unless_accepted(found):
    pairs = found(*((scene(k), noisy(k, 200)) for k in range(3)))
    report = check_files(pairs, PairAxes("YX"))
    with pytest.raises(DataError, match=r"set data1: targets are noisier .* in 3 of 3 pairs, .*exchange.*accept: true"):
        refuse_mistakes(report, pairs, [SET])
    refuse_mistakes(report, pairs, [ACCEPTED])


def test_pairs_of_other_scenes_are_refused_unless_accepted(found):
    pairs = found((scene(0), scene(1)), (scene(2), scene(3)), (scene(4), scene(4)))
    report = check_files(pairs, PairAxes("YX"))
    with pytest.raises(DataError, match=r"set data1: 2 of 3 pairs hardly show the same scene, .*accept: true"):
        refuse_mistakes(report, pairs, [SET])
    refuse_mistakes(report, pairs, [ACCEPTED])


@pytest.mark.parametrize("sigmas", [(200, 200), (200, 0), (0, 0), (200, 150), (150, 200)])
def test_noise_on_both_sides_and_clean_pairs_are_fine(found, sigmas):
    pairs = found(*((noisy(k, sigmas[0]), scene(k) + noisy(k + 9, sigmas[1]) - scene(k + 9)) for k in range(3)))
    refuse_mistakes(check_files(pairs, PairAxes("YX")), pairs, [SET])


def test_sharp_targets_of_blurred_sources_are_no_noise(found):
    beads = [(np.random.default_rng(k).random((120, 120)) > 0.98) * 1000.0 for k in range(3)]
    pairs = found(*((ndimage.gaussian_filter(each, 3), ndimage.gaussian_filter(each, 1)) for each in beads))
    refuse_mistakes(check_files(pairs, PairAxes("YX")), pairs, [SET])


def test_warnings_name_the_keys_that_help(found, caplog):
    moved = ndimage.shift(scene(0), (0, 3), mode="nearest")
    check_files(found((moved, scene(0)), (3 * scene(1), scene(1))), PairAxes("YX"))
    assert "register: true" in caplog.text
    assert "intensity: {fit: pair}" in caplog.text
