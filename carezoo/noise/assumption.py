"""Whether noise is what a training without clean images takes it for: independent from pixel to pixel, of known size.

Structure is in the way of looking. `carezoo.noise.correlation` looks where there is none. And a line of the detector
that is off is off over the whole width of the image, which hardly a structure is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtr, pdtr

from carezoo.errors import DataError
from carezoo.image import Image
from carezoo.noise.correlation import TILE, Estimate, Planes, measure_coarse_power, measure_correlation
from carezoo.noise.measure import FINEST, NoiseFit, find_clipped, fit_planes, measure_detail, read_planes
from carezoo.noise.thin import Noise

MOST_CORRELATED = 0.05
"""Correlation of the noise of neighbouring pixels. Detectors of confocal microscopes have up to 0.05 along their lines,
which training bears."""

MOST_IN_LINES = 0.003
"""Share of whole lines that are off together in the variance of the noise."""

MOST_CLIPPED, MOST_CUT_OFF = 0.005, 0.05
"""Share of pixels at the upper limit, and share at the lowest value beyond what the noise explains."""

MOST_BLOCKY = 0.02
"""Share by which steps at the borders of the 8 x 8 squares of JPEG are higher than others."""

MOST_GAPS = 0.05
"""Share of grey levels that are not used."""

MOST_UNCERTAIN, LEAST_VARIANCE, MOST_OFF = 0.25, 0.3, 1.3
"""Of the variance of the noise at the mean grey level: relative standard error, grey levels squared, and ratio to that
of the images."""

LEAST_COARSE_POWER = 0.6
"""Power of low frequencies over that of high ones. Independent noise has 0.85 in the tiles that happen to be flattest,
and structure adds to it."""

_WAY_ON = (
    "The noise is not independent from pixel to pixel, and a network would keep it as structure. Use the images as "
    "they were acquired; or take movies of a still sample and pairs of frames (target: frames), whose noise need be "
    "independent from frame to frame only"
)

_N_SE = 2.0
"""Standard errors by which a measurement has to be beyond its limit."""

_MIN_COUNT, _MIN_LEVELS = 20, 8
"""Pixels around a grey level, and grey levels, that gaps are looked for in."""

_FAR, _BLOCKS = 2, 8
"""A line is cut into blocks; those this far apart are compared."""


def check_assumption(images: Sequence[Image], channel: int = 0, *, noise: Noise | NoiseFit | None = None) -> None:
    """Refuse images whose noise is not independent from pixel to pixel, or not of the size that is said.

    Parameters
    ----------
    images
        Of one detector, any axes.
    channel
        Which channel, from 0.
    noise
        As it was given, or measured on these images; None: it is measured.

    Raises
    ------
    DataError
        With what was measured, what was expected, and what to do.
    """
    planes = [plane for plane in read_planes(images, channel) if min(plane.shape) >= 2 * TILE]
    if not planes:
        raise DataError(
            f"noise: expected images of at least {2 * TILE} x {2 * TILE} pixels, to measure whether the noise of "
            f"neighbours is independent; found {images[0].shape} with axes {images[0].axes}"
        )
    _refuse_saturation(planes)
    _refuse_compression(planes)
    _refuse_gaps(planes)
    _refuse_lines(planes)
    _refuse_correlation(planes)
    noise = noise or fit_planes(planes)
    _refuse_cut_off(planes, noise)
    _refuse_wrong_size(planes, noise)


def measure_lines(planes: Planes) -> dict[str, Estimate]:
    """Measure which share of the variance of the noise belongs to whole rows (X) and columns (Y) that are off.

    Of every line the finest detail across lines is averaged over blocks; the product of distant blocks holds what they
    have in common.

    Parameters
    ----------
    planes
        YX, 32 x 32 pixels and above.
    """
    return {axis: _measure_rows([plane.T if axis == "Y" else plane for plane in planes]) for axis in ("X", "Y")}


def _refuse_saturation(planes: Planes) -> None:
    at_highest = float(np.mean([find_clipped(plane).mean() for plane in planes]))
    if at_highest > MOST_CLIPPED:
        raise DataError(
            f"noise: {100 * at_highest:.2g} % of the pixels are at the upper limit {max(p.max() for p in planes):g}, "
            f"expected at most {100 * MOST_CLIPPED:g} %: where an image is saturated, noise is cut off. Use images "
            "with less light or gain, or crop the saturated part away"
        )


def _refuse_cut_off(planes: Planes, noise: Noise | NoiseFit) -> None:
    found = float(np.mean([(plane == plane.min()).mean() for plane in planes]))
    expected = float(np.mean([_expect_lowest(plane, noise) for plane in planes]))
    if found - expected > MOST_CUT_OFF:
        raise DataError(
            f"noise: {100 * found:.0f} % of the pixels have the lowest value {min(p.min() for p in planes):g}, "
            f"expected {100 * expected:.0f} % of this noise: dark pixels were cut off, by a background that was "
            "subtracted or a detector offset that is too low. Use the images as they were acquired, with an offset "
            "above the noise"
        )


def _refuse_compression(planes: Planes) -> None:
    steps = np.mean([[_measure_blocks(each) for each in (plane, plane.T)] for plane in planes], axis=0)
    if steps.min() > MOST_BLOCKY:
        raise DataError(
            f"noise: steps between pixels are {100 * steps.min():.0f} % higher at every eighth row and column, "
            f"expected at most {100 * MOST_BLOCKY:.0f} %: the images were compressed as JPEG, which removes noise "
            "square by square. Use files of the microscope, or TIFF without lossy compression"
        )


def _refuse_gaps(planes: Planes) -> None:
    if planes[0].dtype.kind not in "ui":
        return
    share = float(np.mean([_measure_gaps(plane) for plane in planes]))
    if share > MOST_GAPS:
        raise DataError(
            f"noise: {100 * share:.0f} % of the grey levels between dark and bright are never used, here and there: "
            "brightness and contrast were changed after the images had been acquired. Use the raw grey levels"
        )


def _refuse_wrong_size(planes: Planes, noise: Noise | NoiseFit) -> None:
    """Compare the noise with the finest detail of the images, at their mean grey level."""
    mean = float(np.mean([plane.mean(dtype=np.float64) for plane in planes]))
    expected, error = float(noise.variance(np.array(mean))), noise.variance_se(mean)
    if error > MOST_UNCERTAIN * expected:
        raise DataError(
            f"noise: its variance at the mean grey level {mean:.4g} is {expected:.3g} +- {error:.2g}, expected to be "
            f"known to {100 * MOST_UNCERTAIN:.0f} %. Give more or larger images with dark and bright parts, or measure "
            "the detector on repeated frames (carezoo simulate fit-noise)"
        )
    if planes[0].dtype.kind in "ui" and expected < LEAST_VARIANCE:
        raise DataError(
            f"noise: its variance at the mean grey level {mean:.4g} is {expected:.2g}, below {LEAST_VARIANCE:g} it is "
            "lost in rounding to whole grey levels: the images were averaged or filtered, or have hardly any noise. "
            "Use the single frames"
        )
    seen = measure_detail(planes)
    ratio = seen.value / max(expected, np.finfo(float).tiny)
    if abs(math.log(max(ratio, 1e-9))) > math.log(MOST_OFF) + _N_SE * seen.se / seen.value:
        raise DataError(
            f"noise: gain and offset predict a variance of {expected:.3g} at the mean grey level {mean:.4g}, the "
            f"images have {seen.value:.3g} +- {seen.se:.2g}. Check gain, offset and read noise, or let them be "
            "measured (noise: auto)"
        )


def _refuse_lines(planes: Planes) -> None:
    for axis, share in measure_lines(planes).items():
        if share.value - _N_SE * share.se > MOST_IN_LINES:
            raise DataError(
                f"noise: whole lines along {axis} are brighter or darker than their neighbours; they make "
                f"{100 * share.value:.1f} +- {100 * share.se:.1f} % of the variance of the noise, expected at most "
                f"{100 * MOST_IN_LINES:g} %. A network would keep them as structure. Subtract the pattern of the "
                "camera (a mean of dark frames), or take movies of a still sample and pairs of frames (target: frames)"
            )


def _refuse_correlation(planes: Planes) -> None:
    for axis, found in measure_correlation(planes).items():
        if abs(found.value) - _N_SE * found.se > MOST_CORRELATED:
            raise DataError(
                f"noise: that of neighbours along {axis} is correlated by {found.value:.2f} +- {found.se:.2f}, "
                f"expected between -{MOST_CORRELATED:g} and {MOST_CORRELATED:g}. The images were smoothed, resampled, "
                f"rotated, averaged after a shift, or deconvolved, or the detector is slow. {_WAY_ON}"
            )
    coarse = measure_coarse_power(planes)
    if coarse.value + _N_SE * coarse.se < LEAST_COARSE_POWER:
        raise DataError(
            f"noise: its low frequencies have {coarse.value:.2f} +- {coarse.se:.2f} times the power of its high ones, "
            f"expected at least {LEAST_COARSE_POWER:g}. The images were sharpened or deconvolved. {_WAY_ON}"
        )


def _expect_lowest(plane: NDArray[np.generic], noise: Noise | NoiseFit) -> float:
    """Return the share of pixels that no photoelectron brings above the lowest value, or read noise keeps there."""
    numbers = noise.noise if isinstance(noise, NoiseFit) else noise
    around = ndimage.uniform_filter(plane.astype(np.float64), 7)
    electrons = np.maximum((around - numbers.offset) / numbers.gain, 0.0)
    within = (float(plane.min()) + 0.5 - numbers.offset) / numbers.gain
    spread = np.sqrt(electrons + numbers.read_noise**2) + 1e-9
    # Normal where read noise hides single photoelectrons, else Poisson.
    share = (
        ndtr((within - electrons) / spread) if numbers.read_noise > 0.5 else pdtr(max(math.floor(within), 0), electrons)
    )
    return float(share.mean())


def _measure_blocks(plane: NDArray[np.generic]) -> float:
    """Return by how much steps along X at one column in eight are higher than beside it, as a share, less 3 se."""
    steps = np.abs(np.diff(plane.astype(np.float64), axis=1)).mean(axis=0)
    excess = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
    phases = [excess[phase::8] for phase in range(8)]
    highest = max(phases, key=lambda each: float(each.mean()))
    others = np.concatenate([each for each in phases if each is not highest])
    error = 3 * float(others.std()) / math.sqrt(len(highest))
    return (float(highest.mean()) - error) / max(float(steps.mean()), np.finfo(float).tiny)


def _measure_gaps(plane: NDArray[np.generic]) -> float:
    """Return the share of unused grey levels between those used often.

    A detector may count in steps of several grey levels; those between are not missed. Scaling by a factor that is no
    whole number leaves steps of different length.
    """
    values = plane.astype(np.int64).ravel()
    low, high = (int(p) for p in np.percentile(values, (1, 99)))
    counts = np.bincount(values[(values >= low) & (values <= high)] - low, minlength=high - low + 1)
    is_common = ndimage.uniform_filter1d(counts.astype(float), 7) > _MIN_COUNT
    used = np.flatnonzero((counts > 0) & is_common)
    if len(used) < _MIN_LEVELS:
        return 0.0
    on_grid = np.zeros(len(counts), bool)
    on_grid[used[0] % (step := int(np.gcd.reduce(np.diff(used)))) :: step] = True
    return float(np.mean(counts[is_common & on_grid] == 0))


def _measure_rows(planes: Planes) -> Estimate:
    shared, variance = [], []
    for plane in planes:
        detail = ndimage.convolve1d(plane.astype(np.float64), FINEST, 0)[2:-2]
        variance.append(np.square(ndimage.convolve1d(detail, FINEST, 1)[:, 2:-2]).mean())
        width = max(plane.shape[1] // _BLOCKS, 8)
        n = plane.shape[1] // width
        means = detail[:, : n * width].reshape(len(detail), n, width).mean(axis=2)
        products = [means[:, i] * means[:, j] for i in range(n) for j in range(i + _FAR, n)]
        # Neighbouring rows share pixels: pieces of the image are what varies independently.
        shared += [piece.mean() for piece in np.array_split(np.mean(products, axis=0), _BLOCKS)]
    of_noise = max(float(np.mean(variance)), np.finfo(float).tiny)
    spread = float(np.std(shared, ddof=1)) / math.sqrt(len(shared))
    return Estimate(float(np.mean(shared)) / of_noise, spread / of_noise)
