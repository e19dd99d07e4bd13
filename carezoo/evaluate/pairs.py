"""From folders of images to checked pairs for one model. Pixels are read once, to find the valid ones."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from carezoo.errors import InputError
from carezoo.files import open_image, pair_scenes
from carezoo.files.atomic import hash_file
from carezoo.files.formats import split_inner
from carezoo.files.listing import match
from carezoo.files.scenes import Scene
from carezoo.image import Image
from carezoo.package.manifest import Manifest
from carezoo.package.read import Package
from carezoo.pairs.find import Pair
from carezoo.pairs.valid_part import keep_valid_parts
from carezoo.settings import Settings
from carezoo.valid import average_frames

TRAINING_DATA = "training_data.csv"
"""File of a package that lists what the model was made from."""

Condition = tuple[str, Path, Path]
"""Name of one kind of source images, such as one exposure; their folder, or one file; that of their targets."""

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
    return [(name, Path(path), Path(targets[name])) for name, path in sources.items()]


def find_pairs(
    conditions: Sequence[Condition],
    manifest: Manifest,
    axes: str | None = None,
    settings: Settings | None = None,
    scene: int | str | None = None,
) -> list[Pair]:
    """Find the pairs of all conditions, check that they fit the model, and keep their valid parts.

    Which files of a folder are images, and which are pairs: see `carezoo.files.listing`. Two single files are a pair
    whatever they are called.

    Parameters
    ----------
    axes
        Of the source files; None: from their metadata. Targets lack the axis the model projects away.
    settings
        How sources will be restored: frames are averaged here, and `nodata` says which pixels are valid.
    scene
        Name or number of the image in files that hold several, or `carezoo.files.scenes.ALL`, a pair for each; None:
        the first. A target file with one image serves every scene.

    Raises
    ------
    InputError
        If a folder is missing or holds no image, a source has no target, or the two (or one and the model) do not fit.
    AxesError
        If frames are to be averaged and a source has none.
    """
    settings, pairs = settings or Settings(), []
    for name, sources, targets in conditions:
        for source, target in match([sources], [targets]):
            for scenes in pair_scenes(source, target, scene):
                pair = replace(_open(name, (source, target), scenes, manifest, axes), nodata=settings.nodata)
                means = average_frames(pair.source, settings.average, settings.nodata)
                pair = replace(pair, source=means)
                _check(pair, manifest)
                pairs.append(pair)
    return [kept for pair in pairs for kept in keep_valid_parts([pair])]


def list_training_files(package: Package, pairs: Sequence[Pair]) -> dict[str, str]:
    """Return files of pairs whose pixels the model was fitted to or chosen by: their names, and the part they served.

    The package says it in `training_data.csv`, by hashes. Packages made elsewhere say nothing.
    """
    if not package.has(TRAINING_DATA):
        return {}
    rows = csv.DictReader(io.StringIO(package.read_bytes(TRAINING_DATA).decode()))
    parts = {row["sha256"]: row["part"] for row in rows if row["part"] in {"fit", "choose"}}
    paths = dict.fromkeys(path for pair in pairs for path in (pair.source_path, pair.target_path) if path.is_file())
    hashes = {path: hash_file(path)[0] for path in paths}
    return {f"{path.parent.name}/{path.name}": parts[found] for path, found in hashes.items() if found in parts}


def _open(
    condition: str,
    paths: tuple[Path, Path],
    scenes: tuple[Scene | None, Scene | None],
    manifest: Manifest,
    axes: str | None,
) -> Pair:
    kept = None if axes is None else "".join(letter for letter in axes.upper() if not manifest.loses(letter))
    images = []
    for path, letters, scene in zip(paths, (axes, kept), scenes, strict=True):
        label = f", {scene.label}" if scene else ""
        image = open_image(path, letters, scene=scene.number if scene else None)
        images.append(replace(image, name=f"{path.parent.name}/{path.name}{label}"))
    n_channels = [image.sizes.get("C", 1) for image in images]
    name = f"{paths[0].name}, {scenes[0].label}" if scenes[0] else paths[0].name
    return Pair(
        name=f"{condition}: {name}" if condition else name,
        source=images[0],
        target=images[1],
        source_path=split_inner(paths[0])[0].resolve(),
        target_path=split_inner(paths[1])[0].resolve(),
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
                f"{pair.name}: from {pair.source.name} ({_describe(pair.source)}) model {manifest.id} makes {letter} "
                f"{wanted}, but {pair.target.name} is {_describe(pair.target)}. Crop or resample one of them, or "
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


def _describe(image: Image) -> str:
    return " x ".join(f"{letter} {size}" for letter, size in image.sizes.items())
