"""Decoded pieces of image files in memory, bounded, because neighbouring tiles read the same plane."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class DecodedCache:
    """Keeps the most recently used arrays, up to a number of bytes. Threads may share it."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._n_bytes = 0
        self._arrays: OrderedDict[Hashable, Array] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def n_bytes(self) -> int:
        """Size of all arrays that are kept."""
        return self._n_bytes

    def get(self, key: Hashable, make: Callable[[], Array]) -> Array:
        """Return the read-only array of `key`, made by `make` if it is not here.

        Two threads that miss the same key at once both make it: cheaper than one waiting while it holds the lock.
        """
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
        array = np.ascontiguousarray(make())
        array.flags.writeable = False
        if array.nbytes <= self._most_bytes:
            self._keep(key, array)
        return array

    def _keep(self, key: Hashable, array: Array) -> None:
        with self._lock:
            if key in self._arrays:
                return
            self._arrays[key] = array
            self._n_bytes += array.nbytes
            while self._n_bytes > self._most_bytes:
                _, oldest = self._arrays.popitem(last=False)
                self._n_bytes -= oldest.nbytes


DECODED = DecodedCache(most_bytes=256 * 2**20)
"""Shared by all open files, so that many open files do not add up."""
