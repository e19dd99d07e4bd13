"""The documentation of a recipe, from the declarations themselves: every field with type, default and meaning."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from carezoo.schema.build import selecting_key
from carezoo.schema.span import Span
from carezoo.train.recipe import Recipe

WIDTH = 100


def explain(section: type = Recipe) -> str:
    """Return every field of `section` and of the sections inside it: key, type, default, and what it means.

    The result reads as the skeleton of a YAML file; sections are indented below their key. Where one of several
    sections is chosen, a field that an earlier one of them has, too, is explained there.
    """
    return "\n".join(_lines(section, "", set())) + "\n"


def _lines(section: type, indent: str, explained: set[object]) -> Iterator[str]:
    """Yield the lines of `section`; what is in `explained`, which grows, is not explained again."""
    meanings, hints = _meanings(section), get_type_hints(section)
    for each in dataclasses.fields(section):
        hint, meaning = hints[each.name], meanings[each.name]
        heading = f"{indent}{each.name}:  # {_type_name(hint)}, {_format_default(each)}"
        if (each.name, meaning) in explained:
            yield f"{heading}; as above"
            continue
        explained.add((each.name, meaning))
        yield heading
        yield from textwrap.wrap(meaning, WIDTH, initial_indent=f"{indent}  # ", subsequent_indent=f"{indent}  # ")
        explained_inside: set[object] = set()
        for inner in _sections_in(hint):
            if inner in explained:
                yield f"{indent}  # Its keys are those above."
                continue
            explained.add(inner)
            key = selecting_key(inner)
            if hasattr(inner, key):
                yield f"{indent}  {key}: {getattr(inner, key)}"
            yield from _lines(inner, indent + "  ", explained_inside)


def _meanings(section: type) -> dict[str, str]:
    """Return the docstring below each field, inherited ones included."""
    found: dict[str, str] = {}
    for each in reversed(section.__mro__):
        if dataclasses.is_dataclass(each):
            found |= _own_meanings(each)
    return found


def _own_meanings(section: type) -> dict[str, str]:
    (declaration,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(declaration, ast.ClassDef)
    found = {}
    for statement, following in zip(declaration.body, declaration.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            found[statement.target.id] = " ".join(following.value.value.split())
    return found


def _sections_in(hint: Any) -> list[type]:
    """Return the dataclasses that `hint` allows, alone or as items of a tuple."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return [] if hint is Span else [hint]
    return [inner for each in get_args(hint) for inner in _sections_in(each)]


def _type_name(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Literal:
        return " | ".join(map(str, get_args(hint)))
    if origin is tuple:
        return f"list of {_type_name(get_args(hint)[0])}"
    if origin in {Union, types.UnionType}:
        return " | ".join(dict.fromkeys(_type_name(each) for each in get_args(hint)))
    if hint is Span:
        return "number | [low, high] | {log: [low, high]}"
    if dataclasses.is_dataclass(hint):
        return "section"
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true | false",
        type(None): "null",
        Fraction: "number or fraction",
    }
    return names[hint]


def _format_default(each: dataclasses.Field[Any]) -> str:
    if each.default_factory is not dataclasses.MISSING:
        return "default: as below"
    if each.default is dataclasses.MISSING:
        return "required"
    value = each.default
    if isinstance(value, tuple):
        return f"default: [{', '.join(map(str, value))}]"
    if value is None or isinstance(value, bool):
        return f"default: {'null' if value is None else str(value).lower()}"
    return f'default: "{value}"' if value == "" else f"default: {value}"
