"""From the words of a recipe to checked pairs of images. Nothing is read here but names, shapes and axes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from carezoo.errors import AxesError, DataError, InputError
from carezoo.files import open_image, pair_scenes
from carezoo.files.formats import split_inner
from carezoo.files.listing import images_in, match
from carezoo.files.scenes import Scene
from carezoo.image import Image
from carezoo.noise.thin import Noise
from carezoo.pairs.section import FRAMES, Acquired, FileSet, PairAxes
from carezoo.settings import Nodata
from carezoo.valid import average_frames

log = logging.getLogger("carezoo")


ImageKey = tuple[Path, str]
"""A file, and what messages call one of its images."""


@dataclass(frozen=True)
class NoisyTarget:
    """A target as noisy as its source."""

    noise: tuple[Noise, ...]
    """Of every pixel of each channel as it was acquired."""
    is_thinned: bool
    """Whether source and target are one image, whose photoelectrons are dealt out to both; else they are two frames."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A degraded image and the clean one of the same scene; or one noisy image, and another or the same as target."""

    name: str
    """What messages call it: set and file name."""
    source: Image
    target: Image
    """As large as `source` along Z, Y and X, but for what `PairAxes` says of Z; one frame or sample may serve all \
those of the source."""
    source_path: Path
    target_path: Path
    dataset: str
    """Name of the set."""
    source_channels: tuple[int, ...]
    """Which channels of the source are used."""
    target_channels: tuple[int, ...]
    """Which channels of the target are used."""
    noisy: NoisyTarget | None = None
    """Where there is no clean image: what is known of the target. None: the target is clean."""
    nodata: Nodata = "auto"
    """Which pixels of both are not valid, as `carezoo.valid.ValidPixels` takes it."""

    @property
    def has_target(self) -> bool:
        """Whether the target is an image of its own."""
        return self.target_key != self.source_key

    @property
    def source_key(self) -> ImageKey:
        """Which image of which file is the source."""
        return self.source_path, self.source.name

    @property
    def target_key(self) -> ImageKey:
        """Which image of which file is the target: the same for all pairs of one scene."""
        return self.target_path, self.target.name


def find_pairs(data: Acquired, axes: PairAxes) -> tuple[Pair, ...]:
    """Find and check the pairs of all sets.

    Parameters
    ----------
    data
        Sets of files; relative paths start at ``data.folder``.
    axes
        Which axes every file must have, and how sources and targets go together.

    Raises
    ------
    DataError
        If a folder is missing or empty, a file cannot be read, a source has no target or two, or source and target (or
        file and model) do not fit in shape, axes or channels.
    """
    pairs = tuple(pair for each in data.sets for pair in _pairs_of_set(each, Path(data.folder)))
    for pair in pairs:
        _check_pair(pair, data, axes)
    _check_once(pairs)
    return pairs


def _pairs_of_set(each: FileSet, folder: Path) -> tuple[Pair, ...]:
    sources = _require_files(each.source, each, folder)
    try:
        if each.is_noisy:
            images = [image for path in sources for image in images_in(path, each.pattern)]
            log.info("set %s: %d noisy images", each.name, len(images))
            return tuple(
                _noisy_image(each, image, scene)
                for image in images
                for scene, _ in pair_scenes(image, image, each.scene)
            )
        matched = match(sources, _require_files(each.target, each, folder), each.pattern)
    except InputError as error:
        raise DataError(f"set {each.name}: {error}") from error
    log.info("set %s: %d pairs", each.name, len(matched))
    try:
        return tuple(
            _pair(each, source, target, scenes)
            for source, target in matched
            for scenes in pair_scenes(source, target, each.scene)
        )
    except InputError as error:
        raise DataError(f"set {each.name}: {error}") from error


def _require_files(names: Sequence[str], each: FileSet, folder: Path) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        if not split_inner(path)[0].exists():
            raise DataError(
                f"set {each.name}: {path} does not exist; relative paths start at {folder.resolve()} "
                "(data.folder in the recipe, --data on the command line)"
            )
    return paths


def _pair(each: FileSet, source: Path, target: Path, scenes: tuple[Scene | None, Scene | None]) -> Pair:
    images = [_open(each, source, scenes[0], each.average), _open(each, target, scenes[1])]
    n_channels = [image.sizes.get("C", 1) for image in images]
    return Pair(
        name=f"{each.name}: {images[0].name}",
        source=images[0],
        target=images[1],
        source_path=split_inner(source)[0].resolve(),
        target_path=split_inner(target)[0].resolve(),
        dataset=each.name,
        source_channels=each.source_channels or tuple(range(n_channels[0])),
        target_channels=each.target_channels or tuple(range(n_channels[1])),
        nodata=each.nodata,
    )


def _noisy_image(each: FileSet, path: Path, scene: Scene | None) -> Pair:
    """Return an image as its own target; `carezoo.pairs.noisy` makes a pair of it."""
    image = _open(each, path, scene)
    if each.target == FRAMES and image.sizes.get("T", 1) <= each.distance:
        raise DataError(
            f"set {each.name}: {path} has {image.sizes.get('T', 1)} frame(s) along T (axes {image.axes}), and target "
            f"frames with distance {each.distance} needs at least {each.distance + 1}; say what its dimensions are "
            "(axes of the set), or use target: thinned, which needs one"
        )
    channels = each.source_channels or tuple(range(image.sizes.get("C", 1)))
    file = split_inner(path)[0].resolve()
    return Pair(
        f"{each.name}: {image.name}", image, image, file, file, each.name, channels, channels, nodata=each.nodata
    )


def _open(each: FileSet, path: Path, scene: Scene | None, average: int = 1) -> Image:
    file, inner = split_inner(path)
    label = inner or (scene.label if scene else "")
    name = f"{file.parent.name}/{file.name}" + (f", {label}" if label else "")
    try:
        image = _open_with_axes(path, each.axes, scene.number if scene else None)
        image = dataclasses.replace(image, name=name)
        averaged = average_frames(image, average, each.nodata)
    except InputError as error:
        raise DataError(f"set {each.name}: {path} cannot be used: {error}") from error
    n_left = image.sizes["T"] % average if average > 1 else 0
    if n_left:
        log.warning("%s: its last %d frames fill no average of %d", name, n_left, average)
    return averaged


def _open_with_axes(path: Path, axes: str | None, scene: int | str | None) -> Image:
    """Open an image whose file may have fewer dimensions than `axes` has letters: the first ones are absent then."""
    try:
        return open_image(path, axes, scene=scene)
    except AxesError as error:
        for absent in range(1, len(axes or "") - 1):
            with contextlib.suppress(AxesError):
                return open_image(path, axes[absent:] if axes else None, scene=scene)
        raise error


def _check_pair(pair: Pair, data: Acquired, axes: PairAxes) -> None:
    sides = ((pair.source, pair.source_path, axes.source), (pair.target, pair.target_path, axes.target))
    for image, path, wanted in sides:
        missing = [letter for letter in wanted if letter not in image.axes]
        if missing:
            raise DataError(
                f"{path}: expected an image with axes {wanted}, found {image.axes} with shape {image.shape}; say "
                "what its dimensions are (axes of the set), or change patches.size (z makes the network 3D)"
            )
    source, target = pair.source.sizes, pair.target.sizes
    if not axes.fits(source, target):
        raise DataError(
            f"{pair.name}: {_rule(axes)}, but {pair.source_path} is {_format(source)} and {pair.target_path} is "
            f"{_format(target)}; crop or resample one of them to the other, or correct axes"
        )
    for letter in "ST":
        if target.get(letter, 1) not in {1, source.get(letter, 1)}:
            raise DataError(
                f"{pair.name}: a target has as many frames (after averaging) as its source, or one for all; found "
                f"{letter} {source.get(letter, 1)} in the source and {target[letter]} in {pair.target_path}"
            )
    _check_channels(pair.source_path, source, pair.source_channels, data.channels)
    _check_channels(pair.target_path, target, pair.target_channels, data.restored)


def _rule(axes: PairAxes) -> str:
    if axes.is_projected:
        return "a target is one plane with the pixels of its source"
    if axes.factor != 1:
        return f"a target has the pixels of its source and {axes.factor} times its planes (rounded down)"
    return "source and target must show the same pixels"


def _check_channels(path: Path, sizes: Mapping[str, int], chosen: Sequence[int], names: Sequence[str]) -> None:
    n_channels = sizes.get("C", 1)
    if max(chosen) >= n_channels:
        raise DataError(f"{path}: channel {max(chosen)} is asked for, but the file has {n_channels}, counted from 0")
    if len(chosen) != len(names):
        raise DataError(
            f"{path}: expected {len(names)} channel(s) ({', '.join(names)}), found {len(chosen)} "
            f"({_format(sizes)}); name them in data.channels, or choose with source_channels and target_channels"
        )


def _format(sizes: Mapping[str, int]) -> str:
    return " x ".join(f"{letter} {size}" for letter, size in sizes.items())


def _check_once(pairs: Sequence[Pair]) -> None:
    seen: dict[ImageKey, str] = {}
    for pair in pairs:
        if pair.source_key in seen:
            raise DataError(
                f"{pair.source_path} is a source twice, in {seen[pair.source_key]} and in {pair.name}; "
                "remove one of them from data.sets"
            )
        seen[pair.source_key] = pair.name
