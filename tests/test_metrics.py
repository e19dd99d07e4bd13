from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from carezoo import metrics
from carezoo.errors import InputError, MissingExtraError, PixelError
from carezoo.metrics import AffineFit, IntensityErrors, Scores, fit_affine, intensity_errors, mean_scores, score


def pair(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy and a clean image with structure, in camera counts."""
    rng = np.random.default_rng(seed)
    coordinates = np.meshgrid(*(np.linspace(0, 4 + i, n) for i, n in enumerate(shape)), indexing="ij")
    clean = 300 + 200 * np.prod([np.sin(2 * c) ** 2 for c in coordinates], axis=0)
    return clean + rng.normal(0, 20, shape), clean


def by_the_book(restored: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return fitted image and normalized target, in the words of the evaluation scripts."""
    low, high = np.percentile(target, 0.1), np.percentile(target, 99.9)
    y = (target - low) / (high - low)
    gain = np.cov(restored.ravel(), y.ravel(), ddof=0)[0, 1] / np.var(restored)
    return gain * restored + (y.mean() - gain * restored.mean()), y


def test_numbers_worked_out_by_hand():
    # Least squares: y = 2 x + 1/2, residuals +-1/2. Percentiles of 0 1 2 3: 3 * 0.001 and 3 * 0.999.
    scores = score(np.array([[0, 0], [1, 1]]), np.array([[0, 1], [2, 3]]))
    assert scores.nrmse == pytest.approx(0.5 / 2.994)
    assert scores.psnr_db == pytest.approx(20 * math.log10(2.994 / 0.5))
    assert scores.gain == pytest.approx(2 / 2.994)
    assert scores.offset == pytest.approx((0.5 - 0.003) / 2.994)
    assert scores.ssim is None


@pytest.mark.parametrize("shape", [(40, 53), (12, 21, 17), (7, 7)])
@pytest.mark.parametrize("block", [1, 5, 1000])
def test_scores_are_those_of_scikit_image(shape, block, monkeypatch):
    monkeypatch.setattr(metrics, "_SSIM_BLOCK", {2: block, 3: block})
    noisy, clean = pair(shape)
    x, y = by_the_book(noisy, clean)
    scores = score(noisy, clean)
    assert scores.psnr_db == pytest.approx(peak_signal_noise_ratio(y, x, data_range=1), abs=1e-9)
    assert scores.ssim == pytest.approx(structural_similarity(y, x, data_range=1), abs=1e-9)
    without_means = structural_similarity(y - y.mean(), x - x.mean(), data_range=1)
    assert scores.ssim_care2018 == pytest.approx(without_means, abs=1e-9)


def test_the_two_conventions_of_ssim_differ_on_a_real_pair():
    real_pair = np.load(Path(__file__).parent / "evaluate" / "bpae_mito_20x.npz")
    scores = score(real_pair["low"], real_pair["high"])
    assert scores.ssim == pytest.approx(0.5022, abs=1e-4)
    assert scores.ssim_care2018 == pytest.approx(0.4704, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    gain=st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3),
    offset=st.floats(-1e4, 1e4),
    seed=st.integers(0, 2**63),
)
def test_scores_do_not_change_with_gain_and_offset(gain, offset, seed):
    noisy, clean = pair((20, 24), seed)
    plain, changed = score(noisy, clean), score(noisy * gain + offset, clean)
    assert changed.psnr_db == pytest.approx(plain.psnr_db, abs=1e-5)
    assert changed.nrmse == pytest.approx(plain.nrmse, rel=1e-6)
    assert changed.ssim == pytest.approx(plain.ssim, abs=1e-6)
    assert changed.ssim_care2018 == pytest.approx(plain.ssim_care2018, abs=1e-6)
    assert changed.gain * gain == pytest.approx(plain.gain, rel=1e-6)


def test_an_inverted_image_shows_in_the_gain_only():
    noisy, clean = pair((20, 24))
    upright, inverted = score(noisy, clean), score(-noisy, clean)
    assert inverted.gain == pytest.approx(-upright.gain)
    assert inverted.gain < 0
    assert inverted.psnr_db == pytest.approx(upright.psnr_db)


def test_a_constant_restoration_has_gain_zero_and_defined_scores():
    _, clean = pair((20, 24))
    scores = score(np.full((20, 24), 0.1, np.float32), clean)
    low, high = np.percentile(clean, (0.1, 99.9))
    assert scores.gain == 0
    assert scores.nrmse == pytest.approx(clean.std() / (high - low))
    assert scores.offset == pytest.approx((clean.mean() - low) / (high - low))
    assert math.isfinite(scores.ssim)


def test_a_perfect_restoration():
    _, clean = pair((20, 24))
    scores = score(clean, clean)
    assert (scores.psnr_db, scores.nrmse) == (math.inf, 0)
    assert scores.ssim == pytest.approx(1)
    assert intensity_errors(clean, clean) == IntensityErrors(0, 0, math.inf, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_type_and_memory_layout_do_not_matter(dtype):
    noisy, clean = (np.round(image / 4) for image in pair((9, 30, 31)))
    expected = score(noisy, clean)
    for given_noisy in (noisy.astype(dtype), np.asfortranarray(noisy.astype(dtype)), noisy.astype(dtype)[::-1][::-1]):
        scores = score(given_noisy, clean.astype(dtype))
        assert scores.psnr_db == pytest.approx(expected.psnr_db, abs=1e-5)
        assert scores.ssim == pytest.approx(expected.ssim, abs=1e-6)


def test_masks_are_scored_as_zero_and_one():
    target = np.zeros((20, 20), bool)
    target[:10] = True
    assert score(target, target).psnr_db == math.inf


def test_singleton_axes_are_dropped():
    noisy, clean = pair((20, 24))
    assert score(noisy[None], clean[None]) == score(noisy, clean)


@pytest.mark.parametrize("shape", [(6, 20, 20), (20, 6), (64,)])
def test_images_smaller_than_the_window_have_no_ssim(shape):
    scores = score(*pair(shape))
    assert scores.ssim is None
    assert scores.ssim_care2018 is None
    assert math.isfinite(scores.psnr_db)


def test_seven_planes_are_enough_for_ssim():
    assert score(*pair((7, 20, 20))).ssim is not None


def test_a_large_offset_costs_no_digits():
    noisy, clean = pair((20, 24))
    assert score(noisy + 1e9, clean + 1e9).nrmse == pytest.approx(score(noisy, clean).nrmse, rel=1e-5)


def test_memory_stays_modest():
    volume = np.random.default_rng(0).integers(0, 4000, (16, 512, 512), np.uint16)
    tracemalloc.start()
    score(volume, volume, with_ssim=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * volume.nbytes  # one copy in double precision would be 4


@pytest.mark.parametrize(
    ("restored", "target", "error", "words"),
    [
        (np.zeros((8, 8)), np.zeros((8, 9)), InputError, r"same shape.*\(8, 8\) and \(8, 9\)"),
        (np.zeros((2, 3, 8, 8)), np.ones((2, 3, 8, 8)), InputError, r"YX or ZYX; found shape \(2, 3, 8, 8\)"),
        (np.zeros((8, 8)), np.full((8, 8), 3.0), InputError, "target is constant: .* both 3"),
        (np.zeros((50, 50)), np.eye(1, 2500).reshape(50, 50), InputError, r"constant: .* both 0 \(values 0 to 1\)"),
        (np.zeros((0, 8)), np.zeros((0, 8)), InputError, r"restored image must hold real numbers; found float64 of"),
        (np.zeros((8, 8), complex), np.zeros((8, 8)), InputError, "must hold real numbers; found complex128"),
        (np.full((8, 8), np.nan), np.zeros((8, 8)), PixelError, r"restored image has 64 NaN .* the first at \(0, 0\)"),
    ],
)
def test_what_cannot_be_scored_is_told(restored, target, error, words):
    with pytest.raises(error, match=words):
        score(restored, target)


def test_an_infinite_pixel_of_the_target_is_told_with_its_position():
    noisy, clean = pair((3, 8, 9))
    clean[1, 2, 5] = np.inf
    with pytest.raises(PixelError, match=r"target has 1 NaN or infinite pixel\(s\), the first at \(1, 2, 5\)"):
        score(noisy, clean)


def test_scores_without_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    noisy, clean = pair((20, 24))
    with pytest.raises(MissingExtraError, match=r'pip install "carezoo\[evaluate\]"'):
        score(noisy, clean)
    assert score(noisy, clean, with_ssim=False).ssim is None


def test_fit_recovers_gain_and_offset():
    values = pair((20, 24))[0]
    fit = fit_affine(values, -3 * values + 7)
    assert (fit.gain, fit.offset) == (pytest.approx(-3), pytest.approx(7))


def test_sums_of_single_precision_are_taken_in_double():
    single = [image.astype(np.float32) for image in pair((90, 100))]
    double = [image.astype(np.float64) for image in single]
    assert fit_affine(*single).gain == pytest.approx(fit_affine(*double).gain, rel=1e-12)


def test_fit_of_constant_values():
    assert fit_affine(np.full((2, 2), 5), np.array([[1, 2], [3, 6]])) == AffineFit(0.0, 3.0)


def test_a_large_camera_offset_does_not_make_a_small_gain_error_look_like_an_offset():
    expected = 10000 + np.arange(1001.0).reshape(7, 143)
    errors = intensity_errors(0.98 * (expected - 10500) + 10500, expected)
    assert (errors.gain_error, errors.offset_error) == pytest.approx((-0.02, 0))


def test_intensity_errors_worked_out_by_hand():
    expected = np.arange(1001.0).reshape(7, 143)  # percentiles 0.1 and 99.9 are 1 and 999
    errors = intensity_errors(1.1 * expected + 5, expected)
    assert errors.gain_error == pytest.approx(0.1)
    assert errors.offset_error == pytest.approx((1.1 * 500 + 5 - 500) / 998)
    assert errors.raw_nrmse == pytest.approx(np.sqrt(np.mean((0.1 * expected + 5) ** 2)) / 998)
    assert errors.raw_psnr_db == pytest.approx(-20 * math.log10(errors.raw_nrmse))


def test_intensity_errors_of_a_constant_expectation():
    with pytest.raises(InputError, match="expected image is constant"):
        intensity_errors(np.zeros((8, 8)), np.ones((8, 8)))


def test_mean_and_standard_error():
    first = Scores(20.0, 0.1, 0.5, 0.6, 1.0, 0.0)
    second = Scores(26.0, 0.3, 0.7, None, 3.0, 0.0)
    means = mean_scores([first, second])
    assert means.n == 2
    assert means.mean == Scores(23.0, pytest.approx(0.2), pytest.approx(0.6), None, 2.0, 0.0)
    # Standard deviation of two values is their distance over sqrt(2), the standard error half the distance.
    assert means.standard_error == Scores(*map(pytest.approx, (3.0, 0.1, 0.1)), None, 1.0, 0.0)


def test_mean_of_one_image_has_no_standard_error():
    only = IntensityErrors(0.1, 0.0, 20.0, 0.1)
    assert mean_scores([only]) == metrics.MeanScores(1, only, None)


def test_standard_error_with_a_perfect_image():
    means = mean_scores([IntensityErrors(0.0, 0.0, math.inf, 0.0), IntensityErrors(0.0, 0.0, 20.0, 0.1)])
    assert means.mean.raw_psnr_db == math.inf
    assert means.standard_error is not None
    assert math.isnan(means.standard_error.raw_psnr_db)
    assert means.standard_error.raw_nrmse == pytest.approx(0.05)


def test_mean_of_nothing():
    with pytest.raises(InputError, match="at least one image"):
        mean_scores([])


def test_metrics_and_pictures_load_nothing_but_numpy():
    code = (
        "import sys, carezoo.metrics, carezoo.uncertainty.laplace, carezoo.evaluate.scores\n"
        "import carezoo.pictures.before_after\n"
        "print(sorted({'skimage', 'scipy', 'matplotlib', 'torch', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
