"""The noise of a detector, measured on images of a scene: gain, offset and read noise with standard errors.

Photon transfer: the variance of a pixel is ``gain * (mean - offset) + read^2`` (all in grey levels), a line over the
mean. Its intercept holds offset and read noise together. Shot noise is skewed and read noise is not, so the third
cumulant, proportional to ``mean - offset``, is zero where there is no light. Where it is measured well enough, it
separates the two; otherwise one of them must be known. Every result says which it was.

Pixels are sorted into bins by the brightness of their neighbours, never by their own value, so that a bin is not
selected by the noise it measures; and of each bin only the half with the flattest surroundings is used, because motion
and misregistration look like noise where the image is steep.

Noise shows in repeated frames as the differences of frames, beside a clean image as the difference to it, and in a
single image as its finest detail: the corners of the Fourier plane, which no round aperture reaches.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo import axes as axes_
from carezoo.errors import DataError
from carezoo.image import Image
from carezoo.noise.correlation import Estimate, find_correlation
from carezoo.noise.thin import Noise
from carezoo.statistics import REFERENCE_PERCENTILE

_MIN_PIXELS = 100
"""In a bin."""

_N_BINS = 48

FINEST = np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / math.sqrt(70.0)
"""Fourth differences, which keep the variance of white noise: along Y and X they pass the corners of the Fourier plane
and no structure of a well-sampled image."""

_REACH = 3
"""Pixels from the middle of `FINEST` to neighbours that it does not see."""

_N_OVERLAPPING = 3.0
"""Of neighbouring values of the finest detail, how many count as one: they share pixels. Their squares are correlated
as if 6.9 counted as one if all were in one bin; simulated images have about 3."""

_MOST_FRAMES, _MOST_PLANES, _MOST_PIXELS = 20, 16, 1 << 24
"""Of an image, and of all images together, that noise is measured on."""


@dataclass(frozen=True, eq=False)
class Points:
    """Mean and variance of groups of pixels: what is fitted and plotted. All arrays have one number a group."""

    mean: NDArray[np.float64]
    """Grey levels."""
    variance: NDArray[np.float64]
    """Grey levels squared."""
    variance_se: NDArray[np.float64]
    skew: NDArray[np.float64] | None
    """Third cumulant, grey levels cubed; None where two frames do not show it."""
    skew_se: NDArray[np.float64] | None
    n_pixels: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class NoiseFit:
    """What images say of a detector."""

    gain: Estimate
    """Grey levels per photoelectron. With a multiplying detector (EMCCD, PMT) it contains the excess noise: the
    variance is right, and photons are effective photons."""
    offset: Estimate
    """Grey level of no light."""
    read_noise: Estimate
    """Standard deviation, electrons. The noise of rounding to whole grey levels is not part of it."""
    excess_skew: Estimate | None
    """Third cumulant over that of a Poisson distribution of this gain: 1 for plain shot noise, 1.5 for an EMCCD."""
    basis: str
    """In words: how offset and read noise were separated."""
    photons: float
    """Photoelectrons of the bright pixels (99.9th percentile) of the frames."""
    bit_depth: int | None
    """Of the frames: 8 or 16; None for floating-point numbers."""
    covariance: NDArray[np.float64]
    """Of slope and intercept of the variance over the mean, 2 x 2."""
    points: Points

    @property
    def noise(self) -> Noise:
        """The numbers alone."""
        return Noise(gain=self.gain.value, offset=self.offset.value, read_noise=self.read_noise.value)

    def variance(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance the fit predicts at `mean` (grey levels), without that of rounding."""
        read = self.gain.value * self.read_noise.value
        return np.asarray(self.gain.value * (mean - self.offset.value) + read**2)

    def variance_se(self, mean: float) -> float:
        """Return the standard error of the variance at `mean` (grey levels)."""
        return _compute_se(mean, self.covariance)


def fit_repeats(frames: NDArray[np.generic], *, offset: float | None = None) -> NoiseFit:
    """Fit the noise from repeated frames of one scene.

    Second differences of successive frames are used (first differences of two frames), so that slow motion, drift of
    the light and bleaching cancel.

    Parameters
    ----------
    frames
        TYX, at least 2; TZYX is taken as many scenes.
    offset
        Grey level of no light, if it is known (from a dark frame).

    Raises
    ------
    DataError
        If there are too few frames or pixels, or if the variance does not grow with the mean.
    """
    if frames.ndim not in {3, 4} or len(frames) < 2:
        raise DataError(f"noise fit: expected repeated frames with axes TYX, at least 2, found shape {frames.shape}")
    values = frames.astype(np.float64)
    mean = values.mean(axis=0)
    if len(frames) == 2:
        # A difference of two frames is symmetric: it has no third cumulant.
        squares, cubes = (values[1] - values[0]) ** 2 / 2, None
    else:
        second = values[:-2] - 2 * values[1:-1] + values[2:]
        # The weights 1, -2, 1 multiply the variance by 6 and the third cumulant by 1 - 8 + 1.
        squares, cubes = (second**2).mean(axis=0) / 6, -(second**3).mean(axis=0) / 6
    is_clipped = find_clipped(frames).mean(axis=0)
    points = _measure_points(mean, *_look_around(mean), squares, cubes, is_clipped)
    return _fit(points, offset, float(np.percentile(mean, REFERENCE_PERCENTILE)), frames.dtype)


def fit_pair(source: NDArray[np.generic], target: NDArray[np.generic], *, offset: float | None = None) -> NoiseFit:
    """Fit the noise of `source` from a registered pair: one noisy and one (nearly) noise-free image of a scene.

    The target is mapped to the grey levels of the source by a least-squares line first. For two equally noisy images
    use `fit_repeats`.

    Parameters
    ----------
    source, target
        YX or ZYX, same shape.
    offset
        Grey level of no light of the source, if it is known.

    Raises
    ------
    DataError
        As for `fit_repeats`, and if the shapes differ or the target has nothing to do with the source.
    """
    if source.shape != target.shape or source.ndim not in {2, 3}:
        raise DataError(
            f"noise fit: expected a pair of one shape with axes YX or ZYX, found {source.shape} and {target.shape}"
        )
    noisy, clean = source.astype(np.float64), target.astype(np.float64)
    slope, intercept = _fit_line(clean.ravel(), noisy.ravel(), np.ones(clean.size))[0]
    if not slope > 0:
        raise DataError("noise fit: the target does not get brighter where the source does; are they of one scene?")
    expected = slope * clean + intercept
    residual = noisy - expected
    is_clipped = find_clipped(source).astype(np.float64)
    points = _measure_points(noisy, *_look_around(expected), residual**2, residual**3, is_clipped)
    return _fit(points, offset, float(np.percentile(expected, REFERENCE_PERCENTILE)), source.dtype)


def measure_noise(images: Sequence[Image], channel: int = 0, *, offset: float | None = None) -> NoiseFit:
    """Measure the noise of one detector on images that need not be repeats.

    Where most of the images are series whose scene stands still (`is_still`), differences of frames are used; else the
    finest detail of every plane.

    Parameters
    ----------
    images
        Any axes. Of many planes and frames some are used.
    channel
        Which channel, from 0.
    offset
        Grey level of no light, if it is known (from a dark frame).

    Raises
    ------
    DataError
        If no image has planes of 16 x 16 pixels, or the variance does not grow with the mean.
    """
    series = [frames for image in images[:_MOST_PLANES] if len(frames := read_frames(image, channel)) > 2]
    still = [frames for frames in series if is_still(frames)]
    if len(still) > len(images[:_MOST_PLANES]) / 2:
        shape = min((frames.shape[-2:] for frames in still), key=math.prod)
        same = [frames for frames in still if frames.shape[-2:] == shape]
        n = min(len(frames) for frames in same)
        return fit_repeats(np.stack([frames[:n] for frames in same], axis=1), offset=offset)
    return fit_planes(read_planes(images, channel), offset=offset)


def fit_planes(planes: Sequence[NDArray[np.generic]], *, offset: float | None = None) -> NoiseFit:
    """Fit the noise from single images, by the variance of their finest detail against their mean.

    Noise that is not independent from pixel to pixel has less or more of finest detail than its variance;
    `carezoo.noise.assumption` finds that out.

    Parameters
    ----------
    planes
        YX, of one detector; other sizes than 16 x 16 and above are left out.
    offset
        Grey level of no light, if it is known (from a dark frame).

    Raises
    ------
    DataError
        As for `measure_noise`.
    """
    usable = [plane for plane in planes if min(plane.shape) >= 16]
    if not usable:
        raise DataError(f"noise fit: expected planes of at least 16 x 16 pixels, found {[p.shape for p in planes][:5]}")
    inside = (slice(_REACH, -_REACH),) * 2
    columns = []
    for plane in usable:
        values = plane.astype(np.float64)
        clipped = ndimage.maximum_filter(find_clipped(plane), 2 * _REACH - 1).astype(np.float64)
        # Of every pixel: the mean of what its finest detail sees, its neighbours beyond, and the square of the detail.
        seen = _filter_both(values, FINEST**2), *_look_beyond(values), _filter_both(values, FINEST) ** 2, clipped
        columns.append([each[inside].ravel() for each in seen])
    mean, around, steepness, squares, is_clipped = (np.concatenate(each) for each in zip(*columns, strict=True))
    passed, passed_se = _measure_passed(find_correlation(usable))
    points = _measure_points(mean, around, steepness, squares / passed, None, is_clipped, _N_OVERLAPPING)
    fit = _fit(points, offset, float(np.percentile(around, REFERENCE_PERCENTILE)), usable[0].dtype)
    line = np.array(fit.noise.line)
    # The share is that of all groups alike, so that it adds to their common error.
    return dataclasses.replace(
        fit,
        gain=Estimate(fit.gain.value, math.hypot(fit.gain.se, fit.gain.value * passed_se)),
        covariance=fit.covariance + passed_se**2 * np.outer(line, line),
    )


def measure_detail(planes: Sequence[NDArray[np.generic]]) -> Estimate:
    """Measure the variance of the noise of planes YX at their mean grey level, from their finest detail."""
    squares = [_filter_both(plane.astype(np.float64), FINEST)[2:-2, 2:-2] ** 2 for plane in planes]
    n = sum(each.size for each in squares) / _N_OVERLAPPING
    values = np.concatenate([each.ravel() for each in squares])
    passed, passed_se = _measure_passed(find_correlation(planes))
    mean = float(values.mean()) / passed
    return Estimate(mean, math.hypot(float(values.std()) / math.sqrt(n) / passed, mean * passed_se))


def _measure_passed(correlation: Mapping[str, Estimate]) -> tuple[float, float]:
    """Return how much of the variance of correlated noise is finest detail, and its relative standard error."""
    # Of neighbours' values, fourth differences hold products with this weight: -56 / 70.
    weight = 2 * float(FINEST[:-1] @ FINEST[1:])
    shares = [1 + weight * each.value for each in correlation.values()]
    errors = [weight * each.se / share for each, share in zip(correlation.values(), shares, strict=True)]
    return max(math.prod(shares), 0.01), math.hypot(*errors)


def is_still(frames: NDArray[np.generic]) -> bool:
    """Return whether a series (T first, at least 3 frames) shows a scene that does not move.

    Frames two steps apart then differ as much as successive ones; motion, drift and bleaching make them differ more.
    """
    values = frames.astype(np.float32)
    one, two = (np.square(values[step:] - values[:-step]).mean(dtype=np.float64) for step in (1, 2))
    return bool(two <= 1.01 * one)


def read_frames(image: Image, channel: int) -> NDArray[np.generic]:
    """Return successive frames of the middle of a series as TYX, at most 20; of stacks the middle plane."""
    sizes = image.sizes
    n, keep = sizes.get("T", 1), min(sizes.get("T", 1), _MOST_FRAMES)
    region = {letter: slice(sizes[letter] // 2, sizes[letter] // 2 + 1) for letter in "SZ" if letter in sizes}
    if n > 1:
        region["T"] = slice((n - keep) // 2, (n - keep) // 2 + keep)
    return _read(image, channel, region)


def read_planes(images: Sequence[Image], channel: int) -> list[NDArray[np.generic]]:
    """Return planes YX of images, spread evenly over them and over their frames and planes."""
    found: list[NDArray[np.generic]] = []
    n_pixels = 0
    for image in images:
        sizes = image.sizes
        letters = [letter for letter in "STZ" if letter in sizes]
        n = math.prod(sizes[letter] for letter in letters)
        most = max(1, min(n, _MOST_PLANES, _MOST_PIXELS // (len(images) * sizes["Y"] * sizes["X"])))
        for flat in ((2 * i + 1) * n // (2 * most) for i in range(most)):
            at = np.unravel_index(flat, [sizes[letter] for letter in letters]) if letters else ()
            region = {letter: slice(int(i), int(i) + 1) for letter, i in zip(letters, at, strict=True)}
            found.append(_read(image, channel, region)[0])
            n_pixels += found[-1].size
        if n_pixels >= _MOST_PIXELS:
            break
    return found


def _read(image: Image, channel: int, region: dict[str, slice]) -> NDArray[np.generic]:
    """Return one channel of a region with one position along S and Z, as TYX."""
    if not 0 <= channel < image.sizes.get("C", 1):
        raise DataError(f"{image.name} has {image.sizes.get('C', 1)} channel(s), found channel {channel}")
    if "C" in image.axes:
        region = {**region, "C": slice(channel, channel + 1)}
    return axes_.move(image.crop(region).array(), image.axes, "TYX")


def _filter_both(image: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(ndimage.convolve1d(ndimage.convolve1d(image, weights, -1), weights, -2))


def _look_beyond(image: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for every pixel the mean of a frame around it that `FINEST` does not see, and how its sides differ."""
    rows, columns = (ndimage.uniform_filter1d(image, 2 * _REACH + 1, axis=axis) for axis in (-1, -2))
    sides = np.stack([np.roll(each, s, axis) for each, axis in ((rows, -2), (columns, -1)) for s in (_REACH, -_REACH)])
    return sides.mean(axis=0), sides.var(axis=0)


def find_clipped(frames: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return where values are at the upper limit: that of the type, or a maximum on which values pile up."""
    highest = frames.max()
    at_highest = np.asarray(frames == highest)
    if frames.dtype.kind in "ui" and highest == np.iinfo(frames.dtype).max:  # type: ignore[type-var]
        return at_highest
    if at_highest.mean() > 1e-3 and not at_highest.all():
        n_next = int((frames == frames[~at_highest].max()).sum())
        if int(at_highest.sum()) > 2 * n_next:
            return at_highest
    return np.zeros(frames.shape, bool)


def _measure_points(
    value: NDArray[np.float64],
    around: NDArray[np.float64],
    steepness: NDArray[np.float64],
    squares: NDArray[np.float64],
    cubes: NDArray[np.float64] | None,
    is_clipped: NDArray[np.float64],
    n_overlapping: float = 1.0,
) -> Points:
    """Average unbiased estimates of single pixels over groups of similar brightness.

    `value`, `squares` and `cubes` estimate mean, variance and third cumulant of every pixel; `around` and `steepness`
    are those of its neighbours; `is_clipped` is the share of a pixel's values at the upper limit; `n_overlapping` says
    how many estimates count as one.
    """
    rows = []
    for group in _group_pixels(around.ravel()):
        flat = group[np.argsort(steepness.ravel()[group])[: max(len(group) // 2, _MIN_PIXELS)]]
        if is_clipped.ravel()[flat].mean() > 1e-4:
            continue
        second, third = squares.ravel()[flat], None if cubes is None else cubes.ravel()[flat]
        if not second.any():
            continue  # cut off, or empty: a variance of 0 without error would decide alone
        n = len(flat) / n_overlapping
        skew = (math.nan, math.nan) if third is None else (third.mean(), third.std() / math.sqrt(n))
        rows.append((value.ravel()[flat].mean(), second.mean(), second.std() / math.sqrt(n), *skew, len(flat)))
    if len(rows) < 3:
        raise DataError(
            f"noise fit: {value.size} pixels give {len(rows)} groups of {_MIN_PIXELS} unsaturated pixels, expected at "
            "least 3 of different brightness; use a larger or less saturated image"
        )
    mean, variance, variance_se, third_cumulant, third_se, n_pixels = np.array(rows).T
    # Cameras are linear to about 1 %: no group may claim to know more, or the many dark ones decide.
    variance_se = np.hypot(variance_se, 0.01 * variance) + 1e-12
    if cubes is None:
        return Points(mean, variance, variance_se, None, None, n_pixels.astype(np.int64))
    third_se = np.hypot(third_se, 0.01 * third_cumulant) + 1e-12
    return Points(mean, variance, variance_se, third_cumulant, third_se, n_pixels.astype(np.int64))


def _look_around(scene: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for every pixel the mean of its neighbours, and how steep the image is between them."""
    ring = np.ones((1,) * (scene.ndim - 2) + (3, 3))
    ring[..., 1, 1] = 0
    # Sobel filters, too, leave out the pixel itself.
    steepness = ndimage.sobel(scene, -1) ** 2 + ndimage.sobel(scene, -2) ** 2
    return ndimage.convolve(scene, ring / 8, mode="reflect"), steepness


def _group_pixels(brightness: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Return the numbers of pixels of similar brightness: equal steps of the square root, with enough pixels each."""
    order = np.argsort(brightness, kind="stable")
    root = np.sqrt(brightness[order] - brightness[order[0]])
    # Half of the limits by brightness, half by rank: bright pixels are few, dark ones alike.
    by_brightness = np.searchsorted(root, np.linspace(0, root[-1], _N_BINS // 2 + 1)[1:-1])
    by_rank = np.linspace(0, len(order), _N_BINS // 2 + 1)[1:-1].astype(int)
    limits = [0]
    for limit in np.unique(np.concatenate([by_brightness, by_rank])):
        if limit - limits[-1] >= 2 * _MIN_PIXELS and len(order) - limit >= 2 * _MIN_PIXELS:
            limits.append(int(limit))
    return [order[start:stop] for start, stop in zip(limits, [*limits[1:], len(order)], strict=True)]


def _fit_line(
    x: NDArray[np.float64], y: NDArray[np.float64], se: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slope and intercept of a weighted least-squares line, and their covariance, scaled by the misfit."""
    centre = float(np.average(x, weights=1 / se**2))
    design = np.stack([x - centre, np.ones_like(x)], axis=1) / se[:, None]
    covariance = np.linalg.pinv(design.T @ design)
    slope, height = covariance @ design.T @ (y / se)
    misfit = float((((slope * (x - centre) + height - y) / se) ** 2).sum()) / max(len(x) - 2, 1)
    to_zero = np.array([[1.0, 0.0], [-centre, 1.0]])
    return to_zero @ (slope, height), to_zero @ covariance @ to_zero.T * max(misfit, 1.0)


def _fit(points: Points, offset: float | None, bright: float, dtype: np.dtype[np.generic]) -> NoiseFit:
    (gain, intercept), covariance = _fit_line(points.mean, points.variance, points.variance_se)
    if not gain > 3 * math.sqrt(covariance[0, 0]):
        raise DataError(
            f"noise fit: the variance does not grow with the mean (slope {gain:.3g} +- "
            f"{math.sqrt(covariance[0, 0]):.2g}); expected images with dark and bright parts that were not processed, "
            "or frames of one scene that does not move. Give more of them, or measure the detector on such images"
        )
    zero, zero_se, basis = _estimate_offset(points, offset, gain, intercept, covariance)
    # read^2 = intercept + gain * offset; the offset, where it is not derived from the line, is independent of it.
    # Rounding, where there is any, is noise of variance 1/12.
    read2 = intercept + gain * zero - (1 / 12 if dtype.kind in "ui" else 0.0)
    read2_se = math.hypot(_compute_se(zero, covariance), gain * zero_se)
    read = math.sqrt(max(read2, 0.0))
    # Near zero the error of the square is the square of the error.
    read_se = math.sqrt(read2_se) / gain
    if read > 0:
        # In electrons: read / gain, so that the error of the gain counts twice, here and in read^2.
        slopes = np.array([zero / (2 * read * gain) - read / gain**2, 1 / (2 * read * gain)])
        read_se = min(read_se, math.hypot(math.sqrt(float(slopes @ covariance @ slopes)), zero_se / (2 * read)))
    return NoiseFit(
        gain=Estimate(float(gain), math.sqrt(covariance[0, 0])),
        offset=Estimate(zero, zero_se),
        read_noise=Estimate(read / gain, read_se),
        excess_skew=_measure_excess_skew(points, gain),
        basis=basis,
        photons=max(bright - zero, 0.0) / gain,
        bit_depth={("u", 1): 8, ("u", 2): 16}.get((dtype.kind, dtype.itemsize)),
        covariance=covariance,
        points=points,
    )


def _estimate_offset(
    points: Points, given: float | None, gain: float, intercept: float, covariance: NDArray[np.float64]
) -> tuple[float, float, str]:
    """Return the offset, its standard error, and in words where it comes from."""
    if given is not None:
        return given, 0.0, "offset given; read noise from the variance that is left there"
    without_read = -intercept / gain
    without_read_se = _compute_se(without_read, covariance) / gain
    if points.skew is not None and points.skew_se is not None:
        (slope, height), skew_covariance = _fit_line(points.mean, points.skew, points.skew_se)
        if slope > 3 * math.sqrt(skew_covariance[0, 0]):
            zero = -height / slope
            zero_se = _compute_se(zero, skew_covariance) / slope
            if zero - without_read > 3 * math.hypot(zero_se, without_read_se):
                basis = "offset from the skewness of shot noise; read noise from the variance left there"
                return float(zero), float(zero_se), basis
        reason = "the skewness of shot noise shows no read noise"
    else:
        reason = (
            "differences of two frames, or of pixels, do not tell read noise and offset apart (give the offset, from a "
            "dark frame)"
        )
    if without_read < -2 * without_read_se:
        return 0.0, without_read_se, f"{reason}; offset taken as 0, because it cannot be negative"
    return float(without_read), without_read_se, f"{reason}; read noise taken as 0"


def _compute_se(x: float, covariance: NDArray[np.float64]) -> float:
    """Return the standard error of a line at `x`."""
    at = np.array([x, 1.0])
    return math.sqrt(max(float(at @ covariance @ at), 0.0))


def _measure_excess_skew(points: Points, gain: float) -> Estimate | None:
    if points.skew is None or points.skew_se is None:
        return None
    (slope, _), covariance = _fit_line(points.mean, points.skew, points.skew_se)
    return Estimate(float(slope / gain**2), math.sqrt(covariance[0, 0]) / gain**2)
