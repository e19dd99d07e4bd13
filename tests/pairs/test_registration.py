"""Pairs that match are told from pairs that do not, and known shifts are found."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from carezoo.errors import DataError
from carezoo.pairs import registration


def scene(shape=(160, 176), seed=0):
    rng = np.random.default_rng(seed)
    image = np.zeros(shape)
    for at in rng.integers(0, shape, (60, len(shape))):
        image[tuple(at)] = rng.uniform(200, 900)
    blurred = ndimage.gaussian_filter(image, 2.0)
    return blurred / blurred.max() * 200 + 10


def shifted(image, shift):
    return ndimage.shift(image, shift, order=3, mode="reflect")


@settings(deadline=None, max_examples=20)
@given(y=st.floats(-9, 9), x=st.floats(-9, 9), noise=st.floats(0, 8), seed=st.integers(0, 1000))
def test_a_known_shift_is_found(y, x, noise, seed):
    target = scene(seed=seed)
    source = np.random.default_rng(seed).normal(0.7 * shifted(target, (y, x)) + 30, noise)
    match = registration.check_pair(source, target)
    assert match.shift_px == pytest.approx((y, x), abs=0.1)
    assert match.gain == pytest.approx(0.7, rel=0.1) or math.hypot(y, x) > 0.5


def test_noise_does_not_pull_the_shift_to_zero():
    """As it does for phase correlation: 0.7 pixels must not be seen as 0.3."""
    target = scene()
    found = []
    for seed in range(8):
        source = np.random.default_rng(seed).normal(shifted(target, (0.7, -0.4)), 20)
        found.append(registration.check_pair(source, target).shift_px)
    assert np.mean(found, axis=0) == pytest.approx((0.7, -0.4), abs=0.04)


def test_a_volume_is_registered_along_all_three_axes():
    target = scene((20, 64, 64))
    match = registration.check_pair(shifted(target, (1.4, -2.0, 0.6)), target)
    assert match.shift_px == pytest.approx((1.4, -2.0, 0.6), abs=0.1)


def _report(pairs):
    return registration.RegistrationReport(tuple(registration.check_pair(*each) for each in pairs))


def test_a_good_pair_has_no_problems_and_its_relation_is_told():
    target = scene()
    rng = np.random.default_rng(0)
    report = _report((rng.poisson(0.5 * target + 20).astype(np.uint16), target, f"pair {k}") for k in range(3))
    assert report.is_fine
    assert [pair.gain for pair in report.pairs] == pytest.approx([0.5] * 3, rel=0.05)
    assert [pair.offset for pair in report.pairs] == pytest.approx([20] * 3, abs=1)
    assert report.verdict.startswith("3 pairs match: shifts up to 0.0")
    assert "shifted" not in report.verdict
    assert "differs between pairs" not in report.verdict


def test_the_standard_error_tells_a_rotation_from_a_shift():
    target = scene((200, 200))
    moved = registration.check_pair(shifted(target, (3.0, 0.0)), target)
    turned = registration.check_pair(ndimage.rotate(target, 2, reshape=False, order=3, mode="reflect"), target)
    assert moved.shift_se_px < 0.1
    assert turned.shift_se_px > 5 * moved.shift_se_px


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (shifted(scene(), (0, 4.0)), r"shifted by 4.00 pixels against the target \(YX: .0.00, \+4.00\)"),
        (-scene(), "gets darker where the source gets brighter"),
        (scene(seed=5), "hardly show the same scene|gets darker"),
    ],
)
def test_each_problem_is_named(source, problem):
    report = _report([(source, scene(), "odd one"), (scene() * 2, scene(), "good one")])
    assert not report.is_fine
    (told,) = report.pairs[0].problems
    assert re.search(problem, told)
    assert "1 of 2 pairs do not match" in report.verdict
    assert "odd one" in report.verdict
    assert "good one" not in report.verdict


def test_a_shift_common_to_all_pairs_is_told():
    pairs = [(shifted(scene(seed=k), (0.5, 0.0)), scene(seed=k), str(k)) for k in range(3)]
    report = _report(pairs)
    assert report.is_fine
    assert "shifted by (+0.50," in report.verdict


def test_different_exposures_are_told():
    pairs = [(scene() * factor, scene(), str(factor)) for factor in (0.2, 1.0, 3.0)]
    assert "match intensities pair by pair" in _report(pairs).verdict


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (np.ones((9, 9)), np.ones((9, 8)), "two images of one shape"),
        (np.ones((9, 9)), np.eye(9), "source is constant"),
        (np.eye(9), np.ones((9, 9)), "target is constant"),
    ],
)
def test_pairs_that_cannot_be_compared_are_refused(source, target, message):
    with pytest.raises(DataError, match=message):
        registration.check_pair(source, target)


def test_a_target_of_a_few_bright_pixels_is_refused_as_other_data_are():
    target = np.zeros((256, 256), np.float32)
    target[:4, :4] = 100
    source = target + np.random.default_rng(0).normal(0, 1, target.shape).astype(np.float32)
    with pytest.raises(DataError, match=r"odd one: .*leave the pair out"):
        registration.check_pair(source, target, "odd one")
