"""Linear interpolation along Z by an exact fraction, as integer arithmetic on plane numbers inside the graph.

Positions follow the half-pixel convention: plane ``j`` of the output has its centre at ``(j + 1/2) / factor - 1/2``
input planes, so that spacing is exactly divided by the factor whatever the number of planes, and both images span the
same depth. Beyond the centre of the first and the last input plane there is nothing to interpolate; the plane itself
is taken. Sizes are integers throughout: ONNX's Resize makes 51 planes out of 5 for one way of rounding 10.2, and 50
for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

import torch
from torch import Tensor

from carezoo.errors import RecipeError
from carezoo.train.networks.graph import Graph, Value

T = TypeVar("T", Tensor, Value)


def check_factor(factor: Fraction) -> None:
    """Raise RecipeError unless `factor` makes planes."""
    if factor < 1:
        raise RecipeError(f"Z factor {factor}: expected at least 1 (output planes for one input plane)")


@dataclass(frozen=True)
class Sampled(Generic[T]):
    """Which planes of a source are mixed to which planes of a finer, padded stack; one element for each of these."""

    lower: T
    upper: T
    """Number of the second plane."""
    weight: T
    """Of the second plane."""


def locate(n_planes: int, factor: tuple[int, int], step: int, device: torch.device | None = None) -> Sampled[Tensor]:
    """Return where the planes of the finer stack lie between those of the source.

    Parameters
    ----------
    n_planes
        Of the source, at least 1.
    factor
        Numerator and denominator of the factor.
    step
        The finer stack is padded to a multiple of it. The padding follows carezoo's border rule: reflection, half of it
        in front (rounded down), or repeated border planes where there are too few to reflect.
    """
    numerator, denominator = factor
    n = n_planes * numerator // denominator
    n_padded = (n + step - 1) // step * step
    last = n - 1
    position = torch.arange(n_padded, device=device) - (n_padded - n) // 2
    longest_pad = torch.maximum(-position, position - last).max()
    mirrored = last - (last - position.abs()).abs()
    plane = torch.where(longest_pad <= last, mirrored, position).clamp(0, last)
    # In units of 1 / (2 * numerator) input planes, where every centre is a whole number.
    centre = ((2 * plane + 1) * denominator - numerator).clamp(min=0)
    lower = centre // (2 * numerator)
    weight = (centre - lower * (2 * numerator)).float() / (2 * numerator)
    return Sampled(lower, (lower + 1).clamp(max=n_planes - 1), weight)


def write_located(graph: Graph, n_planes: Value, factor: tuple[int, int], step: int) -> Sampled[Value]:
    """Write what `locate` computes."""
    numerator, denominator = factor
    n = n_planes * numerator // denominator
    n_padded = (n + (step - 1)) // step * step
    last = n - 1
    position = graph.arange(n_padded) - (n_padded - n) // 2
    longest_pad = graph.maximum(-position, position - last).max()
    mirrored = last - (last - position.abs()).abs()
    plane = graph.where(longest_pad <= last, mirrored, position).clamp(0, last)
    centre = ((2 * plane + 1) * denominator - numerator).clamp(0)
    lower = centre // (2 * numerator)
    weight = (centre - lower * (2 * numerator)).to_float() / (2 * numerator)
    return Sampled(lower, (lower + 1).clamp(None, n_planes - 1), weight)


def interpolate_planes(source: Tensor, planes: Sampled[Tensor]) -> Tensor:
    """Return the finer stack of `source`, whose planes lie along dimension 2; `crop_planes` removes its padding."""
    weight = planes.weight.reshape(-1, *[1] * (source.ndim - 3))
    lower = source[:, :, planes.lower]
    return lower + weight * (source[:, :, planes.upper] - lower)


def write_interpolated(source: Value, planes: Sampled[Value], n_dimensions: int) -> Value:
    """Write what `interpolate_planes` computes of a source with so many dimensions."""
    weight = planes.weight.unsqueeze(*range(1, n_dimensions - 2))
    lower = source.select(2, planes.lower)
    return lower + weight * (source.select(2, planes.upper) - lower)


def crop_planes(padded: Tensor, n_planes: int, factor: tuple[int, int], dimension: int) -> Tensor:
    """Return `padded` without the padding of `interpolate_planes` along `dimension`, given the planes of the source."""
    n = n_planes * factor[0] // factor[1]
    return padded.narrow(dimension, (padded.shape[dimension] - n) // 2, n)


def write_cropped(padded: Value, n_planes: Value, factor: tuple[int, int], dimension: int) -> Value:
    """Write what `crop_planes` computes."""
    n = n_planes * factor[0] // factor[1]
    return padded.narrow(dimension, (padded.size(dimension) - n) // 2, n)
