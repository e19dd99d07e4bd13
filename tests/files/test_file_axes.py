"""Letters for the dimensions of a file."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carezoo.errors import AxesError
from carezoo.files.file_axes import StoredAxes, assign


def stored(letters, shape, **options):
    return StoredAxes("a.tif", letters, shape, **options)


def test_singletons_go_and_y_and_x_stay():
    assert assign(stored("TZCYXS", (1, 5, 1, 1, 9, 1)), None) == ("ZYX", (1, 3, 4))


def test_named_singletons_stay_where_they_were_written_on_purpose():
    assert assign(stored("TZQYX", (1, 5, 1, 8, 9), keeps_singletons=True), None) == ("TZYX", (0, 1, 3, 4))


@pytest.mark.parametrize(
    ("letters", "shape", "proposed"),
    [
        ("IYX", (5, 8, 9), "ZYX, TYX, CYX"),
        ("QCYX", (5, 2, 8, 9), "ZCYX, TCYX"),
        ("QQYX", (5, 2, 8, 9), "ZTYX, ZCYX, TZYX, TCYX, CZYX, CTYX"),
        ("TRYX", (5, 2, 8, 9), "TZYX, TCYX"),
    ],
)
def test_unknown_letters_bring_proposals(letters, shape, proposed):
    with pytest.raises(AxesError, match=f"--axes .*: {proposed}$"):
        assign(stored(letters, shape), None)


def test_more_unknown_axes_than_letters():
    with pytest.raises(AxesError, match="one letter out of STCZYX for each"):
        assign(stored("QQQQYX", (2, 3, 4, 5, 8, 9)), None)


def test_colour_samples_take_the_channel_letter():
    assert assign(stored("TCYXS", (2, 1, 8, 9, 3), has_colour_samples=True), None) == ("TYXC", (0, 2, 3, 4))
    with pytest.raises(AxesError, match="4 channels of 3 colour samples"):
        assign(stored("CYXS", (4, 8, 9, 3), has_colour_samples=True), None)


def test_samples_of_an_experiment_stay_samples():
    assert assign(stored("SYX", (3, 8, 9)), None) == ("SYX", (0, 1, 2))


@given(st.permutations("TCZYX"), st.lists(st.integers(1, 3), min_size=5, max_size=5))
def test_axes_of_the_right_number_always_win(letters, shape):
    asked = "".join(letters)
    assert assign(stored("QQQQQ", tuple(shape)), asked) == (asked, (0, 1, 2, 3, 4))


def test_letters_the_file_knows_choose_among_its_singletons():
    assert assign(stored("TZCYX", (1, 1, 1, 8, 9)), "CYX") == ("CYX", (2, 3, 4))
    assert assign(stored("TZCYX", (1, 5, 1, 8, 9)), "TYX") == ("TYX", (1, 3, 4))


@pytest.mark.parametrize("asked", ["ZYX", "TYX", "TZYX"])
def test_one_plane_is_no_stack_unless_the_file_keeps_its_singletons(asked):
    with pytest.raises(AxesError, match=rf"axes {asked} name \d dimension\(s\), but a\.tif has 2: 8 x 9"):
        assign(stored("TZCYX", (1, 1, 1, 8, 9)), asked)
    assert assign(replace(stored("TZYX", (1, 1, 8, 9)), keeps_singletons=True), asked)[0] == asked


def test_wrong_number_shows_shape_and_proposals():
    with pytest.raises(AxesError, match=r"name 2 dimension\(s\), but a\.tif has 3: 5 x 8 x 9\. .*ZYX, TYX, CYX"):
        assign(stored("IYX", (5, 8, 9)), "YX")
