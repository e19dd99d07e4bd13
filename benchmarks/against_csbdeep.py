"""Figure 4: restoring with CARE's default 2D network, against CSBDeep 0.8.2 on the same machine in the same run.

Needs a second environment (see benchmarks/csbdeep/README.md) whose Python is named in CAREZOO_CSBDEEP_PYTHON.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, seconds
from benchmarks.models import package, structure
from carezoo.image import Image
from carezoo.runtime.restore import open_session, restore
from carezoo.settings import Settings

MISSING = "needs CAREZOO_CSBDEEP_PYTHON (see benchmarks/csbdeep/README.md)"
SIDE, N = 1024, 3


@functools.cache
def csbdeep() -> list[dict[str, Any]]:
    """Return CSBDeep's timings, measured now; an empty list without its environment."""
    python = os.environ.get("CAREZOO_CSBDEEP_PYTHON")
    if not python:
        return []
    script = Path(__file__).parent / "csbdeep" / "time_csbdeep.py"
    done = subprocess.run([python, str(script)], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _predict(n_tiles: int) -> float:
    return next(float(t["seconds"]) for t in csbdeep() if t.get("what") == "predict" and t["n_tiles"] == [n_tiles] * 2)


def _ours(settings: Settings) -> tuple[float, str]:
    made, image = package(), Image(structure((SIDE, SIDE)), "YX")
    session = open_session(made, settings)
    restore(image, made, settings, session=session)
    best = min(seconds(lambda: restore(image, made, settings, session=session)) for _ in range(N))
    return best, session.precision


def figures() -> Iterator[Figure]:
    names = {
        "exact": "CSBDeep untiled / carezoo exact, 1024x1024, default 2D network",
        "fast": "CSBDeep untiled / carezoo fast, 1024x1024, default 2D network",
    }
    at_least = {"exact": 2.0, "fast": 10.0}
    if not csbdeep():
        for precision, name in names.items():
            yield Figure(name, None, at_least=at_least[precision], note=MISSING)
        return
    exact, _ = _ours(Settings(provider="cpu"))
    note = f"{_predict(1):.2f} s against {exact:.2f} s; CSBDeep in 4x4 tiles {_predict(4):.2f} s"
    yield Figure(names["exact"], _predict(1) / exact, at_least=at_least["exact"], note=note)
    tiled, _ = _ours(Settings(provider="cpu", tile=SIDE // 4 + 88))
    yield Figure("CSBDeep in 4x4 tiles / carezoo in tiles of the same core", _predict(4) / tiled, note=f"{tiled:.2f} s")
    fast, precision = _ours(Settings(precision="fast"))
    if precision == "exact":
        yield Figure(names["fast"], None, at_least=at_least["fast"], note="this processor has no bfloat16 arithmetic")
    else:
        yield Figure(names["fast"], _predict(1) / fast, at_least=at_least["fast"], note=f"{fast:.2f} s")
