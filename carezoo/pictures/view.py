"""One frame of an image and its restoration, as pictures and videos show it: one channel, one time point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo import files
from carezoo.errors import InputError
from carezoo.image import Image
from carezoo.package.read import Package
from carezoo.runtime import members
from carezoo.runtime.batch import result_path
from carezoo.runtime.restore import restore
from carezoo.settings import Settings
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.levels import Recalibration
from carezoo.uncertainty.mixture import Mixture, map_distribution
from carezoo.valid import average_frames

_NO_LEVELS = (
    "{name} does not say at which levels its intervals hold: the band is as wide as the model says, not as measured. "
    "Name the model (--model), or restore again (--overwrite)"
)


@dataclass(frozen=True, eq=False)
class View:
    """What is shown; arrays are YX or ZYX."""

    name: str
    source: NDArray[Any]
    restored: NDArray[Any]
    scale: NDArray[Any] | None
    disagreement: NDArray[Any] | None
    distribution: Laplace | Mixture | None
    """Of every restored pixel; read from the files of an ensemble it is a Laplace distribution of equal variance."""
    source_size_um: Mapping[str, float]
    size_um: Mapping[str, float]
    """Of the restored pixels."""
    model: str = ""
    """Name and version of the model; empty where the restored file does not say it."""
    warnings: tuple[str, ...] = ()
    recalibration: Recalibration | None = None
    """At which levels `distribution` has to be asked so that intervals hold; None: as it promises."""


def view_model(image: Image, package: Package, at: Mapping[str, int], settings: Settings | None = None) -> View:
    """Restore what is shown, and nothing else.

    Intensities are measured on what is restored: of a series on the one frame.

    Parameters
    ----------
    image
        The noisy image.
    at
        Index by axis letter, of averages where `settings` ask for them; S, T and C are the first where they are
        missing. Z chooses the plane of a stack for a model of planes, by default the middle one; models of stacks
        restore all planes.

    Raises
    ------
    InputError
        If an index lies outside the image, or the image does not fit the model.
    """
    manifest, settings = package.manifest, settings or Settings()
    means = average_frames(image, settings.average, settings.nodata)
    loops = [letter for letter in image.axes if letter not in manifest.spatial_axes and letter != "C"]
    is_alone = len(manifest.input.channels) == 1
    region = {
        letter: _index(means, letter, at) for letter in [*loops, *("C" if is_alone and "C" in image.axes else "")]
    }
    part = means.crop(region)
    if "T" in region:
        region["T"] = slice(region["T"].start * settings.average, region["T"].stop * settings.average)
    found = restore(image.crop(region), package, replace(settings, keep_members=True))
    channel = 0 if is_alone else at.get("C", 0)
    images = {name: _frame(each, channel) for name, each in {**found.images, **found.members}.items()}
    distribution = None
    if "scale" in found.images:
        mean = found.images["mean"]
        distribution = map_distribution(found.distribution, lambda values: _take_channel(values, mean.axes, channel))
    return View(
        name=image.name,
        model=manifest.reference,
        source=_frame(part, 0 if is_alone else channel),
        restored=images["mean"],
        scale=images.get("scale"),
        disagreement=images.get("disagreement"),
        distribution=distribution,
        source_size_um=part.pixel_size_um,
        size_um=found.images["mean"].pixel_size_um,
        warnings=found.report.warnings,
        recalibration=found.recalibration,
    )


def view_files(
    source: Path, restored: Path, at: Mapping[str, int], axes: str | None = None, scene: int | str | None = None
) -> View:
    """Read what is shown from an image and its results, as `carezoo restore` wrote them.

    Scale and disagreement are read where they lie beside `restored` under their usual names.

    Raises
    ------
    InputError
        If a file cannot be read, or is not the restoration of `source`.
    """
    image, mean = files.open_image(source, axes, scene=scene), files.open_image(restored)
    image = take_restored_frames(image, restored)
    if any(image.sizes.get(letter) != mean.sizes.get(letter) for letter in "YX"):
        raise InputError(f"{restored} is not a restoration of {source}: {mean.sizes} and {image.sizes}")
    label = files.choose_scenes(source, scene)[0].label if scene is not None else ""
    is_named_by_source = restored.name == result_path(source, "mean", None, label).name
    where = restored.parent if is_named_by_source else restored
    paths = {name: result_path(source, name, where, label) for name in ("scale", "disagreement")}
    beside = {name: path for name, path in paths.items() if path.exists()}
    maps = {name: _take_plane(files.open_image(path), at) for name, path in beside.items()}
    plane = _take_plane(mean, at)
    levels = _levels(beside["scale"]) if "scale" in beside else {}
    rows = levels.get(str(None)) or levels.get(str(at.get("C", 0))) if levels else None
    notes = _read_notes(restored).get("run", {})
    warnings = [f"unlike the training images: {reason}" for reason in notes.get("unlike_training", ())]
    warnings += [_NO_LEVELS.format(name=beside["scale"].name)] if levels is None else []
    return View(
        name=source.name,
        model=" ".join(filter(None, (notes.get("model"), notes.get("version")))),
        source=_take_plane(image, at),
        restored=plane,
        scale=maps.get("scale"),
        disagreement=maps.get("disagreement"),
        distribution=members.laplace(plane, maps["scale"]) if "scale" in maps else None,
        source_size_um=image.pixel_size_um,
        size_um=mean.pixel_size_um,
        warnings=tuple(warnings),
        recalibration=Recalibration.from_plain(rows) if rows else None,
    )


def take_restored_frames(image: Image, restored: Path) -> Image:
    """Return what of its source a restored file shows restored: the image, or the means of its frames."""
    found = _read_notes(restored)
    average, nodata = found.get("run", {}).get("average", 1), found.get("options", {}).get("nodata", "auto")
    return average_frames(image, int(average), nodata)


def _levels(scale: Path) -> Mapping[str, Any] | None:
    """Return what a file of scales says of levels, by channel (None: all of them); None if it does not say anything."""
    found: Mapping[str, Any] | None = _read_notes(scale).get("levels")
    return found


def _read_notes(path: Path) -> Mapping[str, Any]:
    """Return what carezoo wrote into a file of its own; nothing for others."""
    found: Mapping[str, Any] = ((files.read_notes(path) if path.is_file() else None) or {}).get("carezoo", {})
    return found


def _take_plane(image: Image, at: Mapping[str, int]) -> NDArray[Any]:
    region = {letter: _index(image, letter, at) for letter in image.axes if letter in "STC"}
    return _frame(image.crop(region), 0)


def _index(image: Image, letter: str, at: Mapping[str, int]) -> slice:
    size = image.sizes[letter]
    index = at.get(letter, size // 2 if letter == "Z" else 0)
    if not 0 <= index < size:
        raise InputError(f"{image.name}: {letter.lower()}={index} is asked for, but {letter} is 0 to {size - 1}")
    return slice(index, index + 1)


def _frame(image: Image, channel: int) -> NDArray[Any]:
    return _take_channel(image.array(), image.axes, channel)


def _take_channel(values: NDArray[Any], axes: str, channel: int) -> NDArray[Any]:
    """Return one channel, or the last there is, as YX or ZYX."""
    pixels = axes_.move(values, axes, "CZYX")
    plane: NDArray[Any] = pixels[min(channel, len(pixels) - 1)]
    return plane[0] if len(plane) == 1 else plane
