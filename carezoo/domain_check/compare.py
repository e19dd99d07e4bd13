"""An image against the record of the images a network was trained on."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.domain_check.crops import SIDE, informative
from carezoo.domain_check.features import INDEX, features, foreground_share
from carezoo.domain_check.odds import inputs, log_odds
from carezoo.domain_check.prior import population, symmetric
from carezoo.domain_check.record import SHIFTS, VERSION, is_readable
from carezoo.image import Image
from carezoo.valid import ValidPixels

log = logging.getLogger("carezoo")

_PIXEL_SIZE_TOLERANCE = 1.25
"""Factor by which pixels may be smaller or larger than any in training."""

_N_CROPS = 4
"""Crops at most, and no more than half of what the image has: looking costs time that restoring should have."""


@dataclass(frozen=True)
class DomainMatch:
    """How far an image is from what a network was trained on."""

    distance: float
    """0 for the very middle of the training images; above 1 the image is unlike them. NaN: could not be judged."""
    reasons: tuple[str, ...]
    """Why, in words with numbers; empty for an image like those."""
    kind: str = ""
    """Name of the training images that are nearest."""


def compare(image: Image, record: Mapping[str, Any] | None, valid: ValidPixels | None = None) -> DomainMatch | None:
    """Compare an image with the training images of a model.

    Reads at most three planes, or some crops of them.

    Parameters
    ----------
    image
        Any axes with Y and X. It has as many channels as the model takes, or, for a model of one channel, any number.
    record
        Section `training_images` of `config.carezoo`.
    valid
        Which pixels of the image count; None: all.

    Returns
    -------
    DomainMatch or None
        None where nothing can be said: the package has no record, or one of another version, or the image is smaller
        than 64 pixels, or has no valid region of that size.
    """
    if not record or record.get("version") != VERSION:
        return None
    if not is_readable(record):
        log.warning("the package's record of its training images is damaged; %s is not compared with it", image.name)
        return None
    known = record["channels"]
    n_channels = image.sizes.get("C", 1)
    if len(known) not in {1, n_channels}:
        return None
    sizes = _pixel_size(image, record.get("pixel_size_um", {}))
    found = [
        each
        for channel in range(n_channels)
        if (each := _compare_channel(image, valid, channel, known[min(channel, len(known) - 1)]["kinds"], sizes))
    ]
    if not found:
        return None
    names = image.metadata.channel_names if len(image.metadata.channel_names) == n_channels else range(n_channels)
    reasons = [
        f"channel {name}: {reason}" if n_channels > 1 else reason
        for name, each in zip(names, found, strict=False)
        for reason in each.reasons
    ]
    farthest = max(found, key=lambda each: each.distance)
    distance = max(farthest.distance, sizes.factor / _PIXEL_SIZE_TOLERANCE if sizes.words else 0.0)
    return DomainMatch(distance, (*sizes.words, *reasons), farthest.kind)


@dataclass(frozen=True)
class _PixelSize:
    """Pixels of an image against those of the training images."""

    is_known: bool
    """Of both, along X."""
    factor: float
    """By how much they are smaller or larger than any; 1 if they are not."""
    words: tuple[str, ...]


def _pixel_size(image: Image, trained: Mapping[str, Sequence[float]]) -> _PixelSize:
    factor, words = 1.0, []
    known = [letter for letter in "ZYX" if letter in image.pixel_size_um and letter.lower() in trained]
    for letter in known:
        found, (low, high) = image.pixel_size_um[letter], trained[letter.lower()]
        off = max(low / found, found / high, 1.0)
        if off > _PIXEL_SIZE_TOLERANCE:
            span = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
            name = "distance of planes" if letter == "Z" else "pixel size"
            words.append(f"{name} {found:.3g} µm, trained at {span} µm")
        factor = max(factor, off)
    return _PixelSize("X" in known, factor, tuple(dict.fromkeys(words)))  # Y and X mostly say the same


def _compare_channel(
    image: Image, valid: ValidPixels | None, channel: int, kinds: Sequence[Mapping[str, Any]], sizes: _PixelSize
) -> DomainMatch | None:
    n_pixels = prod(image.shape) // image.sizes.get("C", 1)
    crops = informative(image, channel, min(max(n_pixels // (2 * SIDE**2), 1), _N_CROPS), valid=valid)
    if not crops:
        return None
    seen = look(crops)
    if seen is None:
        return DomainMatch(math.inf, ("the image has one intensity everywhere",))
    saturated = _saturated_share(crops)
    nearest = min((Against(seen, kind, saturated) for kind in kinds), key=lambda each: each.distance)
    reasons = tuple(nearest.reasons(sizes)) if nearest.distance > 1 else ()
    return DomainMatch(nearest.distance, reasons, str(nearest.kind["name"]))


_SATURATED = 0.01
"""Share of pixels with the highest value above which their missing noise is that of saturation."""


def _saturated_share(crops: Sequence[NDArray[np.generic]]) -> float:
    highest = max(crop.max() for crop in crops)
    return float(np.mean([np.mean(crop == highest) for crop in crops]))


def look(crops: Sequence[NDArray[np.generic]]) -> NDArray[np.float64] | None:
    """Return the mean features of crops; None if each has one intensity only."""
    known = [found for crop in crops if (found := features(crop)) is not None]
    return np.mean(known, axis=0) if known else None


@dataclass(frozen=True, eq=False)
class Against:
    """The features of an image against one kind of training images."""

    values: NDArray[np.float64]
    kind: Mapping[str, Any]
    saturated: float = 0.0
    """Share of the pixels that have the highest value."""
    any_kind: tuple[NDArray[np.float64], NDArray[np.float64]] = population()
    """Mean and covariance over images of any kind."""

    @cached_property
    def deviation(self) -> NDArray[np.float64]:
        """Features minus those of the middle of the training images."""
        return np.asarray(self.values - np.array(self.kind["mean"]), np.float64)

    @cached_property
    def _covariance(self) -> NDArray[np.float64]:
        return symmetric(np.array(self.kind["covariance"], float))

    @cached_property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of each feature in the training images."""
        return np.sqrt(np.diag(self._covariance))

    @cached_property
    def _white(self) -> NDArray[np.float64]:
        """Deviations, whitened so that each feature stays as near to itself as possible."""
        variance, axes = np.linalg.eigh(self._covariance / np.outer(self.std, self.std))
        return np.asarray((self.deviation / self.std) @ (axes / np.sqrt(variance)) @ axes.T)

    @cached_property
    def shifts(self) -> dict[str, tuple[float, float]]:
        """By known change: how surely it is found (standard deviations), and how much of it (1: all)."""
        found = {}
        for name, shift in self.kind["shifts"].items():
            towards = np.linalg.solve(self._covariance, np.array(shift))
            length = math.sqrt(max(float(np.array(shift) @ towards), 1e-12))
            found[name] = (float(self.deviation @ towards) / length, float(self.deviation @ towards) / length**2)
        return found

    @cached_property
    def inputs(self) -> NDArray[np.float64]:
        """What `odds` weighs."""
        middle, spread = self.any_kind
        distances = [
            _mahalanobis(self.deviation, self._covariance),
            _mahalanobis(self.values - middle, spread),
            _mahalanobis(self.deviation, spread),
        ]
        changes = [self.shifts.get(change, (0.0,))[0] for change in SHIFTS]
        return inputs(self._white, np.array(changes), np.array(distances))

    @cached_property
    def _log_odds(self) -> dict[str, float]:
        """By what the image may be instead; without changes that the record does not know."""
        known = {"other", *self.shifts}
        return {name: odds for name, odds in log_odds(self.inputs).items() if name in known}

    @cached_property
    def distance(self) -> float:
        """0 for the very middle; 1 where the image is as probably something else, and so starts to count as unlike."""
        return float(np.logaddexp(0, max(self._log_odds.values())) / math.log(2))

    def _is(self, change: str) -> bool:
        """Whether a known change explains best what is unlike."""
        return self.distance > 1 and max(self._log_odds, key=self._log_odds.__getitem__) == change

    def feature(self, name: str) -> float:
        """Return one feature."""
        return float(self.values[INDEX[name]])

    def z(self, name: str) -> float:
        """Return how many standard deviations one feature is off."""
        return float(self.deviation[INDEX[name]] / self.std[INDEX[name]])

    def reasons(self, sizes: _PixelSize) -> list[str]:
        """Say why, most useful first; never empty."""
        found = [
            *self._name_resampling(),
            *self._noise(),
            *self._name_inversion(),
            *self._name_magnification(sizes),
            *self._foreground(),
        ]
        if not found:
            found.append(
                f"brightness, texture and edges together are unlike those of the training images (distance "
                f"{self.distance:.3g}, training images stay below 1). Compare with a clean image; see carezoo suggest"
            )
        return found

    def _name_resampling(self) -> list[str]:
        if self.z("whiteness") > 6 and 2 ** (self.deviation[INDEX["whiteness"]] / 2) > 1.3:
            return ["neighbouring pixels share their noise; was the image enlarged, filtered or compressed before?"]
        return []

    def _noise(self) -> list[str]:
        low, _, high = self.kind["noise"]
        noise, is_found = 2.0 ** self.feature("noise"), self._is("noise")
        if noise > 100 * high:  # of an image without contrast: a number would say nothing
            return ["hardly anything but noise"]
        if noise > 1.2 * high and (is_found or self.z("noise") > 2.5):
            return [f"noise {noise / high:.1f} times the highest seen in training"]
        if noise < low / 2 and self.z("noise") < -2.5:
            if self.saturated > _SATURATED:
                return [f"{self.saturated:.0%} of the pixels have the highest value: saturated, without noise"]
            return [f"noise {low / noise:.1f} times lower than the lowest seen in training"]
        return ["more noise than in training images of this contrast"] if is_found else []

    def _name_inversion(self) -> list[str]:
        if self._is("inverted") and self.z("asymmetry") < -2 and self.z("skewness") < -2:
            return ["contrast looks inverted: dark structures on bright ground, trained on bright ones on dark ground"]
        return []

    def _name_magnification(self, sizes: _PixelSize) -> list[str]:
        change = next(filter(self._is, ("half", "double")), None)
        if change is None or sizes.words:
            return []
        factor = 2.0 ** min(self.shifts[change][1], 3)
        if factor < 1.2:
            return []
        size = "smaller" if change == "half" else "larger"
        what = f"structures {factor:.1f} times {size} (in pixels) than in training"
        return [what if sizes.is_known else f"{what}: another magnification?"]

    def _foreground(self) -> list[str]:
        low, _, high = self.kind["foreground"]
        share = foreground_share(self.feature("foreground"))
        if abs(self.z("foreground")) < 2.5 or low <= share <= high:
            return []
        return [f"{share:.0%} of the pixels bright, in training {low:.0%} to {high:.0%}"]


def _mahalanobis(deviation: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    return float(deviation @ np.linalg.solve(covariance, deviation))
