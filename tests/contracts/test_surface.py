"""Surfaces that scripts rely on change on purpose only."""

from importlib import import_module
from pathlib import Path

import click
import pytest

import carezoo
from carezoo.cli.main import COMMANDS

OPTIONS = Path(__file__).parent / "cli_options.txt"


def test_public_names_exist_and_nothing_leaks():
    for name in carezoo.__all__:
        assert getattr(carezoo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        carezoo.nonsense  # noqa: B018


def test_command_line_options_are_those_written_down():
    """To change the command line, change cli_options.txt in the same commit and say it in the changelog."""
    lines = []
    for name, (module, _) in COMMANDS.items():
        command = getattr(import_module(module), f"{name}_command")
        assert isinstance(command, click.Command)
        given = sorted(option for parameter in command.params for option in parameter.opts)
        lines.append(f"{name}: {' '.join(given)}")
    assert "\n".join(lines) + "\n" == OPTIONS.read_text()


def test_a_model_shows_its_name_and_file_in_a_notebook():
    model = carezoo.load("denoise-fluorescence-2d")
    assert repr(model).startswith("<Model denoise-fluorescence-2d ")
    assert len(repr(model)) < 300
