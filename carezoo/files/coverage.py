"""Was every pixel written exactly once? Answered with two numbers a plane, however many regions there are."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import RestoreError


class Coverage:
    """Counts the pixels written to each plane, and adds up a random weight of each.

    The count alone would take a pixel written twice for one that is missing. The weight of pixel (y, x) is the product
    of two random 64-bit numbers, of its row and of its column, so that a rectangle's weight is the product of two
    sums. Modulo 2^64, another set of regions reaches the weight of the whole plane by chance only.

    Parameters
    ----------
    shape
        Of the array: dimensions that count planes, then Y and X.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self._counting = tuple(shape[:-2])
        self._n_pixels = prod(shape[-2:])
        # The weights guard against mistakes, not against an adversary: any fixed seed serves.
        rng = np.random.default_rng(20180926)
        self._row_sums, self._column_sums = (_running_sum(rng, n) for n in shape[-2:])
        self._written = np.zeros(self._counting, np.int64)
        self._weights = np.zeros(self._counting, np.uint64)

    def add(self, region: Sequence[slice]) -> None:
        """Note that `region` (start and stop in every dimension) was written."""
        *counting, rows, columns = region
        planes = tuple(counting)
        self._written[planes] += (rows.stop - rows.start) * (columns.stop - columns.start)
        with np.errstate(over="ignore"):  # modulo 2^64 on purpose
            self._weights[planes] += self._weight(rows, columns)

    def forget(self, region: Sequence[slice]) -> None:
        """Take back whatever was written to the planes that `region` holds, each of them whole."""
        planes = tuple(region[:-2])
        self._written[planes] = 0
        self._weights[planes] = 0

    def require_complete(self, name: str) -> None:
        """Raise if not every pixel was written exactly once.

        Raises
        ------
        RestoreError
            Naming `name`, how many planes are concerned, and the first of them.
        """
        whole = self._weight(slice(0, len(self._row_sums) - 1), slice(0, len(self._column_sums) - 1))
        is_wrong = (self._written != self._n_pixels) | (self._weights != whole)
        if not is_wrong.any():
            return
        first = tuple(int(i) for i in np.argwhere(is_wrong)[0])
        n_written = int(self._written[first])
        raise RestoreError(
            f"{name} is not complete: {int(is_wrong.sum())} of {is_wrong.size} plane(s) were not written exactly once; "
            f"of plane {first}, {n_written} of {self._n_pixels} pixels were written"
            f"{' (some of them twice)' if n_written >= self._n_pixels else ''}. No file was left"
        )

    def _weight(self, rows: slice, columns: slice) -> np.uint64:
        with np.errstate(over="ignore"):
            height = self._row_sums[rows.stop] - self._row_sums[rows.start]
            width = self._column_sums[columns.stop] - self._column_sums[columns.start]
            return np.uint64(height * width)


def _running_sum(rng: np.random.Generator, n: int) -> NDArray[np.uint64]:
    weights = rng.integers(0, 2**64 - 1, n, dtype=np.uint64, endpoint=True)
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(weights, dtype=np.uint64)])
