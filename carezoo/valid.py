"""Which pixels of an image are valid: measured by a camera, not padding, NaN or hidden by a mask.

Statistics see valid pixels only, networks get the others filled from their neighbours, and results keep their values.
Whether a pixel is valid is decided plane by plane (YX) and remembered as packed bits, so that images of any size can be
asked.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import PixelError
from carezoo.image import Averages, DerivedPixels, Image
from carezoo.settings import Nodata

Mask = NDArray[np.bool_]
Position = Mapping[str, int]
"""Index along axes besides Y and X, by letter; letters the image lacks are ignored."""

LARGEST = np.float64(np.finfo(np.float32).max)  # not a Python float, which a float16 image would take for infinite
"""Networks compute in float32; a larger number in a double-precision image would become infinite on the way."""

LEAST_PADDING = 0.005
"""Share of a plane below which constant pixels at its border harm nothing and are left alone."""

_BLOCK = 5
"""Pixels: padding consists of squares of this side; beyond the border of the plane it is taken to go on."""

_MOST_ALIKE = 0.01
"""Share of the other pixels that may lie at or beyond the value of padding. Above it, the value is ordinary noise, and
as near to a low or high percentile as to do no harm."""

_LEAST_SOLID = 0.5
"""Share of the other pixels whose neighbours are no padding either. Sparse photons on exact zeros have fewer."""

_LEAST_STEP = 0.25
"""Step from padding to the pixels at its edge, against that to all others. Where a background was subtracted and cut
off at zero, the pixels beside the zeros are nearly zero."""

_N_JUDGED = 1 << 16
"""Pixels, evenly spaced, out of which the other pixels are judged."""


def find_padding(plane: NDArray[np.generic]) -> tuple[Mask, float] | None:
    """Find padding in a plane: an exactly constant region at its border.

    Parameters
    ----------
    plane
        YX.

    Returns
    -------
    tuple of NDArray and float, or None
        Where padding is, and its value. None without any, and where the constant pixels may well be image: dark
        backgrounds in which every photon counts, saturated pixels, backgrounds cut off at zero.
    """
    value = _find_border_value(plane)
    if value is None:
        return None
    same = plane == value
    if np.count_nonzero(same) <= LEAST_PADDING * plane.size:
        return None
    padding = _open(same)
    if np.count_nonzero(padding) <= LEAST_PADDING * plane.size or not _is_strange(plane, padding, value):
        return None
    return padding, float(value)


def _find_border_value(plane: NDArray[np.generic]) -> Any:
    """Return the value that most neighbours along the border share; None if hardly any share one."""
    edges = (plane[0], plane[-1], plane[:, 0], plane[:, -1])
    pairs = [edge[1:][edge[1:] == edge[:-1]] for edge in edges]
    values, counts = np.unique(np.concatenate(pairs), return_counts=True)
    return values[counts.argmax()] if len(values) and counts.max() >= _BLOCK else None


def _open(same: Mask) -> Mask:
    """Return the squares of `same`, which goes on beyond the border."""
    padded = np.pad(same, _BLOCK, mode="edge")
    for axis in (0, 1):
        padded = _all_within(padded, axis)
    for axis in (0, 1):
        padded = ~_all_within(~padded, axis)
    return padded[_BLOCK:-_BLOCK, _BLOCK:-_BLOCK]


def _all_within(mask: Mask, axis: int, size: int = _BLOCK) -> Mask:
    """Return for every pixel whether the `size` pixels around it along `axis` are set; those beyond the ends count."""
    found = mask.copy()
    for shift in range(1, size // 2 + 1):
        first, last = _cut(axis, None, -shift), _cut(axis, shift, None)
        found[first] &= mask[last]
        found[last] &= mask[first]
    return found


def _cut(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(start, stop),)


def _is_strange(plane: NDArray[np.generic], padding: Mask, value: Any) -> bool:
    """Return whether the value of `padding` is foreign to the other pixels."""
    others = ~padding
    solid = _all_within(_all_within(others, 0, 3), 1, 3)
    if np.count_nonzero(solid) < _LEAST_SOLID * np.count_nonzero(others):
        return False
    values = plane[others].astype(np.float64)
    values = values[np.isfinite(values)][:: max(1, len(values) // _N_JUDGED)]
    if not len(values) or values.min() == values.max():
        return False
    middle = float(np.median(values))
    alike = values <= value if middle > value else values >= value
    if float(alike.mean()) > _MOST_ALIKE:
        return False
    edge = plane[others & ~solid].astype(np.float64)
    edge = edge[np.isfinite(edge)]
    return len(edge) > 0 and abs(float(np.median(edge)) - float(value)) > _LEAST_STEP * abs(middle - float(value))


def read_plane(
    image: Image, position: Position, rows: slice = slice(None), columns: slice = slice(None)
) -> NDArray[np.generic]:
    """Read a region of one plane, YX; as a masked array where the image is one."""
    bounds: dict[str, int | slice] = {**position, "Y": rows, "X": columns}
    block = image.pixels[tuple(bounds[letter] for letter in image.axes)]
    return np.asanyarray(block if image.axes.index("Y") < image.axes.index("X") else block.T)


@dataclass(eq=False)
class ValidPixels:
    """The valid pixels of one image."""

    image: Image
    nodata: Nodata = "auto"
    """Value of pixels that are not valid; auto: `find_padding` decides, and planes of one value have no valid pixel."""
    is_nan_refused: bool = False
    _planes: dict[tuple[int, ...], NDArray[np.uint8] | bool] = field(default_factory=dict)
    """By position: which pixels are not valid, eight a byte, or True for all of them, False for none."""
    _excluded: dict[str, set[tuple[int, ...]]] = field(default_factory=dict)
    """By axes: where along them."""
    _n_found: Counter[str] = field(default_factory=Counter)
    _blank: dict[str, float] = field(default_factory=dict)
    _frames: ValidPixels | None = field(default=None, init=False)
    """Of the frames whose means the image holds; what is not valid was decided there."""

    def __post_init__(self) -> None:
        pixels = self.image.pixels
        if isinstance(pixels, Averages) and isinstance(pixels.pixels, _ValidFrames):
            self._frames, self.nodata = pixels.pixels.valid, "none"

    def invalid(self, position: Position, rows: slice = slice(None), columns: slice = slice(None)) -> Mask | None:
        """Return which pixels of a region of one plane are not valid, YX; None: all of them are."""
        sizes, bits = self.image.sizes, self._decide(position)
        if bits is False:
            return None
        if bits is True:
            return np.ones((len(range(sizes["Y"])[rows]), len(range(sizes["X"])[columns])), np.bool_)
        found = np.unpackbits(bits[rows], axis=1, count=sizes["X"])[:, columns].view(np.bool_)
        return found if found.any() else None

    def values(self, position: Position) -> NDArray[np.generic]:
        """Return the valid pixels of one plane, in any shape."""
        invalid = self.invalid(position)
        plane = np.asarray(read_plane(self.image, position))
        return plane if invalid is None else plane[~invalid]

    def is_blank(self, position: Position) -> bool:
        """Return whether a plane has no valid pixel."""
        return self._decide(position) is True

    def require_some(self) -> None:
        """Refuse an image of which every plane that was asked for is invalid, but those of one value.

        Raises
        ------
        PixelError
            If it is so.
        """
        is_blank = self._blank or (self._frames and self._frames._blank)
        if self._planes and not is_blank and all(bits is True for bits in self._planes.values()):
            raise PixelError(f"{self.image.name} has no valid pixel: all are NaN, infinite, masked, or without data")

    def exclude(self, position: Position) -> None:
        """Take all planes at `position` for not valid."""
        letters = "".join(letter for letter in self.image.axes if letter in position)
        self._excluded.setdefault(letters, set()).add(tuple(position[letter] for letter in letters))

    def hide_above(self, position: Position, limit: float) -> None:
        """Take the pixels of one plane above a limit for not valid."""
        plane: NDArray[Any] = np.asarray(read_plane(self.image, position))
        self._keep(position, _join(self.invalid(position), plane > limit))

    def name(self, position: Position) -> str:
        """Return what messages call a part of the image; the whole has no name."""
        words = {"S": "sample", "T": "frame", "C": "channel", "Z": "plane"}
        letters = [
            each for each in self.image.axes if each in words and each in position and self.image.sizes[each] > 1
        ]
        return " ".join(f"{words[letter]} {position[letter]}" for letter in letters)

    def _decide(self, position: Position) -> NDArray[np.uint8] | bool:
        for letters, found in self._excluded.items():
            if tuple(position[letter] for letter in letters) in found:
                return True
        key = self._key(position)
        return self._planes[key] if key in self._planes else self._keep(position, self._find(position))

    def _key(self, position: Position) -> tuple[int, ...]:
        return tuple(position[letter] for letter in self.image.axes if letter not in "YX")

    def _keep(self, position: Position, invalid: Mask | None) -> NDArray[np.uint8] | bool:
        n = 0 if invalid is None else np.count_nonzero(invalid)
        found = bool(n) if invalid is None or n in {0, invalid.size} else np.packbits(invalid, axis=1)
        self._planes[self._key(position)] = found
        return found

    def _find(self, position: Position) -> Mask | None:
        plane = read_plane(self.image, position)
        invalid = np.ma.getmaskarray(plane) if isinstance(plane, np.ma.MaskedArray) else None
        plane = np.asarray(plane)
        if plane.dtype.kind == "f" and not (plane.min() >= -LARGEST and plane.max() <= LARGEST):
            finite = np.abs(plane) <= LARGEST
            if invalid is not None:
                finite |= invalid  # what is hidden is not looked at
            if not finite.all():
                self._refuse_nan(plane, finite, position)
                self._n_found["NaN or infinite"] += int(finite.size - np.count_nonzero(finite))
                invalid = _join(invalid, ~finite)
        if self.nodata == "auto":
            return _join(invalid, self._find_constant(plane, position))
        if self.nodata != "none":
            declared = plane == self.nodata
            return _join(invalid, declared) if declared.any() else invalid
        return invalid

    def _find_constant(self, plane: NDArray[np.generic], position: Position) -> Mask | None:
        if (plane[0] == plane[0, 0]).all() and (plane == plane[0, 0]).all():
            self._blank[self.name(position) or "the image"] = float(plane[0, 0])
            return np.ones(plane.shape, np.bool_)
        found = find_padding(plane)
        if found is None:
            return None
        self._n_found[f"exactly {found[1]:g}"] += int(np.count_nonzero(found[0]))
        return found[0]

    def _refuse_nan(self, plane: NDArray[np.generic], finite: Mask, position: Position) -> None:
        if self.is_nan_refused:
            y, x = np.argwhere(~finite)[0].tolist()
            at = {**position, "Y": y, "X": x}
            where = ", ".join(f"{letter.lower()}={at[letter]}" for letter in self.image.axes)
            raise PixelError(
                f"{self.image.name} holds {plane[y, x]} at {where}; expected numbers up to {LARGEST:.2g}. Repair the "
                "image, or leave such pixels out (--nan keep)"
            )

    def remarks(self) -> Iterator[str]:
        """Yield in words what was found without being asked for, in the planes that were read."""
        if self._frames:
            yield from self._frames._describe("left out of the means", "left out of the means")
        yield from self._describe("neither measured nor restored", "passed through as it is")

    def _describe(self, pixels_are: str, blanks_are: str) -> Iterator[str]:
        n_pixels = len(self._planes) * self.image.sizes["Y"] * self.image.sizes["X"]
        for what, n in self._n_found.items():
            share = f"{self.image.name}: {100 * n / n_pixels:.2g} % of the pixels are {what}: "
            if what.startswith("exactly"):
                yield f"{share}taken as padding, which is {pixels_are}; --nodata none to keep them"
            else:
                yield f"{share}{pixels_are}"
        if self._blank:
            names = list(self._blank)
            which = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            value = " or ".join(f"{value:g}" for value in list(dict.fromkeys(self._blank.values()))[:3])
            yield f"{self.image.name}: {which}: every pixel is {value}; {blanks_are}"


def average_frames(image: Image, n: int, nodata: Nodata = "auto", *, is_nan_refused: bool = False) -> Image:
    """Return the means of `n` consecutive frames, each of its valid pixels alone, without reading them.

    Where no frame has a valid pixel, the mean has none: it is masked, with the mean of the pixels as they are.

    Parameters
    ----------
    n
        Frames of T in one mean; 1 returns the image as it is.
    nodata, is_nan_refused
        Of the frames, as `ValidPixels` takes them, which knows the means that come out.

    Raises
    ------
    InputError, AxesError
        As `Image.average_frames`.
    """
    frames = ValidPixels(image, nodata, is_nan_refused)
    return image if n == 1 else replace(image, pixels=_ValidFrames(image.pixels, frames)).average_frames(n)


@dataclass(frozen=True, eq=False)
class _ValidFrames(DerivedPixels):
    """Pixels of an image, masked where they are not valid."""

    valid: ValidPixels

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read one region, as a masked array if some of its pixels are not valid."""
        axes, block = self.valid.image.axes, np.asanyarray(self.pixels[key])
        bounds = {
            letter: range(n)[item if isinstance(item, slice) else slice(item, item + 1)]
            for letter, n, item in zip(axes, self.shape, key, strict=True)
        }
        rows, columns = (slice(bounds[letter].start, bounds[letter].stop) for letter in "YX")
        invalid = np.zeros([len(bound) for bound in bounds.values()], np.bool_)
        others = [letter for letter in axes if letter not in "YX"]
        for at in itertools.product(*(bounds[letter] for letter in others)):
            position = dict(zip(others, at, strict=True))
            found = self.valid.invalid(position, rows, columns)
            if found is not None:
                where = tuple(
                    position[letter] - bounds[letter].start if letter in position else slice(None) for letter in axes
                )
                invalid[where] = found if axes.index("Y") < axes.index("X") else found.T
        invalid = invalid[tuple(slice(None) if isinstance(item, slice) else 0 for item in key)]
        return np.ma.masked_array(block, invalid) if invalid.any() else block


def _join(first: Mask | None, second: Mask | None) -> Mask | None:
    if first is None or second is None:
        return second if first is None else first
    return first | second


WINDOW = 4
"""Times `reach`, around a region: what `fill` has to see for the region to be filled as if it saw the whole plane."""


def fill(plane: NDArray[Any], invalid: Mask, reach: int) -> Mask:
    """Fill invalid pixels of a plane, in place: mirrored at the nearest edge of the valid ones, or else that edge.

    Parameters
    ----------
    plane
        YX.
    invalid
        Which pixels to fill.
    reach
        Pixels: how far from valid pixels along Y and X. A filled pixel depends on those up to `WINDOW` times as far.

    Returns
    -------
    NDArray
        Which pixels are left, because they are farther away.
    """
    for _ in range(2):  # corners are filled from what was filled along rows and columns
        (down, y), (across, x) = (_find_mirrored(~invalid, axis) for axis in (0, 1))
        filled = plane.copy()
        for distance, other, source, axis in ((down, across, y, 0), (across, down, x, 1)):
            nearest = invalid & (distance <= reach) & (distance <= other)
            filled[nearest] = np.take_along_axis(plane, source, axis)[nearest]
        plane[...] = filled
        invalid = invalid & (np.minimum(down, across) > reach)
    return invalid


def _find_mirrored(valid: Mask, axis: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return along `axis` the distance of the nearest valid pixel, and the pixel that shows what is mirrored there."""
    n = valid.shape[axis]
    far = 1 << 28  # beyond every reach: no valid pixel on this side
    at = np.arange(n, dtype=np.int32).reshape((-1, 1) if axis == 0 else (1, -1))
    before = np.maximum.accumulate(np.where(valid, at, -far).astype(np.int32), axis)
    after = np.flip(np.minimum.accumulate(np.flip(np.where(valid, at, far + n).astype(np.int32), axis), axis), axis)
    edge = np.where(at - before <= after - at, before, after)
    mirrored = 2 * edge - at
    inside = mirrored.clip(0, n - 1)
    is_valid = np.take_along_axis(valid, inside, axis) & (mirrored == inside)
    return np.abs(edge - at), np.where(is_valid, mirrored, edge.clip(0, n - 1))
