"""Linear interpolation along Z by an exact fraction, as integer arithmetic on plane numbers inside the graph.

Positions follow the half-pixel convention: plane ``j`` of the output has its centre at ``(j + 1/2) / factor - 1/2``
input planes, so that spacing is exactly divided by the factor whatever the number of planes, and both images span the
same depth. Beyond the centre of the first and the last input plane there is nothing to interpolate; the plane itself
is taken. Sizes are integers throughout: ONNX's Resize makes 51 planes out of 5 for one way of rounding 10.2, and 50
for another.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from carezoo.errors import RecipeError


def check_factor(factor: Fraction) -> None:
    """Raise RecipeError unless `factor` makes planes."""
    if factor < 1:
        raise RecipeError(f"Z factor {factor}: expected at least 1 (output planes for one input plane)")


def interpolated(source: Tensor, factor: tuple[int, int], step: int) -> Tensor:
    """Return `source` with more planes, padded along Z to a multiple of `step`.

    Parameters
    ----------
    source
        BCZYX with any number of planes.
    factor
        Numerator and denominator of the factor.
    step
        The padding follows carezoo's border rule: reflection, half of it in front (rounded down), or repeated border
        planes where there are too few to reflect.

    Returns
    -------
    Tensor
        BCZYX; `cropped` removes the padding.
    """
    lower, upper, weight = _sampled(source, factor, step)
    return torch.lerp(source[:, :, lower], source[:, :, upper], weight[:, None, None])


def cropped(padded: Tensor, n_planes: int, factor: tuple[int, int], dimension: int) -> Tensor:
    """Return `padded` without the padding of `interpolated` along `dimension`, given the planes of the source."""
    n = n_planes * factor[0] // factor[1]
    return padded.narrow(dimension, (padded.shape[dimension] - n) // 2, n)


def _sampled(source: Tensor, factor: tuple[int, int], step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for every padded output plane its two neighbours in `source`, and the weight of the second."""
    n_planes, (numerator, denominator) = source.shape[2], factor
    n = n_planes * numerator // denominator
    n_padded = (n + step - 1) // step * step
    last = n - 1
    position = torch.arange(n_padded, device=source.device) - (n_padded - n) // 2
    longest_pad = torch.maximum(-position, position - last).max()
    mirrored = last - (last - position.abs()).abs()
    plane = torch.where(longest_pad <= last, mirrored, position).clamp(0, last)
    # In units of 1 / (2 * numerator) input planes, where every centre is a whole number.
    centre = ((2 * plane + 1) * denominator - numerator).clamp(min=0)
    lower = centre // (2 * numerator)
    weight = (centre - lower * (2 * numerator)).to(source.dtype) / (2 * numerator)
    return lower, (lower + 1).clamp(max=n_planes - 1), weight
