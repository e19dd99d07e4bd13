"""Scores without clean images: errors estimated from noise that the methods have not seen, beside classical filters.

The filters are tuned by the same estimate, as a user could tune them. An estimate is no PSNR: it compares methods on
these images, and with the noise of these images.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import DataError, InputError
from carezoo.evaluate import baselines
from carezoo.evaluate.assessment import INPUT, RESTORED
from carezoo.evaluate.baselines import Baseline, Given, Method, Parameters
from carezoo.evaluate.frames import has_own_units, planar, regions
from carezoo.image import Image
from carezoo.noise.assumption import check_assumption
from carezoo.noise.correlation import Estimate, find_correlation
from carezoo.noise.estimate import RepeatedFrame, ThinnedFrame, summarize
from carezoo.noise.measure import NoiseFit, is_still, measure_noise, read_frames, read_planes
from carezoo.noise.thin import Noise
from carezoo.package.manifest import Manifest
from carezoo.package.read import Package
from carezoo.pairs.cache import read
from carezoo.progress import Progress
from carezoo.runtime.restore import open_session, restore
from carezoo.settings import Settings

FILTERS = ("gaussian", "median", "nlm")
"""Baselines that a model is compared with, out of `carezoo.evaluate.baselines.METHODS`."""

N_SE = 2.0
"""Standard errors by which a difference has to be beyond 0 to be one."""

Frame = ThinnedFrame | RepeatedFrame
Floats = NDArray[np.float32]
HeldOut = tuple[Frame, tuple[Floats, ...]]
"""One channel of a frame, and what the model makes of its sources."""


@dataclass(frozen=True)
class EstimatedError:
    """Of one method, over all images."""

    title: str
    """What tables call it."""
    parameters: Parameters
    share: Estimate
    """Mean squared error over the variance of the noise: 1 for the noisy image."""
    behind: Estimate | None
    """Its share minus that of the model, pixel by pixel; None for the model itself."""

    @property
    def removed_db(self) -> float:
        """How far the error is below the noise, in dB; infinite where it is not told from 0."""
        return -10 * math.log10(self.share.value) if self.share.value > 0 else math.inf

    @property
    def removed_se_db(self) -> float:
        """Standard error of `removed_db`."""
        return 10 / math.log(10) * self.share.se / self.share.value if self.share.value > 0 else math.inf


@dataclass(frozen=True)
class EstimatedScores:
    """What is known of a model from noisy images alone."""

    model: str
    """Name and version."""
    methods: Mapping[str, EstimatedError]
    """By name: `INPUT`, filters, `RESTORED`."""
    noise: Mapping[str, Mapping[str, float]]
    """By channel: gain, offset, read noise, and what little the noise of neighbours is correlated. Empty where
    repeated frames needed none."""
    n_images: int
    n_frames: int
    """Of all images; channels of a frame count once."""

    @property
    def best_filter(self) -> EstimatedError | None:
        """The filter with the smallest error."""
        found = [each for name, each in self.methods.items() if name not in {INPUT, RESTORED}]
        return min(found, key=lambda each: each.share.value) if found else None

    @property
    def verdict(self) -> str:
        """One sentence: whether the model is better than the best filter on these images."""
        model, best = self.methods[RESTORED], self.best_filter
        if best is None or best.behind is None:
            return f"On these images {self.model} takes {describe_removed(model)} of noise away."
        gain = 10 * math.log10(max(best.share.value, 1e-6) / max(model.share.value, 1e-6))
        than = f"{best.title} ({describe_removed(best)})"
        if abs(best.behind.value) <= N_SE * best.behind.se:
            words = f"is neither better nor worse than the best filter, {than}"
        elif best.behind.value > 0:
            words = f"beats the best filter, {than}, by {gain:.1f} dB"
        else:
            words = f"is WORSE than the best filter, {than}, by {-gain:.1f} dB"
        return f"On these images {self.model} {words}, by errors estimated from the noise ({describe_removed(model)})."

    @property
    def how(self) -> str:
        """In words: what was held out."""
        images = f"{self.n_frames} frame(s) of {self.n_images} image(s)"
        if not self.noise:
            return f"from {images}, each compared with two other frames of a scene that stands still"
        return f"from {images}, by dealing their photoelectrons out"


def describe_removed(found: EstimatedError) -> str:
    """Return by how much noise is less, in dB with a standard error."""
    if not math.isfinite(found.removed_db):
        return "all that can be measured"
    return f"{found.removed_db:.1f} ± {found.removed_se_db:.1f} dB"


def estimate_scores(
    package: Package,
    images: Sequence[Image],
    *,
    noise: Noise | None = None,
    filters: Sequence[str] = FILTERS,
    most_frames: int = 4,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> EstimatedScores:
    """Restore noisy images, and estimate the errors of model and filters.

    Where all images are series of a scene that stands still, frames are compared with other frames. Else photoelectrons
    are dealt out, for which the noise has to be independent from pixel to pixel.

    Parameters
    ----------
    images
        Raw grey levels of one detector, any axes that the model takes.
    noise
        Of every channel; None: measured on the images.
    filters
        Out of `carezoo.evaluate.baselines.METHODS`, tuned by their estimated errors.
    most_frames
        Frames (time points, samples, and planes for 2D models) of an image with more of them, spread evenly.
    settings
        How to restore; frames are not averaged.
    progress
        Called with steps done, steps in all, and the last step in words.

    Raises
    ------
    InputError
        If the model changes shapes or units, or there is no image.
    DataError
        If the noise cannot be measured, or is not what photoelectrons can be dealt out with.
    """
    manifest = package.manifest
    _require_fit(manifest, images)
    settings = dataclasses.replace(settings or Settings(), average=1)
    known = None if all(_is_repeated(image) for image in images) else _find_noise(images, noise)
    session, rng = open_session(package, settings), np.random.default_rng(0)
    held_out: list[HeldOut] = []
    n_frames = 0
    for number, image in enumerate(images):
        for region, _ in regions(image, manifest.spatial_axes, most_frames):
            frames = _hold_out(image, region, known, rng)
            sources = zip(*(frame.sources for frame in frames), strict=True)
            restored = [_restore(package, settings, session, image, channels) for channels in sources]
            held_out += zip(frames, zip(*restored, strict=True), strict=True)
            n_frames += 1
        if progress:
            progress(number + 1, len(images) + len(filters), f"restored {image.name}")
    tuned = {}
    for number, method in enumerate(baselines.choose(filters, "none", Given())):
        tuned[method.name] = _tune(method, [frame for frame, _ in held_out])
        if progress:
            progress(len(images) + number + 1, len(images) + len(filters), f"tuned {method.title}")
    return EstimatedScores(
        manifest.reference,
        _compare(held_out, tuned),
        {} if known is None else {f"{i}": _to_numbers(each) for i, each in enumerate(known)},
        len(images),
        n_frames,
    )


def to_json(found: EstimatedScores) -> str:
    """Return everything as the text of a JSON file."""
    methods = {
        name: {
            "title": each.title,
            "parameters": dict(each.parameters),
            "error_over_noise": each.share._asdict(),
            "noise_removed_db": each.removed_db if math.isfinite(each.removed_db) else None,
            "behind_the_model": each.behind._asdict() if each.behind else None,
        }
        for name, each in found.methods.items()
    }
    plain = {
        "schema": 1,
        "model": found.model,
        "verdict": found.verdict,
        "how": found.how,
        "noise": {channel: dict(each) for channel, each in found.noise.items()},
        "methods": methods,
    }
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


COLUMNS = ("error / noise (%)", "noise removed (dB)", "behind the model (%)")
"""Of the table of `rows`."""


def rows(found: EstimatedScores) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Yield the lines of a table: name, cells, and whether it is the model."""
    for name, each in found.methods.items():
        words = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in each.parameters.items())
        cells = (
            _format_percent(each.share),
            "0" if name == INPUT else describe_removed(each).removesuffix(" dB"),
            _format_percent(each.behind) if each.behind else "–",
        )
        yield f"{each.title} ({words})" if words else each.title, cells, name == RESTORED


def _format_percent(found: Estimate) -> str:
    return f"{100 * found.value:.2f} ± {100 * found.se:.2f}"


def _require_fit(manifest: Manifest, images: Sequence[Image]) -> None:
    if not images:
        raise InputError("scores of noisy images need at least one image; found none")
    changes = [letter for letter in manifest.spatial_axes if manifest.loses(letter) or manifest.factor(letter) != 1]
    n_in, n_out = len(manifest.input.channels), len(manifest.results[0].channels)
    numbers = {image.sizes.get("C", 1) for image in images}
    if len(numbers) > 1:
        raise InputError(f"expected images with the same number of channels, found {sorted(numbers)}; take them apart")
    if changes or n_in != n_out or has_own_units(manifest):
        raise InputError(
            f"{manifest.reference} changes the shape, the channels or the units of images; errors can be estimated "
            "from noisy images of models that keep them, those that denoise. Score it on pairs (--source, --target)"
        )


def _is_repeated(image: Image) -> bool:
    frames = read_frames(image, 0) if image.sizes.get("T", 1) > 2 else None
    return frames is not None and is_still(frames)


class _Known(NamedTuple):
    """Of one channel."""

    noise: Noise | NoiseFit
    correlation: tuple[float, float]
    """Of neighbours along X and Y, below what is refused."""


def _find_noise(images: Sequence[Image], noise: Noise | None) -> tuple[_Known, ...]:
    """Return what is known of the noise of each channel, once it was found to be independent enough."""
    known: list[_Known] = []
    n_channels = images[0].sizes.get("C", 1)
    for channel in range(n_channels):
        try:
            found = noise or measure_noise(images, channel)
            check_assumption(images, channel, noise=found)
            correlation = find_correlation(read_planes(images, channel))
            known.append(_Known(found, (correlation["X"].value, correlation["Y"].value)))
        except DataError as error:
            raise DataError(f"channel {channel}: {error}" if n_channels > 1 else str(error)) from None
    return tuple(known)


def _hold_out(
    image: Image, region: dict[str, slice], known: tuple[_Known, ...] | None, rng: np.random.Generator
) -> list[Frame]:
    """Return the frame of a region, channel by channel, with what is held out."""
    if known is not None:
        pixels = planar(read(image, region))
        return [
            ThinnedFrame.deal_out(each, one.noise, rng, one.correlation)
            for each, one in zip(pixels, known, strict=True)
        ]
    t = region["T"].start
    after = t + 2 < image.sizes["T"]
    others = [{**region, "T": slice(i, i + 1)} for i in ((t + 1, t + 2) if after else (t - 1, t - 2))]
    shown = (planar(read(image, each)) for each in (region, *others))
    return [RepeatedFrame(pixels, (first, second)) for pixels, first, second in zip(*shown, strict=True)]


def _restore(
    package: Package, settings: Settings, session: Any, image: Image, channels: Sequence[NDArray[Any]]
) -> list[Floats]:
    """Return the restored channels of a frame, given channel by channel (YX or ZYX)."""
    axes = "CZYX" if channels[0].ndim == 3 else "CYX"
    source = Image(np.stack(channels), axes, image.pixel_size_um, name=image.name)
    return list(planar(read(restore(source, package, settings, session=session).images["mean"], {})))


def _tune(method: Method, frames: Sequence[Frame]) -> Baseline:
    """Return the method with the parameters of the smallest estimated error, on crops of up to three frames."""
    spread = [frames[i * len(frames) // baselines.N_EXAMPLES] for i in range(min(baselines.N_EXAMPLES, len(frames)))]
    cropped = [each.crop(baselines.crop_for_tuning(each.pixels, each.pixels, method)[0]) for each in spread]

    def error(baseline: Baseline) -> float:
        return math.fsum(_errors(each, baseline).mean() / _noise_of(each) for each in cropped)

    return baselines.minimize(method, cropped[0].pixels.ndim, error, Given())


def _compare(held_out: Sequence[HeldOut], tuned: Mapping[str, Baseline]) -> dict[str, EstimatedError]:
    names = (INPUT, *tuned)
    shares: dict[str, list[Estimate]] = {name: [] for name in (*names, RESTORED)}
    behind: dict[str, list[Estimate]] = {name: [] for name in names}
    for frame, restored in held_out:
        noise = _noise_of(frame)
        of_model = frame.errors(*restored) / noise
        shares[RESTORED].append(summarize(of_model))
        for name in names:
            errors = _errors(frame, tuned.get(name, np.asarray)) / noise
            shares[name].append(summarize(errors))
            behind[name].append(summarize(errors - of_model))
    # What is wrong with a measured noise is wrong for all frames and methods alike.
    common = float(np.mean([_compute_noise_se(frame) for frame, _ in held_out]))
    titles = {INPUT: "Input", RESTORED: "Restored", **{name: each.method.title for name, each in tuned.items()}}
    return {
        name: EstimatedError(
            titles[name],
            tuned[name].parameters if name in tuned else {},
            _mean(each, common),
            _mean(behind[name]) if name in behind else None,
        )
        for name, each in shares.items()
    }


def _errors(frame: Frame, method: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[np.float64]:
    return frame.errors(*(method(source) for source in frame.sources))


def _noise_of(frame: Frame) -> float:
    """Return the variance of the noise, which is the error of the noisy image."""
    if isinstance(frame, RepeatedFrame):
        return float(frame.errors(frame.pixels).mean())
    return float(frame.noise.variance(np.asarray(frame.pixels.mean(dtype=np.float64))))


def _compute_noise_se(frame: Frame) -> float:
    """Return the standard error of the noise, as a share of its variance."""
    if isinstance(frame, RepeatedFrame):
        return 0.0
    return frame.noise.variance_se(float(frame.pixels.mean(dtype=np.float64))) / _noise_of(frame)


def _mean(each: Sequence[Estimate], common_se: float = 0.0) -> Estimate:
    own = math.sqrt(math.fsum(one.se**2 for one in each)) / len(each)
    return Estimate(math.fsum(one.value for one in each) / len(each), math.hypot(own, common_se))


def _to_numbers(known: _Known) -> dict[str, float]:
    numbers = known.noise.noise if isinstance(known.noise, NoiseFit) else known.noise
    return {
        **{name: float(each) for name, each in dataclasses.asdict(numbers).items()},
        **{f"correlation_{axis}": each for axis, each in zip("xy", known.correlation, strict=True)},
    }
