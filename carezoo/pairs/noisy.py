"""Pairs out of noisy images alone: with their noise, and of movies with another frame as the target."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from carezoo.errors import DataError, RecipeError
from carezoo.noise.assumption import check_assumption
from carezoo.noise.measure import NoiseFit, measure_noise
from carezoo.noise.thin import Noise
from carezoo.pairs.find import NoisyTarget, Pair
from carezoo.pairs.section import FRAMES, THINNED, FileSet
from carezoo.pairs.split import PairParts
from carezoo.schema import yaml_file
from carezoo.schema.build import build

log = logging.getLogger("carezoo")


def pair_noisy_images(parts: PairParts, acquired: Sequence[Pair], sets: Sequence[FileSet], folder: Path) -> PairParts:
    """Return the parts with pairs in place of the noisy images of sets that have no clean ones.

    Movies are cut into their parts before: no frame is the target in one and the source in another.

    Parameters
    ----------
    parts
        As `split_pairs` returns them.
    acquired
        The images before they were split, on which the noise is measured.
    sets
        The sets they come from.
    folder
        Where the paths of files with the noise of a detector start.

    Raises
    ------
    RecipeError
        If such a file cannot be read.
    DataError
        If the noise cannot be measured, or is not independent from pixel to pixel where photoelectrons are dealt out.
    """
    noisy = {each.name: each for each in sets if each.is_noisy}
    noise = {}
    for name, each in noisy.items():
        mine = [pair for pair in acquired if pair.dataset == name]
        found = _find_noise(mine, each, folder)
        if each.target == THINNED and not each.accept:
            _check(mine, each, found)
        noise[name] = tuple(one.noise if isinstance(one, NoiseFit) else one for one in found)

    def pair_all(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
        return tuple(
            _pair_up(pair, noisy[pair.dataset], noise[pair.dataset]) if pair.dataset in noisy else pair
            for pair in pairs
        )

    return PairParts(pair_all(parts.fit), pair_all(parts.choose), pair_all(parts.report))


def _pair_up(pair: Pair, each: FileSet, noise: tuple[Noise, ...]) -> Pair:
    if each.target != FRAMES:
        return replace(pair, noisy=NoisyTarget(noise, is_thinned=True))
    n = pair.source.sizes["T"]
    return replace(
        pair,
        source=pair.source.crop({"T": slice(0, n - each.distance)}),
        target=pair.target.crop({"T": slice(each.distance, n)}),
        noisy=NoisyTarget(noise, is_thinned=False),
    )


def _check(pairs: Sequence[Pair], each: FileSet, noise: Sequence[Noise | NoiseFit]) -> None:
    for channel, found in zip(pairs[0].source_channels, noise, strict=True):
        try:
            check_assumption([pair.source for pair in pairs], channel, noise=found)
        except DataError as error:
            raise DataError(f"set {each.name}: {error} (accept: true in the set trains all the same)") from None


def _find_noise(pairs: Sequence[Pair], each: FileSet, folder: Path) -> tuple[Noise | NoiseFit, ...]:
    """Return the noise of each channel."""
    channels = pairs[0].source_channels
    if isinstance(each.noise, Noise):
        return (each.noise,) * len(channels)
    if each.noise is not None:
        return (_read_noise(folder / each.noise, each),) * len(channels)
    return tuple(_measure(pairs, each, channel) for channel in channels)


def _measure(pairs: Sequence[Pair], each: FileSet, channel: int) -> NoiseFit:
    try:
        found = measure_noise([pair.source for pair in pairs], channel)
    except DataError as error:
        raise DataError(
            f"set {each.name}, channel {channel}: {error}. If gain, offset and read_noise of the detector are known, "
            "give them as noise in the set"
        ) from None
    log.info(
        "set %s, channel %d: gain %s, offset %s grey levels, read noise %s electrons (%s)",
        each.name, channel, found.gain, found.offset, found.read_noise, found.basis,
    )  # fmt: skip
    return found


def _read_noise(path: Path, each: FileSet) -> Noise:
    """Read what fit-noise wrote: a camera, or a recipe of a simulation that has one as a section."""
    values = yaml_file.read(path)
    camera = values.get("camera", values)
    if not isinstance(camera, Mapping) or "gain" not in camera:
        raise RecipeError(
            f"set {each.name}: {path} has no gain; expected the file that carezoo simulate fit-noise wrote"
        )
    wanted = {key: camera[key] for key in ("gain", "offset", "read_noise") if camera.get(key) is not None}
    return build(Noise, wanted, f"{path}: camera")
