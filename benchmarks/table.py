"""The table of docs/benchmarks.md, made from ``benchmarks/results/*.json``: one file for each benchmark.

A file holds the benchmark's name, the commit, date and machine of its last run, and its figures. `figures.Figure` says
what a figure is. A figure that was not measured in that run has a `run` of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- made by `python -m benchmarks table` from benchmarks/results -->\n", "<!-- end of the table -->\n"


@dataclass(frozen=True)
class Result:
    """The last run of one benchmark."""

    benchmark: str
    commit: str
    date: str
    """YYYY-MM-DD."""
    machine: str
    """Its kind, in words."""
    figures: tuple[Figure, ...]

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read the file of a benchmark."""
        values = json.loads(text)
        figures = tuple(Figure(**{**each, "note": each.get("note", "")}) for each in values.pop("figures"))
        return cls(**values, figures=figures)

    def to_json(self) -> str:
        """Return the file of a benchmark, keys that say nothing left out."""
        head = {key: getattr(self, key) for key in ("benchmark", "commit", "date", "machine")}
        figures = [_said(each.to_dict()) for each in self.figures]
        return json.dumps({**head, "figures": figures}, indent=1, ensure_ascii=False) + "\n"


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in values.items() if each not in {None, ""} or key == "value"}


def read_results(folder: Path = RESULTS) -> list[Result]:
    """Return the results that are committed, by name of the benchmark."""
    return [Result.from_json(path.read_text("utf8")) for path in sorted(folder.glob("*.json"))]


def save(result: Result, folder: Path = RESULTS) -> None:
    """Write the file of a benchmark over that of its last run."""
    (folder / f"{result.benchmark}.json").write_text(result.to_json(), "utf8")


def render(page: str, results: Iterable[Result]) -> str:
    """Return the page with its table made anew; the text around the table stays."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + "\n".join(_lines(list(results))) + "\n\n" + END + after


def _lines(results: list[Result]) -> Iterator[str]:
    machines = list(dict.fromkeys(each.machine for each in results))
    yield from (f"- {letter}: {machine}" for letter, machine in zip("ABCDEFG", machines, strict=False))
    yield ""
    yield "| benchmark | figure | target | measured | reached | commit, date, machine |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for result in results:
        letter = "ABCDEFG"[machines.index(result.machine)]
        for number, figure in enumerate(result.figures):
            where = f"{figure.run or f'{result.commit}, {result.date}'}, {letter}"
            name = f"`{result.benchmark}`" if number == 0 else ""
            cells = (name, figure.name, figure.target, _measured(figure), _verdict(figure), where)
            yield "| " + " | ".join(cells).replace("  ", " ") + " |"


def _measured(figure: Figure) -> str:
    note = f" ({figure.note})" if figure.note else ""
    return figure.measured + note


def _verdict(figure: Figure) -> str:
    return {True: "yes", False: "**no**", None: ""}[figure.is_reached]


def main() -> None:
    """Write docs/benchmarks.md."""
    PAGE.write_text(render(PAGE.read_text("utf8"), read_results()), "utf8")
