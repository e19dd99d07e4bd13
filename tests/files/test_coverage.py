"""Every pixel once: told from two numbers a plane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from carezoo.errors import RestoreError
from carezoo.files.tiff_target import Coverage


@st.composite
def rectangles(draw):
    start = [draw(st.integers(0, n - 1)) for n in (2, 5, 6)]
    return tuple(slice(a, draw(st.integers(a + 1, n))) for a, n in zip(start, (2, 5, 6), strict=True))


def is_complete(shape, regions):
    coverage = Coverage(shape)
    for region in regions:
        coverage.add(region)
    try:
        coverage.require_complete("image")
    except RestoreError:
        return False
    return True


@given(st.lists(rectangles(), max_size=6))
def test_regions_are_complete_exactly_when_each_pixel_is_written_once(regions):
    written = np.zeros((2, 5, 6), int)
    for region in regions:
        written[region] += 1
    assert is_complete((2, 5, 6), regions) == bool((written == 1).all())


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_as_many_pixels_as_a_plane_has_are_not_enough(row, column, seed):
    """One pixel twice and another one not at all, everything else once."""
    rng = np.random.default_rng(seed)
    pixels = [(y, x) for y in range(5) for x in range(6)]
    doubled = pixels[int(rng.integers(30))]
    assume(doubled != (row, column))
    regions = [(slice(y, y + 1), slice(x, x + 1)) for y, x in [*pixels, doubled] if (y, x) != (row, column)]
    assert len(regions) == 30
    assert not is_complete((5, 6), regions)


def test_message_names_the_first_plane():
    coverage = Coverage((2, 3, 4, 5))
    coverage.add((slice(0, 2), slice(0, 2), slice(0, 4), slice(0, 5)))
    with pytest.raises(
        RestoreError, match=r"a\.tif is not complete: 2 of 6 plane.*plane \(0, 2\), 0 of 20 pixels were"
    ):
        coverage.require_complete("a.tif")
