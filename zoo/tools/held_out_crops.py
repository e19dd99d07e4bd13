"""Crops of known kinds of images, as they are and changed, each with a record of its kind that has not seen it.

Each field (an image, or a part of one) is held out once: a record is made from the other fields of its kind, and what
is cut from the field is compared with it. Crops of 256 x 256 pixels are compared one by one; stacks as a whole.

A variant changes the magnification (the image resampled, and harder: the clean image resampled and then given the noise
of the camera), the noise (four times the standard deviation) or the contrast (inverted). The variant `other` is a noisy
image of another structure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo.domain_check.compare import look
from carezoo.domain_check.crops import SIDE, informative
from carezoo.domain_check.record import Measured, kind_of, measure
from carezoo.image import Image
from zoo.tools import image_kinds
from zoo.tools.image_kinds import Pixels

VARIANTS = (
    "same",
    "field",
    "other",
    "double",
    "half",
    "double, new noise",
    "half, new noise",
    "noise",
    "inverted",
)

_N_OTHERS = 8
"""Crops of each other kind that are compared."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """One field of a kind: what a record is made from, and what its variants look like, crop by crop."""

    measured: Measured
    looks: Mapping[str, list[NDArray[np.float64]]]


def measurements(kinds: Iterable[tuple[str, list[image_kinds.Field]]]) -> dict[str, list[Measurement]]:
    """Look at every field of every kind."""
    return {name: [_measurement(field) for field in fields] for name, fields in kinds}


def comparisons(
    name: str, kinds: Mapping[str, list[Measurement]]
) -> Iterator[tuple[str, NDArray[np.float64], dict[str, Any]]]:
    """Yield variant, features and record: crops of each field of a kind, and crops of others, without that field."""
    fields = kinds[name]
    others = [
        seen
        for other, found in kinds.items()
        if other.split()[0] != name.split()[0]
        for seen in _spread([seen for each in found for seen in each.looks["same"]], _N_OTHERS)
    ]
    for i, field in enumerate(fields):
        record = kind_of(name, [each.measured for j, each in enumerate(fields) if j != i])
        together = [np.mean(field.looks["same"], axis=0)] if field.looks["same"] else []
        for key, looks in {**field.looks, "field": together, "other": others}.items():
            for seen in looks:
                yield key, seen, record


def _spread(crops: list[NDArray[np.float64]], n: int) -> list[NDArray[np.float64]]:
    return crops[:: -(-len(crops) // n)]


def _measurement(field: image_kinds.Field) -> Measurement:
    rng = np.random.default_rng(1)
    measured = measure(_image(field.noisy), 0, rng)
    assert measured is not None
    return Measurement(measured, {key: list(_looks(pixels)) for key, pixels in _variants(field, rng)})


def _image(pixels: Pixels) -> Image:
    return Image(pixels, "ZYX"[-pixels.ndim :])


def _looks(pixels: Pixels) -> Iterator[NDArray[np.float64]]:
    """Yield the features of each crop that does not overlap another, or of a stack."""
    crops = informative(_image(pixels), 0, 4, step=SIDE)
    for judged in [crops] if pixels.ndim == 3 else [[crop] for crop in crops]:
        seen = look(judged)
        if seen is not None:
            yield seen


def _variants(field: image_kinds.Field, rng: np.random.Generator) -> Iterator[tuple[str, Pixels]]:
    noisy, clean = field
    slope, intercept = np.polyfit(clean.ravel(), noisy.ravel(), 1)
    expected = slope * clean + intercept
    variance = _noise_model(noisy, expected)

    def with_noise(pixels: Pixels) -> Pixels:
        return pixels + rng.normal(size=pixels.shape) * np.sqrt(variance(pixels))

    yield "same", noisy
    yield "double", _doubled(noisy, order=1)
    yield "half", _halved(noisy)
    yield "double, new noise", with_noise(_doubled(expected, order=3))
    yield "half, new noise", with_noise(_halved(expected))
    yield "noise", noisy + rng.normal(size=noisy.shape) * np.sqrt(15 * variance(expected))
    yield "inverted", noisy.max() + noisy.min() - noisy


def _doubled(pixels: Pixels, order: int) -> Pixels:
    middle = tuple(slice(n // 4, n // 4 + n // 2) for n in pixels.shape[-2:])  # as many pixels as before
    cut = pixels[(..., *middle)] if min(pixels.shape[-2:]) >= 2 * 128 else pixels
    return ndimage.zoom(cut, (1,) * (pixels.ndim - 2) + (2, 2), order=order)


def _halved(pixels: Pixels) -> Pixels:
    rows, columns = (n // 2 * 2 for n in pixels.shape[-2:])
    even = pixels[..., :rows, :columns]
    return even.reshape(*even.shape[:-2], rows // 2, 2, columns // 2, 2).mean(axis=(-3, -1))


def _noise_model(noisy: Pixels, expected: Pixels) -> Any:
    """Return the variance of the noise as a line over the expected intensity."""
    edges = np.unique(np.quantile(expected, np.linspace(0, 1, 30)))
    group = np.clip(np.digitize(expected, edges) - 1, 0, len(edges) - 2)
    n = np.bincount(group.ravel())
    variances = np.bincount(group.ravel(), ((noisy - expected) ** 2).ravel()) / np.maximum(n, 1)
    centres = np.bincount(group.ravel(), expected.ravel()) / np.maximum(n, 1)
    slope, intercept = np.polyfit(centres[n > 50], variances[n > 50], 1)
    return lambda pixels: np.maximum(max(slope, 0) * pixels + intercept, variances[n > 50].min() / 4 + 1e-6)
