"""From a clean image to what a camera records of it: photons, shot noise, multiplication, read noise, grey levels.

The chain of one pixel, after the EMVA 1288 camera model::

    expected electrons -> Poisson -> [EM register: gamma] -> full well -> + read noise -> [smoothing] -> * gain + offset
    -> round, clip

Electrons are photoelectrons (detected photons) throughout; quantum efficiency is part of the photon count.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from carezoo.errors import DataError, PixelError, RecipeError
from carezoo.schema.span import Span, draw_spans, require_not_negative
from carezoo.statistics import REFERENCE_PERCENTILE


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Light and camera of degraded images. Every `Span` is drawn anew for each image."""

    photons: Span | None = None
    """Photoelectrons in the bright pixels (99.9th percentile) above `background`. Give this or `dose_factor`."""
    dose_factor: Span | None = None
    """How many times less light than the clean image had, whose own camera is `clean_gain` and `clean_offset`."""
    clean_gain: float = 1.0
    """Grey levels per photoelectron of the clean image; used with `dose_factor`."""
    clean_offset: float = 0.0
    """Grey level of no light in the clean image; used with `dose_factor`."""
    background: Span = Span(0.0, 0.0)
    """Uniform background, photoelectrons a pixel. Targets show it, too, because an image
    cannot show which part of it is `offset`."""
    gain: Span = Span(1.0, 1.0)
    """Grey levels per photoelectron, EM multiplication included."""
    offset: Span = Span(100.0, 100.0)
    """Grey level of no light."""
    read_noise: Span = Span(1.6, 1.6)
    """Standard deviation of the read noise, electrons."""
    em_gain: Span = Span(1.0, 1.0)
    """Mean multiplication of an EMCCD register; 1: no register. It divides the read noise and doubles the variance of
    the shot noise."""
    gain_spread: Span = Span(0.0, 0.0)
    """Relative standard deviation of the gain from pixel to pixel (sCMOS: about 0.01)."""
    offset_spread: Span = Span(0.0, 0.0)
    """Standard deviation of the offset from pixel to pixel, grey levels (sCMOS: about 1)."""
    read_noise_spread: Span = Span(0.0, 0.0)
    """Standard deviation of the logarithm of the read noise from pixel to pixel (sCMOS: about 0.3)."""
    row_noise: Span = Span(0.0, 0.0)
    """Standard deviation of an offset that all pixels of a row share, electrons."""
    smoothing_px: Span = Span(0.0, 0.0)
    """Gaussian width, pixels, with which the recorded image is smoothed before it is rounded, as by resampling,
    demosaicing or a filter of the camera's driver. Noise of neighbouring pixels is then correlated. Targets are
    smoothed alike."""
    full_well: float | None = None
    """Most electrons a pixel holds; None: no limit."""
    bit_depth: int | None = 16
    """Grey levels go from 0 to 2**bit_depth - 1 and are whole numbers; None: not rounded, not clipped, float32."""

    def __post_init__(self) -> None:
        if (self.photons is None) == (self.dose_factor is None):
            raise RecipeError("a camera needs either photons or dose_factor, and not both")
        if self.photons is not None:
            _require("photons", self.photons.low > 0, self.photons, "above 0: without light there is nothing to see")
        if self.dose_factor is not None:
            _require("dose_factor", self.dose_factor.low > 0, self.dose_factor, "above 0")
        _require("gain", self.gain.low > 0, self.gain, "above 0")
        _require("clean_gain", self.clean_gain > 0, self.clean_gain, "above 0")
        _require("em_gain", self.em_gain.low >= 1, self.em_gain, "1 (no EM register) or more")
        require_not_negative(self, "background", "read_noise", "row_noise", "smoothing_px")
        require_not_negative(self, "gain_spread", "offset_spread", "read_noise_spread")
        _require("full_well", self.full_well is None or self.full_well > 0, self.full_well, "above 0")
        bits = self.bit_depth
        _require("bit_depth", bits is None or 1 <= bits <= 16, bits, "from 1 to 16, or none for floating-point numbers")


def _require(name: str, is_fulfilled: bool, found: object, expected: str) -> None:
    if not is_fulfilled:
        raise RecipeError(f"{name}: expected {expected}, found {found}")


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """The numbers drawn from a `Camera` for one image; units as there."""

    photons: float
    """Photoelectrons at the reference percentile of the clean image, whichever way they were asked for."""
    dose_factor: float
    """NaN where the camera gave `photons`."""
    background: float
    gain: float
    offset: float
    read_noise: float
    em_gain: float
    gain_spread: float
    offset_spread: float
    read_noise_spread: float
    row_noise: float
    smoothing_px: float
    full_well: float
    """Infinite if the camera has no limit."""
    bit_depth: int | None
    black: float
    """Value of the clean image that means no light."""
    electrons_per_unit: float
    """Photoelectrons of one unit of the clean image above `black`."""

    def parameters(self) -> dict[str, float]:
        """Return the drawn numbers by name, for a table; 0 bits stand for floating-point grey levels."""
        drawn = dataclasses.asdict(self)
        return {name: float(value or 0) for name, value in drawn.items()}


class PixelMaps(NamedTuple):
    """What differs from pixel to pixel of one camera; each YX, the size of the sensor or of the image."""

    gain: NDArray[np.float32]
    """Factor on the gain, mean 1."""
    offset: NDArray[np.float32]
    """Grey levels added to the offset."""
    read_noise: NDArray[np.float32]
    """Factor on the read noise."""


def degrade(
    image: NDArray[np.generic],
    camera: Camera,
    rng: np.random.Generator,
    *,
    black: float | None = None,
    white: float | None = None,
    maps: PixelMaps | None = None,
) -> tuple[NDArray[np.generic], dict[str, float]]:
    """Return what `camera` records of `image`, and the numbers it was done with.

    Parameters
    ----------
    image
        Clean image, last two axes YX, any units.
    camera
        Ranges of the parameters; one draw serves the whole image.
    black
        Value of `image` that means no light. By default `camera.clean_offset` with a dose factor, else the 0.1
        percentile of the image.
    white
        Value of `image` that gets `camera.photons`, by default the 99.9 percentile. Give both where `image` is a piece
        of a larger one, so that an empty piece stays dark.
    maps
        Measured pixel maps, at least as large as the image; a window of them is taken at random. By default maps are
        drawn with the spreads of `camera`.

    Returns
    -------
    recorded
        Shape of `image`; uint8 or uint16 by the bit depth, float32 without one.
    parameters
        Every drawn number by name, and `saturated`, the fraction of pixels at the upper limit.

    Raises
    ------
    PixelError
        If the image has NaN or infinite pixels, or is constant where a photon count is asked for.
    DataError
        If `maps` are smaller than the image.
    """
    exposure = expose(image, camera, rng, black=black, white=white)
    return record(expect_electrons(image, exposure), exposure, rng, maps=maps)


def expose(
    image: NDArray[np.generic],
    camera: Camera,
    rng: np.random.Generator,
    *,
    black: float | None = None,
    white: float | None = None,
) -> Exposure:
    """Draw the numbers with which `camera` records `image`; parameters and errors as for `degrade`."""
    values = image.astype(np.float32)
    if not np.isfinite(values).all():
        raise PixelError(
            f"a clean image of shape {image.shape} has NaN or infinite pixels; remove them before degrading"
        )
    if black is None:
        black = camera.clean_offset if camera.dose_factor else float(np.percentile(values, 0.1))
    if white is None:
        white = float(np.percentile(values, REFERENCE_PERCENTILE))
    drawn = {"dose_factor": math.nan, **draw_spans(camera, rng)}
    if camera.dose_factor:
        electrons_per_unit = 1.0 / (camera.clean_gain * drawn["dose_factor"])
        drawn["photons"] = (white - black) * electrons_per_unit
    else:
        if white <= black:
            raise PixelError(
                f"a clean image of shape {image.shape} has {white:g} at its {REFERENCE_PERCENTILE} percentile and "
                f"{black:g} as black: no structure that could get a number of photons. Leave the image out, or give a "
                "dose_factor"
            )
        electrons_per_unit = drawn["photons"] / (white - black)
    return Exposure(
        full_well=math.inf if camera.full_well is None else camera.full_well,
        bit_depth=camera.bit_depth,
        black=black,
        electrons_per_unit=electrons_per_unit,
        **drawn,
    )


def expect_electrons(image: NDArray[np.generic], exposure: Exposure) -> NDArray[np.float32]:
    """Return the expected photoelectrons of every pixel of `image`, background not included; none are negative."""
    above_black = np.maximum(image.astype(np.float32) - np.float32(exposure.black), np.float32(0.0))
    expected: NDArray[np.float32] = above_black * np.float32(exposure.electrons_per_unit)
    return expected


def to_grey_levels(image: NDArray[np.generic], exposure: Exposure) -> NDArray[np.float32]:
    """Return clean `image` in the grey levels of the recorded one: without noise, maps and limits.

    This brings a target into the intensity units of its source; values below black stay below those of no light. The
    uniform background is that of the source: a model that had to take it off could only guess how much there was.
    """
    above_black = image.astype(np.float32) - np.float32(exposure.black)
    levels: NDArray[np.float32] = above_black * np.float32(exposure.electrons_per_unit * exposure.gain)
    levels += np.float32(exposure.offset + exposure.gain * exposure.background)
    return levels


def record(
    expected: NDArray[np.float32], exposure: Exposure, rng: np.random.Generator, *, maps: PixelMaps | None = None
) -> tuple[NDArray[np.generic], dict[str, float]]:
    """Return what `acquire` does, and the parameters as `degrade` does."""
    recorded = acquire(expected, exposure, rng, maps=maps)
    highest = math.inf if exposure.bit_depth is None else 2**exposure.bit_depth - 1
    return recorded, exposure.parameters() | {"saturated": float(np.mean(recorded.astype(np.float32) >= highest))}


def record_pair(
    seen: NDArray[np.generic],
    clean: NDArray[np.generic],
    camera: Camera | None,
    rng: np.random.Generator,
    *,
    like: NDArray[np.generic],
    black: float | None = None,
    white: float | None = None,
    maps: PixelMaps | None = None,
) -> tuple[NDArray[np.generic], NDArray[np.float32], dict[str, float]]:
    """Return what `camera` records of `seen`, `clean` in the same grey levels, and the drawn numbers.

    `like` sets the exposure, with `black` and `white` as for `degrade`. Without a camera both images stay as they are.
    """
    if camera is None:
        return seen, clean.astype(np.float32), {}
    exposure = expose(like, camera, rng, black=black, white=white)
    source, parameters = record(expect_electrons(seen, exposure), exposure, rng, maps=maps)
    return source, smooth(to_grey_levels(clean, exposure), exposure), parameters


def smooth(image: NDArray[np.float32], exposure: Exposure) -> NDArray[np.float32]:
    """Return `image` (last two axes YX) smoothed as the recorded image is."""
    if exposure.smoothing_px == 0:
        return image
    smoothed: NDArray[np.float32] = ndimage.gaussian_filter(image, exposure.smoothing_px, axes=(-2, -1))
    return smoothed


def acquire(
    expected: NDArray[np.float32], exposure: Exposure, rng: np.random.Generator, *, maps: PixelMaps | None = None
) -> NDArray[np.generic]:
    """Return one recorded image of `expected` photoelectrons (last two axes YX); `exposure.background` is added."""
    size = (expected.shape[-2], expected.shape[-1])
    maps = draw_maps(size, exposure, rng) if maps is None else _cut_window(maps, size, rng)
    counts = rng.poisson(expected + np.float32(exposure.background)).astype(np.float32)
    if exposure.em_gain > 1:
        # n electrons leave a register of high gain as an Erlang distribution of shape n (Basden et al. 2003, eq. 3).
        counts = rng.standard_gamma(counts, dtype=np.float32)
    if math.isfinite(exposure.full_well):
        counts = np.minimum(counts, np.float32(exposure.full_well))
    read = np.float32(exposure.read_noise / exposure.em_gain)
    if read > 0:
        counts += read * maps.read_noise * rng.standard_normal(counts.shape, dtype=np.float32)
    if exposure.row_noise > 0:
        rows = rng.standard_normal((*counts.shape[:-1], 1), dtype=np.float32)
        counts += np.float32(exposure.row_noise / exposure.em_gain) * rows
    counts = smooth(counts, exposure)
    grey: NDArray[np.float32] = counts * (np.float32(exposure.gain) * maps.gain) + (
        np.float32(exposure.offset) + maps.offset
    )
    if exposure.bit_depth is None:
        return grey.astype(np.float32, copy=False)
    np.clip(np.rint(grey, out=grey), 0, 2**exposure.bit_depth - 1, out=grey)
    whole: NDArray[np.generic] = grey.astype(np.uint8 if exposure.bit_depth <= 8 else np.uint16)
    return whole


def draw_maps(shape: tuple[int, int], exposure: Exposure, rng: np.random.Generator) -> PixelMaps:
    """Draw pixel maps of `shape` (YX) with the spreads of `exposure`; a map without spread is a single pixel."""

    def normal(spread: float) -> NDArray[np.float32]:
        if spread == 0:
            return np.zeros((1, 1), np.float32)
        return np.float32(spread) * rng.standard_normal(shape, dtype=np.float32)

    # A pixel cannot have a negative gain, whatever the spread.
    gain = np.maximum(1 + normal(exposure.gain_spread), np.float32(0.01))
    return PixelMaps(gain, normal(exposure.offset_spread), np.exp(normal(exposure.read_noise_spread)))


def _cut_window(maps: PixelMaps, size: tuple[int, int], rng: np.random.Generator) -> PixelMaps:
    sensor = maps.gain.shape
    if any(each.shape != sensor for each in maps) or sensor[0] < size[0] or sensor[1] < size[1]:
        raise DataError(
            f"pixel maps of shapes {', '.join(str(each.shape) for each in maps)} do not cover an image of {size}: "
            "expected three maps of one shape, at least as large as the image"
        )
    y, x = (int(rng.integers(0, have - want + 1)) for have, want in zip(sensor, size, strict=True))
    return PixelMaps(*(each[y : y + size[0], x : x + size[1]] for each in maps))
