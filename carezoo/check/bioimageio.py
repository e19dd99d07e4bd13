"""bioimageio.core as outside judge: its own test of a package, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carezoo.errors import MissingExtraError
from carezoo.package.read import Package

TIMEOUT_S = 1800.0


def judge(package: Package) -> tuple[bool, str]:
    """Run ``bioimageio test`` on a package.

    Returns
    -------
    tuple
        Whether the status is "passed", and what bioimageio.core said. Format errors and outputs that are not reproduced
        both make it something else.

    Raises
    ------
    MissingExtraError
        If bioimageio.core is not installed.
    """
    if importlib.util.find_spec("bioimageio") is None or importlib.util.find_spec("bioimageio.core") is None:
        raise MissingExtraError.of("bioimageio.core", "bioimageio", "to run its test of a package")
    with tempfile.TemporaryDirectory(prefix="carezoo-check-") as scratch:
        summary = Path(scratch, "summary.json")
        command = [sys.executable, "-m", "bioimageio.core", "test", str(package.path)]
        try:
            finished = subprocess.run(
                [*command, "--weight-format", "onnx", "--summary", str(summary)],
                env=_environment(package, scratch),
                capture_output=True,
                text=True,
                encoding="utf8",
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False, f"bioimageio test did not finish within {TIMEOUT_S:.0f} s"
        if not summary.is_file():
            return False, f"bioimageio test failed: {_last_lines(finished.stderr or finished.stdout)}"
        return _verdict(json.loads(summary.read_text("utf8")))


def _environment(package: Package, scratch: str) -> dict[str, str]:
    """Return the environment of the process: a cache of its own, and no network it can do without."""
    changes = {"BIOIMAGEIO_CACHE_PATH": scratch, "PYTHONIOENCODING": "utf8", "NO_COLOR": "1"}
    if _mentions_network({key: value for key, value in package.manifest.rdf.items() if key != "config"}):
        # Every address is asked for otherwise, and an unknown GitHub user is an error without a network.
        changes["BIOIMAGEIO_PERFORM_IO_CHECKS"] = "0"
    return {**os.environ, **changes}


def _mentions_network(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "github_user" in value or any(_mentions_network(child) for child in value.values())
    if isinstance(value, list):
        return any(_mentions_network(child) for child in value)
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _verdict(summary: Mapping[str, Any]) -> tuple[bool, str]:
    status = str(summary.get("status"))
    if status == "passed":
        return True, f"bioimageio.core {_version(summary)}: passed"
    errors = [
        f"{detail.get('name')}: {' '.join(str(error.get('msg')).split())}"
        for detail in summary.get("details") or ()
        for error in detail.get("errors") or ()
    ]
    return False, f"bioimageio.core {_version(summary)}: {status}. {'; '.join(errors[:3])}"


def _version(summary: Mapping[str, Any]) -> str:
    versions = {str(entry[0]): str(entry[1]) for entry in summary.get("env") or () if len(entry) > 1}
    return versions.get("bioimageio.core", "")


def _last_lines(text: str) -> str:
    return " / ".join(text.strip().splitlines()[-3:]) or "without a message"
