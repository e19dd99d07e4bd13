"""A YAML file from a stranger, as plain values with the path to each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from carezoo.errors import IntegrityError, ManifestError

T = TypeVar("T")

MAX_BYTES = 4 << 20
"""The largest manifest that is read; those of the bioimage.io collection have a few kilobytes."""

MAX_VALUES = 200_000
"""Most values a manifest may hold once its aliases are written out."""

MAX_DEPTH = 64

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(content: bytes, name: str) -> Mapping[str, Any]:
    """Return the mapping a YAML file holds; messages call it `name`.

    Only plain values are made (no tags that construct objects). Aliases are allowed, as other tools write them, but not
    those that refer to themselves or multiply into a huge document.

    Raises
    ------
    IntegrityError
        If the file is too large, too deep, or multiplies by aliases.
    ManifestError
        If it is not YAML, or not a mapping.
    """
    if len(content) > MAX_BYTES:
        raise IntegrityError(f"{name} has {len(content)} bytes; a manifest has at most {MAX_BYTES}")
    try:
        text = content.decode("utf-8-sig")
        _measure(text, name)
        value = yaml.load(text, Loader=_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, OverflowError, TypeError) as error:
        raise ManifestError(f"{name} is not readable YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise ManifestError(
            f"{name} holds {_kind(value)}; expected a mapping with keys such as type and format_version"
        )
    return value


def _measure(text: str, name: str) -> None:
    """Count the values of a document as if its aliases were written out, without building it."""
    open_counts: list[int] = [0]
    open_anchors: list[str | None] = [None]
    anchors: dict[str, int] = {}
    anchor: str | None
    for event in yaml.parse(text, Loader=_LOADER):
        added, anchor = 0, None
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise IntegrityError(f"{name}: alias *{event.anchor} refers to itself or to nothing")
            added = anchors[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            added, anchor = 1, event.anchor
        elif isinstance(event, yaml.CollectionStartEvent):
            open_counts.append(1)
            open_anchors.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            added, anchor = open_counts.pop(), open_anchors.pop()
        if anchor:
            anchors[anchor] = added
        open_counts[-1] += added
        if open_counts[-1] > MAX_VALUES:
            raise IntegrityError(f"{name}: its aliases multiply to more than {MAX_VALUES} values")
        if len(open_counts) > MAX_DEPTH:
            raise IntegrityError(f"{name} is nested more than {MAX_DEPTH} deep")


@dataclass(frozen=True)
class Entry:
    """A value with the path to it, so that every message can say where."""

    value: Any
    path: str

    def __getitem__(self, key: str) -> Entry:
        found = self.get(key)
        if found is None:
            raise ManifestError(f"{self.path}: key {key!r} is missing{self._among()}")
        return found

    def get(self, key: str) -> Entry | None:
        """Return the entry below `key`; None where it is missing or null."""
        mapping = self.mapping()
        return None if mapping.get(key) is None else Entry(mapping[key], f"{self.path}.{key}")

    def optional(self, key: str, read: Callable[[Entry], T]) -> T | None:
        """Return what `read` makes of the entry below `key`; None where it is missing or null."""
        found = self.get(key)
        return None if found is None else read(found)

    def __iter__(self) -> Iterator[Entry]:
        if not isinstance(self.value, list):
            raise self.error("a list")
        for i, value in enumerate(self.value):
            yield Entry(value, f"{self.path}[{i}]")

    def items(self) -> Iterator[tuple[str, Entry]]:
        """Go over the keys of a mapping that hold something."""
        for key, value in self.mapping().items():
            if value is not None:
                yield key, Entry(value, f"{self.path}.{key}")

    def mapping(self) -> dict[str, Any]:
        """Return the value, which has to be a mapping with text keys."""
        if not isinstance(self.value, dict) or not all(isinstance(key, str) for key in self.value):
            raise self.error("a mapping")
        return self.value

    def text(self) -> str:
        """Return the value as text; numbers (a version written as 1.0) are taken as they stand."""
        if isinstance(self.value, bool) or not isinstance(self.value, str | int | float):
            raise self.error("text")
        try:
            return str(self.value)
        except ValueError:  # of a whole number with thousands of digits, which YAML reads from hexadecimal ones
            raise self.error("text") from None

    def flag(self) -> bool:
        """Return the value, which has to be true or false."""
        if not isinstance(self.value, bool):
            raise self.error("true or false")
        return self.value

    def integer(self, at_least: int | None = None) -> int:
        """Return the value as a whole number."""
        value = self.value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error("a whole number")
        if at_least is not None and value < at_least:
            raise self.error(f"a whole number of at least {at_least}")
        return value

    def number(self) -> float:
        """Return the value as a finite number; text such as 1e-6, which YAML 1.1 takes for text, is one."""
        if isinstance(self.value, bool) or not isinstance(self.value, str | int | float):
            raise self.error("a number")
        try:
            number = float(self.value)
        except (ValueError, OverflowError):
            raise self.error("a number") from None
        if number - number != 0.0:
            raise self.error("a finite number")
        return number

    def numbers(self) -> tuple[float, ...]:
        """Return the value as numbers: one, or a list of them."""
        if isinstance(self.value, list):
            if not self.value:
                raise self.error("at least one number")
            return tuple(entry.number() for entry in self)
        return (self.number(),)

    def error(self, expected: str) -> ManifestError:
        """Return the error that the value is not what was expected."""
        return ManifestError(f"{self.path}: expected {expected}, found {_kind(self.value)}")

    def _among(self) -> str:
        return f"; found {', '.join(sorted(self.mapping()))}" if self.mapping() else ""


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a mapping"
    try:
        shown = repr(value)
    except ValueError:
        return "a number with thousands of digits"
    return "nothing" if value is None else shown if len(shown) <= 60 else shown[:57] + "..."
