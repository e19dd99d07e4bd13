"""Span: the range from which a parameter is drawn, once for each image."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from carezoo.errors import RecipeError


@dataclass(frozen=True)
class Span:
    """A number, or a range from which a number is drawn for each image.

    Written in YAML as ``5``, as ``[2, 10]`` (uniform) or as ``{log: [2, 200]}`` (uniform in the logarithm: as many
    images between 2 and 20 as between 20 and 200, which suits photon counts).
    """

    low: float
    high: float
    is_log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise RecipeError(f"range [{self.low:g}, {self.high:g}]: expected two finite numbers, the lower one first")
        if self.is_log and self.low <= 0:
            raise RecipeError(f"range {{log: [{self.low:g}, {self.high:g}]}}: a logarithmic range must lie above 0")

    @classmethod
    def parse(cls, value: object) -> Span:
        """Return the span that `value`, as parsed from YAML, describes.

        Raises
        ------
        RecipeError
            If `value` is none of the three forms.
        """
        if isinstance(value, Span):
            return value
        if isinstance(value, dict) and set(value) == {"log"}:
            low, high = _to_two_numbers(value["log"], value)
            return cls(low, high, is_log=True)
        if isinstance(value, list | tuple):
            return cls(*_to_two_numbers(value, value))
        number = _to_number(value, value)
        return cls(number, number)

    def to_plain(self) -> float | list[float] | dict[str, list[float]]:
        """Return the form that `parse` understands."""
        if self.low == self.high:
            return self.low
        return {"log": [self.low, self.high]} if self.is_log else [self.low, self.high]

    def draw(self, rng: np.random.Generator) -> float:
        """Draw a number from the span (uniform, or uniform in the logarithm)."""
        if self.low == self.high:
            return self.low
        if self.is_log:
            return math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return float(rng.uniform(self.low, self.high))

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.low:g}"
        return f"{{log: [{self.low:g}, {self.high:g}]}}" if self.is_log else f"[{self.low:g}, {self.high:g}]"


def draw_spans(described: Any, rng: np.random.Generator) -> dict[str, float]:
    """Draw a number from every `Span` of a dataclass, in the order of its fields."""
    values = {each.name: getattr(described, each.name) for each in fields(described)}
    return {name: value.draw(rng) for name, value in values.items() if isinstance(value, Span)}


def require_positive(described: object, *names: str) -> None:
    """Raise `RecipeError` if one of the spans `names` of `described` does not lie above 0."""
    for name in names:
        if getattr(described, name).low <= 0:
            raise RecipeError(f"{name}: expected a number above 0, found {getattr(described, name)}")


def require_not_negative(described: object, *names: str) -> None:
    """Raise `RecipeError` if one of the spans `names` of `described` reaches below 0."""
    for name in names:
        if getattr(described, name).low < 0:
            raise RecipeError(f"{name}: expected 0 or more, found {getattr(described, name)}")


def _to_two_numbers(value: object, whole: object) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise RecipeError(f"expected a number, [low, high] or {{log: [low, high]}}, found {whole!r}")
    return _to_number(value[0], whole), _to_number(value[1], whole)


def _to_number(value: object, whole: object) -> float:
    # YAML 1.1 reads 1e3 as text.
    if not isinstance(value, bool) and isinstance(value, int | float | str):
        try:
            return float(value)
        except ValueError:
            pass
    raise RecipeError(f"expected a number, [low, high] or {{log: [low, high]}}, found {whole!r}")
