"""Patches from several sources of images, each with its share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from carezoo.data.patches import Float, Sampler

_ROUND = 64
"""Patches after which the shares are exact, as far as they can be."""


class MixedSampler:
    """Draws from several samplers in turn (`patches.Sampler`).

    Each gets its own numbers without gaps, so that samplers that cut several patches from one image lose nothing.
    """

    def __init__(self, samplers: Sequence[Sampler], shares: Sequence[float]) -> None:
        self.samplers = tuple(samplers)
        self._turns = _turns(shares)
        # How many patches of its own sampler come before each turn of a round.
        self._before = np.array([np.count_nonzero(self._turns[:i] == which) for i, which in enumerate(self._turns)])

    def patch(self, number: int) -> tuple[Float, Float]:
        """Return the `number`-th patch of the training."""
        cycle, turn = divmod(number, len(self._turns))
        which = int(self._turns[turn])
        n_in_round = int(np.count_nonzero(self._turns == which))
        return self.samplers[which].patch(cycle * n_in_round + int(self._before[turn]))

    def fixed_patches(self, n: int, *, is_anywhere: bool = False) -> tuple[Float, Float]:
        """Return `n` patches that are always the same, as many of each sampler as its share."""
        turns = self._turns[np.arange(n) % len(self._turns)]
        drawn = [
            sampler.fixed_patches(int(np.count_nonzero(turns == which)), is_anywhere=is_anywhere)
            for which, sampler in enumerate(self.samplers)
            if (turns == which).any()
        ]
        return np.concatenate([source for source, _ in drawn]), np.concatenate([target for _, target in drawn])


def _turns(shares: Sequence[float]) -> NDArray[np.intp]:
    """Return whose turn it is in a round: as evenly spread as the shares allow, everybody at least once."""
    wanted = np.asarray(shares, float) / sum(shares)
    counts = np.maximum(1, np.rint(wanted * _ROUND)).astype(int)
    # Each spreads its turns evenly over the round.
    at = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    return np.repeat(np.arange(len(counts)), counts)[np.argsort(at, kind="stable")]
