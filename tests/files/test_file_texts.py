"""Units and notes as files write them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carezoo.files import notes, units

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("um", 1),
        ("µm", 1),
        ("\u03bcm", 1),
        (r"\u00B5m", 1),
        ("micron", 1),
        ("nm", 1e-3),
        ("mm", 1e3),
        ("inch", 25400),
        ("pixel", None),
        (None, None),
        ("parsec", None),
    ],
)
def test_lengths(unit, um):
    assert units.length_um(unit) == um


@pytest.mark.parametrize(("unit", "s"), [("sec", 1), ("ms", 1e-3), ("min", 60), ("h", 3600), ("fortnight", None)])
def test_times(unit, s):
    assert units.time_s(unit) == s


@given(st.text(), st.dictionaries(st.text(), JSON, max_size=4))
def test_notes_come_back_from_any_text(text, found):
    whole = notes.append(text, found)
    assert notes.extract(whole) == json.loads(json.dumps(found))
    assert whole.startswith(text.rstrip())


def test_text_without_notes_stays_as_it_is():
    assert notes.append("as it is\n", None) == "as it is\n"
    assert notes.extract("as it is\n") is None


def test_notes_somebody_edited_are_reported_not_raised(caplog):
    assert notes.extract('carezoo: {"a": 1') is None
    assert "cannot be read" in caplog.text
    assert notes.extract("carezoo: [1]") is None
