"""docs/benchmarks.md says what the committed results say."""

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import __main__ as runner
from benchmarks import table


def test_the_page_is_what_the_script_makes():
    page = table.PAGE.read_text("utf8")
    assert table.render(page, table.read_results()) == page, "run: python -m benchmarks table"


def test_a_figure_that_changed_changes_the_page():
    first, *others = table.read_results()
    figure = replace(first.figures[0], value=123.25)
    page = table.render(table.PAGE.read_text("utf8"), [replace(first, figures=(figure,)), *others])
    assert "| 123.2" in page
    assert page != table.PAGE.read_text("utf8")


def test_a_result_reads_as_it_was_written(tmp_path):
    for result in table.read_results():
        table.save(result, tmp_path)
        assert (tmp_path / f"{result.benchmark}.json").read_text("utf8") == (
            table.RESULTS / f"{result.benchmark}.json"
        ).read_text("utf8")


@pytest.mark.parametrize("name", runner.NAMES)
def test_every_benchmark_follows_what_is_renamed(name):
    assert callable(import_module(f"benchmarks.{name}").figures)


def test_every_benchmark_has_results():
    measured_by_tests = {"csbdeep_goldens", "tests"}
    assert {result.benchmark for result in table.read_results()} == set(runner.NAMES) | measured_by_tests
