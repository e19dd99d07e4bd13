"""The camera does what is asked of it: moments of recorded pixels against the requested numbers."""

import dataclasses
import math

import numpy as np
import pytest

from carezoo.errors import DataError, PixelError, RecipeError
from carezoo.schema.span import Span
from carezoo.simulate import camera
from carezoo.simulate.camera import Camera, PixelMaps, degrade


def fixed(value):
    return Span(value, value)


def steps(n=200):
    """Six grey values, each many times, brightest on more than 0.1 % of the pixels."""
    return np.repeat(np.linspace(0.0, 1.0, 6), n * n).reshape(6 * n, n) * 40.0 + 10.0


def recorded_moments(described, image, seed=1, **how):
    recorded, parameters = degrade(image, described, np.random.default_rng(seed), **how)
    levels = recorded.reshape(6, -1).astype(float)
    return levels.mean(axis=1), levels.var(axis=1), parameters


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("photons", "gain", "offset", "read_noise", "background"),
    [
        (30.0, 2.0, 100.0, 1.6, 0.0),
        (400.0, 0.5, 300.0, 6.0, 0.0),
        (60.0, 15.0, 50.0, 3.0, 25.0),
        (8.0, 1.0, 80.0, 1.0, 2.0),
    ],
)
def test_gain_offset_read_noise_and_photons_are_those_requested(photons, gain, offset, read_noise, background, seed):
    """From recorded pixels alone: offset and read noise in the dark, photons and gain by photon transfer."""
    described = Camera(
        photons=fixed(photons),
        gain=fixed(gain),
        offset=fixed(offset),
        read_noise=fixed(read_noise),
        background=fixed(background),
        bit_depth=None,
    )
    mean, variance, _ = recorded_moments(described, steps(), seed)
    measured_gain = (variance[5] - variance[0]) / (mean[5] - mean[0])
    assert measured_gain == pytest.approx(gain, rel=0.05)
    assert (mean[5] - mean[0]) / measured_gain == pytest.approx(photons, rel=0.05)
    assert np.diff(mean) == pytest.approx(np.full(5, gain * photons / 5), rel=0.05)
    assert mean[0] - gain * background == pytest.approx(offset, rel=0.05)
    assert np.sqrt(variance[0] / gain**2 - background) == pytest.approx(read_noise, rel=0.05)


def test_a_dose_factor_divides_the_photons_of_the_clean_image():
    clean_gain, clean_offset, dose_factor = 2.0, 10.0, 5.0
    described = Camera(
        dose_factor=fixed(dose_factor),
        clean_gain=clean_gain,
        clean_offset=clean_offset,
        gain=fixed(1.0),
        offset=fixed(0.0),
        read_noise=fixed(0.0),
        bit_depth=None,
    )
    mean, variance, parameters = recorded_moments(described, steps())
    expected = np.linspace(0, 40, 6) / clean_gain / dose_factor
    assert mean == pytest.approx(expected, rel=0.05)
    assert variance == pytest.approx(expected, rel=0.05)
    assert parameters["photons"] == pytest.approx(40 / clean_gain / dose_factor)
    assert parameters["dose_factor"] == dose_factor


def test_an_em_register_doubles_the_variance_of_shot_noise_and_divides_read_noise():
    described = Camera(
        photons=fixed(50.0),
        gain=fixed(1.0),
        offset=fixed(100.0),
        read_noise=fixed(60.0),
        em_gain=fixed(300.0),
        bit_depth=None,
    )
    mean, variance, _ = recorded_moments(described, steps())
    expected = np.linspace(0, 50, 6)
    assert mean - 100 == pytest.approx(expected, abs=0.3)
    assert variance == pytest.approx(2 * expected + (60 / 300) ** 2, rel=0.05)


def test_drawn_pixel_maps_have_the_requested_spread_and_differ_from_pixel_to_pixel_only():
    described = Camera(
        photons=fixed(1e6),
        offset=fixed(100.0),
        read_noise=fixed(2.0),
        gain_spread=fixed(0.02),
        offset_spread=fixed(3.0),
        read_noise_spread=fixed(0.3),
    )
    exposure = camera.expose(steps(), described, np.random.default_rng(0))
    maps = camera.draw_maps((500, 400), exposure, np.random.default_rng(1))
    assert maps.gain.std() == pytest.approx(0.02, rel=0.05)
    assert maps.gain.mean() == pytest.approx(1.0, rel=0.01)
    assert maps.offset.std() == pytest.approx(3.0, rel=0.05)
    assert np.log(maps.read_noise).std() == pytest.approx(0.3, rel=0.05)
    # All planes of a stack are seen by the same pixels.
    dark = np.zeros((3000, 20, 20), np.float32)
    frames = camera.acquire(dark, dataclasses.replace(exposure, bit_depth=None), np.random.default_rng(2))
    means = frames.mean(axis=0)
    assert means.std() == pytest.approx(3.0, rel=0.15)
    assert frames.var(axis=0).max() > 3 * frames.var(axis=0).min()


def test_a_pixel_map_changes_the_gain_of_its_pixels():
    gain = np.where(np.arange(40) < 20, 1.0, 1.5).astype(np.float32) * np.ones((30, 1), np.float32)
    maps = PixelMaps(gain, np.zeros((30, 40), np.float32), np.ones((30, 40), np.float32))
    described = Camera(photons=fixed(1e5), read_noise=fixed(0.0), offset=fixed(0.0), bit_depth=None)
    recorded, _ = degrade(np.ones((30, 40)), described, np.random.default_rng(0), maps=maps, black=0.0, white=1.0)
    assert recorded[:, 20:].mean() / recorded[:, :20].mean() == pytest.approx(1.5, rel=0.01)


def test_measured_maps_are_cut_where_the_image_may_lie_on_the_sensor():
    offset = np.arange(30 * 40, dtype=np.float32).reshape(30, 40)
    maps = PixelMaps(np.ones((30, 40), np.float32), offset, np.ones((30, 40), np.float32))
    described = Camera(photons=fixed(1.0), read_noise=fixed(0.0), offset=fixed(0.0), bit_depth=None)
    firsts = set()
    for seed in range(20):
        image = np.zeros((10, 10))
        image[0, 0] = 1e-9  # something, but no photon
        recorded, _ = degrade(image, described, np.random.default_rng(seed), maps=maps, black=0.0, white=1e9)
        assert recorded[1, 0] - recorded[0, 0] == 40
        assert recorded[0, 1] - recorded[0, 0] == 1
        firsts.add(float(recorded[0, 0]))
    assert len(firsts) > 10


def test_maps_smaller_than_the_image_are_refused():
    small = PixelMaps(*(np.ones((5, 5), np.float32),) * 3)
    with pytest.raises(DataError, match=r"\(5, 5\).*do not cover an image of \(1200, 200\)"):
        degrade(steps(), Camera(photons=fixed(10)), np.random.default_rng(0), maps=small)


@pytest.mark.parametrize(
    ("bits", "dtype", "highest"), [(8, np.uint8, 255), (12, np.uint16, 4095), (16, np.uint16, 65535)]
)
def test_grey_levels_are_whole_and_saturate(bits, dtype, highest):
    described = Camera(photons=fixed(1e4), gain=fixed(10.0), bit_depth=bits)
    recorded, parameters = degrade(steps(50), described, np.random.default_rng(0))
    assert recorded.dtype == dtype
    assert recorded.max() == highest
    assert parameters["saturated"] == pytest.approx(np.mean(recorded == highest))
    assert 0 < parameters["saturated"] < 0.9


def test_without_a_bit_depth_nothing_is_rounded_or_clipped():
    described = Camera(photons=fixed(2.0), offset=fixed(0.0), bit_depth=None)
    recorded, parameters = degrade(steps(50), described, np.random.default_rng(0))
    assert recorded.dtype == np.float32
    assert recorded.min() < 0
    assert parameters["saturated"] == 0


def test_a_full_well_limits_electrons_before_the_gain():
    described = Camera(
        photons=fixed(1e4), gain=fixed(0.5), offset=fixed(10.0), read_noise=fixed(0.0), full_well=2000.0, bit_depth=None
    )
    assert degrade(steps(50), described, np.random.default_rng(0))[0].max() == 0.5 * 2000 + 10


def test_a_clean_image_comes_into_the_grey_levels_of_the_recorded_one():
    described = Camera(photons=fixed(5000.0), gain=fixed(2.0), offset=fixed(100.0), bit_depth=None)
    image = steps()
    exposure = camera.expose(image, described, np.random.default_rng(0))
    recorded = camera.acquire(camera.expect_electrons(image, exposure), exposure, np.random.default_rng(1))
    target = camera.to_grey_levels(image, exposure)
    means = recorded.reshape(6, -1).mean(axis=1)
    assert target.reshape(6, -1).mean(axis=1) == pytest.approx(means, rel=1e-3)


def test_every_parameter_is_drawn_anew_from_its_range():
    described = Camera(
        photons=Span(10, 1000, is_log=True), gain=Span(1, 3), offset=Span(90, 110), read_noise=Span(1, 2)
    )
    drawn = [degrade(steps(20), described, np.random.default_rng(seed))[1] for seed in range(30)]
    for name, low, high in (("photons", 10, 1000), ("gain", 1, 3), ("offset", 90, 110), ("read_noise", 1, 2)):
        values = np.array([each[name] for each in drawn])
        assert len(set(values)) == 30
        assert values.min() >= low
        assert values.max() <= high
        assert np.ptp(values) > 0.5 * (high - low) * (1 if name != "photons" else 0.2)


def test_the_same_seed_gives_the_same_image():
    described = Camera(photons=Span(10, 100), gain_spread=fixed(0.01))
    first, second = (degrade(steps(20), described, np.random.default_rng(7))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (degrade(steps(20), described, np.random.default_rng(8))[0] != first).any()


def test_an_empty_piece_of_an_image_stays_dark_when_black_and_white_are_those_of_the_whole():
    described = Camera(photons=fixed(100.0), offset=fixed(0.0), read_noise=fixed(0.0), bit_depth=None)
    empty = np.random.default_rng(0).normal(10, 0.1, (50, 50))
    whole = degrade(empty, described, np.random.default_rng(0), black=10.0, white=1000.0)[0]
    alone = degrade(empty, described, np.random.default_rng(0))[0]
    assert whole.mean() < 0.1
    assert alone.mean() > 10


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({}, "either photons or dose_factor"),
        ({"photons": fixed(1), "dose_factor": fixed(2)}, "not both"),
        ({"photons": fixed(0)}, "photons: expected above 0: without light there is nothing to see, found 0"),
        ({"photons": Span(0, 10)}, r"photons: .*found \[0, 10\]"),
        ({"dose_factor": fixed(0)}, "dose_factor: expected above 0"),
        ({"photons": fixed(1), "gain": fixed(0)}, "gain: expected above 0"),
        ({"photons": fixed(1), "em_gain": fixed(0.5)}, "em_gain: expected 1"),
        ({"photons": fixed(1), "read_noise": Span(-1, 2)}, "read_noise: expected 0 or more"),
        ({"photons": fixed(1), "background": fixed(-3)}, "background: expected 0 or more"),
        ({"photons": fixed(1), "bit_depth": 0}, "bit_depth: expected from 1 to 16"),
        ({"photons": fixed(1), "full_well": 0.0}, "full_well: expected above 0"),
    ],
)
def test_impossible_cameras_are_refused(numbers, message):
    with pytest.raises(RecipeError, match=message):
        Camera(**numbers)


def test_images_without_contrast_or_with_nan_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(PixelError, match="no structure that could get a number of photons"):
        degrade(np.full((20, 20), 7.0), Camera(photons=fixed(10)), rng)
    with pytest.raises(PixelError, match="NaN"):
        degrade(np.array([[0.0, math.nan]]), Camera(photons=fixed(10)), rng)


def test_rows_have_offsets_of_the_requested_spread():
    described = Camera(photons=fixed(1.0), read_noise=fixed(0.0), row_noise=fixed(5.0), bit_depth=None)
    recorded, _ = degrade(np.zeros((400, 300)), described, np.random.default_rng(0), black=0.0, white=1.0)
    rows = recorded.mean(axis=1)
    assert rows.std() == pytest.approx(5.0, rel=0.1)
    assert np.ptp(recorded - rows[:, None]) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_smoothed_noise_is_correlated_and_its_mean_is_the_smoothed_target(width):
    described = Camera(photons=fixed(50.0), read_noise=fixed(0.0), smoothing_px=fixed(width), bit_depth=None)
    clean = np.zeros((512, 512), np.float32)
    clean[200:300, 200:300] = 1.0
    rng = np.random.default_rng(0)
    source, target, _ = camera.record_pair(clean, clean, described, rng, like=clean, black=0.0, white=1.0)
    noise = (source - target)[210:290, 210:290]
    assert noise.mean() == pytest.approx(0.0, abs=0.3)
    # Neighbours under a Gaussian kernel of width s correlate by exp(-1 / (4 s^2)); the kernel is sampled and cut off.
    correlation = np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var()
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / width) ** 2)
    assert correlation == pytest.approx((kernel[1:] @ kernel[:-1]) / (kernel @ kernel), abs=0.05)
    edge = target[250, 195:205] - 100
    assert 0 < edge[3] < edge[6] < 50, "the target is as smooth as the source"


@pytest.mark.parametrize("name", ["row_noise", "smoothing_px"])
def test_negative_amounts_are_refused(name):
    with pytest.raises(RecipeError, match=name):
        Camera(photons=fixed(10.0), **{name: Span(-1.0, 1.0)})
