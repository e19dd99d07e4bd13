"""Tile geometry: every pixel written once, and tiled equals untiled exactly when the halo says so."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carezoo import tiling
from carezoo.tiling import AxisRule


@st.composite
def rules(draw):
    step = draw(st.sampled_from([1, 2, 4, 8]))
    min_size = step * draw(st.integers(1, 3))
    return AxisRule(min_size, step, step * draw(st.integers(0, 4)), draw(st.booleans()))


@given(size=st.integers(1, 400), most=st.none() | st.integers(1, 400), rule=rules())
def test_writes_cover_the_image_once_and_keep_the_halo(size, most, rule):
    axis = tiling.plan([size], [most], [rule]).axes[0]
    written = np.zeros(axis.padded, int)
    for span in axis.spans:
        written[span.write] += 1
        assert span.read.stop - span.read.start == axis.tile
        assert span.read.start % rule.step == 0
        assert (axis.tile - rule.min_size) % rule.step == 0
        if span.read.start > 0:
            assert span.write.start - span.read.start >= rule.halo
        if span.read.stop < axis.padded:
            assert span.read.stop - span.write.stop >= rule.halo
    inside = slice(axis.pad_before, axis.pad_before + size)
    assert (written[inside] == 1).all()
    assert written.sum() == size
    if not rule.is_tileable:
        assert len(axis.spans) == 1


@given(size=st.integers(1, 200), rule=rules())
def test_padding_is_numpys_reflection_and_edge_where_too_short(size, rule):
    axis = tiling.plan([size], [None], [rule]).axes[0]
    after = axis.padded - size - axis.pad_before
    assert axis.pad_before == (axis.padded - size) // 2
    mode = "reflect" if max(axis.pad_before, after) < size else "edge"
    expected = np.pad(np.arange(size), (axis.pad_before, after), mode=mode)
    np.testing.assert_array_equal(axis.source_index(slice(0, axis.padded)), expected)


def _pool_net(x):
    """A convolution of reach 1, pooling by 2, another convolution, repeated upsampling: halo 4, step 2."""

    def convolved(values):
        return np.convolve(np.pad(values, 1), [0.25, 0.5, -1.0], "valid")

    return np.repeat(convolved(convolved(x).reshape(-1, 2).max(axis=1)), 2)


def _tiled(x, most, rule):
    axis = tiling.plan([len(x)], [most], [rule]).axes[0]
    result = np.full(len(x), np.nan)
    for span in axis.spans:
        y = _pool_net(x[axis.source_index(span.read)])[span.crop]
        result[span.write.start - axis.pad_before : span.write.stop - axis.pad_before] = y
    return result


@given(size=st.integers(1, 150), most=st.integers(1, 60), seed=st.integers(0, 99))
def test_tiled_equals_untiled(size, most, seed):
    x = np.random.default_rng(seed).normal(size=size)
    rule = AxisRule(2, 2, 4)
    np.testing.assert_allclose(_tiled(x, most, rule), _tiled(x, None, rule), atol=1e-12)


def test_a_halo_one_step_short_is_seen():
    x = np.random.default_rng(0).normal(size=101)
    assert np.abs(_tiled(x, 12, AxisRule(2, 2, 2)) - _tiled(x, None, AxisRule(2, 2, 4))).max() > 1e-3


def test_tiles_off_the_step_grid_are_never_exact():
    x = np.random.default_rng(0).normal(size=100)
    assert np.abs(_pool_net(x[1:99])[40:50] - _pool_net(x)[41:51]).max() > 1e-3


def test_tiles_are_balanced_and_of_one_shape():
    plan = tiling.plan([2048, 2048], [1100, 1100], [AxisRule(4, 4, 44)] * 2)
    assert plan.n_tiles == 4
    assert plan.tile_shape == (1068, 1068)
    assert plan.halo_share == pytest.approx(1 - 2048**2 / (2 * 1068) ** 2)


@given(size=st.integers(1, 200), fixed=st.integers(8, 40), halo=st.integers(0, 3))
def test_a_network_of_one_size_covers_any_image(size, fixed, halo):
    axis = tiling.plan([size], [None], [AxisRule(fixed, 0, halo)]).axes[0]
    assert axis.tile == fixed
    assert sum(span.write.stop - span.write.start for span in axis.spans) == size


@given(size=st.integers(1, 100), margin=st.integers(1, 5))
def test_a_margin_pads_the_whole_image(size, margin):
    axis = tiling.plan([size], [None], [AxisRule(1, 1, margin, margin=margin)]).axes[0]
    assert axis.pad_before == margin
    assert axis.padded == size + 2 * margin


def test_scaled_regions_must_end_on_pixels():
    assert tiling.scale_slice(slice(2, 6), Fraction(5, 2)) == slice(5, 15)
    with pytest.raises(ValueError, match="does not end on whole pixels"):
        tiling.scale_slice(slice(1, 6), Fraction(5, 2))


@settings(max_examples=30)
@given(shape=st.tuples(st.integers(1, 60), st.integers(1, 60)), most=st.integers(1, 40))
def test_plans_multiply(shape, most):
    plan = tiling.plan(shape, [most, most], [AxisRule(4, 4, 4), AxisRule(2, 2, 2)])
    count = np.zeros([axis.padded for axis in plan.axes], int)
    for tile in plan:
        count[tile.write] += 1
    assert count.max() == 1
    assert count.sum() == np.prod(shape)
    assert len(list(plan)) == plan.n_tiles
