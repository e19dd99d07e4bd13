"""How often an image is told to be unlike the training images: crops of the training kind, of others, and changed ones.

Needs CAREZOO_DATA, the folder with the sets that `likeness_images` names. Each field (an image, or a part of one) is
held out once: a record is made from the other fields of its kind, and what is cut from the field is compared with it,
as it is and changed. Crops of 256 x 256 pixels are compared one by one; stacks as a whole.

Changed are magnification (the image resampled, and harder: the clean image resampled and then given the noise of the
camera), noise (four times the standard deviation) and contrast (inverted). Other kinds are noisy images of another
structure. Reported are kinds that had no part in choosing prior and weights;
`python -m benchmarks.likeness_fit` prints the same of those that had, each judged by weights fitted without it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks import likeness_images
from benchmarks.figures import Figure, ratio
from benchmarks.likeness_images import Pixels
from benchmarks.models import package, structure
from carezoo.domain_check.compare import Against, compare, look
from carezoo.domain_check.crops import SIDE, informative
from carezoo.domain_check.record import Measured, Sample, describe, kind_of, measure
from carezoo.image import Image
from carezoo.runtime.restore import open_session, restore
from carezoo.settings import Settings

PROMISED = {
    "same": ("of the training kind, not seen", {"at_most": 5.0}),
    "field": ("of the training kind, not seen, all of a field together", {}),
    "other": ("of another structure", {"at_least": 90.0}),
    "double": ("of double magnification", {"at_least": 90.0}),
    "half": ("of half magnification", {"at_least": 90.0}),
    "double, new noise": ("of double magnification, noise of the camera", {}),
    "half, new noise": ("of half magnification, noise of the camera", {}),
    "noise": ("with four times the noise", {"at_least": 90.0}),
    "inverted": ("with inverted contrast", {"at_least": 90.0}),
}

_N_OTHERS = 8
"""Crops of each other kind that are compared."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """One field of a kind: what a record is made from, and what its variants look like, crop by crop."""

    measured: Measured
    looks: Mapping[str, list[NDArray[np.float64]]]


def figures() -> Iterator[Figure]:
    if "CAREZOO_DATA" not in os.environ:
        yield Figure("warnings on images unlike the training images", None, note="needs CAREZOO_DATA")
        return
    yield from rates(warned(measurements(likeness_images.measured_on(Path(os.environ["CAREZOO_DATA"])))))
    yield from costs()


def costs() -> Iterator[Figure]:
    """Yield what the comparison costs beside the restoration it comes with, from array to array."""
    record = describe({"any": [Sample(Image(structure((SIDE, SIDE)), "YX"), (0,))]}, np.random.default_rng(0))
    lean, settings = package("YX", 3, 3, 16), Settings(provider="cpu")
    session = open_session(lean, settings)
    for side in (256, 512, 1024):
        image = Image(structure((side, side)), "YX")
        share, look_s, restore_s = ratio(
            functools.partial(compare, image, record),
            functools.partial(restore, image, lean, settings, session=session),
            n=9,
        )
        note = f"{1e3 * look_s:.1f} ms / {1e3 * restore_s:.0f} ms"
        name = f"comparison / restoration, {side}x{side}, lean network"
        yield Figure(name, 100 * share, "%", at_most=5, note=note)


def measurements(kinds: Iterable[tuple[str, list[likeness_images.Field]]]) -> dict[str, list[Measurement]]:
    """Look at every field of every kind."""
    return {name: [_measurement(field) for field in fields] for name, fields in kinds}


def rates(by_kind: Mapping[str, Mapping[str, Sequence[bool]]]) -> Iterator[Figure]:
    """Yield the shares of warnings over all kinds, and what they are of each."""
    for key, (words, promise) in PROMISED.items():
        warned = [each for found in by_kind.values() for each in found[key]]
        note = f"{len(warned)} comparisons, {sum(1 for found in by_kind.values() if found[key])} kinds"
        yield Figure(f"warning on crops {words}", 100 * float(np.mean(warned)), "%", note=note, **promise)  # type: ignore[arg-type]
    for name, found in by_kind.items():
        words = ", ".join(f"{key} {100 * np.mean(each):.0f}/{len(each)}" for key, each in found.items() if each)
        yield Figure(f"  {name}", None, note=f"% warned / crops: {words}")


def warned(kinds: Mapping[str, list[Measurement]]) -> dict[str, dict[str, list[bool]]]:
    """Return by kind and variant whether each crop is warned of."""
    found = {}
    for name in (name for name, fields in kinds.items() if len(fields) >= 4):
        found[name] = {key: [] for key in PROMISED}
        for key, seen, record in comparisons(name, kinds):
            found[name][key].append(Against(seen, record).distance > 1)
    return found


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


def _measurement(field: likeness_images.Field) -> Measurement:
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


def _variants(field: likeness_images.Field, rng: np.random.Generator) -> Iterator[tuple[str, Pixels]]:
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
