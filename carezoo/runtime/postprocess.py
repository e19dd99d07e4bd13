"""Operations a package asks for after the network: at once where a tile is enough, at the end where it is not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from carezoo import intensity
from carezoo.intensity import Clip, MatchMoments, Normalization, Operation, ScaleRange, Standardize
from carezoo.package.manifest import OutputTensor
from carezoo.statistics import Blocks, moments

Float = NDArray[np.float32]


def at_once(output: OutputTensor) -> Normalization:
    """Return the first operations of an output, which need nothing but the values."""
    operations = list(itertools.takewhile(lambda each: not _needs_whole_output(each), output.postprocessing))
    return intensity.measure(operations, [list] * len(output.channels))


def is_deferred(output: OutputTensor) -> bool:
    """Return whether an output has operations that need statistics of the whole output."""
    return any(map(_needs_whole_output, output.postprocessing))


def finish(
    values: Float, output: OutputTensor, source: Sequence[Blocks], invalid: NDArray[np.bool_] | None = None
) -> Float:
    """Apply the operations from the first on that needs statistics of the whole output.

    Parameters
    ----------
    values
        The output of one frame, channel first.
    source
        The valid raw pixels of each input channel.
    invalid
        Which values count for nothing; None: all of them count.
    """
    for operation in itertools.dropwhile(lambda each: not _needs_whole_output(each), output.postprocessing):
        kept = values if invalid is None else [channel[~out] for channel, out in zip(values, invalid, strict=True)]
        channels = [_to_blocks(channel) for channel in kept]
        if isinstance(operation, MatchMoments):
            values = _match_moments(values, channels, source, operation)
        else:
            values = intensity.measure([operation], channels).apply(values)
    return values


def _to_blocks(channel: Float) -> Blocks:
    return lambda: [channel] if channel.size else []


def _together(channels: Sequence[Blocks]) -> Blocks:
    return lambda: (block for channel in channels for block in channel())


def _match_moments(
    values: Float, channels: Sequence[Blocks], source: Sequence[Blocks], operation: MatchMoments
) -> Float:
    """``(y - mean(y)) / (std(y) + eps) * (std(x) + eps) + mean(x)``, as the format defines it."""
    if not operation.is_per_channel:
        channels, source = [_together(channels)] * len(channels), [_together(source)]
    result = np.empty_like(values)
    for i, channel in enumerate(channels):
        sides = (channel, source[min(i, len(source) - 1)])
        if any(next(iter(blocks()), None) is None for blocks in sides):  # nothing valid: the image comes back anyway
            result[i] = values[i]
            continue
        mean, std = moments(channel)
        wanted_mean, wanted_std = moments(source[min(i, len(source) - 1)])
        result[i] = (values[i] - mean) / (std + operation.eps) * (wanted_std + operation.eps) + wanted_mean
    return result


def _needs_whole_output(operation: Operation) -> bool:
    if isinstance(operation, Clip):
        return operation.low_percentile is not None or operation.high_percentile is not None
    return isinstance(operation, MatchMoments | ScaleRange | Standardize)
