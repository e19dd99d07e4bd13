from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from carezoo.errors import InputError, MissingExtraError
from carezoo.evaluate import baselines, classical
from carezoo.evaluate.baselines import METHODS, Given, change_of, choose, prepare_input, tune
from carezoo.metrics import score

PAIR = np.load(Path(__file__).parent / "bpae_mito_20x.npz")
LOW, HIGH = PAIR["low"], PAIR["high"]


def psnr(image, target):
    return score(image, target, with_ssim=False).psnr_db


@pytest.mark.parametrize("name", ["gaussian", "median", "nlm"])
def test_tuned_methods_denoise_a_real_image_and_keep_its_units(name):
    baseline = tune(METHODS[name], [(LOW, HIGH)])
    restored = baseline(LOW)
    assert psnr(restored, HIGH) > psnr(LOW, HIGH) + 2.5
    assert restored.dtype == np.float32
    assert restored.mean() == pytest.approx(LOW.mean(), rel=0.1)


def test_tuning_finds_the_best_of_all_parameters():
    method = METHODS["gaussian"]
    found = tune(method, [(LOW, HIGH)]).parameters["sigma"]
    by_sigma = {sigma: psnr(gaussian_filter(LOW.astype(np.float32), sigma), HIGH) for sigma in method.tried["sigma"]}
    assert by_sigma[found] == max(by_sigma.values())
    assert found not in {min(by_sigma), max(by_sigma)}


def test_tuning_weighs_all_examples():
    clean = gaussian_filter(np.random.default_rng(0).normal(size=(64, 64)), 3).astype(np.float32)
    noisy = clean + np.random.default_rng(1).normal(0, clean.std(), clean.shape).astype(np.float32)
    alone = tune(METHODS["gaussian"], [(clean, clean)]).parameters["sigma"]
    both = tune(METHODS["gaussian"], [(clean, clean), (noisy, clean)]).parameters["sigma"]
    assert alone == min(METHODS["gaussian"].tried["sigma"])
    assert both > alone
    with pytest.raises(InputError, match="at least one source"):
        tune(METHODS["gaussian"], [])


@pytest.mark.parametrize("name", ["gaussian", "median", "nlm"])
def test_volumes(name):
    rng = np.random.default_rng(0)
    clean = gaussian_filter(rng.normal(size=(12, 40, 44)), 2.0).astype(np.float32)
    noisy = clean + rng.normal(0, clean.std(), clean.shape).astype(np.float32)
    restored = tune(METHODS[name], [(noisy, clean)])(noisy)
    assert restored.shape == clean.shape
    assert psnr(restored, clean) > psnr(noisy, clean) + 3


def test_square_roots_help_where_noise_grows_with_intensity():
    field = gaussian_filter(np.random.default_rng(2).normal(size=(96, 96)), 4)
    clean = np.exp(3 + 2 * field / field.std())  # a few to thousands of photons
    noisy = np.random.default_rng(3).poisson(clean).astype(np.float32)
    plain, root = (
        max(psnr(classical.nlm(noisy, h, 5, is_root=is_root), clean) for h in (0.3, 0.6, 1.0, 1.7))
        for is_root in (False, True)
    )
    assert root > plain + 1


def test_richardson_lucy_sharpens_with_the_psf_and_keeps_the_camera_offset():
    grid = np.hypot(*np.meshgrid(np.arange(-7, 8), np.arange(-7, 8)))
    psf = np.exp(-(grid**2) / 8)
    points = np.zeros((80, 80))
    points[tuple(np.random.default_rng(0).integers(8, 72, (2, 40)))] = 4000
    clean = gaussian_filter(points, 1) + 100
    blurred = np.random.default_rng(1).poisson(gaussian_filter(points, np.hypot(1, 2)) + 100).astype(np.float32)
    given = Given(psf=psf.astype(np.float32))
    (method,) = choose(["richardson-lucy"], "none", given)
    restored = tune(method, [(blurred, clean)], given)(blurred)
    assert psnr(restored, clean) > psnr(blurred, clean) + 2
    assert np.median(restored) == pytest.approx(100, abs=10)
    shifted = np.pad(psf, ((3, 0), (0, 5)))  # the centre is where it is brightest, not the middle of the array
    np.testing.assert_allclose(
        classical.richardson_lucy(blurred, shifted, 3), classical.richardson_lucy(blurred, psf, 3), rtol=1e-3
    )


def test_a_psf_must_fit_and_hold_light():
    with pytest.raises(InputError, match="give a YX one"):
        classical.richardson_lucy(np.ones((9, 9), np.float32), np.ones((3, 3, 3), np.float32), 1)
    with pytest.raises(InputError, match="holds no light"):
        classical.richardson_lucy(np.ones((9, 9), np.float32), np.zeros((3, 3), np.float32), 1)
    stack = np.random.default_rng(0).random((3, 16, 16)).astype(np.float32)
    psf = np.ones((3, 3), np.float32)
    np.testing.assert_array_equal(
        classical.richardson_lucy(stack, psf, 2)[1], classical.richardson_lucy(stack[1], psf, 2)
    )


def test_the_height_map_follows_a_tilted_surface():
    rng = np.random.default_rng(0)
    texture = 100 + 400 * rng.random((64, 64)).astype(np.float32)
    height = np.linspace(4, 14, 64)[np.newaxis, :].repeat(64, axis=0).round().astype(int)
    stack = rng.normal(100, 5, (20, 64, 64)).astype(np.float32)
    np.put_along_axis(stack, height[np.newaxis], texture[np.newaxis], axis=0)
    stack[0, :, :] += 1000  # a bright, featureless plane fools the maximum
    projected = tune(METHODS["height-map"], [(stack, texture)])(stack)
    assert psnr(projected, texture) > psnr(stack.max(axis=0), texture) + 10
    nlm = tune(METHODS["height-map-nlm"], [(stack, texture)])(stack)
    assert nlm.shape == texture.shape


def test_new_planes_lie_at_half_pixels():
    ramp = np.arange(6, dtype=np.float32)[:, np.newaxis, np.newaxis] * np.ones((1, 2, 3), np.float32)
    for order in (1, 3):
        fine = classical.resample_z(ramp, 12, 2.0, order=order)[:, 0, 0]
        np.testing.assert_allclose(fine[4:8], [1.75, 2.25, 2.75, 3.25], atol=0.02)
    np.testing.assert_array_equal(classical.resample_z(ramp, 6, 1.0, order=1), ramp)
    assert classical.resample_z(ramp[:1], 4, 4.0, order=3).shape == (4, 2, 3)
    # 10 planes by 10.2: the factor counts, not the rounded ratio of sizes
    assert classical.resample_z(ramp, 15, 2.6, order=1)[2, 0, 0] == pytest.approx(2.5 / 2.6 - 0.5, abs=1e-6)


def test_bicubic_beats_linear_on_a_smooth_stack():
    clean = gaussian_filter(np.random.default_rng(0).normal(size=(48, 24, 24)), (3, 2, 2)).astype(np.float32)
    source = clean.reshape(12, 4, 24, 24).mean(axis=1)
    given = Given(factor=4.0)
    (method,) = choose(None, "planes", given)
    assert method.name == "bicubic-z"
    cubic = tune(method, [(source, clean)], given)(source)
    assert psnr(cubic, clean) > psnr(prepare_input(source, clean.shape, given), clean) + 1


def test_what_a_source_is_scored_as():
    stack = np.random.default_rng(0).random((4, 8, 9))
    assert prepare_input(stack, (4, 8, 9), Given()) is stack
    np.testing.assert_array_equal(prepare_input(stack, (8, 9), Given()), stack.max(axis=0))
    assert prepare_input(stack, (10, 8, 9), Given(factor=2.5)).shape == (10, 8, 9)
    with pytest.raises(InputError, match=r"found \(8, 10\)"):
        change_of((4, 8, 9), (8, 10))


def test_methods_are_chosen_by_task_and_refused_with_a_reason():
    assert [m.name for m in choose(None, "none", Given())] == ["gaussian", "median", "nlm"]
    assert "richardson-lucy" in [m.name for m in choose(None, "none", Given(psf=np.ones((3, 3), np.float32)))]
    assert [m.name for m in choose(None, "projection", Given())] == ["max-projection", "height-map", "height-map-nlm"]
    with pytest.raises(InputError, match="'magic' is not known; choose from gaussian"):
        choose(["magic"], "none", Given())
    with pytest.raises(InputError, match="these do: max-projection"):
        choose(["gaussian"], "projection", Given())
    with pytest.raises(InputError, match="give --psf FILE"):
        choose(["richardson-lucy"], "none", Given())


def test_bm3d_is_used_if_it_is_there(monkeypatch):
    monkeypatch.setattr(baselines, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install bm3d"):
        choose(["bm3d"], "none", Given())
    monkeypatch.setattr(baselines, "find_spec", lambda name: name)
    assert choose(["bm3d"], "none", Given())[0].title == "BM3D"


@pytest.mark.parametrize("size", [(96, 96), (3, 96, 96)])
def test_the_noise_of_a_smooth_image_is_measured(size):
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=size), 6) * 100
    assert classical.noise_sigma(smooth + rng.normal(0, 3, size)) == pytest.approx(3, rel=0.05)
