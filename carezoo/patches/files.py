"""Patches for training, drawn lazily from images that may be larger than memory."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo.errors import DataError, RecipeError
from carezoo.image import Image
from carezoo.noise.thin import thin
from carezoo.pairs.cache import make_raw, read
from carezoo.pairs.find import ImageKey, NoisyTarget, Pair
from carezoo.pairs.intensity import HIGH_JITTER, LOW_JITTER, Intensity, Matching, Ranges, Scaling, match
from carezoo.pairs.section import PairAxes
from carezoo.pairs.split import PairParts
from carezoo.patches.foreground import Starts, find_foreground_starts, list_all_starts, measure_bright_limits

log = logging.getLogger("carezoo")

Float = NDArray[np.float32]

Patch = tuple[Float, ...]
"""Source and target, axes C(Z)YX, float32, normalized; of a noisy target also its noise, axes C and 2: slope and
intercept of the variance over the mean, in normalized intensities."""

SHARES = (0.5, 0.95)
"""Part of the photoelectrons that a thinned source gets. A whole image is restored with all of them."""


@dataclass(frozen=True, kw_only=True)
class PatchSize:
    """Pixels of a patch of the source along each axis."""

    y: int = 128
    """Rows."""
    x: int = 128
    """Columns."""
    z: int | None = None
    """Planes; null: the network is 2D, and planes and frames are images of their own. Task project: all planes of \
every stack."""

    def __post_init__(self) -> None:
        for letter, size in self.by_axis.items():
            if size < 1:
                raise RecipeError(f"{letter.lower()}: expected at least 1 pixel, found {size}")

    @property
    def by_axis(self) -> dict[str, int]:
        """Length by axis letter, in the order (Z)YX."""
        sizes = {"Y": self.y, "X": self.x}
        return sizes if self.z is None else {"Z": self.z, **sizes}


@dataclass(frozen=True, kw_only=True)
class Patches:
    """How patches are drawn."""

    size: PatchSize = field(default_factory=PatchSize)
    """Pixels along each axis. With z the network is 3D."""
    background_threshold: float = 0.4
    """A patch is drawn only where its middle (half of its length along each axis) holds a pixel of the target above \
this share of a high percentile of the target, in any channel. 0: everywhere."""
    background_percentile: float = 99.9
    """That percentile."""
    flip: str = "YX"
    """Axes along which half of the patches are mirrored; "" for none."""
    rotate: bool = True
    """Turn patches by multiples of 90 degrees in YX, where they are square. Z never becomes Y or X; never for task \
isotropic, whose sources are degraded along X."""

    def __post_init__(self) -> None:
        if not 0 <= self.background_threshold < 1:
            raise RecipeError(f"background_threshold: expected 0 <= share < 1, found {self.background_threshold:g}")
        if not 0 < self.background_percentile <= 100:
            raise RecipeError(f"background_percentile: expected 0 to 100, found {self.background_percentile:g}")
        unknown = set(self.flip.upper()) - set(self.size.by_axis)
        if unknown:
            raise RecipeError(
                f"flip: expected axes out of {''.join(self.size.by_axis)} (those of size), found {self.flip!r}"
            )
        object.__setattr__(self, "flip", axes_.sort(set(self.flip.upper())))


_FILES, _PATCH, _FIXED = range(3)
"""What a random number is for: each gets a stream of its own."""


@dataclass(frozen=True)
class PreparedPair:
    """One pair from which patches are cut."""

    pair: Pair
    scalings: tuple[Scaling, ...]
    """One for each sample (index along S)."""
    starts: Starts
    """Where patches may start, in the target."""


class Sampler(Protocol):
    """Draws normalized patches for a training: what the networks are fitted to, wherever the pixels come from.

    Sources and targets have the axes of the recipe's `PairAxes` behind C; float32. An instance can be pickled.
    """

    def patch(self, number: int) -> Patch:
        """Return the `number`-th patch of the training: the same whenever it is asked for."""

    def fixed_patches(self, n: int, *, is_anywhere: bool = False) -> Patch:
        """Return `n` patches that are always the same, with S in front of all axes.

        Parameters
        ----------
        n
            How many.
        is_anywhere
            Whether background is drawn as often as the images have it, instead of being avoided: for statistics.
        """


@dataclass(frozen=True)
class PatchSampler:
    """Draws normalized patches of files. Which ones follows from the seed and the number of the patch alone.

    So a training that resumes gets the patches it would have got, whatever the number of workers. Small enough to be
    sent to worker processes: the pixels stay in their files.
    """

    prepared: tuple[PreparedPair, ...]
    axes: PairAxes
    settings: Patches
    has_percentile_jitter: bool
    seed: int

    def patch(self, number: int) -> Patch:
        """Return the `number`-th patch of the training.

        Each round draws once from every file, in another order each time. Within a file every eligible place is equally
        likely.
        """
        cycle, turn = divmod(number, len(self.prepared))
        one = self.prepared[_draw_order(self.seed, cycle, len(self.prepared))[turn]]
        rng = make_rng(self.seed, _PATCH, number)
        source, target, *noise = self._cut(one, rng, draw_percentiles(rng) if self.has_percentile_jitter else None)
        return (*augment(source, target, self.settings, rng), *noise)

    def fixed_patches(self, n: int, *, is_anywhere: bool = False) -> Patch:
        """Return `n` patches that are always the same, turned nowhere, with the percentiles of restoration.

        Parameters and result as of `Sampler`; spread evenly over the files.
        """
        size = self.axes.target_size(self.settings.size.by_axis)
        prepared = [
            replace(one, starts=list_all_starts(one.pair.target, size)) if is_anywhere else one for one in self.prepared
        ]
        cut = [self._cut(prepared[i % len(prepared)], make_rng(self.seed, _FIXED, i), None) for i in range(n)]
        return stack_patches(cut)

    def _cut(self, one: PreparedPair, rng: np.random.Generator, percentiles: tuple[float, float] | None) -> Patch:
        pair, size = one.pair, self.settings.size.by_axis
        in_source, in_target = self._places(pair, one.starts.place(int(rng.integers(one.starts.n))), rng)
        ranges = one.scalings[in_source["S"]].ranges(percentiles)
        source = _read_piece(pair.source, in_source, size)[list(pair.source_channels)]
        target = _read_piece(pair.target, in_target, self.axes.target_size(size))[list(pair.target_channels)]
        if pair.noisy is None:
            return normalize(source, target, ranges)
        source, target, share = _separate_noise(source, target, pair.noisy, rng)
        return (*normalize(source, target, ranges), _normalize_noise(pair.noisy, share, ranges))

    def _places(
        self, pair: Pair, place: dict[str, int], rng: np.random.Generator
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Return where a patch starts in the source and in the target, given a place in the target."""
        # A target with one sample or frame serves all those of its source.
        for letter in "ST":
            length = pair.source.sizes.get(letter, 1)
            if pair.target.sizes.get(letter, 1) < length:
                place[letter] = int(rng.integers(length))
        z_source, z_target = self.axes.align_planes(place["Z"])
        return {**place, "Z": z_source}, {**place, "Z": z_target}


@dataclass(frozen=True)
class FilePatches:
    """Everything a training draws from files."""

    fit: PatchSampler | None
    """None where no file fits."""
    choose: PatchSampler | None
    """None where no file chooses."""
    matching: Matching
    """What was measured on the files to fit."""


def prepare_patches(
    parts: PairParts, intensity: Intensity, settings: Patches, cache: Path, seed: int, axes: PairAxes | None = None
) -> FilePatches:
    """Make the files to fit and to choose on ready for drawing patches.

    Every image is read a few times, plane by plane. Afterwards drawing costs the pixels of the patch.

    Parameters
    ----------
    parts
        As `split_pairs` returns them; the files to report on are left alone.
    intensity, settings
        The recipe's sections.
    cache
        Folder for decoded images (see `make_raw`) and for the places where patches may start. A training that resumes
        finds them there; it may be deleted when the training is over.
    seed
        Decides which patches are drawn.
    axes
        How sources and targets go together; None: both have the axes of a patch, and one size.

    Raises
    ------
    DataError
        If a patch is larger than an image, no image has foreground, source and target do not match, pixels are not
        finite, an image has no range of intensities, or the disk has too little room.
    """
    axes = axes or PairAxes("".join(settings.size.by_axis))
    for pair in (*parts.fit, *parts.choose):
        _check_size(pair, settings, axes)
    raw = make_raw((*parts.fit, *parts.choose), cache)
    fit, choose = raw[: len(parts.fit)], raw[len(parts.fit) :]
    matching = match(fit, intensity, axes)
    drawn = [_make_sampler(part, axes, matching, settings, cache, seed) if part else None for part in (fit, choose)]
    return FilePatches(fit=drawn[0], choose=drawn[1], matching=matching)


def _make_sampler(
    pairs: Sequence[Pair], axes: PairAxes, matching: Matching, settings: Patches, cache: Path, seed: int
) -> PatchSampler:
    prepared = []
    starts_by_target: dict[ImageKey, Starts] = {}
    for pair in pairs:
        if pair.target_key not in starts_by_target:
            starts_by_target[pair.target_key] = _find_starts(pair, axes, settings, cache)
        starts = starts_by_target[pair.target_key]
        if starts.n:
            prepared.append(PreparedPair(pair, matching.scalings(pair), starts))
        else:
            log.warning("%s: no patch is drawn, all of it is background (patches.background_threshold)", pair.name)
    if not prepared:
        raise DataError(
            f"all of the {len(pairs)} images, such as {pairs[0].target_path}, are background: no patch of "
            f"{_format_size(settings)} has a target pixel above {settings.background_threshold:g} times its percentile "
            f"{settings.background_percentile:g} in its middle; check the targets, or lower "
            "patches.background_threshold (0 takes patches everywhere)"
        )
    return PatchSampler(tuple(prepared), axes, settings, matching.settings.percentile_jitter, seed)


def augment(source: Float, target: Float, settings: Patches, rng: np.random.Generator) -> tuple[Float, Float]:
    """Mirror and turn a patch, source and target alike; axes C(Z)YX, the target may lack Z.

    Three numbers are drawn, whatever the settings.
    """
    mirrors, turns = rng.random(3) < 0.5, int(rng.integers(4))
    flipped = [-"XYZ".index(letter) - 1 for letter in settings.flip if mirrors["XYZ".index(letter)]]
    turns = turns if settings.rotate and settings.size.y == settings.size.x else 0
    turned = []
    for each in (source, target):
        spatial = tuple(axis for axis in flipped if -axis < each.ndim)
        turned.append(np.rot90(np.flip(each, spatial), turns, axes=(-2, -1)))
    return np.ascontiguousarray(turned[0]), np.ascontiguousarray(turned[1])


def stack_patches(patches: Sequence[Patch]) -> Patch:
    """Return patches with S in front of their axes."""
    return tuple(np.stack(each) for each in zip(*patches, strict=True))


def _separate_noise(
    source: NDArray[np.generic], target: NDArray[np.generic], noisy: NoisyTarget, rng: np.random.Generator
) -> tuple[NDArray[np.generic], NDArray[np.generic], float]:
    """Return a source and a target with independent noise, and the share of its photoelectrons that the target has."""
    if noisy.is_thinned:
        share = float(rng.uniform(*SHARES))
        thinned = [thin(channel, noise, share, rng) for channel, noise in zip(source, noisy.noise, strict=True)]
        return np.stack([one for one, _ in thinned]), np.stack([other for _, other in thinned]), 1 - share
    # Which of two frames comes first must not matter: bleaching would make restored images darker.
    return (source, target, 1.0) if rng.random() < 0.5 else (target, source, 1.0)


def _normalize_noise(noisy: NoisyTarget, share: float, ranges: Ranges) -> Float:
    """Return the variance of a target over its mean, both normalized: slope and intercept of every channel."""
    slope, intercept = np.array([noise.line for noise in noisy.noise]).T
    low, width = ranges.target_low, ranges.target_high - ranges.target_low
    line = np.stack([slope / width, (intercept + slope * low) / width**2], axis=1)
    return (line / share).astype(np.float32)


def draw_percentiles(rng: np.random.Generator) -> tuple[float, float]:
    """Draw the percentiles of a patch (`Intensity.percentile_jitter`)."""
    return float(rng.uniform(*LOW_JITTER)), float(rng.uniform(*HIGH_JITTER))


def make_rng(seed: int, purpose: int, number: int) -> np.random.Generator:
    """Return the random numbers of one thing: its own stream for each purpose and number."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, number)))


@lru_cache(maxsize=4)
def _draw_order(seed: int, cycle: int, n_files: int) -> NDArray[np.int64]:
    """Return the order of the files in one round; cached, because every patch of the round needs it."""
    return make_rng(seed, _FILES, cycle).permutation(n_files)


def _read_piece(image: Image, place: Mapping[str, int], size: Mapping[str, int]) -> NDArray[np.generic]:
    """Read a piece of `size` that starts at `place`, axes C(Z)YX: Z if `size` has it."""
    piece = read(image, {letter: slice(start, start + size.get(letter, 1)) for letter, start in place.items()})
    return piece if "Z" in size else piece[:, 0]


def normalize(source: NDArray[np.generic], target: NDArray[np.generic], ranges: Ranges) -> tuple[Float, Float]:
    """Return a patch of source and target, C first, with what `ranges` says as 0 and 1."""
    return (
        _scale(source, ranges.source_low, ranges.source_high),
        _scale(target, ranges.target_low, ranges.target_high),
    )


def _scale(x: NDArray[np.generic], low: NDArray[np.float64], high: NDArray[np.float64]) -> Float:
    """Return `x` (C first) so that `low` of each channel becomes 0 and `high` becomes 1."""
    per_channel = (-1,) + (1,) * (x.ndim - 1)
    low32, range32 = low.astype(np.float32), (high - low).astype(np.float32)
    return (x.astype(np.float32) - low32.reshape(per_channel)) / range32.reshape(per_channel)


def _find_starts(pair: Pair, axes: PairAxes, settings: Patches, cache: Path) -> Starts:
    size = axes.target_size(settings.size.by_axis)
    if settings.background_threshold == 0:
        return list_all_starts(pair.target, size)
    limits = measure_bright_limits(
        pair.target, pair.target_channels, settings.background_threshold, settings.background_percentile
    )
    cache.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(f"{pair.name}|{pair.target_path}|{pair.target_channels}|{settings}".encode()).hexdigest()[:16]
    path = cache / f"{pair.target_path.stem}-{key}.starts"
    return find_foreground_starts(pair.target, pair.target_channels, size, limits, path)


def _check_size(pair: Pair, settings: Patches, axes: PairAxes) -> None:
    small = [letter for letter, length in settings.size.by_axis.items() if pair.source.sizes[letter] < length]
    if small:
        found = " x ".join(f"{letter} {pair.source.sizes[letter]}" for letter in settings.size.by_axis)
        raise DataError(
            f"{pair.source_path} is smaller than a patch along {', '.join(small)}: it has {found}, patches.size is "
            f"{_format_size(settings)}; take smaller patches, or leave the file out (split)"
        )
    if axes.is_projected and pair.source.sizes["Z"] != settings.size.z:
        raise DataError(
            f"{pair.source_path} has {pair.source.sizes['Z']} planes, and patches.size.z is {settings.size.z}: the "
            "target shows all planes of its stack, so that patches must, too; bring all stacks to one number of "
            "planes, and z to that number"
        )


def _format_size(settings: Patches) -> str:
    return " x ".join(f"{letter} {length}" for letter, length in settings.size.by_axis.items())
