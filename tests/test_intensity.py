"""Exact statistics in blocks, operations as the format defines them, and their inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from carezoo import intensity, statistics
from carezoo.intensity import Affine, Binarize, Cast, Clip, ScaleRange, Sigmoid, Softmax, Standardize
from carezoo.settings import Settings

floats = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-(2.0**100), 2.0**100, width=32))
integers = st.sampled_from([np.uint8, np.int8, np.uint16, np.int16]).flatmap(
    lambda dtype: hnp.arrays(dtype, st.integers(1, 60))
)


@given(values=floats | integers, q=st.lists(st.floats(0, 100), min_size=1, max_size=4), cut=st.integers(0, 60))
def test_percentiles_are_numpys_however_the_pixels_are_cut(values, q, cut):
    blocks = [part for part in (values[:cut], values[cut:]) if part.size]
    found = statistics.percentiles(lambda: blocks, q)
    expected = np.percentile(values.astype(np.float64), q)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(values.astype(np.float64)).max())


@given(values=floats | integers)
def test_moments_in_blocks(values):
    mean, std = statistics.moments(lambda: [values[:1], values[1:]] if values.size > 1 else [values])
    largest = np.abs(values.astype(np.float64)).max() + 1e-30
    assert mean == pytest.approx(values.mean(dtype=np.float64), rel=1e-9, abs=1e-9 * largest)
    assert std == pytest.approx(values.std(dtype=np.float64), rel=1e-6, abs=1e-6 * largest)


def _measured(operations, x):
    return intensity.measure(operations, [lambda c=channel: [c] for channel in x])


@given(seed=st.integers(0, 99), offset=st.floats(-1e4, 1e4), gain=st.floats(0.1, 1e4))
def test_undoing_normalization_is_the_identity(seed, offset, gain):
    x = (np.random.default_rng(seed).normal(size=(2, 9, 9)) * gain + offset).astype(np.float32)
    chain = [Cast("float32"), ScaleRange(2, 99.8), Affine((2.0,), (-0.5,)), Cast("float32")]
    normalization = _measured(chain, x)
    back = normalization.undo(normalization.apply(x), [0, 1], is_scale=False)
    np.testing.assert_allclose(back, x, atol=1e-5 * (abs(offset) + 10 * gain))
    width = normalization.undo(np.ones((1, 1, 1), np.float32), [1], is_scale=True)
    assert width[0, 0, 0] == pytest.approx(normalization.gain[1], rel=1e-5)


def test_scale_range_per_channel_and_jointly():
    x = np.stack([np.arange(101.0), np.arange(101.0) * 10]).astype(np.float32).reshape(2, 1, 101)
    own = _measured([ScaleRange(0, 100)], x).apply(x)
    np.testing.assert_allclose(own.max(axis=(1, 2)), 1, atol=1e-6)
    joint = _measured([ScaleRange(0, 100, is_per_channel=False)], x).apply(x)
    np.testing.assert_allclose(joint.max(axis=(1, 2)), [0.1, 1], atol=1e-6)


def test_statistics_are_those_of_the_raw_image():
    """As in bioimageio.core: a clip before scale_range does not change what scale_range measures."""
    x = np.arange(100, dtype=np.float32).reshape(1, 10, 10)
    clipped = _measured([Clip(low=0, high=50), ScaleRange(0, 100)], x).apply(x)
    assert clipped.max() == pytest.approx(50 / 99, rel=1e-5)


def test_the_other_operations():
    x = np.array([[[-1.0, 0.0, 2.0]], [[1.0, 0.0, 3.0]]], np.float32)
    np.testing.assert_array_equal(_measured([Binarize((0.5,))], x).apply(x)[0, 0], [0, 0, 1])
    np.testing.assert_allclose(_measured([Sigmoid()], x).apply(x)[0, 0, 1], 0.5)
    np.testing.assert_allclose(_measured([Softmax()], x).apply(x).sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_array_equal(_measured([Cast("uint8")], np.abs(x) + 0.7).apply(np.abs(x) + 0.7)[0, 0], [1, 0, 2])
    standard = _measured([Standardize(1e-6)], x).apply(x)
    np.testing.assert_allclose(standard.mean(axis=(1, 2)), 0, atol=1e-6)
    limits = _measured([Clip(low_percentile=50, high_percentile=100)], x).apply(x)
    np.testing.assert_array_equal(limits[0, 0], [0, 0, 2])


def test_a_constant_image_keeps_its_value():
    x = np.full((1, 4, 4), 7, np.uint16)
    normalization = _measured([ScaleRange(2, 99.8)], x)
    np.testing.assert_array_equal(normalization.apply(x), 0)
    np.testing.assert_allclose(normalization.undo(np.zeros((1, 4, 4), np.float32), [0], is_scale=False), 7)


def test_an_almost_empty_channel_is_named_with_advice_and_does_not_stop_the_others():
    x = np.zeros((1, 100, 100), np.uint8)
    x[0, 0, 0] = 255
    measured = intensity.measure([ScaleRange(2, 99.8)], [lambda: [x], lambda: [], lambda: [np.arange(1000)]], "cell")
    assert measured.unmeasured[0].startswith("percentiles 2 and 99.8 are both 0, though values go from 0 to 255")
    assert measured.unmeasured[1] == "no pixel is valid"
    assert measured.unmeasured.keys() == {0, 1}
    assert measured.gain[2] == pytest.approx(977.022)


def test_a_given_range_replaces_the_measured_one():
    x = np.array([[[100.0, 200.0]]], np.float32)
    operations = intensity.with_settings([Cast("float32"), ScaleRange(2, 99.8)], Settings(intensity_range=(100, 300)))
    np.testing.assert_allclose(_measured(operations, x).apply(x), [[[0, 0.5]]], atol=1e-6)
