"""Training with noisy images alone: pairs out of one image, likelihoods that know the noise, a normal package."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage

import carezoo
from carezoo.check.run import check
from carezoo.errors import DataError, RecipeError
from carezoo.noise.thin import Noise
from carezoo.package.read import open_package
from carezoo.train import calibrate
from carezoo.train.pack import draft_tools
from carezoo.train.prepare import prepare
from carezoo.train.recipe import Recipe
from carezoo.train.run import train
from carezoo.uncertainty.laplace import Laplace

NOISE = {"gain": 2.0, "offset": 100.0, "read_noise": 1.5}
LICENCE = {"license": "CC0-1.0", "origin": "made by the test"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Leave out the processes that measure memory."""
    monkeypatch.setattr(draft_tools, "bytes_per_pixel", lambda weights, n_channels, rules: 100)


def electrons(shape, seed=0):
    """Return smooth blobs, 1 to 40 photoelectrons."""
    blobs = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 9)
    return 1 + 39 * np.clip(blobs / blobs.max(), 0, 1)


def acquire(clean, seed):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(clean) + NOISE["read_noise"] * rng.standard_normal(clean.shape)
    return np.rint(NOISE["gain"] * counts + NOISE["offset"]).astype(np.uint16)


def save(path, pixels, axes):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, metadata={"axes": axes})


def values_of(folder, size=32, **of_set):
    return {
        "name": "noisy",
        "data": {
            "folder": str(folder),
            "sets": [{"source": "noisy", "target": "thinned", "noise": NOISE, **LICENCE, **of_set}],
        },
        "patches": {"size": size if isinstance(size, dict) else {"y": size, "x": size}, "background_threshold": 0},
        "network": {"depth": 1, "kernel": 3, "n_first": 2, "probabilistic": True},
        "training": {"n_epochs": 1, "steps_per_epoch": 3, "batch_size": 2, "n_validation_patches": 4},
    }  # fmt: skip


def recipe_of(folder, size=32, **of_set):
    return Recipe.from_dict(values_of(folder, size, **of_set))


def test_one_noisy_image_becomes_a_package_like_any_other(tmp_path):
    save(tmp_path / "noisy" / "one.tif", acquire(electrons((200, 96)), 1), "YX")
    archive = train(recipe_of(tmp_path), tmp_path / "run")
    package = open_package(archive)
    assert check(package).passed
    card = package.read_bytes("README.md").decode()
    assert "no clean image to score the model against" in card
    assert "too few or too small to estimate errors" in card
    assert "Restored images of the files to fit are images of the training set" in card
    section = package.manifest.carezoo
    assert "noise as given: gain 2, offset 100 grey levels, read noise 1.5 electrons" in card
    assert section.training.data[0].n_files == {"fit": 1, "choose": 1, "report": 1}
    assert not section.scores
    assert section.calibration.levels is None
    noisy = tifffile.imread(tmp_path / "noisy" / "one.tif")
    restored = carezoo.load(archive).restore(noisy, "YX")
    assert np.asarray(restored.mean).shape == noisy.shape
    with pytest.raises(RecipeError, match=r"noise.gain \(2.0 there, 3.0 now\)"):
        train(recipe_of(tmp_path, noise={**NOISE, "gain": 3.0}), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("shape", "axes", "size", "of_set"),
    [
        ((12, 80, 64), "TYX", 32, {"target": "frames"}),
        ((12, 80, 64), "TYX", 32, {"target": "frames", "distance": 2}),
        ((5, 128, 64), "TYX", 32, {"target": "frames"}),
        ((8, 120, 64), "ZYX", {"z": 4, "y": 32, "x": 32}, {}),
    ],
)
def test_patches_of_movies_and_stacks_have_independent_noise_of_the_variance_they_carry(
    tmp_path, shape, axes, size, of_set
):
    clean = electrons(shape[1:]) if axes == "TYX" else electrons(shape)
    save(tmp_path / "noisy" / "one.tif", acquire(np.broadcast_to(clean, shape), 1), axes)
    prepared = prepare(recipe_of(tmp_path, size, **of_set), tmp_path / "cache")
    assert [len(part) for part in (prepared.parts.fit, prepared.parts.choose, prepared.parts.report)] == [1, 1, 1]
    (pair,) = prepared.parts.fit
    if axes == "TYX":
        distance = of_set.get("distance", 1)
        np.testing.assert_array_equal(pair.source.array()[distance:], pair.target.array()[:-distance])
        assert not np.array_equal(pair.source.array(), pair.target.array())
    source, target, noise = (each.numpy() for each in next(iter(prepared.data.batches(range(1), 0, 1))))
    assert source.shape == target.shape == (2, 1, *(size.values() if isinstance(size, dict) else (size, size)))
    assert noise.shape == (2, 1, 2)
    # The spread of source and target about the same scene: their noise, as far as the source has that of a frame.
    source, target, line = prepared.choose.fixed_patches(40, is_anywhere=True)
    assert np.abs((target - source).mean()) < 0.02
    # Differences of neighbours hold twice the noise, and little of the smooth scene.
    variance = line[..., 0] * target.mean(axis=tuple(range(2, target.ndim))) + line[..., 1]
    found = (np.diff(target, axis=-1) ** 2).mean(axis=tuple(range(2, target.ndim))) / 2
    assert np.median(found / variance) == pytest.approx(1, abs=0.1)
    steps = np.diff(source, axis=-1).ravel(), np.diff(target, axis=-1).ravel()
    assert np.corrcoef(*steps)[0, 1] < 0.15


def test_a_patch_follows_from_its_number_and_never_comes_twice(tmp_path):
    save(tmp_path / "noisy" / "one.tif", acquire(electrons((96, 64)), 1), "YX")
    draw = prepare(recipe_of(tmp_path), tmp_path / "cache").data.batches
    first, again = (next(iter(draw(range(3, 4), 0, 1))) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not torch.equal(first[0], next(iter(draw(range(4, 5), 0, 1)))[0])


def test_noise_may_be_the_file_that_fit_noise_wrote(tmp_path):
    save(tmp_path / "noisy" / "one.tif", acquire(electrons((120, 64)), 1), "YX")
    text = "photons: {log: [20.0, 80.0]}\ngain: 2.0\noffset: 100.0\nread_noise: 1.5\nbit_depth: 16\n"
    (tmp_path / "camera.yaml").write_text(f"# Noise fitted\n{text}", encoding="utf-8")
    (pair,) = prepare(recipe_of(tmp_path, noise="camera.yaml"), tmp_path / "cache").parts.fit
    assert pair.noisy.noise == (Noise(**NOISE),)
    (tmp_path / "camera.yaml").write_text("offset: 3\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="has no gain"):
        prepare(recipe_of(tmp_path, noise="camera.yaml"), tmp_path / "cache")


def test_noise_is_measured_channel_by_channel_where_the_recipe_is_silent(tmp_path, caplog):
    rng, clean = np.random.default_rng(2), 10 * electrons((256, 256), seed=3)
    channels = [gain * rng.poisson(clean) + offset for gain, offset in ((2.0, 100), (5.0, 20))]
    save(tmp_path / "noisy" / "one.tif", np.array(channels, np.uint16), "CYX")
    values = values_of(tmp_path, noise=None)
    values["data"]["channels"] = ["a", "b"]
    with caplog.at_level("INFO"):
        prepared = prepare(Recipe.from_dict(values), tmp_path / "cache")
    found = prepared.parts.report[0].noisy.noise
    assert [noise.gain for noise in found] == pytest.approx([2, 5], rel=0.1)
    assert [noise.offset for noise in found] == pytest.approx([100, 20], abs=6)
    assert "channel 1: gain" in caplog.text
    source, target, line = prepared.choose.fixed_patches(8, is_anywhere=True)
    assert source.shape == (8, 2, 32, 32)
    assert line.shape == (8, 2, 2)
    steps = [np.diff(each, axis=-1)[:, c].ravel() for c in range(2) for each in (source, target)]
    assert max(abs(np.corrcoef(steps[i], steps[i + 1])[0, 1]) for i in (0, 2)) < 0.2


def test_correlated_noise_is_refused_unless_the_set_says_otherwise(tmp_path):
    noisy = ndimage.gaussian_filter(acquire(10 * electrons((160, 128)), 1).astype(np.float32), 0.7)
    save(tmp_path / "noisy" / "one.tif", noisy, "YX")
    with pytest.raises(DataError, match=r"correlated by .*target: frames.*accept: true"):
        prepare(recipe_of(tmp_path), tmp_path / "cache")
    assert prepare(recipe_of(tmp_path, accept=True), tmp_path / "cache").parts.fit


def test_the_calibration_factor_is_that_of_the_error_and_not_of_the_noise():
    rng, n = np.random.default_rng(3), 400_000
    scale = (0.02 * 3 ** rng.random((2, n))).astype(np.float32)
    mean = np.zeros_like(scale)
    noise = np.full(n, 0.1**2, np.float32)
    true = Laplace(mean[0], 2 * scale[0]).sample(rng)  # scales say half of the error
    target = (true + 0.1 * rng.standard_normal(n)).astype(np.float32)
    one = calibrate.fit_scale_factor(Laplace(mean[:1], scale[:1]), target, noise)
    assert one.factor == pytest.approx(2, rel=0.05)
    assert one.nll < one.nll_before
    assert one.levels is None
    assert calibrate.fit_scale_factor(Laplace(mean[:1], scale[:1]), target).factor > 3
    # Where the noise explains more than all of the error, scales do not vanish.
    assert calibrate.fit_scale_factor(Laplace(mean[:1], scale[:1]), target, 2 * noise + 1).factor > 0.3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"noise": {"gain": 2, "offst": 1}}, "did you mean offset"),
        ({"noise": {"gain": -1}}, "gain: expected grey levels per photoelectron"),
        ({"distance": 2}, "distance: goes with target: frames"),
        ({"target": "frames", "average": 3}, "frames as they were acquired"),
        ({"register": True}, "no target of its own to move"),
        ({"target": "clean"}, "noise and distance: go with target: thinned"),
    ],
)
def test_sets_that_contradict_themselves_are_refused(tmp_path, change, words):
    with pytest.raises(RecipeError, match=words):
        recipe_of(tmp_path, **change)


@pytest.mark.parametrize(
    ("section", "values", "words"),
    [
        ("training", {"loss": "laplace"}, "takes the noise of the targets for errors"),
        ("network", {"probabilistic": True, "residual": True, "depth": 1}, ""),
        ("intensity", {"mode": "own"}, "one image with the same units"),
    ],
)
def test_recipes_that_ask_for_clean_targets_are_refused(tmp_path, section, values, words):
    changed = {**values_of(tmp_path), section: values}
    if not words:
        assert Recipe.from_dict(changed).training.loss == "noisy"
        changed["network"] = {"depth": 1}
        assert Recipe.from_dict(changed).training.loss == "mse"
        return
    with pytest.raises(RecipeError, match=words):
        Recipe.from_dict(changed)


def test_clean_and_noisy_targets_do_not_mix_and_clean_ones_have_no_noisy_loss(tmp_path):
    values = values_of(tmp_path)
    values["data"]["sets"].append({"source": "low", "target": "high"})
    with pytest.raises(RecipeError, match="stand alone"):
        Recipe.from_dict(values)
    values["data"]["sets"] = values["data"]["sets"][1:]
    values["training"]["loss"] = "noisy"
    with pytest.raises(RecipeError, match="goes with target: thinned"):
        Recipe.from_dict(values)


def test_frames_need_a_movie(tmp_path):
    save(tmp_path / "noisy" / "one.tif", acquire(electrons((120, 64)), 1), "YX")
    with pytest.raises(DataError, match=r"1 frame.*target: thinned, which needs one"):
        prepare(recipe_of(tmp_path, target="frames"), tmp_path / "cache")


def test_a_network_learns_the_scene_and_its_own_error_from_one_image(tmp_path):
    clean = electrons((128, 256), seed=5)
    save(tmp_path / "noisy" / "one.tif", acquire(clean, 1), "YX")
    values = values_of(tmp_path)
    values["network"] = {"depth": 1, "kernel": 3, "n_first": 8, "probabilistic": True}
    values["training"] |= {"n_epochs": 3, "steps_per_epoch": 60, "learning_rate": 4e-3, "schedule": "cosine"}
    archive = train(Recipe.from_dict(values), tmp_path / "run")
    restored = carezoo.load(archive).restore(tifffile.imread(tmp_path / "noisy" / "one.tif"), "YX")
    expected = NOISE["gain"] * clean + NOISE["offset"]
    error = np.asarray(restored.mean, np.float64) - expected
    noise = tifffile.imread(tmp_path / "noisy" / "one.tif") - expected
    assert error.std() < 0.5 * noise.std()
    assert abs(error.mean()) < 0.05 * noise.std()
    predicted = np.sqrt(2 * np.mean(np.asarray(restored.scale, np.float64) ** 2))
    # Of thinned patches, with their borders: somewhat more than of the whole image, and far less than the noise.
    assert 0.7 * error.std() < predicted < 2.5 * error.std() < noise.std()
