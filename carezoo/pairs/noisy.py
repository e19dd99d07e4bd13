"""Pairs out of noisy images alone: with their noise, and of movies with another frame as the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from carezoo.errors import RecipeError
from carezoo.noise.thin import Noise
from carezoo.pairs.find import NoisyTarget, Pair
from carezoo.pairs.section import FRAMES, FileSet
from carezoo.pairs.split import PairParts
from carezoo.schema import yaml_file
from carezoo.schema.build import build


def pair_noisy_images(parts: PairParts, sets: Sequence[FileSet], folder: Path) -> PairParts:
    """Return the parts with pairs in place of the noisy images of sets that have no clean ones.

    Movies are cut into their parts before: no frame is the target in one and the source in another.

    Parameters
    ----------
    parts
        As `split_pairs` returns them.
    sets
        The sets they come from.
    folder
        Where the paths of files with the noise of a detector start.

    Raises
    ------
    RecipeError
        If such a file cannot be read.
    """
    noisy = {each.name: each for each in sets if each.is_noisy}
    noise = {name: _find_noise(each, folder) for name, each in noisy.items()}

    def pair_all(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
        return tuple(
            _pair_up(pair, noisy[pair.dataset], noise[pair.dataset]) if pair.dataset in noisy else pair
            for pair in pairs
        )

    return PairParts(pair_all(parts.fit), pair_all(parts.choose), pair_all(parts.report))


def _pair_up(pair: Pair, each: FileSet, noise: Noise) -> Pair:
    if each.target != FRAMES:
        return replace(pair, noisy=NoisyTarget(noise, is_thinned=True))
    n = pair.source.sizes["T"]
    return replace(
        pair,
        source=pair.source.crop({"T": slice(0, n - each.distance)}),
        target=pair.target.crop({"T": slice(each.distance, n)}),
        noisy=NoisyTarget(noise, is_thinned=False),
    )


def _find_noise(each: FileSet, folder: Path) -> Noise:
    if isinstance(each.noise, Noise):
        return each.noise
    assert each.noise is not None  # FileSet asks for it
    path = folder / each.noise
    values = yaml_file.read(path)
    # What fit-noise prints is a camera; a recipe of a simulation has one as a section.
    camera = values.get("camera", values)
    if not isinstance(camera, Mapping) or "gain" not in camera:
        raise RecipeError(
            f"set {each.name}: {path} has no gain; expected the file that carezoo simulate fit-noise wrote"
        )
    wanted = {key: camera[key] for key in ("gain", "offset", "read_noise") if camera.get(key) is not None}
    return build(Noise, wanted, f"{path}: camera")
