"""The noise of a camera, fitted from images of a scene: gain, offset and read noise with standard errors.

Photon transfer: the variance of a pixel is ``gain * (mean - offset) + read^2`` (all in grey levels), a line over the
mean. Its intercept holds offset and read noise together. Shot noise is skewed and read noise is not, so the third
cumulant, proportional to ``mean - offset``, is zero where there is no light. Where it is measured well enough, it
separates the two; otherwise one of them must be known. Every result says which it was.

Pixels are sorted into bins by the brightness of their neighbours, never by their own value, so that a bin is not
selected by the noise it measures; and of each bin only the half with the flattest surroundings is used, because motion
and misregistration look like noise where the image is steep.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy import ndimage

from carezoo import axes as axes_
from carezoo.errors import DataError
from carezoo.files import open_image
from carezoo.image import Image
from carezoo.schema.build import build
from carezoo.schema.span import Span
from carezoo.simulate.camera import REFERENCE_PERCENTILE, Camera

_MIN_PIXELS = 100
"""In a bin."""

_N_BINS = 48


class Estimate(NamedTuple):
    """A fitted number."""

    value: float
    se: float
    """Standard error; 0 where the value was given."""

    def __str__(self) -> str:
        return f"{self.value:.4g} +- {self.se:.2g}"


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
    """What repeated frames, or a pair, say of a camera."""

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
    points: Points

    def section(self) -> dict[str, Any]:
        """Return the section ``camera`` of a recipe with this noise, and half to twice the light of the frames."""
        return {
            "photons": {"log": [float(f"{self.photons * factor:.3g}") for factor in (0.5, 2.0)]},
            "gain": float(f"{self.gain.value:.4g}"),
            "offset": float(f"{self.offset.value:.5g}"),
            "read_noise": float(f"{self.read_noise.value:.3g}"),
            "bit_depth": self.bit_depth,
        }

    def camera(self, photons: Span | None = None) -> Camera:
        """Return the camera of `section`, with other photons if they are given."""
        camera = build(Camera, self.section(), "camera")
        return camera if photons is None else dataclasses.replace(camera, photons=photons)

    def variance(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variance the fit predicts at `mean` (grey levels), without that of rounding."""
        read = self.gain.value * self.read_noise.value
        return np.asarray(self.gain.value * (mean - self.offset.value) + read**2)


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
    is_clipped = _is_clipped(frames).mean(axis=0)
    points = _measure_points(mean, mean, squares, cubes, is_clipped)
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
    points = _measure_points(noisy, expected, residual**2, residual**3, _is_clipped(source).astype(np.float64))
    return _fit(points, offset, float(np.percentile(expected, REFERENCE_PERCENTILE)), source.dtype)


def _is_clipped(frames: NDArray[np.generic]) -> NDArray[np.bool_]:
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
    scene: NDArray[np.float64],
    squares: NDArray[np.float64],
    cubes: NDArray[np.float64] | None,
    is_clipped: NDArray[np.float64],
) -> Points:
    """Average unbiased estimates of single pixels over groups of similar brightness.

    `value`, `squares` and `cubes` estimate mean, variance and third cumulant of every pixel; `scene` groups the pixels
    by their neighbours; `is_clipped` is the share of a pixel's values at the upper limit.
    """
    ring = np.ones((1,) * (scene.ndim - 2) + (3, 3))
    ring[..., 1, 1] = 0
    around = ndimage.convolve(scene, ring / 8, mode="reflect")
    # Sobel filters, too, leave out the pixel itself.
    steepness = ndimage.sobel(scene, -1) ** 2 + ndimage.sobel(scene, -2) ** 2
    rows = []
    for group in _group_pixels(around.ravel()):
        flat = group[np.argsort(steepness.ravel()[group])[: max(len(group) // 2, _MIN_PIXELS)]]
        if is_clipped.ravel()[flat].mean() > 1e-4:
            continue
        second, third = squares.ravel()[flat], None if cubes is None else cubes.ravel()[flat]
        n = len(flat)
        skew = (math.nan, math.nan) if third is None else (third.mean(), third.std() / math.sqrt(n))
        rows.append((value.ravel()[flat].mean(), second.mean(), second.std() / math.sqrt(n), *skew, n))
    if len(rows) < 3:
        raise DataError(
            f"noise fit: {scene.size} pixels give {len(rows)} groups of {_MIN_PIXELS} unsaturated pixels, expected at "
            "least 3 of different brightness; use a larger or less saturated image"
        )
    mean, variance, variance_se, third_cumulant, third_se, n_pixels = np.array(rows).T
    # Cameras are linear to about 1 %: no group may claim to know more, or the many dark ones decide.
    variance_se = np.hypot(variance_se, 0.01 * variance) + 1e-12
    if cubes is None:
        return Points(mean, variance, variance_se, None, None, n_pixels.astype(np.int64))
    third_se = np.hypot(third_se, 0.01 * third_cumulant) + 1e-12
    return Points(mean, variance, variance_se, third_cumulant, third_se, n_pixels.astype(np.int64))


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
            f"{math.sqrt(covariance[0, 0]):.2g}); expected repeated frames of one scene that does not move, with dark "
            "and bright parts, not processed"
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
        reason = "two frames do not tell read noise and offset apart (give the offset, from a dark frame)"
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


def fit_files(
    paths: Sequence[Path],
    *,
    is_repeats: bool,
    axes: str | None = None,
    channel: int = 0,
    offset: float | None = None,
) -> NoiseFit:
    """Fit the noise from repeated frames of one scene, or from a noisy and a clean image of it.

    Parameters
    ----------
    paths
        Repeated frames: one file with frames along T, or several files of one frame each. Else two files, the noisy
        image first.
    is_repeats
        Which of the two.
    axes
        Axes of the files; None: from their metadata. Frames that are stored as Z are named so: "TYX".
    channel
        Which channel, from 0.
    offset
        Grey level of no light, if it is known (from a dark frame).

    Raises
    ------
    DataError
        If a file has no frames or no such channel, or the fit is not possible (`carezoo.simulate.noise`).
    InputError
        If a file cannot be read.
    """
    images = [open_image(path, axes) for path in paths]
    if not is_repeats:
        noisy, clean = (_read_channel(image, channel, "", path) for image, path in zip(images, paths, strict=True))
        return fit_pair(noisy, clean, offset=offset)
    n_frames = [image.sizes.get("T", 1) for image in images]
    if sum(n_frames) < 2:
        raise DataError(
            f"{paths[0]}: expected repeated frames along T, found axes {images[0].axes} with shape {images[0].shape}; "
            "name the axis of the frames T (--axes TYX), or give a clean image of the same scene as a second file"
        )
    frames = [_read_channel(image, channel, "T", path) for image, path in zip(images, paths, strict=True)]
    for path, each in zip(paths, frames, strict=True):
        if each.shape[1:] != frames[0].shape[1:] or each.dtype != frames[0].dtype:
            raise DataError(
                f"{path}: frames of one scene have one size and type, found {each.shape[1:]} {each.dtype}, and "
                f"{frames[0].shape[1:]} {frames[0].dtype} in {paths[0]}"
            )
    return fit_repeats(np.concatenate(frames), offset=offset)


def to_numbers(fit: NoiseFit) -> dict[str, object]:
    """Return what was fitted as plain values: each number with its standard error, and where offset comes from."""
    estimates = {"gain": fit.gain, "offset": fit.offset, "read_noise": fit.read_noise, "excess_skew": fit.excess_skew}
    plain: dict[str, object] = {
        name: {"value": each.value, "standard_error": each.se} for name, each in estimates.items() if each is not None
    }
    return plain | {"basis": fit.basis, "photons": fit.photons, "camera": fit.section()}


def format_camera(fit: NoiseFit, paths: Sequence[Path]) -> str:
    """Return the section ``camera`` of a recipe as YAML, with what it comes from as comments."""
    comments = [
        f"Noise fitted from {', '.join(path.name for path in paths[:3])}{' and others' if len(paths) > 3 else ''}",
        f"gain {fit.gain} grey levels per photoelectron",
        f"offset {fit.offset} grey levels",
        f"read noise {fit.read_noise} electrons",
        fit.basis,
    ]
    skew = fit.excess_skew
    if skew is not None and skew.value - 2 * skew.se > 1.3:
        comments.append(
            f"the noise is {skew.value:.2f} times as skewed as shot noise: with an EM register set em_gain, too"
        )
    body = yaml.safe_dump(fit.section(), sort_keys=False, default_flow_style=None)
    return "".join(f"# {line}\n" for line in comments) + body


def _read_channel(image: Image, channel: int, lead: str, path: Path) -> NDArray[np.generic]:
    """Return one channel with axes `lead`, then ZYX where there are planes, else YX."""
    if not 0 <= channel < image.sizes.get("C", 1):
        raise DataError(f"{path} has {image.sizes.get('C', 1)} channel(s), counted from 0; found channel {channel}")
    chosen = image.crop({"C": slice(channel, channel + 1)}) if "C" in image.axes else image
    letters = lead + ("ZYX" if image.sizes.get("Z", 1) > 1 else "YX")
    return axes_.move(chosen.array(), chosen.axes, letters)
