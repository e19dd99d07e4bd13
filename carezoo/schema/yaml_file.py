"""YAML to and from plain dictionaries."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from carezoo.errors import RecipeError

INCLUDE = "!include"
"""Tag of a file name, relative to the folder of the recipe; the content of that file takes its place."""

_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Refuses a repeated key, which YAML forbids and PyYAML accepts; understands `INCLUDE`."""

    folder = Path()

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event() if self.check_event(yaml.ScalarEvent) else None  # type: ignore[no-untyped-call]
        if event is None or event.tag != INCLUDE:
            return super().compose_node(parent, index)
        self.get_event()  # type: ignore[no-untyped-call]
        path = self.folder / event.value
        try:
            # An included file cannot include further files, so there are no circles.
            return yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RecipeError(f"{INCLUDE} {event.value}: cannot use {path}: {error}") from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} is given twice", problem_mark=node.value[i][0].start_mark
                )
        return super().construct_mapping(node, deep)


def read(path: Path) -> dict[str, Any]:
    """Return the content of a recipe file as nested dictionaries and lists.

    Raises
    ------
    RecipeError
        If the file cannot be read or is not a YAML mapping; syntax errors are named with their line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the recipe: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: expected a YAML text file in UTF-8: {error}") from None
    try:
        loader = _Loader(text)
        loader.folder = path.parent
        values = loader.get_single_data()
        loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RecipeError(f"{path}{line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        found = "an empty file" if values is None else f"{type(values).__name__}"
        raise RecipeError(f"{path}: expected keys such as name and data, found {found}")
    return values


class _Dumper(yaml.SafeDumper):
    """Writes short lists of numbers and words on one line."""


def _represent_list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    is_flat = not any(isinstance(each, dict | list) for each in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=is_flat)


_Dumper.add_representer(list, _represent_list)


def dumps(values: dict[str, Any]) -> str:
    """Return nested dictionaries and lists as YAML, keys in the order given."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
