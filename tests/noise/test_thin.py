"""Thinning: two images with the mean of the one they come from, known noise, and nothing of it in common."""

from __future__ import annotations

import numpy as np
import pytest

from carezoo.errors import RecipeError
from carezoo.noise.thin import Noise, thin


def acquire(electrons, noise, rng):
    counts = rng.poisson(electrons) + noise.read_noise * rng.standard_normal(np.shape(electrons))
    return noise.gain * counts + noise.offset


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("electrons", [0.3, 4.0, 60.0])
@pytest.mark.parametrize(
    "noise",
    [Noise(gain=3.7, offset=3.2), Noise(gain=0.5, offset=100, read_noise=1.4)],
    ids=["counting", "camera"],
)
def test_parts_have_the_mean_and_the_noise_of_their_share_and_are_uncorrelated(share, electrons, noise):
    rng, n = np.random.default_rng(7), 200_000
    pixels = acquire(np.full(n, electrons), noise, rng)
    source, target = (each.astype(np.float64) for each in thin(pixels, noise, share, rng))
    slope, intercept = noise.line
    mean = noise.gain * electrons + noise.offset
    variance = slope * mean + intercept
    for part, of in ((source, share), (target, 1 - share)):
        assert part.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / of / n))
        # The darkest pixels of a camera with read noise lie below -read_noise^2 now and then, where nothing is left.
        assert part.var() == pytest.approx(variance / of, rel=0.03)
    assert abs(np.corrcoef(source, target)[0, 1]) < (0.03 if noise.read_noise and electrons < 1 else 0.012)


def test_a_wrong_gain_leaves_a_correlation():
    rng = np.random.default_rng(7)
    pixels = acquire(np.full(100_000, 20.0), Noise(gain=2.0), rng)
    assert np.corrcoef(*thin(pixels, Noise(gain=1.0), 0.5, rng))[0, 1] > 0.2
    assert np.corrcoef(*thin(pixels, Noise(gain=4.0), 0.5, rng))[0, 1] < -0.2


def test_parts_add_up_to_the_image_and_follow_from_the_random_numbers():
    noise, pixels = Noise(gain=2.0, offset=10, read_noise=1), np.arange(200, dtype=np.uint16).reshape(10, 20)
    source, target = thin(pixels, noise, 0.7, np.random.default_rng(1))
    assert source.shape == target.shape == pixels.shape
    assert source.dtype == target.dtype == np.float32
    np.testing.assert_allclose(0.7 * source + 0.3 * target, pixels, rtol=1e-5, atol=1e-3)
    again = thin(pixels, noise, 0.7, np.random.default_rng(1))
    np.testing.assert_array_equal(again, (source, target))


@pytest.mark.parametrize(
    ("values", "word"),
    [({"gain": 0}, "gain"), ({"gain": 1, "read_noise": -1}, "read_noise"), ({"gain": 1, "offset": np.nan}, "offset")],
)
def test_impossible_noise_is_refused(values, word):
    with pytest.raises(RecipeError, match=word):
        Noise(**values)
