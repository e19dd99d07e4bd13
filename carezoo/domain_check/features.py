"""What a crop looks like, as a few numbers that change neither with gain nor with offset of its intensities.

The power spectrum says how large and how sharp structures are and whether the noise is that of single pixels;
percentiles say which part is bright; differences of neighbouring pixels tell the noise where it is bright and where it
is dark; kurtosis and orientation tell spots, sheets and fibres apart where spectra are alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    total: float
    """Sum of the window."""
    weight: Plane
    """Of each wave along X."""
    by_band: NDArray[np.intp]
    """Indices of the waves, those of one band after those of the band before."""
    starts: NDArray[np.intp]
    """Of the bands, in `by_band`."""
    n: Plane
    """Weights in each band."""


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
    # About zero and of order one, so that single precision loses nothing. In place: fresh memory costs as much as sums.
    pixels = crop[:rows, :columns].astype(np.float32)
    pixels -= pixels.mean(dtype=np.float64).astype(np.float32)
    spread = pixels.std()
    if spread == 0:
        return None
    pixels /= spread
    coarse = _means(pixels)
    smooth = _around(coarse, 3)
    values = [
        *_spectrum(pixels),
        *_brightness(smooth, _detail(pixels)),
        *(_kurtosis(smooth - _around(smooth, n)) for n in (3, 7)),
        _orientation(_around(_soft_means(pixels), 3)),
        _orientation(_around(_means(coarse), 3)),
    ]
    return np.array(values)


def _detail(pixels: Plane) -> Plane:
    """Return a number for each 2 x 2 pixels with as much noise as a pixel and hardly any structure."""
    steps = pixels[::2] - pixels[1::2]
    return (steps[:, ::2] - steps[:, 1::2]) / 2


def noise_variance(pixels: Plane) -> Plane:
    """Return the variance of the noise around every pixel of a crop with even sides."""
    return _around(_detail(pixels) ** 2, 15).repeat(2, axis=0).repeat(2, axis=1)


def enlarge(pixels: Plane) -> Plane:
    """Return a crop with twice as many pixels along each axis and hardly any noise."""
    return _around(_around(pixels, 3).repeat(2, axis=0).repeat(2, axis=1), 3)


def _spectrum(pixels: Plane) -> list[float]:
    """Return how the power above the noise is shared by the octaves, and how flat the spectrum is at its end."""
    frame = _frame(*pixels.shape)
    windowed = pixels * frame.window
    windowed -= frame.window * (windowed.sum() / frame.total)
    waves = np.fft.rfft2(windowed)
    power = np.square(waves.real)
    power += np.square(waves.imag)
    power *= frame.weight
    mean = np.add.reduceat(power.ravel()[frame.by_band], frame.starts, dtype=np.float64) / frame.n
    mean += 1e-12 * mean.max()
    noise = min(mean[6], mean[7])
    # What noise leaves by chance keeps the logarithm of an empty octave finite, and quiet.
    signal = np.clip(mean[1:6] - noise, 0, None) + 2 * noise / np.sqrt(frame.n[1:6]) + 1e-6 * mean.max()
    energy = signal * frame.n[1:6]
    return [*np.log2(energy / energy.sum()), np.log2(mean[6] / mean[7]), np.log2(mean[5] / mean[7])]


@lru_cache(maxsize=8)
def _frame(rows: int, columns: int) -> _Frame:
    window = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1])
    window /= np.sqrt((window**2).sum())
    y, x = np.fft.fftfreq(rows)[:, np.newaxis], np.fft.rfftfreq(columns)
    band = np.digitize(np.hypot(y, x), _BANDS).ravel()
    weight = np.where((x == 0) | (x == 0.5), 1.0, 2.0)  # rfft2 returns half of the plane
    n = np.bincount(band, np.broadcast_to(weight, (rows, len(x))).ravel()).astype(np.float64)
    starts = np.searchsorted(np.sort(band), range(len(_BANDS) + 1))  # each has some waves in crops that are judged
    return _Frame(
        window.astype(np.float32), float(window.sum()), weight.astype(np.float32), np.argsort(band), starts, n
    )


def _brightness(smooth: Plane, detail: Plane) -> list[float]:
    """Return noise against contrast, how it grows with brightness, and what part of the crop is how bright."""
    lowest, dark, below, middle, bright, above, highest = _quantiles(smooth, (0.01, 0.05, 0.4, 0.5, 0.9, 0.95, 0.99))
    contrast = max(highest - lowest, 1e-12)
    least = 1e-6 * contrast**2
    at_bright, at_dark = (np.square(detail[where]).mean() + least for where in (smooth >= bright, smooth <= below))
    deviation = smooth - smooth.mean()
    squares = np.square(deviation)
    skewness = (squares * deviation).mean() / (squares.mean() ** 1.5 + 1e-30)
    share = np.count_nonzero(smooth > (lowest + highest) / 2) / smooth.size
    return [
        np.log2(at_bright / contrast**2) / 2,
        np.log2(at_bright / at_dark),
        (above + dark - 2 * middle) / max(above - dark, 1e-12),
        np.arcsinh(skewness),
        np.log2((share + 0.01) / (1 - share + 0.01)),
    ]


def _quantiles(plane: Plane, shares: Sequence[float]) -> list[float]:
    """Return quantiles as `numpy.quantile` does, in a fifth of its time."""
    ordered = np.sort(plane, axis=None)
    found = []
    for share in shares:
        rest, i = math.modf(share * (ordered.size - 1))
        lower, upper = ordered[int(i)], ordered[min(int(i) + 1, ordered.size - 1)]
        found.append(float(lower + rest * (upper - lower)))
    return found


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
    steepness, stretch, slant = _around(np.stack((dy * dy + dx * dx, dx * dx - dy * dy, 2 * dy * dx)), 7)
    steep = steepness >= _quantiles(steepness, (0.7,))[0]
    along = np.sqrt(stretch * stretch + slant * slant)
    return float((along * steep).sum() / ((steepness * steep).sum() + 1e-30))


def _means(plane: Plane) -> Plane:
    """Return the means of blocks of 2 x 2 pixels."""
    rows, columns = (n // 2 * 2 for n in plane.shape)
    pairs = plane[:rows:2, :columns] + plane[1:rows:2, :columns]
    means: Plane = pairs[:, ::2] + pairs[:, 1::2]
    means /= 4
    return means


def _soft_means(plane: Plane) -> Plane:
    """Return the means over 3 x 3 pixels, averaged over blocks of 2 x 2: 1, 2, 2, 1 along each axis, over 6."""
    rows = _soft_pairs(plane)
    return np.ascontiguousarray(_soft_pairs(rows.T).T)


def _soft_pairs(plane: Plane) -> Plane:
    """Return 1, 2, 2, 1 over 6 times successive rows, for every second row; the plane is mirrored at its ends."""
    even, odd = plane[::2], plane[1::2]
    pairs = even + odd
    pairs *= 2
    pairs[1:] += odd[:-1]
    pairs[0] += odd[0]
    pairs[:-1] += even[1:]
    pairs[-1] += even[-1]
    pairs /= 6
    return pairs


def _around(plane: Plane, n: int) -> Plane:
    """Return the mean over n x n pixels (n odd) around every pixel of the last two axes, mirrored at their ends."""
    rows, columns = (_mirror_indices(size, n // 2) for size in plane.shape[-2:])
    sums = _sums(plane.take(rows, axis=-2), n, -2)
    return _sums(sums.take(columns, axis=-1), n, -1) / np.float32(n**2)


@lru_cache(maxsize=64)
def _mirror_indices(size: int, n_more: int) -> NDArray[np.intp]:
    """Return the indices of a mirrored axis: `n_more` before the first pixel and behind the last."""
    return size - 1 - abs(size - 1 - abs(np.arange(-n_more, size + n_more)))


def _sums(plane: Plane, n: int, axis: int) -> Plane:
    """Return the sums of n successive rows (axis -2) or columns (-1), by doubling."""

    def part(whole: Plane, start: int, stop: int) -> Plane:
        return whole[..., start:stop, :] if axis == -2 else whole[..., start:stop]

    total, done = None, 0  # sums of the first `done` rows, from every row on
    doubled, width = plane, 1
    n_sums = plane.shape[axis] - n + 1
    while True:
        if n & width:
            more = part(doubled, done, done + n_sums)
            total = more if total is None else total + more
            done += width
        if width * 2 > n:
            break
        n_left = doubled.shape[axis]
        doubled, width = part(doubled, 0, n_left - width) + part(doubled, width, n_left), width * 2
    assert total is not None  # n is at least 1
    return total
