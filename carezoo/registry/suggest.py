"""Which models fit an image: by what they take, and by how much it looks like what they were trained on."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from carezoo import domain_check, files
from carezoo.errors import PackageError
from carezoo.image import Image
from carezoo.package.manifest import Manifest
from carezoo.package.read import Package, open_package
from carezoo.registry import catalog
from carezoo.registry.zoo import Locations, list_zoos
from carezoo.valid import ValidPixels

log = logging.getLogger("carezoo")


@dataclass(frozen=True)
class Suggestion:
    """How well an image fits a model."""

    name: str
    version: str
    task: str
    distance: float
    """0 in the middle of the training images, above 1 unlike them; NaN: cannot be judged; infinite: does not fit."""
    reasons: tuple[str, ...]
    """In words; empty if the image looks like the training images."""
    nearest: str = ""
    """Name of the training images that are nearest."""
    is_synthetic: bool = False
    """Whether the model learned from simulated images alone (tag `synthetic`)."""

    @property
    def fits(self) -> bool:
        """Whether the model takes the image at all."""
        return not math.isinf(self.distance)

    @property
    def verdict(self) -> str:
        """`fits`, `unlike`, `unknown` or `impossible`."""
        if math.isinf(self.distance):
            return "impossible"
        if math.isnan(self.distance):
            return "unknown"
        return "unlike" if self.reasons or self.distance > 1 else "fits"


_ORDER = ("fits", "unlike", "unknown", "impossible")


def suggest(
    image: Image | str | os.PathLike[str],
    axes: str | None = None,
    *,
    scene: int | str | None = None,
    task: str | None = None,
    zoos: Locations | None = None,
) -> tuple[Suggestion, ...]:
    """Rank the models on this machine, and those of zoos in folders, by how well an image fits them.

    Nothing is downloaded: models of a server are judged once they were pulled.

    Parameters
    ----------
    image
        A noisy image as it would be restored, or the path of a file.
    axes
        Of the file, where its metadata do not say them.
    scene
        Name or number of the image in a file that holds several; None: the first.
    task
        Only models for this task.
    zoos
        As for `carezoo.load`.

    Returns
    -------
    tuple
        Best first; models that do not take the image at all last. Of those that fit, models that learned from simulated
        images alone come last: a simulation of filaments is as near to any image of filaments, and knows no camera.

    Raises
    ------
    FileFormatError, AxesError
        If the image cannot be read.
    """
    looked_at = image if isinstance(image, Image) else files.open_image(Path(image), axes, scene=scene)
    found = [_judge(looked_at, package) for package in _packages(zoos)]
    chosen = [each for each in found if task in {None, each.task}]
    return tuple(sorted(chosen, key=_rank))


def _rank(each: Suggestion) -> tuple[int, bool, float, str]:
    is_last = each.verdict == "fits" and each.is_synthetic
    return _ORDER.index(each.verdict), is_last, _finite(each.distance), each.name


def _packages(zoos: Locations | None) -> Iterator[Package]:
    """Open the newest version of every model that needs no download, each name once."""
    paths: dict[str, Path] = {}
    for zoo in list_zoos(zoos):
        if not zoo.is_remote:
            for version in zoo.index().newest():
                paths.setdefault(version.model, Path(zoo.url(version.zip.url)))
    for here in catalog.list_here():
        paths.setdefault(here.name, here.path)
    for name, path in sorted(paths.items()):
        try:
            yield open_package(path)
        except PackageError as error:
            log.warning("model %s is left out: %s", name, error)


def _judge(image: Image, package: Package) -> Suggestion:
    manifest = package.manifest
    task = manifest.carezoo.task
    hindrance = _hindrance(image, manifest)
    if hindrance:
        return Suggestion(manifest.id, manifest.version, task, math.inf, (hindrance,))
    record = manifest.carezoo.training_images
    found = domain_check.compare(image, record, ValidPixels(image))
    if found is None:
        cannot = "the image cannot be judged: smaller than 64 pixels, or without finite values"
        why = cannot if record else "the package does not say what it was trained on"
        return Suggestion(manifest.id, manifest.version, task, math.nan, (why,))
    is_synthetic = "synthetic" in (manifest.rdf.get("tags") or ())
    return Suggestion(manifest.id, manifest.version, task, found.distance, found.reasons, found.kind, is_synthetic)


def _hindrance(image: Image, manifest: Manifest) -> str:
    """Return why a model does not take an image; empty if it does."""
    missing = [letter for letter in manifest.spatial_axes if image.sizes.get(letter, 1) == 1]
    if missing:
        return f"needs {manifest.spatial_axes}, the image has one pixel along {', '.join(missing)}"
    n_wanted, n_channels = len(manifest.input.channels), image.sizes.get("C", 1)
    if n_wanted not in {1, n_channels}:
        return f"needs {n_wanted} channels ({', '.join(manifest.input.channels)}), the image has {n_channels}"
    return ""


def _finite(distance: float) -> float:
    return distance if math.isfinite(distance) else 0.0
