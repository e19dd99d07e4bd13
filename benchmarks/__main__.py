"""Run all benchmarks, or those named, and print one line a figure: value, target, verdict.

Ratios compare two things measured alternately within one run; wall times alone mean nothing on a shared machine.
A benchmark that lacks something prints what, and is not counted as reached. `--save` writes what was measured to
benchmarks/results, one file for each benchmark, and `table` makes the table of docs/benchmarks.md from these files.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import subprocess
import sys
from importlib import import_module

from benchmarks import table
from carezoo.runtime import providers

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
    "left_out",
    "noisy_only",
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
    "noisy_scores",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*NAMES, "table", []], help="which; default: all")
    parser.add_argument("--save", action="store_true", help="write each result to benchmarks/results/NAME.json")
    parser.add_argument("--machine", default=providers.describe_processor(), help="its kind in words, for --save")
    options = parser.parse_args()
    if options.names == ["table"]:
        table.main()
        return 0
    said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    commit = said.stdout.strip()
    print(f"commit {commit}, {options.machine}, Python {platform.python_version()}")
    is_missed = False
    for name in options.names or NAMES:
        figures = []
        for figure in import_module(f"benchmarks.{name}").figures():
            print(figure.line(), flush=True)
            figures.append(figure)
        is_missed |= any(figure.is_reached is False for figure in figures)
        if options.save:
            today = datetime.date.today().isoformat()
            table.save(table.Result(name, commit, today, options.machine, tuple(figures)))
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
