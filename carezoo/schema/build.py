"""From a plain dictionary, as parsed from YAML, to frozen dataclasses, with an error that names every wrong key.

The annotations of a dataclass are its schema. This module understands numbers, text, booleans, `Literal`, `Fraction`,
`Span`, nested dataclasses, ``X | None``, ``tuple[X, ...]`` (a single value counts as a tuple of one), and unions of
dataclasses, of text and one dataclass, or of others (the first that takes the value).

One key selects a class of a union. Class attributes say how:

- `selected_by` names the key; without it the key is ``kind``.
- The attribute of that name holds the value that selects the class.
- `aliases` are further values that select it.
- `is_default` selects the class where the key is missing.

Metadata ``example`` of a field is shown where the field is required and missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import types
from collections.abc import Mapping, Sequence
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
    missing = [field for name, field in fields.items() if _is_required(field) and values.get(name) is None]
    if missing:
        examples = [f"{field.name}: {field.metadata['example']}" for field in missing if "example" in field.metadata]
        hint = f"; for a first try {', '.join(examples)}" if examples else ""
        raise RecipeError(f"{where}: missing {', '.join(field.name for field in missing)}{hint}")
    converted = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()}
    try:
        return cls(**converted)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None


def build_one_of(choices: Sequence[type[T]], values: object, where: str) -> T:
    """Build the dataclass of a union that `values` select, from the other keys.

    A key of another class of the union is refused. Only where its value says nothing (null, an empty list, the default
    of that class) is it left out, so that records that list the keys of all classes stay readable.

    Parameters
    ----------
    choices
        The classes of the union; all are selected by the same key.
    values, where
        As for `build`.

    Raises
    ------
    RecipeError
        As `build`; or the selecting key is missing or has an unknown value.
    """
    key = selecting_key(choices[0])
    by_word = {word: each for each in choices for word in (getattr(each, key), *getattr(each, "aliases", ()))}
    by_default = [each for each in choices if getattr(each, "is_default", False)]
    if not isinstance(values, Mapping) or not (key in values or by_default):
        raise RecipeError(f"{where}: expected a key {key}, one of {', '.join(by_word)}, found {values!r}")
    word = str(values[key]) if key in values else getattr(by_default[0], key)
    if word not in by_word:
        raise RecipeError(f"{where}: unknown {key} {values[key]!r}{_nearest(word, by_word)}")
    chosen = by_word[word]
    kept = {name: value for name, value in values.items() if name != key}
    return build(chosen, _without_keys_of_others(chosen, choices, kept, where), where)


def selecting_key(choice: type) -> str:
    """Return the key that selects `choice` among the classes of a union; its class attribute holds the value."""
    key: str = getattr(choice, "selected_by", "kind")
    return key


def to_plain(value: object) -> Any:
    """Return a dataclass as nested dictionaries and lists, from which `build` makes the same value again."""
    if isinstance(value, Span):
        return value.to_plain()
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else str(value)
    if dataclasses.is_dataclass(value):
        key = selecting_key(type(value))
        selected = {key: getattr(value, key)} if hasattr(type(value), key) else {}
        return selected | {each.name: to_plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [to_plain(each) for each in value]
    return value


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _without_keys_of_others(
    chosen: Any, choices: Sequence[Any], values: Mapping[str, object], where: str
) -> Mapping[str, object]:
    """Return `values` without the keys that only other classes than `chosen` have; refuse those that say something."""
    kept, key = dict(values), selecting_key(chosen)
    fields = {each: {field.name: field for field in dataclasses.fields(each)} for each in choices}
    for name, value in values.items():
        owners = [each for each in choices if name in fields[each]]
        if chosen in owners or not owners:
            continue
        if not all(_says_nothing(each, fields[each][name], value, where) for each in owners):
            raise RecipeError(
                f"{where}: {name} is a key of {key} {', '.join(getattr(each, key) for each in owners)}, found in "
                f"{key} {getattr(chosen, key)}; remove it, or change {key}"
            )
        del kept[name]
    return kept


def _says_nothing(choice: type, field: dataclasses.Field[Any], value: object, where: str) -> bool:
    """Whether `choice` with `value` in `field` is `choice` without it."""
    if value is None or value == []:
        return True
    if _is_required(field):
        return False
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return bool(_convert(get_type_hints(choice)[field.name], value, f"{where}.{field.name}") == default)


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
    if isinstance(value, tuple(each for each in choices if isinstance(each, type))):
        return value
    sections = [each for each in choices if dataclasses.is_dataclass(each)]
    if sections:
        return _convert(sections[0], value, where) if len(sections) == 1 else build_one_of(choices, value, where)
    for each in choices:
        with contextlib.suppress(RecipeError):
            return _convert(each, value, where)
    names = [", ".join(map(str, get_args(each))) or each.__name__ for each in choices]
    raise RecipeError(f"{where}: expected {' or '.join(names)}, found {value!r}")


def _convert_scalar(hint: Any, value: object, where: str) -> Any:
    if hint is Span:
        try:
            return Span.parse(value)
        except RecipeError as error:
            raise RecipeError(f"{where}: {error}") from None
    if hint is Fraction:
        return _to_fraction(value, where)
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e3 as text.
        except ValueError:
            pass
    if hint in {int, str, bool} and type(value) is hint:
        return value
    raise RecipeError(f"{where}: expected {getattr(hint, '__name__', hint)}, found {value!r}")


def _to_fraction(value: object, where: str) -> Fraction:
    try:
        # Through the decimal text: 10.2 is 51/5, not the nearest binary number.
        return value if isinstance(value, Fraction) else Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise RecipeError(f"{where}: expected a number or a fraction such as 51/5, found {value!r}") from None
