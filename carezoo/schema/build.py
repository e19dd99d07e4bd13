"""From a plain dictionary, as parsed from YAML, to frozen dataclasses, with an error that names every wrong key.

The annotations of a dataclass are its schema. Understood are numbers, text, booleans, `Literal`, `Fraction`, `Span`,
nested dataclasses, ``X | None``, ``tuple[X, ...]`` (a single value counts as a tuple of one), and unions of dataclasses
with a class attribute `kind`, of which the key ``kind`` selects one.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from carezoo.errors import RecipeError
from carezoo.schema.span import Span

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, object], where: str) -> T:
    """Build the dataclass `cls` from `values`.

    Parameters
    ----------
    cls
        A dataclass whose annotations are of the kinds this module understands.
    values
        Keys are field names; fields with a default may be missing.
    where
        What messages call the place of `values`, such as ``simulate.camera``.

    Raises
    ------
    RecipeError
        If a key is unknown (the nearest ones are named), a required one is missing, or a value has another type.
    """
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where}: expected keys with values, found {values!r}")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise RecipeError(f"{where}: unknown key {key!r}{_nearest(str(key), fields)}")
    required = [name for name, field in fields.items() if _is_required(field) and name not in values]
    if required:
        raise RecipeError(f"{where}: missing {', '.join(required)}")
    converted = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()}
    try:
        return cls(**converted)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None


def plain(value: object) -> Any:
    """Return a dataclass as nested dictionaries and lists, from which `build` makes the same value again."""
    if isinstance(value, Span):
        return value.to_plain()
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else str(value)
    if dataclasses.is_dataclass(value):
        kind = {"kind": value.kind} if hasattr(value, "kind") else {}
        return kind | {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _nearest(word: str, known: Mapping[str, object] | list[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; known are {', '.join(sorted(known))}"


def _convert(hint: Any, value: object, where: str) -> Any:
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return _convert_union([each for each in get_args(hint) if each is not type(None)], hint, value, where)
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(items))
    if origin is Literal:
        if value in get_args(hint):
            return value
        raise RecipeError(f"{where}: expected one of {', '.join(map(str, get_args(hint)))}, found {value!r}")
    if dataclasses.is_dataclass(hint) and hint is not Span:
        return value if isinstance(value, hint) else build(hint, value, where)  # type: ignore[arg-type]
    return _convert_scalar(hint, value, where)


def _convert_union(choices: list[Any], hint: Any, value: object, where: str) -> Any:
    if value is None and type(None) in get_args(hint):
        return None
    if len(choices) == 1:
        return _convert(choices[0], value, where)
    if isinstance(value, tuple(choices)):
        return value
    kinds = {choice.kind: choice for choice in choices}
    if not isinstance(value, Mapping) or "kind" not in value:
        raise RecipeError(f"{where}: expected a key kind, one of {', '.join(kinds)}, found {value!r}")
    if value["kind"] not in kinds:
        raise RecipeError(f"{where}: unknown kind {value['kind']!r}{_nearest(str(value['kind']), kinds)}")
    return build(kinds[value["kind"]], {key: each for key, each in value.items() if key != "kind"}, where)


def _convert_scalar(hint: Any, value: object, where: str) -> Any:
    if hint is Span:
        try:
            return Span.of(value)
        except RecipeError as error:
            raise RecipeError(f"{where}: {error}") from None
    if hint is Fraction:
        return _fraction(value, where)
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e3 as text.
        except ValueError:
            pass
    if hint in {int, str, bool} and type(value) is hint:
        return value
    raise RecipeError(f"{where}: expected {getattr(hint, '__name__', hint)}, found {value!r}")


def _fraction(value: object, where: str) -> Fraction:
    try:
        # Through the decimal text: 10.2 is 51/5, not the nearest binary number.
        return value if isinstance(value, Fraction) else Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise RecipeError(f"{where}: expected a number or a fraction such as 51/5, found {value!r}") from None
