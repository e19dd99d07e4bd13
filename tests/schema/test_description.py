"""Typed values from plain dictionaries: every wrong key and value is named with its place."""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carezoo.errors import RecipeError
from carezoo.schema.build import build
from carezoo.schema.span import Span


@dataclass(frozen=True, kw_only=True)
class Dog:
    kind: ClassVar[str] = "dog"
    legs: int = 4


@dataclass(frozen=True, kw_only=True)
class Bird:
    kind: ClassVar[str] = "bird"
    wing_um: Span
    colour: Literal["red", "blue"] = "red"


@dataclass(frozen=True, kw_only=True)
class Zoo:
    animals: tuple[Dog | Bird, ...] = ()
    factor: Fraction | None = None
    price: float = 1.0
    is_open: bool = True
    favourite: Dog | None = None
    entry: Literal["free", "closed"] | float = "free"


def test_nested_values_become_dataclasses():
    built = build(
        Zoo,
        {
            "animals": [{"kind": "bird", "wing_um": [1, 2], "colour": "blue"}, {"kind": "dog"}],
            "factor": 10.2,
            "price": "1e3",
            "favourite": {"legs": 3},
        },
        "zoo",
    )
    assert built.animals == (Bird(wing_um=Span(1, 2), colour="blue"), Dog())
    assert built.factor == Fraction(51, 5)
    assert built.price == 1000.0
    assert built.favourite == Dog(legs=3)


def test_a_single_value_counts_as_a_list_of_one():
    assert build(Zoo, {"animals": {"kind": "dog"}}, "zoo").animals == (Dog(),)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"anmals": []}, r"zoo: unknown key 'anmals'; did you mean animals\?"),
        ({"animals": [{"kind": "brid"}]}, r"zoo.animals\[0\]: unknown kind 'brid'; did you mean bird\?"),
        ({"animals": [{"legs": 3}]}, r"zoo.animals\[0\]: expected a key kind, one of dog, bird"),
        ({"animals": [{"kind": "bird"}]}, r"zoo.animals\[0\]: missing wing_um"),
        (
            {"animals": [{"kind": "bird", "wing_um": [3, 2]}]},
            r"zoo.animals\[0\].wing_um: range \[3, 2\].*lower one first",
        ),
        ({"animals": [{"kind": "bird", "wing_um": 1, "colour": "pink"}]}, "colour: expected one of red, blue.*'pink'"),
        ({"animals": [{"kind": "dog", "legs": 3.5}]}, "legs: expected int, found 3.5"),
        ({"animals": [{"kind": "dog", "legs": True}]}, "legs: expected int, found True"),
        ({"factor": "a half"}, "zoo.factor: expected a number or a fraction such as 51/5"),
        ({"price": "cheap"}, "zoo.price: expected float, found 'cheap'"),
        ({"entry": "cheap"}, "zoo.entry: expected free, closed or float, found 'cheap'"),
        ({"favourite": 3}, "zoo.favourite: expected keys with values, found 3"),
    ],
)
def test_every_wrong_value_is_named_with_its_place(values, message):
    with pytest.raises(RecipeError, match=message):
        build(Zoo, values, "zoo")


@pytest.mark.parametrize(("value", "expected"), [("closed", "closed"), (0, 0.0), ("1e3", 1000.0), (2.5, 2.5)])
def test_the_first_kind_of_a_union_that_takes_the_value_is_built(value, expected):
    assert build(Zoo, {"entry": value}, "zoo").entry == expected


@pytest.mark.parametrize(
    ("value", "span"),
    [
        (3, Span(3, 3)),
        ("2e2", Span(200, 200)),
        ([1, 2.5], Span(1, 2.5)),
        ({"log": [1, 100]}, Span(1, 100, is_log=True)),
    ],
)
def test_a_span_is_a_number_or_a_range(value, span):
    assert Span.parse(value) == span


@pytest.mark.parametrize("value", [None, True, "a lot", [1], [1, 2, 3], {"log": 3}, {"low": 1, "high": 2}])
def test_anything_else_is_no_span(value):
    with pytest.raises(RecipeError, match="expected a number"):
        Span.parse(value)


@pytest.mark.parametrize(("low", "high"), [(2, 1), (np.nan, 1), (0, np.inf)])
def test_a_span_needs_two_finite_numbers_in_order(low, high):
    with pytest.raises(RecipeError, match="two finite numbers"):
        Span(low, high)


def test_a_logarithmic_span_must_lie_above_zero():
    with pytest.raises(RecipeError, match="above 0"):
        Span(0, 1, is_log=True)


@given(st.floats(0.01, 1e3), st.floats(1.0, 1e3), st.booleans(), st.integers(0, 2**32))
def test_draws_stay_in_the_span(low, ratio, is_log, seed):
    span = Span(low, low * ratio, is_log)
    drawn = span.draw(np.random.default_rng(seed))
    assert span.low * (1 - 1e-12) <= drawn <= span.high * (1 + 1e-12)


def test_a_logarithmic_span_draws_as_often_below_its_geometric_mean_as_above():
    rng = np.random.default_rng(5)
    drawn = np.array([Span(1, 10000, is_log=True).draw(rng) for _ in range(2000)])
    assert np.mean(drawn < 100) == pytest.approx(0.5, abs=0.05)
