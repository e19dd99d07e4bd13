"""Run all benchmarks, or those named, and print one line a figure: value, target, verdict.

Ratios compare two things measured alternately within one run; wall times alone mean nothing on a shared machine.
A benchmark that lacks something prints what, and is not counted as reached.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.figures import Figure
from carezoo.runtime import providers as processor

NAMES = (
    "startup",
    "exactness",
    "end_to_end",
    "fiji",
    "memory",
    "volume",
    "against_csbdeep",
    "training_speed",
    "evaluate",
    "zoo",
    "quality",
    "fluorescence",
    "lean",
    "simulate",
    "simulated_models",
    "projection_quality",
    "isotropic_quality",
    "ensemble",
    "ensemble_quality",
    "isotropic",
    "trust",
    "coverage",
    "domain_check",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="which; default: all")
    parser.add_argument("--json", type=Path, help="append one JSON line a figure to this file")
    options = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    stamp = {
        "commit": commit.stdout.strip(),
        "machine": processor.describe_processor(),
        "python": platform.python_version(),
    }
    print(f"commit {stamp['commit']}, {stamp['machine']}, Python {stamp['python']}")
    figures: list[Figure] = []
    for name in options.names or NAMES:
        for figure in import_module(f"benchmarks.{name}").figures():
            print(figure.line(), flush=True)
            figures.append(figure)
    if options.json:
        with options.json.open("a", encoding="utf8") as file:
            file.writelines(json.dumps({**stamp, **figure.to_dict()}) + "\n" for figure in figures)
    return int(any(figure.is_reached is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
