"""bioimageio.core as outside judge of several packages, in one process of its own: importing it takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

JUDGE = """
import json, sys
from bioimageio.core import load_description, test_description
statuses = {}
for path in sys.argv[2:]:
    description = load_description(path)  # with every check of files and test tensors
    summary = test_description(path, weight_format="onnx")
    errors = [error.msg for detail in summary.details for error in detail.errors]
    statuses[path] = [type(description).__name__, summary.status, errors]
open(sys.argv[1], "w").write(json.dumps(statuses))
"""


def verdicts(paths: Sequence[Path], scratch: Path) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Return class of the description, status and errors of each package, by its path."""
    result = scratch / "statuses.json"
    command = [sys.executable, "-W", "ignore", "-c", JUDGE, str(result), *map(str, paths)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert result.exists(), finished.stderr[-2000:]
    found = json.loads(result.read_text())
    return {path: (kind, status, tuple(errors)) for path, (kind, status, errors) in found.items()}
