"""Scores without clean images: near the truth where it is known, and honest about models that lose."""

import json
import re

import numpy as np
import packages
import pytest
from scipy import ndimage

from carezoo.errors import DataError, InputError
from carezoo.evaluate.assessment import INPUT, RESTORED
from carezoo.evaluate.estimated import EstimatedError, EstimatedScores, estimate_scores, rows, to_json
from carezoo.image import Image
from carezoo.noise.correlation import Estimate
from carezoo.noise.thin import Noise
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.runtime.restore import restore

NOISE = Noise(gain=2.0, offset=20.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_package(write_package(packages.denoise_2d(), tmp_path_factory.mktemp("model") / "model.zip"))


def scene(seed, side=192):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random((side, side)), 5)
    return 24 + 80 * ((smooth - smooth.min()) / np.ptp(smooth)) ** 2


def record(clean, rng):
    return (NOISE.gain * rng.poisson((clean - NOISE.offset) / NOISE.gain) + NOISE.offset).astype(np.uint16)


def noisy_images(n, frames=1):
    rng = np.random.default_rng(0)
    found = []
    for seed in range(n):
        pixels = np.stack([record(scene(seed), rng) for _ in range(frames)])
        found.append(Image(pixels if frames > 1 else pixels[0], "TYX" if frames > 1 else "YX", name=f"{seed}.tif"))
    return found


def smooth(image, sigma):
    return ndimage.gaussian_filter(image.array().astype(np.float32), sigma)


@pytest.mark.parametrize(("frames", "noise"), [(1, NOISE), (1, None), (4, None)])
def test_estimates_are_near_the_truth(model, frames, noise):
    images = noisy_images(3, frames)
    found = estimate_scores(model, images, noise=noise, most_frames=1, filters=("gaussian", "median"))
    true = {name: [] for name in (INPUT, "gaussian", RESTORED)}
    for seed, image in enumerate(images):
        # Of four frames the third is the middle.
        noisy, clean = image if frames == 1 else Image(image.array()[2], "YX"), scene(seed)
        made = {
            INPUT: noisy.array(),
            "gaussian": ndimage.gaussian_filter(
                noisy.array().astype(float), found.methods["gaussian"].parameters["sigma"]
            ),
            RESTORED: restore(noisy, model).mean,
        }
        variance = NOISE.variance(clean).mean()
        for name, each in made.items():
            true[name].append(np.mean((each - clean) ** 2) / variance)
    for name, shares in true.items():
        share = found.methods[name].share
        assert share.value == pytest.approx(np.mean(shares), abs=4 * share.se), name
        assert share.se < 0.1 * max(share.value, 1)
    assert found.n_images == found.n_frames == 3
    assert bool(found.noise) == (frames == 1)
    assert ("dealing their photoelectrons out" in found.how) == (frames == 1)


def test_filters_are_tuned_as_by_the_truth(model):
    images = noisy_images(3)
    found = estimate_scores(model, images, noise=NOISE, filters=("gaussian",))
    sigmas = (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
    errors = [
        np.mean(
            [
                (ndimage.gaussian_filter(image.array().astype(float), s) - scene(i)) ** 2
                for i, image in enumerate(images)
            ]
        )
        for s in sigmas
    ]
    chosen = found.methods["gaussian"].parameters["sigma"]
    assert abs(sigmas.index(chosen) - int(np.argmin(errors))) <= 1


def test_a_model_that_loses_is_said_to_lose(model):
    found = estimate_scores(model, noisy_images(2), noise=NOISE, filters=("gaussian",))
    assert "is WORSE than the best filter, Gaussian" in found.verdict
    assert found.methods["gaussian"].behind.value < 0
    assert found.methods[RESTORED].behind is None
    plain = json.loads(to_json(found))
    assert plain["methods"]["gaussian"]["error_over_noise"]["value"] == found.methods["gaussian"].share.value
    assert plain["noise"]["0"]["gain"] == 2.0
    names = [name for name, _, _ in rows(found)]
    assert names[0] == "Input"
    assert names[1].startswith("Gaussian (sigma ")
    assert names[-1] == "Restored"


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        (Estimate(0.02, 0.001), r"beats the best filter, Gaussian \(10\.0 ± 0\.4 dB\), by 1\.0 dB"),
        (Estimate(0.02, 0.02), "is neither better nor worse than the best filter"),
        (Estimate(-0.02, 0.001), "is WORSE than the best filter"),
    ],
)
def test_the_verdict_goes_by_the_difference_and_its_error(behind, words):
    methods = {
        INPUT: EstimatedError("Input", {}, Estimate(1.0, 0.01), Estimate(0.9, 0.01)),
        "gaussian": EstimatedError("Gaussian", {"sigma": 1.0}, Estimate(0.1, 0.01), behind),
        "median": EstimatedError("Median", {"size": 3}, Estimate(0.2, 0.01), Estimate(0.1, 0.01)),
        RESTORED: EstimatedError("Restored", {}, Estimate(0.08, 0.01), None),
    }
    found = EstimatedScores("model 1.0.0", methods, {}, 2, 2)
    assert re.search(words, found.verdict)


def test_errors_that_cannot_be_told_from_nothing_are_no_number():
    found = EstimatedError("Restored", {}, Estimate(-0.01, 0.02), None)
    assert found.removed_db == np.inf
    scores = EstimatedScores("model 1.0.0", {INPUT: found, RESTORED: found}, {}, 1, 1)
    assert json.loads(to_json(scores))["methods"][RESTORED]["noise_removed_db"] is None
    assert "all that can be measured" in scores.verdict


def test_images_that_do_not_qualify_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="at least one image"):
        estimate_scores(model, [])
    blurred = [Image(smooth(image, 0.7), "YX") for image in noisy_images(2)]
    with pytest.raises(DataError, match="correlated"):
        estimate_scores(model, blurred)
    two = Image(np.stack([noisy_images(1)[0].array()] * 2), "CYX")
    with pytest.raises(InputError, match=r"same number of channels, found \[1, 2\]"):
        estimate_scores(model, [*noisy_images(1), two])
    projecting = open_package(write_package(packages.project_3d(), tmp_path / "project.zip"))
    with pytest.raises(InputError, match="changes the shape, the channels or the units"):
        estimate_scores(projecting, noisy_images(1))


def test_blurred_noise_of_repeated_frames_can_be_scored(model):
    """Frames need noise that is independent from frame to frame only."""
    images = [
        Image(ndimage.gaussian_filter(image.array().astype(np.float32), (0, 0.7, 0.7)), "TYX")
        for image in noisy_images(1, 5)
    ]
    found = estimate_scores(model, images, filters=("gaussian",), most_frames=2)
    assert found.noise == {}
    assert found.methods[INPUT].share.value == pytest.approx(1.0)


def test_several_channels_and_volumes(tmp_path):
    rng = np.random.default_rng(1)
    two = open_package(write_package(packages.two_channels_2d(), tmp_path / "two.zip"))
    image = Image(np.stack([record(scene(seed), rng) for seed in (0, 1)]), "CYX")
    found = estimate_scores(two, [image], noise=NOISE, filters=("median",))
    assert sorted(found.noise) == ["0", "1"]
    volumes = open_package(write_package(packages.denoise_3d(), tmp_path / "volumes.zip"))
    stack = Image(np.stack([record(scene(0, 96), rng) for _ in range(6)]), "ZYX")
    found = estimate_scores(volumes, [stack], noise=NOISE, filters=("gaussian",))
    assert found.n_frames == 1
    assert "sigma_z" in found.methods["gaussian"].parameters
