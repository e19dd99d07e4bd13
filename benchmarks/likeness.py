"""How often an image is told to be unlike the training images: crops of the training kind, of others, and changed ones.

Needs CAREZOO_DATA, the folder with the sets named below. Every field (512 x 512 pixels, or what the set has) is held
out once: a record is made from the other fields of its kind, and the field is compared with it, as it is and changed.
Where a kind is one large image, its fields are the quarters of that image. Clean images get simulated noise.

Changed are magnification (the image resampled, and harder: the clean image resampled and then given the noise of the
camera), noise (four times the standard deviation) and contrast (inverted). Other kinds are noisy images of another
structure: nuclei, actin, mitochondria, tubules, membranes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.figures import Figure
from carezoo.image import Image
from carezoo.likeness.compare import N_CROPS, Against, look
from carezoo.likeness.crops import informative
from carezoo.likeness.record import Measured, kind_of, measure

Plane = NDArray[np.float64]

PROMISED = {
    "same": ("of the training kind, not seen", {"at_most": 5.0}),
    "other": ("of another structure", {"at_least": 90.0}),
    "double": ("of double magnification", {"at_least": 90.0}),
    "half": ("of half magnification", {"at_least": 90.0}),
    "double, new noise": ("of double magnification, noise of the camera", {}),
    "half, new noise": ("of half magnification, noise of the camera", {}),
    "noise": ("with four times the noise", {"at_least": 90.0}),
    "inverted": ("with inverted contrast", {"at_least": 90.0}),
}


@dataclass(frozen=True)
class Field:
    """One field of a kind: what a record is made from, and what its variants look like."""

    measured: Measured
    looks: Mapping[str, NDArray[np.float64]]


def figures() -> Iterator[Figure]:
    if "CAREZOO_DATA" not in os.environ:
        yield Figure("warnings on images unlike the training images", None, note="needs CAREZOO_DATA")
        return
    kinds = {
        name: [_field(*pair) for pair in pairs] for name, pairs in _kinds(Path(os.environ["CAREZOO_DATA"])).items()
    }
    warned: dict[str, list[bool]] = {name: [] for name in PROMISED}
    by_kind: dict[str, dict[str, list[bool]]] = {}
    for name, fields in kinds.items():
        if len(fields) < 4:  # serves as another kind only
            continue
        by_kind[name] = {key: [] for key in PROMISED}
        for i, field in enumerate(fields):
            record = kind_of(name, [each.measured for j, each in enumerate(fields) if j != i])
            others = [
                each.looks["same"]
                for other, others in kinds.items()
                if _structure(other) != _structure(name)
                for each in others[:4]
            ]
            for key, looks in {**{k: [v] for k, v in field.looks.items()}, "other": others}.items():
                by_kind[name][key] += [Against(seen, record).distance > 1 for seen in looks]
        for key, found in by_kind[name].items():
            warned[key] += found
    for key, (words, promise) in PROMISED.items():
        share = 100 * float(np.mean(warned[key]))
        note = f"{len(warned[key])} comparisons, {len(by_kind)} kinds"
        yield Figure(f"warning on fields {words}", share, "%", note=note, **promise)  # type: ignore[arg-type]
    for name, found in by_kind.items():
        rates = ", ".join(f"{key} {100 * np.mean(each):.0f}/{len(each)}" for key, each in found.items())
        yield Figure(f"  {name}", None, note=f"% warned / fields: {rates}")


def _structure(name: str) -> str:
    return name.split()[0]


def _kinds(data: Path) -> dict[str, list[tuple[Plane, Plane]]]:
    """Return pairs of noisy and clean planes by the name of their kind: structure, then where they come from."""
    kinds: dict[str, list[tuple[Plane, Plane]]] = {}
    kinds["nuclei, confocal"] = [_pair(path) for path in sorted((data / "fmd_confocal_nuclei" / "low").iterdir())]
    for channel, structure in enumerate(("mitochondria", "tubules", "actin")):
        paths = sorted((data / "w2s_widefield" / "low").glob(f"*_ch{channel}.tif"))
        kinds[f"{structure}, widefield"] = [_pair(path) for path in paths]
    for path in sorted((data / "bpae_exposure" / "low").iterdir()):
        structure = "actin" if "actin" in path.name else "mitochondria"
        kinds[f"{structure}, BPAE {path.stem[-3:]}"] = _quarters(*_pair(path))
    for path in sorted((data / "fmd_mixed" / "low").iterdir()):
        structure = next(word for word in ("actin", "mito", "nuclei", "membrane") if word in path.name)
        word = {"mito": "mitochondria", "membrane": "membranes"}.get(structure, structure)
        kinds[f"{word}, {path.stem}"] = [_pair(path)]
    return kinds | _clean_kinds(data / "clean_2d")


def _clean_kinds(folder: Path) -> dict[str, list[tuple[Plane, Plane]]]:
    kinds: dict[str, list[tuple[Plane, Plane]]] = {}
    for name, structure in (("actin", "actin"), ("mito", "mitochondria"), ("nuclei", "nuclei")):
        kinds[f"{structure}, clean"] = _quarters(*_degraded(tifffile.imread(folder / f"bpae_{name}.tif")))
    kinds["membranes, zebrafish"] = [
        quarter
        for number in (1, 2)
        for quarter in _quarters(*_degraded(tifffile.imread(folder / f"zebrafish_membrane_{number}.tif")))
    ]
    kinds["nuclei, DSB"] = [_degraded(tifffile.imread(folder / "nuclei_dsb_512.tif"))]
    cell = tifffile.imread(folder / "cell_dna_microtubules_actin_cyx.tif")
    for plane, structure in zip(cell, ("nuclei", "tubules", "actin"), strict=True):
        kinds[f"{structure}, cell"] = [_degraded(plane)]
    return kinds


def _pair(path: Path) -> tuple[Plane, Plane]:
    return tifffile.imread(path).astype(float), tifffile.imread(path.parents[1] / "high" / path.name).astype(float)


def _quarters(noisy: Plane, clean: Plane) -> list[tuple[Plane, Plane]]:
    rows, columns = (n // 2 for n in noisy.shape)
    regions = [(slice(y, y + rows), slice(x, x + columns)) for y in (0, rows) for x in (0, columns)]
    return [(noisy[region], clean[region]) for region in regions]


def _degraded(clean: NDArray[Any]) -> tuple[Plane, Plane]:
    """Return `clean` at 30 photons in its bright pixels, with read noise."""
    low, high = np.percentile(clean, (1, 99.8))
    photons = 30 * np.clip((clean.astype(float) - low) / (high - low), 0, None)
    rng = np.random.default_rng(0)
    return rng.poisson(photons) + rng.normal(0, 1.5, photons.shape) + 30, photons + 30


def _field(noisy: Plane, clean: Plane) -> Field:
    rng = np.random.default_rng(1)
    measured = measure(Image(noisy, "YX"), 0, rng)
    looks = {key: look(informative(Image(plane, "YX"), 0, N_CROPS)) for key, plane in _variants(noisy, clean, rng)}
    assert measured is not None
    return Field(measured, {key: seen for key, seen in looks.items() if seen is not None})


def _variants(noisy: Plane, clean: Plane, rng: np.random.Generator) -> Iterator[tuple[str, Plane]]:
    slope, intercept = np.polyfit(clean.ravel(), noisy.ravel(), 1)
    expected = slope * clean + intercept
    variance = _noise_model(noisy, expected)

    def with_noise(plane: Plane) -> Plane:
        return plane + rng.normal(size=plane.shape) * np.sqrt(variance(plane))

    yield "same", noisy
    yield "double", ndimage.zoom(noisy, 2, order=1)
    yield "half", _halved(noisy)
    yield "double, new noise", with_noise(ndimage.zoom(expected, 2, order=3))
    yield "half, new noise", with_noise(_halved(expected))
    yield "noise", noisy + rng.normal(size=noisy.shape) * np.sqrt(15 * variance(expected))
    yield "inverted", noisy.max() + noisy.min() - noisy


def _halved(plane: Plane) -> Plane:
    rows, columns = (n // 2 * 2 for n in plane.shape)
    return plane[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))


def _noise_model(noisy: Plane, expected: Plane) -> Any:
    """Return the variance of the noise as a line over the expected intensity."""
    edges = np.unique(np.quantile(expected, np.linspace(0, 1, 30)))
    group = np.clip(np.digitize(expected, edges) - 1, 0, len(edges) - 2)
    n = np.bincount(group.ravel())
    variances = np.bincount(group.ravel(), ((noisy - expected) ** 2).ravel()) / np.maximum(n, 1)
    centres = np.bincount(group.ravel(), expected.ravel()) / np.maximum(n, 1)
    slope, intercept = np.polyfit(centres[n > 50], variances[n > 50], 1)
    return lambda plane: np.maximum(max(slope, 0) * plane + intercept, variances[n > 50].min() / 4 + 1e-6)
