"""Figure 7: the command line answers at once, and importing carezoo loads nothing heavy."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.figures import Figure, seconds

HEAVY = ("torch", "onnxruntime", "bioimageio")


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def figures() -> Iterator[Figure]:
    call = "from carezoo.cli.main import main; main(['--help'])"
    _python(call)
    times = [seconds(lambda: _python(call)) for _ in range(7)]
    yield Figure("carezoo --help", statistics.median(times), "s", at_most=0.4)
    loaded = _python(f"import carezoo, carezoo.api, sys; print(sum(n in sys.modules for n in {HEAVY}))")
    yield Figure("heavy modules loaded by import carezoo", float(loaded), at_most=0)
