"""What a restoration tells of its pixels: against scipy, in the units of the input, tiled, lazily and for parts."""

import dataclasses

import numpy as np
import packages
import pytest
from scipy import optimize, stats

import carezoo
from carezoo.errors import InputError
from carezoo.image import Image
from carezoo.package.write import write_package
from carezoo.runtime import restore as restore_
from carezoo.uncertainty.levels import Recalibration


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    drafts = {
        "single": packages.probabilistic_2d(),
        "ensemble": packages.ensemble_2d(),
        "plain": packages.denoise_2d(),
    }
    return {name: carezoo.load(write_package(draft, folder / f"{name}.zip")) for name, draft in drafts.items()}


@pytest.fixture(scope="module")
def restored(models):
    return {name: model.restore(packages.picture((64, 48)), "YX") for name, model in models.items()}


def test_a_single_model_gives_its_laplace_distribution(restored):
    each = restored["single"]
    expected = stats.laplace(each.mean.astype(float), each.scale.astype(float))
    np.testing.assert_allclose(each.quantile(0.3), expected.ppf(0.3), rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(each.interval(0.9), expected.interval(0.9), rtol=1e-6, atol=1e-4)
    above = float(np.median(each.mean))
    np.testing.assert_allclose(each.probability(above=above), expected.sf(above), atol=1e-6)
    np.testing.assert_allclose(each.std, expected.std(), rtol=1e-6)


def test_an_ensemble_gives_the_exact_mixture_in_the_units_of_the_input(models, restored):
    each, model = restored["ensemble"], models["ensemble"]
    raw = packages.picture((64, 48))
    low, high = np.percentile(raw, (2, 99.8))
    normalized = ((raw - low) / (high - low + 1e-6)).astype(np.float32)
    members = packages.run(model.package.read_weights(), normalized[None, None])[1][0].astype(float)
    mean, scale = members[:2] * (high - low) + low, members[2:] * (high - low)
    for y, x in ((0, 0), (20, 31), (63, 47)):
        parts = stats.laplace(mean[:, y, x], scale[:, y, x])
        for p in (0.05, 0.5, 0.95):
            exact = optimize.brentq(lambda v, p=p, parts=parts: parts.cdf(v).mean() - p, -1e6, 1e6, xtol=1e-9)
            assert each.quantile(p)[y, x] == pytest.approx(exact, abs=1e-3 * scale[:, y, x].min())
        above = each.mean[y, x]
        assert each.probability(above=float(above))[y, x] == pytest.approx(parts.sf(above).mean(), abs=1e-4)


@pytest.mark.parametrize("name", ["single", "ensemble"])
def test_intervals_hold_the_share_of_samples_they_claim(restored, name):
    each, rng = restored[name], np.random.default_rng(0)
    lower, upper = each.interval(0.9)
    draws = np.stack([each.sample(rng) for _ in range(30)])
    assert np.mean((draws >= lower) & (draws <= upper)) == pytest.approx(0.9, abs=0.005)
    error = float(np.mean(each.distribution.std.astype(float) ** 2) ** 0.5) / draws.size**0.5
    assert draws.mean(dtype=float) == pytest.approx(each.distribution.mean.mean(dtype=float), abs=4 * error)
    assert not np.array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(each.sample(np.random.default_rng(5)), each.sample(np.random.default_rng(5)))


def test_members_do_not_depend_on_tiles_and_keep_the_axes_of_the_image(models):
    series = np.stack([packages.picture((64, 48), seed) for seed in range(2)])
    whole, tiled = (models["ensemble"].restore(series, "TYX", tile=tile) for tile in ("whole", 32))
    assert whole.quantile(0.9).shape == series.shape
    np.testing.assert_allclose(tiled.quantile(0.9), whole.quantile(0.9), rtol=1e-4)
    assert np.all(whole.quantile(0.1) < whole.quantile(0.9))


@pytest.mark.parametrize("name", ["single", "ensemble"])
def test_parts_and_lazy_maps_equal_the_whole(restored, name):
    each = restored[name]
    region = {"Y": slice(10, 30), "X": slice(5, 40)}
    part = each.crop(region)
    np.testing.assert_allclose(part.interval(0.8)[1], each.interval(0.8)[1][10:30, 5:40], rtol=1e-6)
    lazy = each.lazily(lambda part: part.quantile(0.95))
    assert isinstance(lazy, Image)
    np.testing.assert_allclose(lazy.pixels[10:30, 7], each.quantile(0.95)[10:30, 7], rtol=1e-6)
    np.testing.assert_allclose(lazy.array(), each.quantile(0.95), rtol=1e-6)
    with pytest.raises(InputError, match="not inside"):
        each.crop({"Y": slice(0, 1000)})


def test_lazy_maps_compute_only_what_is_read(restored):
    seen = []

    def computed(part):
        seen.append(part.images["mean"].shape)
        return part.std

    lazy = restored["ensemble"].lazily(computed)
    assert lazy.pixels[3, 10:20].shape == (10,)
    assert seen == [(1, 10)]


def test_members_are_kept_only_where_they_are_wanted_or_small(models, monkeypatch):
    raw = packages.picture((64, 48))
    without = models["ensemble"].restore(raw, "YX", keep_members=False)
    assert not without.members
    with pytest.raises(InputError, match="members of this restoration were not kept: restore with keep_members=True"):
        without.interval(0.9)

    monkeypatch.setattr(restore_, "_MEMBERS_BYTES", 64 * 48 * 4 * 4 - 1)
    assert not models["ensemble"].restore(raw, "YX").members
    assert models["ensemble"].restore(raw, "YX", keep_members=True).members
    assert set(models["ensemble"].restore(raw, "YX").images) == {"mean", "scale", "disagreement"}


def test_a_model_without_scale_says_so(restored):
    for ask in (lambda r: r.interval(0.9), lambda r: r.sample(np.random.default_rng(0)), lambda r: r.quantile(0.5)):
        with pytest.raises(InputError, match=r"gives no scale.*Use a probabilistic model"):
            ask(restored["plain"])
    with pytest.raises(InputError, match="level of an interval"):
        restored["single"].interval(1.0)


def test_channels_one_by_one_through_an_ensemble_have_no_members(models):
    both = np.stack([packages.picture((64, 48)), packages.picture((64, 48), 1)])
    each = models["ensemble"].restore(both, "CYX")
    assert each.mean.shape == both.shape
    with pytest.raises(InputError, match="members of this restoration were not kept"):
        each.interval(0.5)


def test_intervals_are_asked_for_at_levels_that_hold(restored):
    each = restored["single"]
    recalibrated = dataclasses.replace(each, recalibration=Recalibration((0.5, 0.9), (0.4, 0.8)))
    np.testing.assert_allclose(recalibrated.interval(0.9), each.interval(0.8), rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(recalibrated.quantile(0.95), each.quantile(0.9), rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(recalibrated.quantile(0.5), each.mean, rtol=1e-6)
    for p in (0.05, 0.5, 0.95):
        np.testing.assert_allclose(recalibrated.probability(above=recalibrated.quantile(p)), 1 - p, atol=1e-4)
    part = recalibrated.crop({"Y": slice(0, 8)})
    np.testing.assert_allclose(part.interval(0.9)[0], recalibrated.interval(0.9)[0][:8], rtol=1e-6)
