"""Images of many kinds, real and rendered: those the out-of-distribution check is fitted on, and others to measure it.

A kind is a set of images of one structure and one microscope. Its name begins with the structure. No image, no
structure's file and no renderer is on both sides. Clean images get simulated noise; what comes from one image is cut
into parts that do not overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
import yaml
from numpy.typing import NDArray
from scipy import ndimage

from carezoo.simulate import pairs as pairs_
from zoo.tools import renderer, simulated_kinds

Pixels = NDArray[np.floating[Any]]

_RECIPES = Path(__file__).parents[1] / "models"
_N_RENDERED = 12


class Field(NamedTuple):
    """A noisy image, YX or ZYX, and the same without noise, in the same grey levels or others."""

    noisy: Pixels
    clean: Pixels


def chosen_on(data: Path) -> Iterator[tuple[str, list[Field]]]:
    """Yield the kinds that prior and weights were chosen on."""
    yield "nuclei, confocal", [_pair(path) for path in _files(data / "fmd_confocal_nuclei")]
    for path in _files(data / "bpae_exposure"):
        structure = "actin" if "actin" in path.name else "mitochondria"
        yield f"{structure}, BPAE {path.stem[-3:]}", _quarters(_pair(path))
    clean = data / "clean_2d"
    for name, structure in (("actin", "actin"), ("mito", "mitochondria"), ("nuclei", "nuclei")):
        yield f"{structure}, clean BPAE", _quarters(_degraded(tifffile.imread(clean / f"bpae_{name}.tif"), 30))
    fish = [_degraded(tifffile.imread(clean / f"zebrafish_membrane_{i}.tif"), 30) for i in (1, 2)]
    yield "membranes, zebrafish", [quarter for field in fish for quarter in _quarters(field)]
    for recipe, structure in (("restore-tubules-2d", "tubules"), ("restore-granules-2d", "granules")):
        yield f"{structure}, simulated", list(_simulated(recipe))
    yield "nuclei, simulated stacks", list(_simulated("denoise-nuclei-3d"))
    hela = tifffile.imread(clean / "hela_three_channel_cyx.tif")
    for plane, structure in zip(hela, ("lysosomes", "mitochondria", "nuclei"), strict=True):
        yield f"{structure}, HeLa", _quarters(_degraded(plane, 30))
    brain = tifffile.imread(data / "brain_two_channel" / "signal_background_zcyx.tif").astype(float)
    for channel, structure in enumerate(("cells", "tissue")):
        planes = [brain[z, channel] for z in range(1, len(brain), 4) if z != 9]  # 9 is dim: a joint of two sections
        yield f"{structure}, brain", [Field(plane, ndimage.gaussian_filter(plane, 1.2)) for plane in planes]
    for name, pairs in simulated_kinds.kinds(data):
        yield name, [Field(*pair) for pair in pairs]


def measured_on(data: Path) -> Iterator[tuple[str, list[Field]]]:
    """Yield the kinds that had no part in that choice.

    When the features were devised, the wide-field and two-photon kinds were among those looked at.
    """
    for channel, structure in enumerate(("mitochondria", "tubules", "actin")):
        paths = [path for path in _files(data / "w2s_widefield") if path.stem.endswith(f"_ch{channel}")]
        yield f"{structure}, widefield", [_pair(path) for path in paths]
    words = {"actin": "actin", "mito": "mitochondria", "nuclei": "nuclei", "membrane": "membranes"}
    for path in _files(data / "fmd_mixed"):
        structure = next(word for part, word in words.items() if part in path.name)
        yield f"{structure}, {path.stem}", _quarters(_pair(path))
    counted = [tifffile.imread(path).astype(float) for path in sorted((data / "photon_counting_repeats").glob("*.tif"))]
    yield "cells, photon counting", [Field(frames[0], frames.mean(axis=0)) for frames in counted]
    cell = tifffile.imread(data / "clean_2d" / "cell_dna_microtubules_actin_cyx.tif")
    for plane, structure in zip(cell, ("nuclei", "tubules", "actin"), strict=True):
        yield f"{structure}, cell", [_degraded(plane, 30)]
    yield "nuclei, DSB", _quarters(_degraded(tifffile.imread(data / "clean_2d" / "nuclei_dsb_512.tif"), 30))
    yield from _stacks(data)
    yield from _rendered()


def _rendered() -> Iterator[tuple[str, list[Field]]]:
    """Yield kinds of the second renderer; dense filaments take long to render, so that their fields are small."""
    epithelia = [renderer.epithelium(i, (16, 256, 256)).projection for i in range(8)]
    yield "membranes, renderer", [_degraded(plane, _photons(i)) for i, plane in enumerate(epithelia)]
    for structure, render, side in (("tubules", renderer.tubule_pair, 256), ("granules", renderer.granule_pair, 512)):
        yield f"{structure}, renderer", [_blurred(render(i, (side, side)).target, i) for i in range(_N_RENDERED)]


def _stacks(data: Path) -> Iterator[tuple[str, list[Field]]]:
    nuclei = tifffile.imread(data / "cells3d" / "nuclei_zyx.tif")
    blocks = [nuclei[z : z + 30, y : y + 128, x : x + 128] for z in (0, 30) for y in (0, 128) for x in (0, 128)]
    yield "nuclei, cells3d stacks", [_degraded(block, 30) for block in blocks]
    scenes = (renderer.spheres_and_shells(i, (24, 160, 160)) for i in range(8))
    yield "spheres, renderer stacks", [_degraded(scene, _photons(i)) for i, scene in enumerate(scenes)]


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "low").glob("*.tif"))


def _pair(path: Path) -> Field:
    return Field(*(tifffile.imread(path.parents[1] / which / path.name).astype(float) for which in ("low", "high")))


def _quarters(field: Field) -> list[Field]:
    rows, columns = (n // 2 for n in field.noisy.shape)
    regions = [(slice(y, y + rows), slice(x, x + columns)) for y in (0, rows) for x in (0, columns)]
    return [Field(*(pixels[region] for pixels in field)) for region in regions]


def _simulated(recipe: str) -> Iterator[Field]:
    described = yaml.safe_load((_RECIPES / recipe / "recipe.yaml").read_text(encoding="utf8"))
    (values,) = (each["simulate"] for each in described["data"]["simulated"] if "structures" in each["simulate"])
    stack = len(values["shape"]) == 3
    values["shape"] = [40, 160, 160] if stack else [512, 512]
    prepared = pairs_.prepare(pairs_.describe(values), _RECIPES)
    for i in range(8 if stack else _N_RENDERED):
        yield _blurred(pairs_.make_pair(prepared, 0, i).target, i)


def _blurred(sharp: NDArray[Any], i: int) -> Field:
    """Return a scene through a wider PSF, with the light of image `i`."""
    sigma_px = 1 + 0.5 * (i % 3) / 2
    return _degraded(
        ndimage.gaussian_filter(sharp.astype(float), (0.0,) * (sharp.ndim - 2) + (sigma_px,) * 2), _photons(i)
    )


def _photons(i: int) -> float:
    """Return 20 to 80 photons, a different number for each image of a kind."""
    return 20 * 4 ** ((i * (math.sqrt(5) - 1) / 2) % 1)


def _degraded(clean: NDArray[Any], photons: float) -> Field:
    """Return `clean` at so many photons in its bright pixels, with read noise."""
    low, high = np.percentile(clean, (1, 99.8))
    expected = photons * np.clip((clean.astype(float) - low) / (high - low), 0, None)
    rng = np.random.default_rng(0)
    return Field(rng.poisson(expected) + rng.normal(0, 1.5, expected.shape) + 30, expected + 30)
