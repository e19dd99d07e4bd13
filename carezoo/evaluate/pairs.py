"""From folders of images to checked pairs for one model. Nothing is read here but names, shapes and axes."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from carezoo.errors import InputError
from carezoo.files import formats, open_image
from carezoo.image import Image
from carezoo.package.manifest import Manifest
from carezoo.pairs.find import Pair

SUFFIXES = (".tif", ".tiff", ".ome.tif", *formats.READERS)
"""Of the files of a folder that are taken for images."""


@dataclass(frozen=True)
class Condition:
    """One kind of source images, such as one exposure, and their targets."""

    name: str
    source: Path
    """A folder, or one file."""
    target: Path
    """A folder with files of the same names, or one file."""


Paths = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]]
"""One path, or one for each condition by its name."""


def conditions(source: Paths, target: Paths) -> list[Condition]:
    """Return the conditions that folders or images stand for.

    Raises
    ------
    InputError
        If there are targets for other conditions than sources.
    """
    sources = source if isinstance(source, Mapping) else {"": source}
    targets = target if isinstance(target, Mapping) else dict.fromkeys(sources, target)
    if set(sources) != set(targets):
        raise InputError(f"sources are named {sorted(sources)}, targets {sorted(targets)}; expected the same names")
    return [Condition(name, Path(path), Path(targets[name])) for name, path in sources.items()]


def find_pairs(
    conditions: Sequence[Condition], manifest: Manifest, axes: str | None = None, average: int = 1
) -> list[Pair]:
    """Find the pairs of all conditions, and check that they fit the model.

    Files are paired by name; if the names of all files differ in their suffixes alone, by what stands before those. Two
    single files are a pair whatever they are called.

    Parameters
    ----------
    axes
        Of the source files; None: from their metadata. Targets lack the axis the model projects away.
    average
        Frames (T) of a source file that become one before they are restored.

    Raises
    ------
    InputError
        If a folder is missing or holds no image, a source has no target, or the two (or one and the model) do not fit.
    AxesError
        If frames are to be averaged and a source has none.
    """
    pairs = []
    for condition in conditions:
        for source, target in _matched(condition):
            pair = _opened(condition.name, source, target, manifest, axes)
            pair = replace(pair, source=pair.source.averaged(average))
            _check(pair, manifest)
            pairs.append(pair)
    return pairs


def _matched(condition: Condition) -> list[tuple[Path, Path]]:
    sources, targets = _files(condition.source, "source"), _files(condition.target, "target")
    if not condition.source.is_dir() and not condition.target.is_dir():
        return [(sources[0], targets[0])]
    by_name = {path.name: path for path in targets} | {_stem(path): path for path in targets}
    missing = [path for path in sources if path.name not in by_name and _stem(path) not in by_name]
    if missing:
        near = difflib.get_close_matches(missing[0].name, [path.name for path in targets], n=1)
        hint = f"; the nearest name there is {near[0]}" if near else ""
        raise InputError(
            f"{len(missing)} of {len(sources)} source files have no target of the same name in {condition.target}: "
            f"{', '.join(path.name for path in missing[:3])}{hint}. Source and target of a pair have one name, and lie "
            "in different folders"
        )
    return [(path, by_name.get(path.name) or by_name[_stem(path)]) for path in sources]


def _files(path: Path, side: str) -> list[Path]:
    if not path.exists():
        raise InputError(f"{side} {path} does not exist; expected a folder of images, or one image")
    if not path.is_dir() or path.suffix.lower() == ".zarr":
        return [path]
    inside = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    images = [each for each in inside if each.name.lower().endswith(SUFFIXES)]
    if not images:
        found = f"it holds {len(inside)} other entries, such as {inside[0].name}" if inside else "it is empty"
        raise InputError(f"{side} folder {path} holds no image ({', '.join(SUFFIXES)}): {found}")
    return images


def _stem(path: Path) -> str:
    suffix = max((each for each in SUFFIXES if path.name.lower().endswith(each)), key=len, default="")
    return path.name[: len(path.name) - len(suffix)]


def _opened(condition: str, source: Path, target: Path, manifest: Manifest, axes: str | None) -> Pair:
    kept = None if axes is None else "".join(letter for letter in axes.upper() if not manifest.loses(letter))
    images = []
    for path, letters in ((source, axes), (target, kept)):
        image = open_image(path, letters)
        images.append(replace(image, name=f"{path.parent.name}/{path.name}"))
    n_channels = [image.sizes.get("C", 1) for image in images]
    return Pair(
        name=f"{condition}: {source.name}" if condition else source.name,
        source=images[0],
        target=images[1],
        source_path=source.resolve(),
        target_path=target.resolve(),
        dataset=condition,
        source_channels=tuple(range(n_channels[0])),
        target_channels=tuple(range(n_channels[1])),
    )


def _check(pair: Pair, manifest: Manifest) -> None:
    source, target = pair.source.sizes, pair.target.sizes
    for letter in manifest.spatial_axes:
        if letter not in source:
            raise InputError(
                f"model {manifest.id} works along {manifest.spatial_axes}, but {pair.source.name} has axes "
                f"{pair.source.axes} {pair.source.shape}; name the axes (--axes), or choose another model"
            )
    for letter, wanted in _target_sizes(pair.source, manifest).items():
        found = target.get(letter, 1)
        if found != wanted and not (letter in "ST" and found == 1):
            raise InputError(
                f"{pair.name}: from {pair.source.name} ({_described(pair.source)}) model {manifest.id} makes {letter} "
                f"{wanted}, but {pair.target.name} is {_described(pair.target)}. Crop or resample one of them, or "
                "name the axes (--axes)"
            )


def _target_sizes(source: Image, manifest: Manifest) -> dict[str, int]:
    """Return the size the target must have along every axis."""
    sizes = {letter: source.sizes.get(letter, 1) for letter in "STCZYX"}
    sizes |= {letter: manifest.main.restored_size(letter, sizes[letter]) for letter in manifest.spatial_axes}
    n_channels = len(manifest.results[0].channels)
    if len(manifest.input.channels) > 1 or n_channels > 1:
        sizes["C"] = n_channels
    return sizes


def _described(image: Image) -> str:
    return " x ".join(f"{letter} {size}" for letter, size in image.sizes.items())
