"""Arrays in named shared memory, described as Appose describes them (``NDArray``).

Who made a block answers for it: the caller frees what it passed, `SharedArrays` what it returned. A block that the
caller has freed in the meantime does no harm. If this process is killed, Python's resource tracker frees its blocks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError

DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
"""Types of pixels that can be passed."""


class SharedArrays:
    """The shared arrays this process has made."""

    def __init__(self) -> None:
        self._blocks: list[SharedMemory] = []

    def share(self, array: NDArray[Any]) -> dict[str, Any]:
        """Copy `array` into shared memory and return its description; `MemoryError` if there is not enough of it."""
        try:
            block = SharedMemory(create=True, size=max(1, array.nbytes))
        except OSError as error:
            raise MemoryError(f"{array.nbytes / 2**20:.0f} MiB of shared memory: {error}") from error
        self._blocks.append(block)
        np.ndarray(array.shape, array.dtype, buffer=block.buf)[...] = array
        memory = {"appose_type": "shm", "name": block.name, "rsize": array.nbytes}
        return {"appose_type": "ndarray", "dtype": str(array.dtype), "shape": list(array.shape), "shm": memory}

    def release(self) -> int:
        """Free all arrays made so far, and return how many there were."""
        n_blocks = len(self._blocks)
        while self._blocks:
            block = self._blocks.pop()
            block.close()
            try:
                block.unlink()
            except FileNotFoundError:  # the caller has freed it; nobody else may then
                _forget(block)
        return n_blocks

    @contextmanager
    def attach(self, described: Mapping[str, Any] | None) -> Iterator[NDArray[Any] | None]:
        """Yield the array that a caller shares, without copying it; None if none is described.

        A wrong description, or one of memory that is not there, is an `InputError`.
        """
        if described is None:
            yield None
            return
        name, dtype, shape = _parse(described)
        n_bytes = prod(shape) * np.dtype(dtype).itemsize
        block = _attach(name)
        try:
            if block.size < n_bytes:
                raise InputError(f"shared memory {name} has {block.size} bytes, an array of {n_bytes} was described")
            array = np.ndarray(shape, dtype, buffer=block.buf)
            array.flags.writeable = False
            yield array
        finally:
            array = None  # type: ignore[assignment]  # views of a block must go before the block
            _close(block)


def _parse(described: Mapping[str, Any]) -> tuple[str, str, tuple[int, ...]]:
    try:
        name = str(described["shm"]["name"])
        dtype = str(described["dtype"])
        shape = tuple(int(size) for size in described["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"expected a shared array (dtype, shape, shm with a name), found {described!r}") from error
    if dtype not in DTYPES or any(size < 1 for size in shape):
        raise InputError(f"a shared array of {dtype} {shape} cannot be restored; expected one of {', '.join(DTYPES)}")
    return name, dtype, shape


def _attach(name: str) -> SharedMemory:
    try:
        if sys.version_info >= (3, 13):
            return SharedMemory(name=name, track=False)
        block = SharedMemory(name=name)
    except (OSError, ValueError) as error:
        raise InputError(f"there is no shared memory {name}: {error}") from error
    _forget(block)
    return block


def _forget(block: SharedMemory) -> None:
    """Keep the resource tracker from freeing a block that is not ours."""
    if sys.platform != "win32":
        resource_tracker.unregister(block._name, "shared_memory")  # type: ignore[attr-defined]


def _close(block: SharedMemory) -> None:
    """Let go of a block; an error on its way out may still hold views of it, then the process's end does it."""
    try:
        block.close()
    except BufferError:
        block._buf = block._mmap = None  # type: ignore[attr-defined]
