"""From folders of images to checked pairs for one model. Pixels are read once, to find the valid ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from carezoo.errors import InputError
from carezoo.files import open_image
from carezoo.files.listing import match
from carezoo.image import Image
from carezoo.package.manifest import Manifest
from carezoo.pairs.find import Pair
from carezoo.pairs.valid_part import keep_valid_parts


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
    """Find the pairs of all conditions, check that they fit the model, and keep their valid parts.

    Which files of a folder are images, and which are pairs: see `carezoo.files.listing`. Two single files are a pair
    whatever they are called.

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
        for source, target in match([condition.source], [condition.target]):
            pair = _open(condition.name, source, target, manifest, axes)
            pair = replace(pair, source=pair.source.average_frames(average))
            _check(pair, manifest)
            pairs.append(pair)
    return list(keep_valid_parts(pairs))


def _open(condition: str, source: Path, target: Path, manifest: Manifest, axes: str | None) -> Pair:
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
