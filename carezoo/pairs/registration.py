"""Do acquired pairs match? Shift, similarity and intensity relation of each, reported before training.

Targets that are merely shifted can be moved (`FileSet.register`). Other pairs that do not match must be acquired again,
or registered with a tool made for it.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from carezoo import metrics
from carezoo.errors import DataError, InputError
from carezoo.files.atomic import replacing
from carezoo.image import Image
from carezoo.pairs.cache import MovedPixels, read
from carezoo.pairs.find import Pair
from carezoo.pairs.section import ONE, FileSet, PairAxes

MAX_SHIFT_PX = 1.0
"""A larger shift blurs what a network learns: it can only guess where the target's edges are."""

MAX_COMMON_SHIFT_PX = 0.25
"""A larger shift common to all pairs is worth a word: a network learns to shift its input by it."""

MIN_CORRELATION = 0.3
"""Pearson correlation after light smoothing, below which source and target hardly show the same scene."""

MIN_NOISE, SWAPPED_RATIO = 0.06, 4.0
"""From which share of noise on, and from how many times the share of the source on, a target is the noisy image. Sharp
clean targets have shares up to 0.05, sources of real pairs 0.07 to 0.5, at least 6 times that of their targets."""

_SMOOTHING_PX = 1.5
"""Standard deviation of the smoothing before images are compared, against noise."""


@dataclass(frozen=True)
class PairMatch:
    """How a source fits its target."""

    name: str
    shift_px: tuple[float, ...]
    """Where the source lies relative to the target along YX or ZYX, in pixels."""
    shift_se_px: float
    """Standard error of the shift, from shifts measured on parts of the images; large where the shift is not the same
    everywhere (rotation, distortion) or noise hides it."""
    psnr_db: float
    """PSNR of the source against the target after the affine fit, as in the CARE paper (`carezoo.metrics`)."""
    gain: float
    """Slope of ``source = gain * target + offset``; zero or less: the contrast is lost or inverted."""
    offset: float
    """Offset of that line, grey levels of the source."""
    correlation: float
    """Pearson correlation of source and target after smoothing by 1.5 pixels."""
    source_noise: float
    """Share of white noise in the variance of the source."""
    target_noise: float
    """The same of the target."""

    @property
    def is_swapped(self) -> bool:
        """Whether the target is much the noisier image of the two."""
        return self.target_noise > max(MIN_NOISE, SWAPPED_RATIO * self.source_noise)

    @property
    def mismatch(self) -> str:
        """Why moving the target would not make the pair match, in words; empty if it would."""
        if self.gain <= 0:
            return "the target gets darker where the source gets brighter"
        if self.correlation < MIN_CORRELATION:
            return f"source and target hardly show the same scene (correlation {self.correlation:.2f} after smoothing)"
        if self.shift_se_px > MAX_SHIFT_PX:
            return (
                f"the shift differs by {self.shift_se_px:.2f} pixels over the image: rotation, distortion, or too "
                "noisy to tell"
            )
        return ""

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the pair, in words; empty if nothing is."""
        if self.mismatch:
            return (self.mismatch,)
        length = math.hypot(*self.shift_px)
        if length - 2 * self.shift_se_px <= MAX_SHIFT_PX:
            return ()
        where = ", ".join(f"{value:+.2f}" for value in self.shift_px)
        axes = "ZYX"[-len(self.shift_px) :]
        return (f"the source is shifted by {length:.2f} pixels against the target ({axes}: {where})",)


@dataclass(frozen=True)
class RegistrationReport:
    """How all pairs of a data set match."""

    pairs: tuple[PairMatch, ...]

    @property
    def is_fine(self) -> bool:
        """Whether no pair has a problem."""
        return not any(pair.problems for pair in self.pairs)

    @property
    def gain_spread(self) -> float:
        """Relative standard deviation of the gains: how far the pairs differ in exposure."""
        gains = np.array([pair.gain for pair in self.pairs])
        return float(gains.std() / abs(gains.mean())) if gains.mean() else math.inf

    @property
    def verdict(self) -> str:
        """What the numbers mean for training, in words."""
        bad = [pair for pair in self.pairs if pair.problems]
        shifts = [math.hypot(*pair.shift_px) for pair in self.pairs]
        psnr = float(np.median([pair.psnr_db for pair in self.pairs]))
        lines = []
        if bad:
            lines.append(f"{len(bad)} of {len(self.pairs)} pairs do not match:")
            lines += [f"  {pair.name}: {'; '.join(pair.problems)}" for pair in bad[:10]]
            if len(bad) > 10:
                lines.append(f"  and {len(bad) - 10} more")
            lines.append(
                "A network trained on them learns to blur or to move structures. Targets that are merely shifted are "
                "moved by register: true in the set; others have to be left out (split)."
            )
        else:
            lines.append(
                f"{len(self.pairs)} pairs match: shifts up to {max(shifts):.2f} pixels, median PSNR of source against "
                f"target {psnr:.1f} dB."
            )
        common = np.mean([pair.shift_px for pair in self.pairs], axis=0)
        if not bad and float(np.linalg.norm(common)) > MAX_COMMON_SHIFT_PX:
            where = ", ".join(f"{value:+.2f}" for value in common)
            lines.append(
                f"Sources are shifted by ({where}) pixels on average ({'ZYX'[-len(common) :]}): restored images "
                "will be shifted back by that, or blurred where patches are mirrored and turned; register: true in the "
                "set moves the targets."
            )
        if self.gain_spread > 0.1:
            lines.append(
                f"The intensity relation differs between pairs (gain varies by {self.gain_spread:.0%}): match "
                "intensities pair by pair, not once for the data set (intensity: {fit: pair} in the recipe)."
            )
        return "\n".join(lines)


def check_pair(source: NDArray[np.generic], target: NDArray[np.generic], name: str = "pair") -> PairMatch:
    """Measure how `source` fits `target`.

    Parameters
    ----------
    source, target
        One channel, YX or ZYX, same shape. Of large images the shift is measured on the middle, up to 1024 x 1024
        pixels and 32 planes.

    Raises
    ------
    DataError
        If the shapes differ or an image is constant.
    """
    if source.shape != target.shape or source.ndim not in {2, 3}:
        raise DataError(f"{name}: expected two images of one shape, YX or ZYX, found {source.shape} and {target.shape}")
    for which, image in (("source", source), ("target", target)):
        if image.min() == image.max():
            raise DataError(f"{name}: the {which} is constant ({image.min()}); leave the pair out")
    try:
        psnr_db = metrics.score(source, target, with_ssim=False).psnr_db
    except InputError as error:
        raise DataError(f"{name}: {error}; leave the pair out") from error
    part = _locate_middle(source.shape)
    smooth_first, smooth_second = _smooth(source[part].astype(np.float32)), _smooth(target[part].astype(np.float32))
    fit = metrics.fit_units(target, source)
    shift = measure_shift_px(smooth_first, smooth_second)
    return PairMatch(
        name=name,
        shift_px=shift,
        shift_se_px=_estimate_shift_se(smooth_first, smooth_second, shift),
        psnr_db=psnr_db,
        gain=fit.gain,
        offset=fit.offset,
        correlation=float(np.corrcoef(smooth_first.ravel(), smooth_second.ravel())[0, 1]),
        source_noise=measure_noise_share(source[part]),
        target_noise=measure_noise_share(target[part]),
    )


def measure_noise_share(image: NDArray[np.generic]) -> float:
    """Return the share of white noise in the variance of an image: what its autocorrelation lacks at shift 0.

    The autocorrelation of structure is smooth, and continued to 0 from shifts of 1, 2 and 3 pixels; of Y and X the axis
    counts along which less is missing.
    """
    centred = image.astype(np.float64) - image.mean(dtype=np.float64)
    missing = []
    for axis in (-2, -1):
        line = np.moveaxis(centred, axis, -1)
        if line.shape[-1] > 3:
            one, two, three = (float((line[..., :-k] * line[..., k:]).mean()) for k in (1, 2, 3))
            missing.append(1 - (15 * one - 6 * two + three) / 10 / float((centred**2).mean()))
    return max(0.0, min(missing, default=0.0))


def measure_shift_px(source: NDArray[np.float32], target: NDArray[np.float32]) -> tuple[float, ...]:
    """Return where `source` lies relative to `target`, in pixels along each axis, to a few hundredths of a pixel.

    Whole pixels come from the peak of the cross-correlation; then source is fitted by the shifted target, its
    derivatives and a constant (least squares, Lucas and Kanade 1981), until the shift stays. Fitting to the target, the
    cleaner image, keeps the noise of the source from pulling the shift to zero, which phase correlation suffers from.
    """
    whole = _measure_whole_shift(source, target)
    shift = whole.astype(np.float64)
    # An axis with few planes has no sub-pixel shift to speak of: it is left at the whole number.
    free = [axis for axis, n in enumerate(source.shape) if n > 8]
    inside = tuple(
        slice(abs(round(w)) + 2, n - abs(round(w)) - 2) if n > 2 * abs(round(w)) + 8 else slice(None)
        for w, n in zip(whole, source.shape, strict=True)
    )
    wanted = source[inside].ravel().astype(np.float64)
    for _ in range(12):
        moved = ndimage.shift(target, shift, order=3, mode="nearest")
        slopes = [-np.gradient(moved, axis=axis)[inside].ravel() for axis in free]
        design = np.stack([*slopes, moved[inside].ravel(), np.ones(wanted.size)], axis=1).astype(np.float64)
        fit = np.linalg.lstsq(design.T @ design, design.T @ wanted, rcond=None)[0]
        if not fit[-2] > 0:
            break
        step = np.clip(fit[:-2] / fit[-2], -0.5, 0.5)
        shift[free] += step
        if np.abs(step).max() < 2e-3:
            break
    return tuple(float(value) for value in (shift if np.abs(shift - whole).max() <= 1.5 else whole))


def _measure_whole_shift(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the shift to whole pixels: the peak of the correlation, whitened by half.

    Half whitening (the spectrum over the square root of its magnitude) is sharper than plain correlation and, unlike
    phase correlation, does not weigh noise like structure.
    """
    window = _make_window(first.shape)
    spectra = [fft.rfftn((image - image.mean()) * window) for image in (first, second)]
    cross = spectra[0] * np.conj(spectra[1])
    magnitude = np.abs(cross)
    cross /= np.sqrt(magnitude + 1e-6 * magnitude.max() + np.float32(1e-30))
    correlation = fft.irfftn(cross, s=first.shape)
    peak = np.array(np.unravel_index(int(correlation.argmax()), first.shape), np.float64)
    sizes = np.array(first.shape)
    return np.where(peak > sizes / 2, peak - sizes, peak)


def _locate_middle(shape: tuple[int, ...]) -> tuple[slice, ...]:
    largest = (32, 1024, 1024)[-len(shape) :]
    return tuple(slice((n - min(n, m)) // 2, (n + min(n, m)) // 2) for n, m in zip(shape, largest, strict=True))


def _smooth(image: NDArray[np.float32]) -> NDArray[np.float32]:
    sigma = [0.0] * (image.ndim - 2) + [_SMOOTHING_PX] * 2
    smoothed: NDArray[np.float32] = ndimage.gaussian_filter(image, sigma, mode="reflect")
    return smoothed


def _make_window(shape: tuple[int, ...]) -> NDArray[np.float32]:
    window = np.ones(shape, np.float32)
    for axis, n in enumerate(shape):
        if n > 3:
            # Half a pixel off the usual Hann window, so that no pixel counts nothing.
            ramp = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
            window *= ramp.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return window


def _estimate_shift_se(first: NDArray[np.float32], second: NDArray[np.float32], whole: tuple[float, ...]) -> float:
    """Return the standard error of the shift from the four quarters of the field; 0 for images too small to quarter."""
    height, width = first.shape[-2:]
    if min(height, width) < 64:
        return 0.0
    quarters = [
        (..., slice(y, y + height // 2), slice(x, x + width // 2))
        for y in (0, height - height // 2)
        for x in (0, width - width // 2)
    ]
    # Quarters without structure in the target say nothing about the shift.
    contrast = np.array([float(second[quarter].std()) for quarter in quarters])
    shifts = np.array(
        [
            measure_shift_px(first[quarter], second[quarter])
            for quarter, each in zip(quarters, contrast, strict=True)
            if each > 0.3 * contrast.max()
        ]
    )
    if len(shifts) < 2:
        return 0.0
    apart = np.linalg.norm(shifts - np.array(whole), axis=1)
    return float(np.sqrt((apart**2).sum() / (len(shifts) - 1) / len(shifts)))


log = logging.getLogger("carezoo")

MOST_PAIRS = 40
"""Pairs that are measured, spread evenly over the data: a second each for large images."""

N_LOGGED = 10
"""Pairs that the log shows one by one; the table has all of them."""


def register_pairs(pairs: Sequence[Pair], sets: Sequence[FileSet], axes: PairAxes) -> tuple[Pair, ...]:
    """Return `pairs` with targets moved onto their sources where their set asks for that (`FileSet.register`).

    Parameters
    ----------
    pairs
        As `find_pairs` returns them. Of each that is moved, one frame of one channel is read.
    sets
        The sets they come from.
    axes
        How sources and targets go together.

    Raises
    ------
    DataError
        If targets are to be moved whose planes are not those of their sources, or a source and its target do not show
        the same scene clearly enough.
    """
    asked = {each.name for each in sets if each.register}
    if asked and _have_other_planes(axes):
        raise DataError(
            f"set {min(asked)}: register moves targets that have the planes of their sources; for tasks upsample and "
            "project register the images before, and leave register out"
        )
    return tuple(_move_target(pair, axes) if pair.dataset in asked else pair for pair in pairs)


def check_files(pairs: Sequence[Pair], axes: PairAxes) -> RegistrationReport | None:
    """Measure and log shift, similarity and intensity relation of pairs; warn of those that do not match.

    Of a file with many frames or samples the middle one is measured, of channels the first.

    Parameters
    ----------
    axes
        Pairs whose targets have other planes than their sources (tasks upsample and project) are left alone.

    Returns
    -------
    RegistrationReport or None
        None if there is nothing to measure.
    """
    if not pairs or _have_other_planes(axes):
        return None
    chosen = [pairs[i] for i in sorted({int(i) for i in np.linspace(0, len(pairs) - 1, MOST_PAIRS)})]
    matches = []
    for pair in chosen:
        try:
            matches.append(_measure_pair(pair, axes))
        except DataError as error:
            log.warning("%s", error)
    if not matches:
        return None
    report = RegistrationReport(tuple(matches))
    for match in matches[:N_LOGGED]:
        log.info(
            "%s: shift (%s) px, PSNR %.1f dB, source = %.4g * target %+.4g",
            match.name, _format_shift(match.shift_px), match.psnr_db, match.gain, match.offset,
        )  # fmt: skip
    if len(matches) > N_LOGGED:
        log.info("and %d pairs more", len(matches) - N_LOGGED)
    if len(chosen) < len(pairs):
        log.info("registration was checked on %d of %d pairs", len(chosen), len(pairs))
    log.log(logging.INFO if report.is_fine else logging.WARNING, "%s", report.verdict)
    return report


def refuse_mistakes(report: RegistrationReport, pairs: Sequence[Pair], sets: Sequence[FileSet]) -> None:
    """Refuse sets whose folders are swapped or whose pairs do not belong together, unless they say `accept: true`.

    Parameters
    ----------
    report
        Of `pairs`, as `check_files` returns it.
    sets
        The sets they come from.

    Raises
    ------
    DataError
        If that holds for most pairs of a set.
    """
    set_of = {pair.name: pair.dataset for pair in pairs}
    for each in sets:
        matches = [match for match in report.pairs if set_of[match.name] == each.name]
        if each.accept or not matches:
            continue
        swapped = [match for match in matches if match.is_swapped]
        unlike = [match for match in matches if match.correlation < MIN_CORRELATION]
        remedy = "accept: true in the set trains all the same"
        if 2 * len(unlike) > len(matches):
            raise DataError(
                f"set {each.name}: {len(unlike)} of {len(matches)} pairs hardly show the same scene, such as "
                f"{unlike[0].name} (correlation {unlike[0].correlation:.2f} after smoothing); check which files belong "
                f"together, and the channels. {remedy}"
            )
        if 2 * len(swapped) > len(matches):
            raise DataError(
                f"set {each.name}: targets are noisier than their sources in {len(swapped)} of {len(matches)} pairs, "
                f"such as {swapped[0].name} (noise is {swapped[0].target_noise:.0%} of the target's variance, "
                f"{swapped[0].source_noise:.0%} of the source's); exchange source and target. {remedy}"
            )


def write_table(report: RegistrationReport, path: Path) -> None:
    """Write what was measured of every pair as CSV."""
    n_axes = max(len(match.shift_px) for match in report.pairs)
    letters = "ZYX"[-n_axes:].lower()
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    shifts = [f"shift_{letter}_px" for letter in letters]
    table.writerow(["pair", *shifts, "shift_se_px", "psnr_db", "gain", "offset", "correlation", "problems"])
    for match in report.pairs:
        numbers = (match.shift_se_px, match.psnr_db, match.gain, match.offset, match.correlation)
        rounded = [f"{value:.5g}" for value in (*match.shift_px, *numbers)]
        table.writerow([match.name, *rounded, "; ".join(match.problems)])
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _have_other_planes(axes: PairAxes) -> bool:
    return axes.is_projected or axes.factor != ONE


def _move_target(pair: Pair, axes: PairAxes) -> Pair:
    match = _measure_pair(pair, axes)
    if match.mismatch:
        raise DataError(f"{pair.name}: cannot be registered: {match.mismatch}; leave it out (split)")
    by_axis = dict(zip(axes.source, match.shift_px, strict=True))
    shift = tuple(by_axis.get(letter, 0.0) for letter in pair.target.axes)
    log.info("%s: target moved by (%s) px", pair.name, _format_shift(match.shift_px))
    return dataclasses.replace(
        pair, target=dataclasses.replace(pair.target, pixels=MovedPixels(pair.target.pixels, shift))
    )


def _format_shift(shift_px: Sequence[float]) -> str:
    return ", ".join(f"{value:+.2f}" for value in shift_px)


def _measure_pair(pair: Pair, axes: PairAxes) -> PairMatch:
    source = _read_middle_frame(pair.source, pair.source_channels[0], axes.source, pair.source)
    target = _read_middle_frame(pair.target, pair.target_channels[0], axes.source, pair.source)
    return check_pair(source, target, pair.name)


def _read_middle_frame(image: Image, channel: int, spatial: str, like: Image) -> NDArray[np.generic]:
    """Return the middle frame of one channel: where `like` has its middle, or the only one there is."""
    region = {}
    for letter in "STZ":
        if letter not in spatial and letter in image.axes:
            at = like.sizes.get(letter, 1) // 2 if image.sizes[letter] > 1 else 0
            region[letter] = slice(at, at + 1)
    pixels: NDArray[np.generic] = read(image, region)[channel]
    return pixels if "Z" in spatial else np.asarray(pixels[0])
