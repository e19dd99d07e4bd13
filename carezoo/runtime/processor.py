"""What the processor can do, as far as the operating system tells."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil


def flags() -> frozenset[str]:
    """Return the feature flags of the first processor (Linux; empty elsewhere)."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return frozenset()
    for line in path.read_text(encoding="utf8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def has_bfloat16() -> bool | None:
    """Return whether the processor multiplies bfloat16 numbers in hardware; None where nobody says."""
    known = flags()
    if not known:
        return None
    return bool(known & {"amx_bf16", "avx512_bf16", "bf16"})


def description() -> str:
    """Return one line: architecture, cores, and the features that matter for speed."""
    telling = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "asimd", "bf16")
    found = [name for name in telling if name in flags()]
    return f"{platform.machine()}, {n_cores()} cores" + (f", {' '.join(found)}" if found else "")


def n_cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_bytes() -> int:
    """Return memory that can be had without swapping."""
    return int(psutil.virtual_memory().available)
