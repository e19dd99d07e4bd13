"""Whether an image looks like training images: what counts as unlike, the words, and how much of an image is read."""

import dataclasses
import re

import numpy as np
import pytest

from carezoo.domain_check import ImageSample, compare, describe
from carezoo.domain_check.compare import Against
from carezoo.domain_check.crops import informative
from carezoo.domain_check.features import INDEX, NAMES, features, foreground_share
from carezoo.domain_check.odds import ALTERNATIVES, N_INPUTS, inputs, log_odds
from carezoo.domain_check.prior import LEAST_STD, covariance, population
from carezoo.domain_check.record import SHIFTS
from carezoo.image import Image

SIZE = {"Y": 0.1, "X": 0.1}


def blobs(seed, *, radius=8.0, photons=30.0, side=256, n=25):
    """Return a noisy plane of round spots on dark ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    clean = np.full((side, side), 2.0)
    for cy, cx in rng.uniform(0, side, (n, 2)):
        clean += np.clip(1.5 * (1 - ((y - cy) ** 2 + (x - cx) ** 2) / radius**2), 0, 1)
    return rng.poisson(photons * clean).astype(np.float32)


@pytest.fixture(scope="module")
def record():
    samples = [ImageSample(Image(blobs(seed), "YX", SIZE), (0,)) for seed in range(8)]
    return describe({"blobs": samples}, np.random.default_rng(0))


def compared(record, plane, **how):
    return compare(Image(plane, "YX", **how), record)


def test_images_of_the_kind_are_like_the_training_images(record):
    for seed in range(100, 106):
        found = compared(record, blobs(seed), pixel_size_um=SIZE)
        assert not found.reasons, found
        assert found.distance < 1
        assert found.kind == "blobs"


@pytest.mark.parametrize(
    ("plane", "words"),
    [
        (blobs(7, photons=30 / 16), "noise [0-9.]+ times the highest seen in training"),
        (-blobs(7), "contrast looks inverted"),
        (blobs(7, radius=16, n=6), "structures [0-9.]+ times larger .* another magnification"),
        (blobs(7, radius=4, n=100), "structures [0-9.]+ times smaller"),
        (np.kron(blobs(7, side=128, radius=4), np.ones((2, 2))), "enlarged, filtered or compressed"),
        (np.random.default_rng(0).poisson(30, (256, 256)), "."),
        (np.eye(256) * np.eye(256)[100], "hardly anything but noise"),
        (np.add.outer(np.arange(256), np.arange(256)), "times lower than the lowest"),
    ],
    ids=["noise", "inverted", "larger", "smaller", "enlarged", "noise alone", "one bright pixel", "ramp"],
)
def test_what_is_unlike_is_told_in_words(record, plane, words):
    found = compared(record, plane)
    assert found.distance > 1
    assert found.reasons
    assert any(re.search(words, reason) for reason in found.reasons), found.reasons


def test_distance_is_one_where_an_alternative_is_as_probable(record):
    (kind,) = record["channels"][0]["kinds"]
    middle = np.array(kind["mean"])
    assert Against(middle, kind).distance < 0.1
    away = Against(middle, kind).std * np.array([(-1) ** i for i in range(len(NAMES))])
    near, far = 0.0, 20.0
    for _ in range(40):
        between = (near + far) / 2
        near, far = (between, far) if Against(middle + between * away, kind).distance < 1 else (near, between)
    odds = log_odds(Against(middle + near * away, kind).inputs)
    assert max(odds.values()) == pytest.approx(0, abs=1e-6)
    assert set(odds) == set(ALTERNATIVES) == {"other", *SHIFTS}


def test_nothing_far_away_is_like_the_training_images(record):
    (kind,) = record["channels"][0]["kinds"]
    rng = np.random.default_rng(0)
    for far in (16, 100, 1e4):
        for direction in rng.normal(size=(50, len(NAMES))):
            away = far * Against(np.zeros(len(NAMES)), kind).std * direction / np.linalg.norm(direction)
            assert Against(np.array(kind["mean"]) + away, kind).distance > 1


def test_farther_from_the_training_images_is_never_more_like_them():
    start = np.full(N_INPUTS, 2.0)
    for i in (*range(len(NAMES)), N_INPUTS - 3, N_INPUTS - 1):  # features; distances from the training images
        more = log_odds(start + np.eye(N_INPUTS)[i])
        assert all(more[name] >= odds for name, odds in log_odds(start).items()), i


def test_one_odd_number_does_not_decide_alone():
    white = np.zeros(len(NAMES))
    white[0] = 5
    odd, odder = (log_odds(inputs(by * white, np.zeros(4), np.full(3, 16.0))) for by in (1, 1e6))
    assert odder == odd


def test_images_of_any_kind_differ_more_than_those_of_one():
    middle, total = population()
    assert middle.shape == (len(NAMES),)
    within = covariance() + np.diag(LEAST_STD**2)
    assert np.linalg.eigvalsh(total).min() > 0
    assert np.trace(np.linalg.solve(within, total)) / len(NAMES) > 1.5


def test_noise_is_told_in_the_right_amount(record):
    (reason,) = [each for each in compared(record, blobs(7, photons=30 / 16)).reasons if "noise" in each]
    assert 2.5 < float(reason.split()[1]) < 5


@pytest.mark.parametrize("size", [0.2, 0.05])
def test_a_known_pixel_size_is_compared(record, size):
    found = compared(record, blobs(100), pixel_size_um={"Y": size, "X": size})
    assert found.reasons == (f"pixel size {size} µm, trained at 0.1 µm",)
    assert found.distance == pytest.approx(2 / 1.25)
    assert not compared(record, blobs(100), pixel_size_um={"Y": 0.12, "X": 0.12}).reasons


def test_the_nearest_kind_counts():
    rng = np.random.default_rng(0)
    other = [ImageSample(Image(blobs(seed, radius=20, n=5, photons=5), "YX"), (0,)) for seed in range(6)]
    record = describe({"blobs": [ImageSample(Image(blobs(s), "YX"), (0,)) for s in range(6)], "large": other}, rng)
    assert compared(record, blobs(100)).kind == "blobs"
    assert compared(record, blobs(100, radius=20, n=5, photons=5)).kind == "large"
    assert not compared(record, blobs(100, radius=20, n=5, photons=5)).reasons


def test_channels_are_compared_one_by_one():
    images = [np.stack([blobs(seed), -blobs(seed)]) for seed in range(6)]
    record = describe({"two": [ImageSample(Image(each, "CYX"), (0, 1)) for each in images]}, np.random.default_rng(0))
    assert len(record["channels"]) == 2
    assert not compare(Image(np.stack([blobs(50), -blobs(50)]), "CYX"), record).reasons
    swapped = compare(Image(np.stack([-blobs(50), blobs(50)]), "CYX"), record)
    assert {reason.split(":")[0] for reason in swapped.reasons} == {"channel 0", "channel 1"}
    assert compare(Image(blobs(50), "YX"), record) is None


def test_a_channel_the_model_takes_alone_is_named(record):
    image = Image(np.stack([blobs(50), -blobs(51)]), "CYX")
    named = dataclasses.replace(image, metadata=dataclasses.replace(image.metadata, channel_names=("DNA", "actin")))
    reasons = compare(named, record).reasons
    assert any(reason.startswith("channel actin: contrast looks inverted") for reason in reasons)
    assert not any("DNA" in reason for reason in reasons)


def test_features_do_not_depend_on_gain_and_offset():
    plane = blobs(3)
    # A pixel at the limit of what counts as bright or dark may fall on the other side: 0.007 at most in 60 planes.
    np.testing.assert_allclose(features(plane), features(400 + 7 * plane.astype(np.float64)), rtol=0, atol=0.01)
    assert len(features(plane)) == len(NAMES)
    share = (plane > 75).mean()
    assert foreground_share(features(plane)[INDEX["foreground"]]) == pytest.approx(share, abs=0.05)


def test_what_cannot_be_judged(record):
    assert compare(Image(blobs(0)[:40], "YX"), record) is None
    assert compare(Image(blobs(0), "YX"), None) is None
    assert compare(Image(blobs(0), "YX"), {**record, "version": 99}) is None
    assert compared(record, np.ones((128, 128))).reasons == ("the image has one intensity everywhere",)
    assert describe({"small": [ImageSample(Image(blobs(0)[:40], "YX"), (0,))]}, np.random.default_rng(0)) is None


def stack(seed, **changes):
    """Return a stack whose outer quarters hold nothing but noise, as those of a recorded stack often do."""
    empty = np.random.default_rng(seed).poisson(60, (4, 256, 256))
    return np.concatenate([empty, [blobs(100 * seed + i, **changes) for i in range(8)], empty]).astype(np.float32)


def test_stacks_are_judged_by_planes_with_structure():
    samples = [ImageSample(Image(stack(seed), "ZYX"), (0,)) for seed in range(1, 6)]
    known = describe({"stacks": samples}, np.random.default_rng(0))
    assert not compare(Image(stack(10), "ZYX"), known).reasons
    assert not compare(Image(np.moveaxis(stack(10), 0, 2), "YXZ"), known).reasons
    assert compare(Image(stack(10, radius=4, n=100), "ZYX"), known).reasons
    assert compare(Image(-stack(10), "ZYX"), known).reasons
    assert compare(Image(stack(10)[:4], "ZYX"), known).reasons, "noise alone"
    distant = compare(Image(stack(10), "ZYX", {"Z": 1.0}), {**known, "pixel_size_um": {"z": [0.3, 0.4]}})
    assert distant.reasons == ("distance of planes 1 µm, trained at 0.3 to 0.4 µm",)


def test_a_record_without_a_change_is_judged_by_the_others(record):
    (kind,) = record["channels"][0]["kinds"]
    for shifts in ({}, {"noise": kind["shifts"]["noise"]}):
        older = {**record, "channels": [{"kinds": [{**kind, "shifts": shifts}]}]}
        assert not compared(older, blobs(100)).reasons
        assert compared(older, -blobs(7)).reasons


class Counting:
    """Pixels of an image too large for memory, which count how many are read."""

    shape, dtype = (4, 1000, 20_000, 20_000), np.dtype(np.float32)
    n_read = 0

    def __getitem__(self, key):
        sizes = [len(range(*k.indices(n))) for k, n in zip(key, self.shape, strict=True) if isinstance(k, slice)]
        Counting.n_read += int(np.prod(sizes))
        return np.random.default_rng(Counting.n_read).random(sizes, np.float32)


def test_little_is_read_of_a_large_image(record):
    assert compare(Image(Counting(), "TZYX"), record) is not None
    assert Counting.n_read <= 3 * 25 * 256**2


def test_crops_have_structure_and_any_order_of_axes():
    plane = np.zeros((600, 600))
    plane[300:500, 300:500] = blobs(0)[:200, :200]
    for crop in informative(Image(plane, "YX"), 0, 4):
        assert crop.std() > 1
    (first, *_), (turned, *_) = (informative(Image(p, axes), 0, 1) for p, axes in ((plane, "YX"), (plane.T, "XY")))
    np.testing.assert_array_equal(first, turned)


def test_damaged_records_are_not_computed_with(record, caplog):
    kind = record["channels"][0]["kinds"][0]
    for part in (
        {"mean": kind["mean"][:-1]},
        {"covariance": [0.0] * len(kind["covariance"])},
        {"noise": "loud"},
        {"shifts": {"noise": [float("nan")] * len(NAMES)}},
        {"shifts": {"sideways": kind["shifts"]["noise"]}},
    ):
        damaged = {**record, "channels": [{"kinds": [kind | part]}]}
        assert compared(damaged, blobs(0)) is None, part
    for part in ({"channels": []}, {"channels": [{"kinds": []}]}, {"channels": 3}, {"pixel_size_um": {"x": [0, 1]}}):
        assert compared(record | part, blobs(0)) is None, part
    assert "damaged" in caplog.text
    assert compared(record, blobs(0)) is not None
