"""Intensities of training pairs: the target in the units of its source, both normalized as at restoration."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from carezoo import metrics
from carezoo.errors import DataError, RecipeError
from carezoo.image import Image
from carezoo.pairs.cache import channel_blocks, plane_regions, read
from carezoo.pairs.find import Pair
from carezoo.pairs.section import ONE, PairAxes
from carezoo.regression import Scatter
from carezoo.settings import Nodata
from carezoo.statistics import Blocks, percentiles

log = logging.getLogger("carezoo")

EPS = 1e-6
"""Added to every range, as in the preprocessing of the package."""

LOW_JITTER, HIGH_JITTER = (1.0, 3.0), (99.5, 99.9)
"""Ranges of the drawn percentiles (CSBDeep, `sample_percentiles`)."""

N_MEASURED = 5
"""Percentiles measured in each of these ranges; those between are interpolated."""

LEAST_CORRELATION = 0.3
"""Below this, source and target hardly show the same scene."""


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """How intensities are normalized."""

    mode: Literal["matched", "own", "fixed"] = "matched"
    """matched: targets are mapped into the units of their sources (`fit`), then both are normalized by the source's \
percentiles, as at restoration: restored intensities have no bias. own: each by its own percentiles, as CSBDeep does; \
the gain of restored images is then arbitrary. fixed: as matched, but with two constants for all images (`range`)."""
    percentiles: tuple[float, ...] = (2.0, 99.8)
    """Percentiles of the whole image that become 0 and 1."""
    percentile_jitter: bool = False
    """Draw the percentiles anew for each patch, from 1 to 3 and from 99.5 to 99.9, as CSBDeep does. Images are \
restored with `percentiles` all the same."""
    fit: Literal["dataset", "pair", "none"] = "dataset"
    """Fit of target to source (gain and offset of each channel, whatever the noise of both): one for each data set, \
one for each pair (if exposures differ within the set), or none (targets are in the units of the sources, such as \
averages)."""
    range: tuple[float, ...] = ()
    """Mode fixed only: the two intensities that become 0 and 1; empty: `percentiles` of all sources to fit together."""

    def __post_init__(self) -> None:
        if not (len(self.percentiles) == 2 and 0 <= self.percentiles[0] < self.percentiles[1] <= 100):
            raise RecipeError(f"percentiles: expected two numbers, 0 <= low < high <= 100, found {self.percentiles}")
        if self.range and not (len(self.range) == 2 and self.range[0] < self.range[1]):
            raise RecipeError(f"range: expected two numbers, low < high, found {self.range}")
        if self.range and self.mode != "fixed":
            raise RecipeError(f"range: has no meaning for mode {self.mode}; remove it, or use mode: fixed")
        if self.percentile_jitter and self.mode == "fixed":
            raise RecipeError("percentile_jitter: mode fixed has no percentiles to vary; remove one of the two")


@dataclass(frozen=True)
class Relation:
    """``source = gain * target + offset``, one number a channel."""

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """Percentiles of each channel of one image."""

    percents: NDArray[np.float64]
    """Increasing, K of them."""
    values: NDArray[np.float64]
    """Channels x K."""

    def at(self, percent: float) -> NDArray[np.float64]:
        """Return the intensity of each channel at `percent`, interpolated between measured percentiles."""
        return np.array([np.interp(percent, self.percents, values) for values in self.values])


@dataclass(frozen=True)
class Ranges:
    """What becomes 0 and 1, for each channel of a source and of its target (in its own units)."""

    source_low: NDArray[np.float64]
    source_high: NDArray[np.float64]
    target_low: NDArray[np.float64]
    target_high: NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """How one sample (index along S) of a pair is normalized."""

    source: Levels
    target: Levels | None
    """Mode own: percentiles of the target. Else the target follows the source by `relation`."""
    relation: Relation
    percentiles: tuple[float, float]
    """Those used at restoration."""

    def ranges(self, percentiles: tuple[float, float] | None = None) -> Ranges:
        """Return the ranges for `percentiles`, or for those of restoration."""
        low, high = (self.source.at(percent) for percent in percentiles or self.percentiles)
        high = high + EPS
        if self.target is not None:
            target_low, target_high = (self.target.at(percent) for percent in percentiles or self.percentiles)
            return Ranges(low, high, target_low, target_high + EPS)
        gain, offset = self.relation.gain, self.relation.offset
        return Ranges(low, high, (low - offset) / gain, (high - offset) / gain)


@dataclass(frozen=True)
class Matching:
    """Everything about intensities that was measured on the files to fit."""

    settings: Intensity
    relations: Mapping[str, Relation]
    """By name of the set."""
    constants: Levels | None
    """Mode fixed: the two intensities of each source channel, as percentiles 0 and 100."""
    factor: Fraction = ONE
    """Target planes for one source plane."""

    def relation(self, pair: Pair) -> Relation:
        """Return how target and source intensities of `pair` are related; errors as of `relate`."""
        if self.settings.fit == "pair" and self.settings.mode != "own" and pair.has_target:
            return relate([pair], pair.name, self.factor)
        return self.relations[pair.dataset]

    def scalings(self, pair: Pair) -> tuple[Scaling, ...]:
        """Measure how each sample (index along S) of `pair` is normalized.

        Pixels that are not finite, or percentiles that coincide, are a `DataError`.
        """
        relation, settings = self.relation(pair), self.settings
        samples = range(pair.source.sizes.get("S", 1))
        if self.constants is not None:
            return tuple(Scaling(self.constants, None, relation, (0.0, 100.0)) for _ in samples)
        chosen = (settings.percentiles[0], settings.percentiles[1])
        result = []
        for s in samples:
            source = _measure_levels(_list_blocks(pair, s), settings, pair.source.name)
            target = None
            if settings.mode == "own":
                target = _measure_levels(_list_blocks(pair, s, is_target=True), settings, pair.target.name)
            result.append(Scaling(source, target, relation, chosen))
        return tuple(result)


def match(pairs: Sequence[Pair], settings: Intensity, axes: PairAxes | None = None) -> Matching:
    """Measure the intensities of the pairs to fit.

    Parameters
    ----------
    pairs
        The part `fit` only, as `make_raw` returns it: every pixel is read.
    settings
        The recipe's section.
    axes
        How sources and targets go together; None: they have one size.

    Raises
    ------
    DataError
        If pixels are not finite, a target is constant or falls where its source rises, percentiles coincide, or targets
        that are projections should be fitted to stacks.
    """
    factor = ONE if axes is None else axes.factor
    if pairs and axes is not None and axes.is_projected and settings.mode != "own" and settings.fit != "none":
        raise DataError(
            "intensity.fit: which voxel a projection shows is not known before the training, so that targets "
            "cannot be fitted to stacks. Use fit: none if both have the same exposure and gain, else mode: own"
        )
    relations: dict[str, Relation] = {}
    for dataset in dict.fromkeys(pair.dataset for pair in pairs):
        members = [pair for pair in pairs if pair.dataset == dataset]
        if settings.mode == "own" or settings.fit == "none" or not members[0].has_target:
            relations[dataset] = make_identity(len(members[0].target_channels))
        elif settings.fit == "dataset":
            relations[dataset] = relate(members, f"set {dataset}", factor)
    constants = _measure_constants(pairs, settings) if settings.mode == "fixed" and pairs else None
    return Matching(settings, relations, constants, factor)


def relate(pairs: Sequence[Pair], name: str, factor: Fraction = ONE) -> Relation:
    """Fit ``source = gain * target + offset`` to all pixels of `pairs`, channel by channel.

    Noise with mean 0 changes neither gain nor offset, be it in the source, in the target or in both
    (`carezoo.regression`).

    Parameters
    ----------
    pairs
        With as many source as target channels.
    name
        What messages call them.
    factor
        Target planes for one source plane: a source plane is compared with the target at its centre.

    Raises
    ------
    DataError
        If pixels are not finite, a target is constant, or falls where its source rises.
    """
    scatter = Scatter(len(pairs[0].target_channels))
    for source, target in (planes for pair in pairs for planes in _read_jointly(pair, factor)):
        scatter.add(source, target)
    if scatter.constant_target.any():
        channel = int(np.argmax(scatter.constant_target))
        raise DataError(f"{name}: the target is constant in channel {channel}; is it an image?")
    line = scatter.fit()
    gain, correlation = line.gain, line.correlation
    if not (gain > 0).all():
        raise DataError(
            f"{name}: source and target are not brighter in the same places (correlation {correlation.min():.2f}); "
            "check that files of the same name show the same scene, that neither is inverted, and the channels"
        )
    if correlation.min() < LEAST_CORRELATION:
        log.warning(
            "%s: source and target are weakly related (correlation %.2f); are they pairs, and registered?",
            name,
            correlation.min(),
        )
    log.info("%s: source = %s * target + %s", name, gain, line.offset)
    return Relation(gain, line.offset)


def check_scorable(pair: Pair, settings: Intensity) -> None:
    """Check that both images of a pair have intensities to normalize and to score by.

    Raises
    ------
    DataError
        If the percentiles of a channel coincide (nearly empty or constant images), or pixels are not finite.
    """
    if settings.mode != "fixed":
        for s in range(pair.source.sizes.get("S", 1)):
            _measure_levels(_list_blocks(pair, s), settings, pair.source.name)
    for channel in pair.target_channels:
        dark, bright = percentiles(channel_blocks(pair.target, channel), metrics.PERCENTILES)
        if dark == bright:
            raise DataError(
                f"{pair.target.name}: percentiles {metrics.PERCENTILES[0]} and {metrics.PERCENTILES[1]} of channel "
                f"{channel} are both {dark:g}; there is no structure to score against"
            )


def make_identity(n_channels: int) -> Relation:
    """Return the relation of targets in the units of their sources."""
    return Relation(np.ones(n_channels), np.zeros(n_channels))


def _read_jointly(pair: Pair, factor: Fraction) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Read source and target plane by plane: arrays with axes CZYX."""
    for region in plane_regions(pair.source):
        source = read(pair.source, region)[list(pair.source_channels)]
        yield source, _read_plane_beside(pair.target, region, factor)[list(pair.target_channels)]


def _read_plane_beside(target: Image, region: Mapping[str, slice], factor: Fraction) -> NDArray[Any]:
    """Read the target where one plane of the source has its centre, interpolated between planes."""
    if factor == 1:
        return read(target, region)
    centre = (region["Z"].start + Fraction(1, 2)) * factor - Fraction(1, 2)
    lower = floor(centre)
    upper = min(lower + 1, target.sizes["Z"] - 1)
    first, second = (read(target, {**region, "Z": slice(z, z + 1)}).astype(np.float64) for z in (lower, upper))
    weight = float(centre - lower)
    return (1 - weight) * first + weight * second


def _list_blocks(pair: Pair, s: int | None, *, is_target: bool = False) -> list[Blocks]:
    """Return the pixels of each channel without blank planes, as at restoration."""
    image, channels = (pair.target, pair.target_channels) if is_target else (pair.source, pair.source_channels)
    return [_leave_out_blanks(channel_blocks(image, channel, s), pair.nodata) for channel in channels]


def _leave_out_blanks(blocks: Blocks, nodata: Nodata) -> Blocks:
    def is_blank(plane: NDArray[Any]) -> bool:
        return plane.min() == plane.max() and nodata in {"auto", float(plane.flat[0])}

    return blocks if nodata == "none" else lambda: (plane for plane in blocks() if not is_blank(plane))


def list_percents(settings: Intensity) -> tuple[float, ...]:
    """Return which percentiles of a source have to be measured, increasing."""
    if not settings.percentile_jitter:
        return settings.percentiles
    drawn = [np.linspace(*jitter, N_MEASURED).tolist() for jitter in (LOW_JITTER, HIGH_JITTER)]
    return tuple(sorted({*settings.percentiles, *drawn[0], *drawn[1]}))


def _measure_levels(channels: Sequence[Blocks], settings: Intensity, name: str) -> Levels:
    wanted = list_percents(settings)
    for channel, blocks in enumerate(channels):
        if next(iter(blocks()), None) is None:
            raise DataError(f"{name}: every plane of channel {channel} has one value; leave the file out (split)")
    levels = Levels(np.array(wanted), np.array([percentiles(blocks, wanted) for blocks in channels]))
    low, high = (levels.at(percent) for percent in settings.percentiles)
    for channel, (dark, bright) in enumerate(zip(low, high, strict=True)):
        if dark == bright:
            raise DataError(
                f"{name}: percentiles {settings.percentiles[0]:g} and {settings.percentiles[1]:g} of channel {channel} "
                f"are both {dark:g}; leave the file out (split), or take others (intensity.percentiles)"
            )
    return levels


def _measure_constants(pairs: Sequence[Pair], settings: Intensity) -> Levels:
    n_channels = len(pairs[0].source_channels)
    if settings.range:
        return Levels(np.array([0.0, 100.0]), np.array([settings.range] * n_channels))
    per_pair = [_list_blocks(pair, None) for pair in pairs]
    # One type for all, as percentiles of integers are counted value by value.
    dtype = np.result_type(*(pair.source.dtype for pair in pairs))
    together = [_chain([channels[i] for channels in per_pair], dtype) for i in range(n_channels)]
    levels = _measure_levels(together, settings, "the sources to fit")
    return Levels(np.array([0.0, 100.0]), np.stack([levels.at(percent) for percent in settings.percentiles], axis=1))


def _chain(parts: Sequence[Blocks], dtype: np.dtype[np.generic]) -> Blocks:
    return lambda: (block.astype(dtype) for blocks in parts for block in blocks())
