"""Intensities: measure the whole image once, normalize pieces of it, undo it on results.

Operations are those of the bioimage.io model format. All of them are measured on the image as it is, before the first
operation, which is also what bioimageio.core does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import UnionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError
from carezoo.settings import Settings
from carezoo.statistics import Blocks, moments, percentiles

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Affine:
    """``x * gain + offset``, one number for all channels or one each.

    The format's `scale_linear` and `fixed_zero_mean_unit_variance`.
    """

    gain: tuple[float, ...]
    offset: tuple[float, ...]


@dataclass(frozen=True)
class ScaleRange:
    """``(x - low) / (high - low + eps)`` with percentiles of the whole image (`scale_range`)."""

    low_percentile: float
    high_percentile: float
    eps: float = 1e-6
    is_per_channel: bool = True
    background: float | None = None
    """What is known to be dark, in the units of the image; takes the place of the low percentile."""
    is_robust: bool = False
    """Whether pixels that are far brighter than the others are left out of the percentiles."""


@dataclass(frozen=True)
class Standardize:
    """``(x - mean) / (std + eps)`` of the whole image (`zero_mean_unit_variance`)."""

    eps: float = 1e-6
    is_per_channel: bool = True


@dataclass(frozen=True)
class GivenRanges:
    """What a user knows of some channels in place of what `measured` would find there."""

    measured: ScaleRange | Standardize
    ranges: Mapping[int, tuple[float, float]]
    """Dark and bright value by channel of the network."""


@dataclass(frozen=True)
class Clip:
    """Limit values to constants or to percentiles of the whole image (`clip`); None: no limit on that side."""

    low: float | None = None
    high: float | None = None
    low_percentile: float | None = None
    high_percentile: float | None = None
    is_per_channel: bool = True


@dataclass(frozen=True)
class Binarize:
    """1 where ``x > threshold``, else 0 (`binarize`)."""

    threshold: tuple[float, ...]


@dataclass(frozen=True)
class Sigmoid:
    """``1 / (1 + exp(-x))`` (`sigmoid`)."""


@dataclass(frozen=True)
class Softmax:
    """Softmax over the channels (`softmax`)."""


@dataclass(frozen=True)
class Cast:
    """Convert to another type and back to float32 (`ensure_dtype`)."""

    dtype: str


@dataclass(frozen=True)
class MatchMoments:
    """Give the result the mean and standard deviation of the input image (`scale_mean_variance`)."""

    eps: float = 1e-6
    is_per_channel: bool = True


Operation = Affine | ScaleRange | Standardize | GivenRanges | Clip | Binarize | Sigmoid | Softmax | Cast | MatchMoments


@dataclass(frozen=True)
class Normalization:
    """Operations with everything measured: what `apply` does to a piece of the image, and how a result is undone."""

    steps: tuple[Callable[[Float], Float], ...]
    gain: NDArray[np.float64]
    """``normalized = (x - offset) / gain`` of the affine steps, one number a channel."""
    offset: NDArray[np.float64]
    """In the units of the input, one number a channel."""
    unmeasured: Mapping[int, str] = field(default_factory=dict)
    """Channels without a range of intensities, and why; there `gain` and `offset` mean nothing."""
    remarks: Mapping[int, str] = field(default_factory=dict)
    """What is odd about the intensities of a channel, and what to do about it."""
    limits: Mapping[int, float] = field(default_factory=dict)
    """Values of a channel above which its pixels were not measured."""

    def apply(self, x: NDArray[np.generic]) -> Float:
        """Return `x` (channel axis first, raw values) as the network wants it, float32."""
        result = x.astype(np.float32)
        for step in self.steps:
            result = step(result)
        return result

    def undo(self, y: Float, channels: Sequence[int], *, is_scale: bool) -> Float:
        """Return network output `y` in the intensity units of the input.

        Parameters
        ----------
        y
            Channel axis first, as many channels as `channels`.
        channels
            Which input channel's units each channel of `y` gets.
        is_scale
            True for widths (Laplace scale): only the gain applies.
        """
        per_channel = (len(channels),) + (1,) * (y.ndim - 1)
        gain = self.gain[list(channels)].astype(np.float32).reshape(per_channel)
        if is_scale:
            return y * gain
        return y * gain + self.offset[list(channels)].astype(np.float32).reshape(per_channel)


def measure(operations: Sequence[Operation], channels: Sequence[Blocks], name: str = "image") -> Normalization:
    """Measure what `operations` need to know of an image.

    Parameters
    ----------
    operations
        In the order in which they are applied.
    channels
        Valid pixels of each channel of the image, over everything that is normalized together (space, and time if the
        series shares its statistics).
    name
        What messages call the image.

    Returns
    -------
    Normalization
        `gain` and `offset` describe the affine operations (`Affine`, `ScaleRange`, `Standardize`) before the first one
        that is not affine. Channels are `unmeasured` that have no valid pixel, or where the two percentiles of a
        `ScaleRange` coincide although the channel is not constant.

    Raises
    ------
    InputError
        If a given background is not below the bright value.
    """
    notes = _Notes()
    steps: list[Callable[[Float], Float]] = []
    # normalized = x * a + b, followed through the chain; undone as (y - b) / a.
    a, b = np.ones(len(channels)), np.zeros(len(channels))
    for operation in operations:
        if isinstance(operation, Cast) and operation.dtype == "float32":
            continue
        gain_offset = _to_affine(operation, channels, name, notes)
        if gain_offset is None:
            steps.append(_elementwise(operation, channels))
            continue
        gain, offset = gain_offset
        a, b = a * gain, b * gain + offset
        steps.append(_affine_step(gain, offset))
    return Normalization(tuple(steps), 1.0 / a, -b / a, notes.unmeasured, notes.remarks, notes.limits)


@dataclass(frozen=True)
class _Notes:
    """What is to be said of channels; grows while they are measured."""

    unmeasured: dict[int, str] = field(default_factory=dict)
    remarks: dict[int, str] = field(default_factory=dict)
    limits: dict[int, float] = field(default_factory=dict)

    def drop(self, channel: int) -> None:
        for each in (self.unmeasured, self.remarks, self.limits):
            each.pop(channel, None)


def with_settings(
    operations: Sequence[Operation], settings: Settings, channels: Sequence[int] = (0,)
) -> tuple[Operation, ...]:
    """Return `operations` with what the user knows in place of what would be measured.

    Parameters
    ----------
    operations, settings
        Of the model, and of the user.
    channels
        Index along C of the image for each channel of the network.

    Raises
    ------
    InputError
        If a setting names what the model does not measure.
    """
    if settings.background is not None:
        _require(ScaleRange, operations, f"background {settings.background:g}")
        operations = _with_range(operations, background=settings.background)
    if settings.is_robust:
        _require(ScaleRange, operations, "robust")
        operations = _with_range(operations, is_robust=True)
    if settings.intensity_range is None:
        return tuple(operations)
    _require(ScaleRange | Standardize, operations, "intensity range")
    if isinstance(settings.intensity_range, Mapping):
        known = settings.intensity_range
        ranges = {i: known[channel] for i, channel in enumerate(channels) if channel in known}
        return tuple(
            GivenRanges(operation, ranges) if isinstance(operation, ScaleRange | Standardize) else operation
            for operation in operations
        )
    low, high = settings.intensity_range
    return tuple(
        Affine((1.0 / (high - low),), (-low / (high - low),))
        if isinstance(operation, ScaleRange | Standardize)
        else operation
        for operation in operations
    )


def _require(kinds: type | UnionType, operations: Sequence[Operation], setting: str) -> None:
    """Refuse a setting that would change nothing, because the model measures nothing of these kinds."""
    if not any(isinstance(operation, kinds) for operation in operations):
        is_standardized = any(isinstance(each, Standardize) for each in operations)
        how = "by mean and standard deviation" if is_standardized else "every image by the same constants"
        raise InputError(f"{setting}: this model is not normalized by percentiles, but {how}; leave it out")


def _with_range(operations: Sequence[Operation], **known: Any) -> tuple[Operation, ...]:
    return tuple(
        replace(operation, **known) if isinstance(operation, ScaleRange) else operation for operation in operations
    )


def _to_affine(
    operation: Operation,
    channels: Sequence[Blocks],
    name: str,
    notes: _Notes,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if isinstance(operation, Affine):
        ones = np.ones(len(channels))
        return ones * operation.gain, ones * operation.offset
    if isinstance(operation, GivenRanges):
        return _with_given(operation, channels, name, notes)
    if not isinstance(operation, ScaleRange | Standardize):
        return None
    center, width = np.empty(len(channels)), np.empty(len(channels))
    for together in _group_channels(len(channels), operation.is_per_channel):
        blocks = _chain([channels[i] for i in together])
        if next(iter(blocks()), None) is None:
            center[together], width[together] = 0.0, 1.0
            notes.unmeasured.update(dict.fromkeys(together, "no pixel is valid"))
            continue
        if isinstance(operation, Standardize):
            center[together], spread = moments(blocks)
        else:
            found = _range(operation, blocks, name)
            center[together], spread = found.low, found.high - found.low
            if found.remark:
                where = notes.remarks if found.is_measured else notes.unmeasured
                where.update(dict.fromkeys(together, found.remark))
            if found.limit is not None:
                notes.limits.update(dict.fromkeys(together, found.limit))
        # Below a range of 1 the constant shrinks with it: images in volts or on a scale to 1 are restored alike.
        width[together] = spread + operation.eps * (min(spread, 1.0) or 1.0)
    return 1.0 / width, -center / width


def _with_given(
    operation: GivenRanges,
    channels: Sequence[Blocks],
    name: str,
    notes: _Notes,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gain, offset = np.ones(len(channels)), np.zeros(len(channels))
    if len(operation.ranges) < len(channels):
        measured = _to_affine(operation.measured, channels, name, notes)
        assert measured is not None
        gain, offset = measured
    for channel, (low, high) in operation.ranges.items():
        gain[channel], offset[channel] = 1.0 / (high - low), -low / (high - low)
        notes.drop(channel)
    return gain, offset


@dataclass(frozen=True)
class _Range:
    low: float
    high: float
    is_measured: bool = True
    remark: str = ""
    limit: float | None = None
    """Above it no pixel was measured."""


_MOST_ABOVE = 5.0
"""Times the range up to percentile 98 to which that up to the high percentile reaches in ordinary images."""

_MOST_BEYOND = 3.0
"""Times that range to which single pixels of ordinary images reach."""

_MOST_SATURATED = 0.01
"""Share of pixels that may have the highest value."""

_MOST_LEVELS = 16
"""Different values up to which an image counts photons: its brightest pixels are no sign of saturation."""

_PART = 1 << 16
"""Pixels in which different values are looked for at once."""

_BELOW_TOP = 1 / 32
"""Top part of the range that holds less than half as many pixels as have the highest value, if that is saturated."""


def _range(operation: ScaleRange, blocks: Blocks, name: str) -> _Range:
    wanted = (operation.low_percentile, operation.high_percentile, 0.0, 98.0, 100.0 * (1 - _MOST_SATURATED), 100.0)
    low, high, lowest, usual, nearly_highest, highest = percentiles(blocks, wanted)
    if operation.background is not None:
        if operation.background >= high:
            raise InputError(
                f"{name}: background {operation.background:g} is not below its bright value {high:g} (percentile "
                f"{wanted[1]:g}); expected the value of pixels without light, in the units of the image"
            )
        low = operation.background
    if low == high and lowest < highest:
        remark = (
            f"percentiles {wanted[0]:g} and {wanted[1]:g} are both {low:g}, though values go from {lowest:g} to "
            f"{highest:g}: too few pixels hold anything to measure a range. Crop to the object, or give the range that "
            "should be taken as dark and bright (--range LOW,HIGH)"
        )
        return _Range(low, high, is_measured=False, remark=remark)
    limit = low + _MOST_ABOVE * (usual - low)
    limit = limit if high > limit else max(limit, low + _MOST_BEYOND * (high - low))
    if highest > limit > low:
        if operation.is_robust:
            return _range_below(limit, operation, blocks, name)
        return _Range(low, high, remark=_describe_brightest(low, high, usual, limit, blocks))
    if nearly_highest == highest > max(lowest, 0.0) and _is_saturated(blocks, lowest, highest):
        remark = (
            f"{100 * _share(blocks, lambda values: values >= highest):.2g} % of the pixels have the highest value, "
            f"{highest:g}: saturated. True intensities are lost there; do not measure them. Lower exposure or gain "
            "when you acquire, or convert to 8 bits without stretching the contrast"
        )
        return _Range(low, high, remark=remark)
    return _Range(low, high)


def _describe_brightest(low: float, high: float, usual: float, limit: float, blocks: Blocks) -> str:
    if high <= limit:
        return (
            f"{100 * _share(blocks, lambda values: values > limit):.2g} % of the pixels are far brighter than the "
            f"others (above {limit:.6g}). If they are debris or hot pixels, they harm what is restored around them: "
            "leave them out (--robust)"
        )
    middle = (low + high) / 2
    return (
        f"{100 * _share(blocks, lambda values: values > middle):.2g} % of the pixels are so bright that the range of "
        f"intensities reaches {(high - low) / (usual - low):.2g} times as far (to {high:.6g}) as for 98 % of them (to "
        f"{usual:.6g}). If they are debris or hot pixels, leave them out (--robust), or give the range of the sample, "
        f"such as --range {low:.6g},{usual:.6g}"
    )


def _range_below(limit: float, operation: ScaleRange, blocks: Blocks, name: str) -> _Range:
    def list_kept() -> Iterator[NDArray[np.generic]]:
        for block in blocks():
            values: NDArray[Any] = block
            kept = values[values <= limit]
            if kept.size:
                yield kept

    remark = (
        f"{100 * _share(blocks, lambda values: values > limit):.2g} % of the pixels are above {limit:.6g}: taken as "
        "debris or hot pixels, which are neither measured nor restored (--robust)"
    )
    return replace(_range(replace(operation, is_robust=False), list_kept, name), remark=remark, limit=limit)


def _is_saturated(blocks: Blocks, lowest: float, highest: float) -> bool:
    """Return whether far more pixels have the highest value than values just below."""
    if not _has_many_levels(blocks):
        return False
    near = highest - _BELOW_TOP * (highest - lowest)
    at_top = _share(blocks, lambda values: values >= highest)
    return at_top > 2 * _share(blocks, lambda values: (values >= near) & (values < highest))


def _has_many_levels(blocks: Blocks) -> bool:
    levels: set[float] = set()
    for block in blocks():
        for part in np.array_split(block.ravel(), -(-block.size // _PART)):
            levels.update(np.unique(part)[: _MOST_LEVELS + 1].tolist())
            if len(levels) > _MOST_LEVELS:
                return True
    return False


def _share(blocks: Blocks, condition: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> float:
    """Return the share of pixels that fulfil a condition."""
    counts = np.array([(np.count_nonzero(condition(block)), block.size) for block in blocks()]).sum(axis=0)
    return float(counts[0] / counts[1])


def _group_channels(n: int, is_per_channel: bool) -> list[list[int]]:
    """Return the channels one by one, or all of them as one."""
    return [[i] for i in range(n)] if is_per_channel else [list(range(n))]


def _chain(channels: Sequence[Blocks]) -> Blocks:
    return lambda: (block for channel in channels for block in channel())


def _per_channel(values: Sequence[float] | NDArray[np.float64], x: Float) -> Float:
    return np.asarray(values, np.float32).reshape((-1,) + (1,) * (x.ndim - 1))


def _affine_step(gain: NDArray[np.float64], offset: NDArray[np.float64]) -> Callable[[Float], Float]:
    # (x - center) / width instead of x * gain + offset: no cancellation where the offset is large.
    center, width = -offset / gain, 1.0 / gain
    return lambda x: (x - _per_channel(center, x)) / _per_channel(width, x)


def _elementwise(operation: Operation, channels: Sequence[Blocks]) -> Callable[[Float], Float]:
    if isinstance(operation, Clip):
        low, high = _clip_limits(operation, channels)
        return lambda x: np.clip(x, _per_channel(low, x), _per_channel(high, x))
    if isinstance(operation, Binarize):
        threshold = operation.threshold
        return lambda x: (x > _per_channel(threshold, x)).astype(np.float32)
    if isinstance(operation, Sigmoid):
        return lambda x: (1.0 / (1.0 + np.exp(-x))).astype(np.float32)
    if isinstance(operation, Softmax):
        return _softmax
    if isinstance(operation, Cast):
        dtype = operation.dtype
        return lambda x: x.astype(dtype).astype(np.float32)
    raise TypeError(f"{type(operation).__name__} is not an operation on the input")


def _softmax(x: Float) -> Float:
    powers = np.exp(x - x.max(axis=0, keepdims=True))
    return np.asarray(powers / powers.sum(axis=0, keepdims=True), np.float32)


def _clip_limits(operation: Clip, channels: Sequence[Blocks]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    groups = [
        _chain([channels[i] for i in group]) for group in _group_channels(len(channels), operation.is_per_channel)
    ]

    def limit(constant: float | None, percentile: float | None, default: float) -> NDArray[np.float64]:
        if percentile is not None:
            found = [
                percentiles(blocks, (percentile,))[0] if any(True for _ in blocks()) else default for blocks in groups
            ]
            return np.array(found)
        return np.array([default if constant is None else constant])

    return (
        limit(operation.low, operation.low_percentile, -np.inf),
        limit(operation.high, operation.high_percentile, np.inf),
    )
