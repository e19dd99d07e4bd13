"""What the inputs of a training looked like, as the section `training_images` of a package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.domain_check.crops import SIDE, informative
from carezoo.domain_check.features import INDEX, NAMES, enlarge, features, foreground_share, noise_variance
from carezoo.domain_check.prior import LEAST_STD, covariance
from carezoo.image import Image

VERSION = 1
"""Of the section. A reader that knows another one does not compare."""

SHIFTS = ("noise", "half", "double", "inverted")
"""Changes a record may know the effect of: four times the noise, half and double magnification, inverted contrast."""

_N_IMAGES, _N_CROPS = 32, 12
"""Images of a kind, and crops of each."""

_PRIOR_IMAGES = 8
"""How many images of a kind the experience with other kinds counts as."""


@dataclass(frozen=True, eq=False)
class ImageSample:
    """An image a network was trained on."""

    image: Image
    channels: tuple[int, ...]
    """Indices along C, in the order in which the network takes them."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One image, one channel."""

    values: NDArray[np.float64]
    """Crops x features."""
    shifts: Mapping[str, NDArray[np.float64]]
    """By how much each change moves the features; crops x features."""
    dark: float
    bright: float


def describe(kinds: Mapping[str, Sequence[ImageSample]], rng: np.random.Generator) -> dict[str, Any] | None:
    """Describe training images.

    Parameters
    ----------
    kinds
        Images by the name of their kind: a set of images of one sample and one microscope. All have as many channels.
    rng
        Chooses images where a kind has many, and makes the noise of `SHIFTS`.

    Returns
    -------
    dict or None
        Plain values for `config.carezoo.training_images`; None if no image is large enough.
    """
    chosen = {name: _some(samples, rng) for name, samples in kinds.items()}
    n_channels = max((len(each.channels) for samples in chosen.values() for each in samples), default=0)
    channels = [{"kinds": list(_kinds(chosen, channel, rng))} for channel in range(n_channels)]
    if not n_channels or not all(channel["kinds"] for channel in channels):
        return None
    return {
        "version": VERSION,
        "features": list(NAMES),
        "crop": SIDE,
        "pixel_size_um": _pixel_sizes([each.image for samples in kinds.values() for each in samples]),
        "channels": channels,
    }


def is_readable(record: Mapping[str, Any]) -> bool:
    """Whether a record of this version, which may come from anywhere, can be computed with."""
    try:
        kinds = [kind for channel in record["channels"] for kind in channel["kinds"]]
        sizes = [size for pair in record.get("pixel_size_um", {}).values() for size in np.array(pair, float).reshape(2)]
        is_whole = bool(kinds) and all(channel["kinds"] for channel in record["channels"])
        return is_whole and all(size > 0 for size in sizes) and all(_is_readable(kind) for kind in kinds)
    except (AttributeError, KeyError, TypeError, ValueError, np.linalg.LinAlgError):
        return False


def _is_readable(kind: Mapping[str, Any]) -> bool:
    n = len(NAMES)
    triangle = np.zeros((n, n))
    triangle[np.tril_indices(n)] = np.array(kind["covariance"], float).reshape(n * (n + 1) // 2)
    np.linalg.cholesky(triangle + np.tril(triangle, -1).T)
    vectors = [kind["mean"], *(kind["shifts"][name] for name in SHIFTS if name in kind["shifts"])]
    ranges = [kind["noise"], kind["foreground"]]
    shaped = [np.array(each, float).reshape(n) for each in vectors] + [
        np.array(each, float).reshape(3) for each in ranges
    ]
    return (
        isinstance(kind["name"], str)
        and set(kind["shifts"]) <= set(SHIFTS)
        and np.isfinite(np.concatenate(shaped)).all()
    )


def _some(samples: Sequence[ImageSample], rng: np.random.Generator) -> list[ImageSample]:
    if len(samples) <= _N_IMAGES:
        return list(samples)
    return [samples[i] for i in sorted(rng.choice(len(samples), _N_IMAGES, replace=False))]


def _kinds(
    kinds: Mapping[str, Sequence[ImageSample]], channel: int, rng: np.random.Generator
) -> Iterable[dict[str, Any]]:
    for name, samples in kinds.items():
        measured = [found for each in samples if (found := measure(each.image, each.channels[channel], rng))]
        if measured:
            yield kind_of(name, measured)


def measure(image: Image, channel: int, rng: np.random.Generator) -> Measured | None:
    """Measure one channel of a training image; None if it is too small, or has one intensity everywhere."""
    crops = informative(image, channel, _N_CROPS, step=SIDE // 4)
    known = [(crop, values) for crop in crops if (values := features(crop)) is not None]
    if not known:
        return None
    moved: dict[str, list[NDArray[np.float64]]] = {name: [] for name in SHIFTS}
    for crop, values in known[::3]:
        for name, changed in _make_variants(crop, rng).items():
            after = features(changed) if min(changed.shape) >= SIDE // 4 else None
            if after is not None:
                moved[name].append(after - values)
    pixels = np.concatenate([crop.ravel()[::7] for crop in crops])
    dark, bright = np.percentile(pixels, (2, 99.8))
    shifts = {name: np.array(each).reshape(-1, len(NAMES)) for name, each in moved.items()}
    return Measured(np.array([values for _, values in known]), shifts, float(dark), float(bright))


def _make_variants(crop: NDArray[np.generic], rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return the crop as it would be with four times the noise, half and double magnification, and inverted."""
    pixels = crop[: crop.shape[0] // 4 * 4, : crop.shape[1] // 4 * 4].astype(np.float64)
    variance = noise_variance(pixels)
    half = (pixels[::2, ::2] + pixels[1::2, ::2] + pixels[::2, 1::2] + pixels[1::2, 1::2]) / 4
    middle = tuple(slice(n // 4, n // 4 + n // 2) for n in pixels.shape)
    double = enlarge(pixels)[tuple(slice(n // 2, n // 2 + n) for n in pixels.shape)]
    return {
        "noise": pixels + rng.normal(size=pixels.shape) * np.sqrt(15 * variance),
        # The mean of four pixels has a quarter of their variance; a camera would give it all.
        "half": half + rng.normal(size=half.shape) * np.sqrt(0.75 * variance[::2, ::2]),
        "double": double + rng.normal(size=double.shape) * np.sqrt(variance[middle].repeat(2, 0).repeat(2, 1)),
        "inverted": -pixels,
    }


def kind_of(name: str, measured: Sequence[Measured]) -> dict[str, Any]:
    """Return what is kept of a kind: a normal distribution of its features, and ranges for people to read.

    Few images say little of how much images of their kind differ. So the covariance is mixed with that within other
    kinds, as if it had been seen on `_PRIOR_IMAGES` images; and it is widened for the uncertainty of the mean.
    """
    values = np.concatenate([each.values for each in measured])
    n = len(measured)
    own = np.cov(values.T) if len(values) > 1 else np.zeros((len(NAMES), len(NAMES)))
    mixed = (_PRIOR_IMAGES * covariance() + n * own) / (_PRIOR_IMAGES + n) * (1 + 1 / n) + np.diag(LEAST_STD**2)
    shifts = {key: np.concatenate([each.shifts[key] for each in measured]) for key in SHIFTS}
    return {
        "name": name,
        "n_images": n,
        "n_crops": len(values),
        "noise": _range(2.0 ** values[:, INDEX["noise"]]),
        "foreground": _range([foreground_share(value) for value in values[:, INDEX["foreground"]]]),
        "dark": _range([each.dark for each in measured]),
        "bright": _range([each.bright for each in measured]),
        "mean": _round_all(np.mean([each.values.mean(axis=0) for each in measured], axis=0)),
        "covariance": _round_all(mixed[np.tril_indices(len(NAMES))]),
        "shifts": {key: _round_all(np.median(each, axis=0)) for key, each in shifts.items() if len(each)},
    }


def _range(values: Sequence[float] | NDArray[np.float64]) -> list[float]:
    """Return lowest, median and highest."""
    return [float(f"{value:.4g}") for value in (np.min(values), np.median(values), np.max(values))]


def _round_all(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def _pixel_sizes(images: Sequence[Image]) -> dict[str, list[float]]:
    """Return lowest and highest pixel size along each axis of which an image says it, in micrometres."""
    sizes: dict[str, list[float]] = {}
    for image in images:
        for letter, size in image.pixel_size_um.items():
            sizes.setdefault(letter.lower(), []).append(float(f"{size:.6g}"))
    return {letter: [min(found), max(found)] for letter, found in sorted(sizes.items(), reverse=True)}
