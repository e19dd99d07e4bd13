from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from carezoo.errors import DataError
from carezoo.image import Image
from carezoo.intensity import ScaleRange, measure
from carezoo.pairs.find import Pair
from carezoo.pairs.intensity import EPS, Intensity, match, relate


def pair_of(
    source: NDArray, target: NDArray, axes: str = "YX", target_axes: str | None = None, dataset: str = "set"
) -> Pair:
    n_channels = [array.shape[letters.index("C")] if "C" in letters else 1 for array, letters in
                  ((source, axes), (target, target_axes or axes))]  # fmt: skip
    return Pair(
        name=f"{dataset}: a.tif",
        source=Image(source, axes, name="low/a.tif"),
        target=Image(target, target_axes or axes, name="high/a.tif"),
        source_path=Path("low/a.tif"),
        target_path=Path("high/a.tif"),
        dataset=dataset,
        source_channels=tuple(range(n_channels[0])),
        target_channels=tuple(range(n_channels[1])),
    )


def structure(seed: int, shape: tuple[int, ...] = (64, 80)) -> NDArray[np.float64]:
    return np.random.default_rng(seed).gamma(2.0, 100.0, shape)


def test_noise_in_the_source_does_not_bias_the_relation():
    clean = structure(1, (512, 512))
    noisy = np.random.default_rng(2).poisson(0.1 * clean) * 2.0 + np.random.default_rng(3).normal(40, 5, clean.shape)
    relation = relate([pair_of(noisy, clean)], "set")
    assert relation.gain[0] == pytest.approx(0.2, rel=0.01)
    assert relation.offset[0] == pytest.approx(40, abs=0.4)
    # Regressing the other way, clean on noisy, is off by more than a tenth.
    assert 1 / np.polyfit(noisy.ravel(), clean.ravel(), 1)[0] > 1.1 * 0.2


@given(st.floats(1e-3, 1e3), st.floats(-1e6, 1e6), st.integers(0, 2**32 - 1))
def test_an_exact_relation_is_found(gain, offset, seed):
    clean = structure(seed, (3, 12, 14))
    relation = relate([pair_of(gain * clean + offset, clean, "ZYX")], "set")
    assert relation.gain[0] == pytest.approx(gain, rel=1e-6)
    assert relation.offset[0] == pytest.approx(offset, rel=1e-9, abs=1e-6 * gain * 200)


def test_a_set_is_fitted_together_and_streamed_as_a_whole():
    pairs = [
        pair_of(structure(i) * 3 + np.random.default_rng(i).normal(0, 9, (64, 80)), structure(i)) for i in range(4)
    ]
    relation = relate(pairs, "set")
    source, target = (
        np.concatenate([getattr(pair, side).array().ravel() for pair in pairs]) for side in ("source", "target")
    )
    gain, offset = np.polyfit(target, source, 1)
    assert relation.gain[0] == pytest.approx(gain, rel=1e-10)
    assert relation.offset[0] == pytest.approx(offset, rel=1e-8)


def test_channels_and_frames_are_fitted_apart_and_together():
    target = structure(4, (2, 20, 30))
    source = np.stack([target * np.array([2, 5])[:, None, None] + np.array([10, 20])[:, None, None]] * 3)
    # One target for the three frames of the source.
    relation = relate([pair_of(source, target, "TCYX", "CYX")], "set")
    np.testing.assert_allclose(relation.gain, [2, 5])
    np.testing.assert_allclose(relation.offset, [10, 20])


def test_large_offsets_cost_no_digits():
    clean = structure(5) + 1e6
    relation = relate([pair_of(clean * 0.5 + 1e6, clean)], "set")
    assert relation.gain[0] == pytest.approx(0.5, rel=1e-9)


def test_sets_have_their_own_relation_and_pairs_if_asked():
    pairs = [pair_of(structure(i) * (i + 1), structure(i), dataset=f"set{i % 2}") for i in range(4)]
    by_set = match(pairs, Intensity())
    assert by_set.relation(pairs[0]) is by_set.relation(pairs[2])
    assert by_set.relation(pairs[0]).gain != by_set.relation(pairs[1]).gain
    by_pair = match(pairs, Intensity(fit="pair"))
    assert [by_pair.relation(pair).gain[0] for pair in pairs] == pytest.approx([1, 2, 3, 4])
    none = match(pairs, Intensity(fit="none"))
    assert (none.relation(pairs[3]).gain[0], none.relation(pairs[3]).offset[0]) == (1, 0)


def test_matched_is_what_restoration_undoes():
    clean = structure(6)
    pair = pair_of(clean * 0.25 + 7, clean)
    (scaling,) = match([pair], Intensity()).scalings(pair)
    ranges = scaling.ranges()
    operation = ScaleRange(2.0, 99.8, eps=EPS)
    at_restoration = measure([operation], [lambda: [pair.source.array()]])
    assert ranges.source_low == pytest.approx(at_restoration.offset)
    assert ranges.source_high - ranges.source_low == pytest.approx(at_restoration.gain)
    # A network that returns the normalized target restores the clean image in the units of the source.
    restored = at_restoration.undo(
        ((clean - ranges.target_low) / (ranges.target_high - ranges.target_low))[None].astype(np.float32),
        [0],
        is_scale=False,
    )
    np.testing.assert_allclose(restored[0], clean * 0.25 + 7, rtol=1e-5)


def test_own_uses_the_percentiles_of_each():
    clean = structure(7)
    pair = pair_of(clean * 0.25 + 7, clean)
    (scaling,) = match([pair], Intensity(mode="own", percentiles=(3, 99))).scalings(pair)
    ranges = scaling.ranges()
    assert (ranges.target_low[0], ranges.target_high[0]) == pytest.approx(tuple(np.percentile(clean, (3, 99))))
    assert (ranges.source_low[0], ranges.source_high[0]) == pytest.approx(
        tuple(np.percentile(clean * 0.25 + 7, (3, 99)))
    )


def test_fixed_uses_constants_of_all_sources_to_fit():
    pairs = [pair_of((structure(i) * (i + 1)).astype(np.uint16), structure(i)) for i in range(3)]
    matching = match(pairs, Intensity(mode="fixed"))
    together = np.percentile(np.concatenate([pair.source.array().ravel() for pair in pairs]), (2, 99.8))
    other = pair_of(structure(9) * 17, structure(9))
    for pair in [*pairs, other]:
        ranges = matching.scalings(pair)[0].ranges()
        assert (ranges.source_low[0], ranges.source_high[0]) == pytest.approx(tuple(together))
    given_range = match(pairs, Intensity(mode="fixed", range=(0.0, 500.0))).scalings(other)[0].ranges()
    assert (given_range.source_low[0], given_range.source_high[0]) == pytest.approx((0.0, 500.0))


def test_fixed_constants_of_files_with_different_types():
    pairs = [
        pair_of(structure(1).astype(np.uint16), structure(1)),
        pair_of(-structure(2).astype(np.int16), -structure(2)),
    ]
    ranges = match(pairs, Intensity(mode="fixed", fit="none")).scalings(pairs[0])[0].ranges()
    together = np.concatenate([pair.source.array().ravel().astype(float) for pair in pairs])
    assert (ranges.source_low[0], ranges.source_high[0]) == pytest.approx(tuple(np.percentile(together, (2, 99.8))))


def test_drawn_percentiles_follow_numpys():
    clean = structure(8, (300, 300))
    pair = pair_of(clean, clean)
    (scaling,) = match([pair], Intensity(percentile_jitter=True)).scalings(pair)
    for low, high in ((1.0, 99.5), (1.7, 99.63), (3.0, 99.9)):
        ranges = scaling.ranges((low, high))
        expected = np.percentile(clean, (low, high))
        assert (ranges.source_low[0], ranges.source_high[0]) == pytest.approx(tuple(expected), rel=0.01)
    assert scaling.ranges().source_low[0] == pytest.approx(np.percentile(clean, 2))


def test_samples_are_normalized_apart_and_frames_together():
    clean = structure(10, (2, 3, 20, 30))
    clean[1] *= 10
    pair = pair_of(clean, clean, "STYX")
    scalings = match([pair], Intensity()).scalings(pair)
    expected = [np.percentile(sample, 99.8) for sample in clean]
    assert [scaling.ranges().source_high[0] for scaling in scalings] == pytest.approx(expected)


def test_inverted_or_constant_targets_are_refused():
    with pytest.raises(DataError, match=r"not brighter in the same places \(correlation -1\.00\).*inverted"):
        relate([pair_of(-structure(1), structure(1))], "set cells")
    with pytest.raises(DataError, match="set cells: the target is constant in channel 0"):
        relate([pair_of(structure(1), np.full((64, 80), 3.0))], "set cells")


def test_unrelated_images_are_warned_of(caplog):
    clean = structure(1)
    with caplog.at_level(logging.WARNING, logger="carezoo"):
        relate([pair_of(clean, clean)], "set good")
        assert not caplog.records
        relate([pair_of(structure(2) + 0.1 * clean, clean)], "set cells")
    assert "set cells: source and target are weakly related" in caplog.text


def test_an_image_without_range_is_refused():
    pair = pair_of(np.full((64, 80), 5.0), structure(1))
    with pytest.raises(DataError, match=r"low/a\.tif: every plane of channel 0 has one value; leave the file out"):
        match([pair], Intensity(fit="none")).scalings(pair)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused(side, value):
    arrays = {"source": structure(1), "target": structure(1)}
    arrays[side][3, 4] = value
    with pytest.raises(DataError, match=r"(low|high)/a\.tif has pixels that are NaN or infinite"):
        match([pair_of(arrays["source"], arrays["target"])], Intensity())
