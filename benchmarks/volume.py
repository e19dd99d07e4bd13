"""Figure: a stack of 100 x 1024 x 1024 pixels, 16 bit, restored file to file by the 3D model that ships.

The command is the one of a user, `carezoo restore ... --model denoise-nuclei-3d --precision fast`, start of Python and
reading and writing included. Where fast runs as exact, for lack of bfloat16 arithmetic, the line says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import shipped
from benchmarks.figures import Figure, seconds
from benchmarks.models import structure
from carezoo import files
from carezoo.image import Image

SHAPE = (100, 1024, 1024)
NAME, VARIABLE = "denoise-nuclei-3d", "CAREZOO_NUCLEI_3D"


def figures() -> Iterator[Figure]:
    title = f"{NAME}, {'x'.join(map(str, SHAPE))} uint16, fast, file to file"
    if shipped.model(VARIABLE, NAME) is None:
        yield Figure(title, None, "s", at_most=30.0, note=f"needs {VARIABLE}")
        return
    with tempfile.TemporaryDirectory(prefix="carezoo-benchmark-") as folder:
        source = Path(folder, "stack.tif")
        files.write_image(source, Image(structure(SHAPE), "ZYX"))
        command = [sys.executable, "-m", "carezoo", "restore", str(source), "--output", str(Path(folder, "out"))]
        command += ["--model", os.environ.get(VARIABLE, NAME), "--precision", "fast", "--json"]
        done: list[subprocess.CompletedProcess[str]] = []
        took = seconds(lambda: done.append(subprocess.run(command, check=True, capture_output=True, text=True)))
    (outcome,) = json.loads(done[0].stdout)
    ran = outcome["reports"][0]["provenance"]
    yield Figure(title, took, "s", at_most=30.0, note=f"version {ran['version']} ran in {ran['precision']}")
