"""Noise models fitted from frames and pairs find the camera that made them, and real cameras as their data describe."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from carezoo.errors import DataError
from carezoo.image import Image
from carezoo.noise import measure
from carezoo.schema.span import Span
from carezoo.simulate import camera
from carezoo.simulate.camera import Camera
from carezoo.simulate.noise import to_camera, to_section

IMAGES = Path(__file__).parents[1] / "images"


def fixed(value):
    return Span(value, value)


def scene(size=384, seed=3):
    """Smooth blobs from dark to bright: what a well-focused sample looks like to a camera."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    for _ in range(60):
        cy, cx, width = *rng.uniform(0, size, 2), rng.uniform(8, 40)
        image += rng.uniform(0.1, 1) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
    return image


def record(n_frames, *, gain=2.0, offset=100.0, read_noise=1.6, photons=60.0, seed=0, **more):
    described = Camera(
        photons=fixed(photons), gain=fixed(gain), offset=fixed(offset), read_noise=fixed(read_noise), **more
    )
    rng = np.random.default_rng(seed)
    exposure = camera.expose(scene(), described, rng, black=0.0)
    electrons = camera.expect_electrons(scene(), exposure)
    return np.stack([camera.acquire(electrons, exposure, rng) for _ in range(n_frames)])


@pytest.mark.parametrize(
    ("gain", "offset", "read_noise", "photons"),
    [(2.0, 100.0, 4.0, 60.0), (0.6, 300.0, 3.0, 80.0), (15.0, 500.0, 1.6, 20.0)],
)
def test_repeats_tell_gain_offset_and_read_noise(gain, offset, read_noise, photons):
    frames = record(40, gain=gain, offset=offset, read_noise=read_noise, photons=photons)
    fit = measure.fit_repeats(frames)
    assert "skewness" in fit.basis
    assert fit.gain.value == pytest.approx(gain, rel=0.05)
    assert fit.read_noise.value == pytest.approx(read_noise, rel=0.1)
    # The offset is known to a fraction of the signal.
    assert fit.offset.value == pytest.approx(offset, abs=0.05 * gain * photons)
    assert fit.excess_skew.value == pytest.approx(1.0, abs=0.1)
    assert fit.photons == pytest.approx(photons, rel=0.1)


def test_standard_errors_are_honest():
    """Over many cameras the error is about as large as it is said to be."""
    pulls = []
    for seed in range(12):
        fit = measure.fit_repeats(record(8, read_noise=3.0, seed=seed), offset=100.0)
        pulls.append([(fit.gain.value - 2.0) / fit.gain.se, (fit.read_noise.value - 3.0) / fit.read_noise.se])
    rms = np.sqrt(np.mean(np.square(pulls), axis=0))
    assert rms == pytest.approx([1.0, 1.0], abs=0.6)


def test_two_frames_with_a_known_offset_tell_the_read_noise():
    fit = measure.fit_repeats(record(2, read_noise=3.0), offset=100.0)
    assert "offset given" in fit.basis
    assert fit.offset == (100.0, 0.0)
    assert fit.gain.value == pytest.approx(2.0, rel=0.05)
    assert fit.read_noise.value == pytest.approx(3.0, rel=0.05)


def test_two_frames_without_an_offset_say_what_they_cannot_tell():
    fit = measure.fit_repeats(record(2, read_noise=0.0))
    assert "do not tell read noise and offset apart" in fit.basis
    assert fit.excess_skew is None
    assert fit.read_noise.value == 0
    assert fit.offset.value == pytest.approx(100.0, abs=1.0)


def test_an_offset_is_never_negative():
    fit = measure.fit_repeats(record(2, offset=0.0, read_noise=5.0, bit_depth=None))
    assert fit.offset.value == 0
    assert "cannot be negative" in fit.basis
    assert fit.read_noise.value == pytest.approx(5.0, rel=0.1)


def test_rounding_to_whole_grey_levels_is_not_taken_for_read_noise():
    fit = measure.fit_repeats(record(40, gain=0.5, read_noise=1.2, photons=40.0), offset=100.0)
    # With the noise of rounding it would be 1.33.
    assert fit.read_noise.value == pytest.approx(1.2, rel=0.05)


def test_a_pair_of_noisy_and_clean_tells_the_same():
    frames = record(30, read_noise=4.0)
    fit = measure.fit_pair(frames[0], scene() * 37.0 + 5.0, offset=100.0)
    assert fit.gain.value == pytest.approx(2.0, rel=0.05)
    assert fit.read_noise.value == pytest.approx(4.0, rel=0.05)
    averaged = measure.fit_pair(frames[0], frames[1:].mean(axis=0), offset=100.0)
    assert averaged.gain.value == pytest.approx(2.0, rel=0.07)


def test_an_emccd_shows_twice_the_gain_and_its_own_skewness():
    fit = measure.fit_repeats(record(60, read_noise=0.0, em_gain=fixed(300.0), gain=3.0))
    assert fit.gain.value == pytest.approx(6.0, rel=0.05)
    assert fit.excess_skew.value == pytest.approx(1.5, abs=0.15)


def test_slow_drift_of_scene_and_light_does_not_look_like_noise():
    frames = record(40).astype(float)
    steady = measure.fit_repeats(frames, offset=100.0)
    bleaching = np.linspace(1.2, 0.8, 40)[:, None, None]
    rng = np.random.default_rng(1)
    described = Camera(photons=fixed(60), gain=fixed(2.0), offset=fixed(100.0), read_noise=fixed(1.6))
    exposure = camera.expose(scene(), described, rng, black=0.0)
    electrons = camera.expect_electrons(scene(), exposure)
    drifting = np.stack(
        [
            camera.acquire(np.roll(electrons * f, i // 20, 0).astype(np.float32), exposure, rng)
            for i, f in enumerate(bleaching)
        ]
    )
    assert measure.fit_repeats(drifting, offset=100.0).gain.value == pytest.approx(steady.gain.value, rel=0.05)


def test_saturated_pixels_do_not_bend_the_fit():
    frames = record(20, gain=8.0, photons=60.0, bit_depth=9)
    assert np.mean(frames == 511) > 0.01
    assert measure.fit_repeats(frames, offset=100.0).gain.value == pytest.approx(8.0, rel=0.05)


def test_a_fit_becomes_a_camera_with_the_same_noise():
    frames = record(40, read_noise=4.0)
    fit = measure.fit_repeats(frames)
    again = to_camera(fit, photons=fixed(60.0))
    rng = np.random.default_rng(9)
    recorded = np.stack([camera.degrade(scene(), again, rng, black=0.0)[0] for _ in range(20)])
    refit = measure.fit_repeats(recorded, offset=fit.offset.value)
    assert recorded.dtype == frames.dtype
    assert refit.gain.value == pytest.approx(fit.gain.value, rel=0.05)
    assert refit.read_noise.value == pytest.approx(fit.read_noise.value, rel=0.05)
    assert to_section(fit)["gain"] == pytest.approx(fit.gain.value, rel=1e-3)
    assert to_camera(fit).photons.low < fit.photons < to_camera(fit).photons.high


def test_photon_counting_frames_are_poisson():
    """Crop of real photon counts; each count is one photon, and there is no offset."""
    frames = tifffile.imread(IMAGES / "photons_tyx_imagej.tif")
    fit = measure.fit_repeats(frames)
    assert fit.gain.value == pytest.approx(1.05, abs=0.1)
    assert fit.offset.value == pytest.approx(0.0, abs=0.15)
    assert fit.read_noise.value < 0.3


@pytest.mark.skipif("CAREZOO_DATA" not in os.environ, reason="needs CAREZOO_DATA, the folder with the public images")
@pytest.mark.parametrize(
    ("file", "gain", "offset"),
    [
        ("photon_counting_repeats/cell1.tif", 1.07, -0.04),
        ("photon_counting_repeats/cell4.tif", 1.06, -0.04),
        ("photon_counting_repeats/cell5.tif", 1.03, -0.02),
        ("fmd_confocal_nuclei/repeats/fov01.tif", 3.74, 3.3),
        ("fmd_confocal_nuclei/repeats/fov05.tif", 3.74, 3.3),
    ],
)
def test_real_repeats_agree_with_what_is_known_of_them(file, gain, offset):
    fit = measure.fit_repeats(tifffile.imread(Path(os.environ["CAREZOO_DATA"]) / file))
    assert fit.gain.value == pytest.approx(gain, rel=0.05)
    assert fit.offset.value == pytest.approx(offset, abs=0.15)
    assert fit.read_noise.value < 0.2


@pytest.mark.parametrize(("gain", "offset", "photons"), [(2.0, 100.0, 60.0), (0.6, 300.0, 80.0), (15.0, 500.0, 20.0)])
def test_single_images_tell_gain_and_offset(gain, offset, photons):
    planes = record(4, gain=gain, offset=offset, read_noise=0.0, photons=photons)
    fit = measure.fit_planes(list(planes))
    assert fit.gain.value == pytest.approx(gain, rel=0.05)
    assert fit.offset.value == pytest.approx(offset, abs=0.02 * gain * photons)
    assert "of pixels, do not tell" in fit.basis


def test_standard_errors_of_single_images_are_honest():
    """The error is no larger than it is said to be; less, because that the noise is independent is not known."""
    pulls = []
    for seed in range(6):
        fit = measure.fit_planes(list(record(1, read_noise=0.0, seed=seed)), offset=100.0)
        at = 160.0
        pulls.append([(fit.gain.value - 2.0) / fit.gain.se, (float(fit.variance(np.array(at))) - 120.0)])
        pulls[-1][1] /= fit.variance_se(at)
    rms = np.sqrt(np.mean(np.square(pulls), axis=0))
    assert (rms < 1.4).all()
    assert (rms > 0.15).all()


def test_structure_of_single_images_is_not_taken_for_noise():
    rng = np.random.default_rng(3)
    fine = ndimage.gaussian_filter(rng.random((384, 384)), 1.2)
    fine = 5 + 200 * (fine - fine.min()) / np.ptp(fine)
    fit = measure.fit_planes([rng.poisson(fine)])
    assert fit.gain.value == pytest.approx(1.0, abs=3 * fit.gain.se)
    assert float(fit.variance(fine.mean())) == pytest.approx(fine.mean(), rel=0.03)


def test_series_are_measured_by_their_frames_where_they_stand_still():
    still, moving = record(6), np.stack([np.roll(each, 9 * i, 0) for i, each in enumerate(record(6))])
    assert measure.is_still(still)
    assert not measure.is_still(moving)
    for frames in (still, moving):
        fit = measure.measure_noise([Image(frames, "TYX")])
        assert fit.gain.value == pytest.approx(2.0, rel=0.05)
        assert ("skewness of shot noise" in fit.basis) == (frames is still)


def test_noise_is_measured_channel_by_channel_in_any_axes():
    images = np.stack([record(4, gain=2.0), record(4, gain=8.0, seed=1)], axis=1)
    for channel, gain in enumerate((2.0, 8.0)):
        fit = measure.measure_noise([Image(images, "ZCYX")], channel)
        assert fit.gain.value == pytest.approx(gain, rel=0.05)
    with pytest.raises(DataError, match="found channel 2"):
        measure.measure_noise([Image(images, "ZCYX")], 2)
    with pytest.raises(DataError, match="at least 16 x 16"):
        measure.measure_noise([Image(images[..., :12], "ZCYX")])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((1, 50, 50)), "at least 2, found shape"),
        (np.zeros((50, 50)), "axes TYX, at least 2"),
        (np.random.default_rng(0).normal(100, 5, (5, 80, 80)), "does not grow with the mean"),
        (np.random.default_rng(0).poisson(5, (4, 10, 10)), "expected at least 3"),
    ],
)
def test_frames_that_say_nothing_are_refused(frames, message):
    with pytest.raises(DataError, match=message):
        measure.fit_repeats(frames)


def test_pairs_that_do_not_fit_are_refused():
    frames = record(1)[0]
    with pytest.raises(DataError, match="of one shape"):
        measure.fit_pair(frames, frames[:-1])
    with pytest.raises(DataError, match="does not get brighter"):
        measure.fit_pair(frames, -scene())
