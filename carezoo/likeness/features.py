"""What a crop looks like, as a few numbers that change neither with gain nor with offset of its intensities.

The power spectrum says how large and how sharp structures are and whether the noise is that of single pixels;
percentiles say which part is bright; differences of neighbouring pixels tell the noise where it is bright and where it
is dark; kurtosis and orientation tell spots, sheets and fibres apart where spectra are alike.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]

NAMES = (
    *("scale_64", "scale_32", "scale_16", "scale_8", "scale_4"),
    *("whiteness", "sharpness"),
    *("noise", "noise_slope"),
    *("asymmetry", "skewness", "foreground"),
    *("spots_6", "spots_14"),
    *("fibres_4", "fibres_8"),
)
"""In the order of `features`. Numbers behind a name: pixels, of a wave length or of a neighbourhood."""

INDEX = {name: i for i, name in enumerate(NAMES)}

SMALLEST = 64
"""Pixels: crops with a shorter side are not judged."""

_BANDS = np.array([1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 0.36, 0.43, 0.5])
"""Limits in cycles per pixel: five octaves of structure, and two bands of little else than noise."""


class _Frame(NamedTuple):
    """What depends on the size of a crop alone."""

    window: Plane
    average: Plane
    band: NDArray[np.int64]
    weight: Plane
    n: Plane


def features(crop: NDArray[Any]) -> NDArray[np.float64] | None:
    """Return the numbers that `NAMES` names; logarithms are binary (octaves).

    Parameters
    ----------
    crop
        YX, both sides at least `SMALLEST`; any intensity units, finite.

    Returns
    -------
    NDArray or None
        None for a crop of one intensity, which looks like nothing.
    """
    rows, columns = (n // 2 * 2 for n in crop.shape)
    exact = np.asarray(crop[:rows, :columns], np.float64)
    if exact.max() == exact.min():
        return None
    # About zero and of order one, so that single precision loses nothing.
    pixels = ((exact - exact.mean()) / exact.std()).astype(np.float32)
    top_left, top_right, left, right = pixels[::2, ::2], pixels[::2, 1::2], pixels[1::2, ::2], pixels[1::2, 1::2]
    detail = (top_left - top_right - left + right) / 2  # as much noise as a pixel, hardly any structure
    coarse = _means(pixels, 2)
    smooth = _around(coarse, 3)
    values = [
        *_spectrum(pixels),
        *_brightness(smooth, detail),
        *(_kurtosis(smooth - _around(smooth, n)) for n in (3, 7)),
        _orientation(_around(_means(_around(pixels, 3), 2), 3)),
        _orientation(_around(_means(pixels, 4), 3)),
    ]
    return np.array(values)


def noise_variance(pixels: Plane) -> Plane:
    """Return the variance of the noise around every pixel of a crop with even sides."""
    detail = (pixels[::2, ::2] - pixels[::2, 1::2] - pixels[1::2, ::2] + pixels[1::2, 1::2]) / 2
    return _around(detail**2, 15).repeat(2, axis=0).repeat(2, axis=1)


def _spectrum(pixels: Plane) -> list[float]:
    """Return how the power above the noise is shared by the octaves, and how flat the spectrum is at its end."""
    frame = _frame(*pixels.shape)
    power = np.abs(np.fft.rfft2((pixels - (pixels * frame.average).sum()) * frame.window)) ** 2
    mean = np.bincount(frame.band.ravel(), (power * frame.weight).ravel(), len(frame.n)) / frame.n
    mean += 1e-12 * mean.max()
    noise = min(mean[6], mean[7])
    # What noise leaves by chance keeps the logarithm of an empty octave finite, and quiet.
    signal = np.clip(mean[1:6] - noise, 0, None) + 2 * noise / np.sqrt(frame.n[1:6]) + 1e-6 * mean.max()
    energy = signal * frame.n[1:6]
    return [*np.log2(energy / energy.sum()), np.log2(mean[6] / mean[7]), np.log2(mean[5] / mean[7])]


@lru_cache(maxsize=8)
def _frame(rows: int, columns: int) -> _Frame:
    window = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1])
    y, x = np.fft.fftfreq(rows)[:, np.newaxis], np.fft.rfftfreq(columns)
    band = np.digitize(np.hypot(y, x), _BANDS)
    weight = np.broadcast_to(np.where((x == 0) | (x == 0.5), 1.0, 2.0), band.shape)  # rfft2 returns half of the plane
    n = np.bincount(band.ravel(), weight.ravel(), len(_BANDS) + 1).astype(np.float64)
    return _Frame(window / np.sqrt((window**2).sum()), window / window.sum(), band, weight, n)


def _brightness(smooth: Plane, detail: Plane) -> list[float]:
    """Return noise against contrast, how it grows with brightness, and what part of the crop is how bright."""
    lowest, dark, below, middle, bright, above, highest = np.percentile(smooth, (1, 5, 40, 50, 90, 95, 99))
    contrast = max(highest - lowest, 1e-12)
    least = 1e-6 * contrast**2
    at_bright, at_dark = ((detail[where] ** 2).mean() + least for where in (smooth >= bright, smooth <= below))
    deviation = smooth - smooth.mean()
    squares = np.square(deviation)
    skewness = (squares * deviation).mean() / (squares.mean() ** 1.5 + 1e-30)
    share = (smooth > (lowest + highest) / 2).mean()
    return [
        np.log2(at_bright / contrast**2) / 2,
        np.log2(at_bright / at_dark),
        (above + dark - 2 * middle) / max(above - dark, 1e-12),
        np.arcsinh(skewness),
        np.log2((share + 0.01) / (1 - share + 0.01)),
    ]


def foreground_share(value: float) -> float:
    """Return the share of pixels brighter than the middle of dark and bright, from the number named foreground."""
    odds = 2.0**value
    return float(np.clip((odds * 1.01 - 0.01) / (1 + odds), 0, 1))


def _kurtosis(band: Plane) -> float:
    squares = np.square(band[4:-4, 4:-4])
    return float(np.log2(np.square(squares).mean() / (squares.mean() ** 2 + 1e-30) + 1e-9))


def _orientation(plane: Plane) -> float:
    """Return how much gradients within 7 x 7 pixels run along one line (0 to 1), where they are steep."""
    dy, dx = plane[2:, 1:-1] - plane[:-2, 1:-1], plane[1:-1, 2:] - plane[1:-1, :-2]
    yy, xx, xy = (_around(each, 7) for each in (dy * dy, dx * dx, dy * dx))
    steepness = xx + yy
    steep = steepness >= np.percentile(steepness, 70)
    return float(np.hypot(xx - yy, 2 * xy)[steep].sum() / (steepness[steep].sum() + 1e-30))


def _means(plane: Plane, n: int) -> Plane:
    """Return the means of blocks of n x n pixels."""
    rows, columns = plane.shape[0] // n, plane.shape[1] // n
    blocks = plane[: rows * n, : columns * n]
    means: Plane = blocks.reshape(rows, n, columns, n).mean(axis=(1, 3))
    return means


def _around(plane: Plane, n: int) -> Plane:
    """Return the mean over n x n pixels (n odd) around every pixel; the plane goes on as its mirror image."""
    padded = np.pad(plane, n // 2, mode="reflect")
    rows = _sums(padded, n)
    return np.ascontiguousarray(_sums(rows.T, n).T) / n**2


def _sums(plane: Plane, n: int) -> Plane:
    """Return the sums of n successive rows, by doubling."""
    total, done = None, 0  # sums of the first `done` rows, from every row on
    doubled, width = plane, 1
    stop = len(plane) - n + 1
    while True:
        if n & width:
            part = doubled[done : done + stop]
            total = part if total is None else total + part
            done += width
        if width * 2 > n:
            break
        doubled, width = doubled[:-width] + doubled[width:], width * 2
    assert total is not None  # n is at least 1
    return total
