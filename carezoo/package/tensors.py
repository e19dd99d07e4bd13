"""Tensors as both formats describe them, and what follows for the runtime: accepted sizes, halos, output sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor

from carezoo.errors import ManifestError, UnsupportedError
from carezoo.intensity import Operation
from carezoo.package.manifest import OutputAxis
from carezoo.tiling import AxisRule


@dataclass(frozen=True)
class Free:
    """Sizes ``min + n * step``."""

    min: int
    step: int


@dataclass(frozen=True)
class Reference:
    """A size that follows from another axis: ``floor(size * factor) + offset``."""

    tensor: str
    letter: str
    factor: Fraction | None = None
    """Pixels for one pixel of the other axis; None: from the scales of both."""
    offset: int = 0


@dataclass(frozen=True)
class Axis:
    """One axis of a tensor."""

    letter: str
    """One of BCTZYX."""
    path: str
    """Where the manifest describes it."""
    size: int | Free | Reference | None = None
    """None for a free batch axis."""
    scale: float = 1.0
    halo: int = 0
    """In output pixels, on output axes."""
    is_concatenable: bool = False
    names: tuple[str, ...] = ()
    """Of a channel axis."""
    unit: str | None = None


@dataclass(frozen=True)
class Tensor:
    """One input or output."""

    name: str
    path: str
    axes: tuple[Axis, ...]
    operations: tuple[Operation, ...] = ()
    test_path: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def letters(self) -> str:
        """Layout of the tensor."""
        return "".join(axis.letter for axis in self.axes)

    @property
    def extent(self) -> tuple[Axis, ...]:
        """Axes besides batch and channel."""
        return tuple(axis for axis in self.axes if axis.letter not in "BC")

    def axis(self, letter: str) -> Axis | None:
        """Return the axis of that letter, if there is one."""
        return next((axis for axis in self.axes if axis.letter == letter), None)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels; one for a tensor without channel axis."""
        axis = self.axis("C")
        return axis.names if axis else (self.name,)


@dataclass(frozen=True)
class TensorGeometry:
    """Sizes in and out, solved."""

    rules: Mapping[str, AxisRule]
    sizes: tuple[Mapping[str, OutputAxis], ...]
    """For each output."""
    remarks: tuple[str, ...]


def solve(source: Tensor, outputs: Sequence[Tensor]) -> TensorGeometry:
    """Find out which input sizes a network accepts, and how each output's sizes follow.

    An input axis may be tiled if the manifest says so (`concatenable`), if it declares a halo for it or a border that
    the network cuts off, or if the network takes one size only: then larger images need tiles, and without a halo they
    may show seams, which is remarked. Every other axis is taken whole.

    Raises
    ------
    UnsupportedError
        If an output does not follow from the input axis of the same name.
    ManifestError
        If tiles of the one size a network takes would be nothing but halo.
    """
    source = _untie_axes(source, _halos(source, outputs))
    sizes = tuple(_output_sizes(source, output) for output in outputs)
    rules, remarks = {}, []
    for axis in source.extent:
        rule, remark = _rule(axis, [_follower(axis.letter, o, s) for o, s in zip(outputs, sizes, strict=True)])
        rules[axis.letter] = rule
        remarks += [remark] if remark else []
    return TensorGeometry(rules, sizes, tuple(remarks))


@dataclass(frozen=True)
class _Follower:
    """How one output depends on one input axis."""

    size: OutputAxis
    halo: int

    @property
    def margin(self) -> Fraction:
        """Input pixels per side that the network cuts off."""
        return Fraction(max(0, -self.size.offset), 2) / self.size.factor

    @property
    def input_halo(self) -> int:
        return ceil(self.halo / self.size.factor + self.margin)


def _follower(letter: str, output: Tensor, sizes: Mapping[str, OutputAxis]) -> _Follower | None:
    axis = output.axis(letter)
    return None if axis is None or letter not in sizes else _Follower(sizes[letter], axis.halo)


def _rule(axis: Axis, followers: Sequence[_Follower | None]) -> tuple[AxisRule, str]:
    halo = max((follower.input_halo for follower in followers if follower), default=0)
    is_followed = all(followers)
    is_tileable = is_followed and (axis.is_concatenable or halo > 0)
    if isinstance(axis.size, Free):
        remark = f"axis {axis.letter.lower()} has no halo: images are restored in one piece along it"
        rule = AxisRule(axis.size.min, axis.size.step, ceil(halo / axis.size.step) * axis.size.step, is_tileable)
        return rule, remark if is_followed and not is_tileable else ""
    assert isinstance(axis.size, int)
    if is_followed and not is_tileable:
        remark = (
            f"axis {axis.letter.lower()} has the fixed size {axis.size} and no halo: images of another size are padded "
            "or cut into tiles that may show seams"
        )
        return AxisRule(axis.size, 0, 0, is_tileable=True), remark
    if is_tileable and axis.size <= 2 * halo:
        raise ManifestError(
            f"{axis.path}: axis {axis.letter.lower()} has the fixed size {axis.size}, of which halos and borders of "
            f"{halo} input pixels on each side leave nothing; give a smaller halo on the output, or a size above "
            f"{2 * halo}"
        )
    return AxisRule(axis.size, 0, halo, is_tileable), ""


def _halos(source: Tensor, outputs: Sequence[Tensor]) -> dict[str, int]:
    """Return the largest declared halo of each axis, in output pixels, whatever it follows from."""
    return {
        axis.letter: max((other.halo for output in outputs if (other := output.axis(axis.letter))), default=0)
        for axis in source.extent
    }


def _untie_axes(source: Tensor, halos: Mapping[str, int]) -> Tensor:
    """Give axes whose sizes depend on each other one fixed size: the runtime chooses sizes for each axis alone.

    It is the smallest one that keeps at least half of itself when the halos are cut off.
    """
    tied = {axis.size.letter for axis in source.axes if isinstance(axis.size, Reference)}
    fixed: dict[str, int] = {}
    for axis in source.axes:
        if axis.letter in tied and isinstance(axis.size, Free):
            enough = 4 * max(halos.values(), default=0)
            fixed[axis.letter] = (
                axis.size.min + max(0, ceil((enough - axis.size.min) / axis.size.step)) * axis.size.step
            )
        elif isinstance(axis.size, int):
            fixed[axis.letter] = axis.size
    axes = []
    for axis in source.axes:
        if isinstance(axis.size, Reference):
            if axis.size.tensor != source.name or axis.size.letter not in fixed:
                raise _dangling(axis, axis.size)
            other = source.axis(axis.size.letter)
            assert other is not None
            size = floor(fixed[axis.size.letter] * _factor(axis, axis.size, other)) + axis.size.offset
            axes.append(replace(axis, size=size))
        else:
            axes.append(replace(axis, size=fixed.get(axis.letter, axis.size)) if axis.letter in tied else axis)
    return replace(source, axes=tuple(axes))


def _output_sizes(source: Tensor, output: Tensor) -> dict[str, OutputAxis]:
    sizes = {}
    for axis in output.extent:
        size = _output_size(source, axis)
        if size is not None:
            sizes[axis.letter] = size
    return sizes


def _output_size(source: Tensor, axis: Axis) -> OutputAxis | None:
    """Return how an output axis follows from the input axis of the same name; None where it has length 1."""
    partner = source.axis(axis.letter)
    if isinstance(axis.size, Reference):
        other = source.axis(axis.size.letter) if axis.size.tensor == source.name else None
        if other is None:
            raise _dangling(axis, axis.size)
        factor = _factor(axis, axis.size, other)
        if other is partner:
            return _check_axis(axis, OutputAxis(factor, axis.size.offset))
        if not isinstance(other.size, int):
            raise UnsupportedError(
                f"{axis.path}: its size follows from input axis {axis.size.letter.lower()}; carezoo runs models whose "
                f"output axes follow from the input axis of the same name"
            )
        axis = replace(axis, size=floor(other.size * factor) + axis.size.offset)
    if axis.size == 1 and (partner is None or partner.size != 1):
        return None
    if partner is None:
        raise UnsupportedError(
            f"{axis.path}: the output has an axis {axis.letter.lower()} that the input does not have"
        )
    if not isinstance(partner.size, int) or not isinstance(axis.size, int):
        raise UnsupportedError(
            f"{axis.path}: the output size is fixed ({axis.size}) although the input size is free; carezoo could not "
            "tell which part of the image it shows"
        )
    return _check_axis(axis, _between_fixed(partner, axis, partner.size, axis.size))


def _between_fixed(source: Axis, output: Axis, size_in: int, size_out: int) -> OutputAxis:
    """Return factor and offset between two fixed sizes: the scales tell the factor, else equal pixels are taken."""
    factor = _ratio(source.scale, output.scale)
    if factor == 1 and size_out > size_in:
        factor = Fraction(size_out, size_in)
    return OutputAxis(factor, size_out - floor(size_in * factor))


def _check_axis(axis: Axis, size: OutputAxis) -> OutputAxis:
    if size.offset > 0 or size.offset % 2:
        raise UnsupportedError(
            f"{axis.path}: the output is {size.offset} pixels off {size.factor} times the input; carezoo runs models "
            "that cut off the same number of pixels on both sides"
        )
    return size


def _factor(axis: Axis, reference: Reference, other: Axis) -> Fraction:
    if reference.factor is not None:
        return reference.factor
    if axis.unit != other.unit:
        raise ManifestError(f"{axis.path}: its unit is {axis.unit}, that of the axis it refers to {other.unit}")
    return _ratio(other.scale, axis.scale)


def _ratio(numerator: float, denominator: float) -> Fraction:
    """Return the ratio of two scales, as the simple fraction that was meant."""
    return simple_fraction(Fraction(numerator) / Fraction(denominator))


def simple_fraction(exact: Fraction) -> Fraction:
    """Return the fraction with a denominator up to 4096 that `exact` is a rounding of, else `exact`."""
    simple = exact.limit_denominator(4096)
    return simple if simple > 0 and abs(simple / exact - 1) < Fraction(1, 10**9) else exact


def _dangling(axis: Axis, reference: Reference) -> ManifestError:
    return ManifestError(
        f"{axis.path}: refers to axis {reference.letter.lower()} of tensor {reference.tensor!r}, which is not an input "
        "axis with a size of its own"
    )
