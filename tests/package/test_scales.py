"""Scales in double precision that give every output size, as bioimage.io readers compute it."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carezoo.package.rdf_text import choose_scales

FACTORS = [Fraction(1), Fraction(51, 5), Fraction(5, 2), Fraction(4), Fraction(10), Fraction(20, 3), Fraction(1, 2)]


def sizes_as_readers_compute_them(scale_in, scale_out):
    return [int(n * scale_in / scale_out) for n in range(1, 4097)]


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("size", [0.1, 0.2, 0.065, 0.1083333, 0.3, 0.5, 1.0, 2.0, 1e-3, 250.0])
def test_every_depth_up_to_4096_gives_the_graphs_output_size(size, factor):
    scale_in, scale_out = choose_scales(size, factor)
    exact = [math.floor(n * factor) for n in range(1, 4097)]
    assert sizes_as_readers_compute_them(scale_in, scale_out) == exact
    assert scale_in == pytest.approx(size, rel=1e-7)
    assert scale_in / scale_out == pytest.approx(float(factor), rel=1e-12)


def test_the_plain_scales_fail_where_the_chosen_ones_do_not():
    assert sizes_as_readers_compute_them(2.0, 2.0 / 10.2)[4] == 50  # 51 planes out of 5
    assert sizes_as_readers_compute_them(0.1, 0.1) != list(range(1, 4097))


@settings(max_examples=40, deadline=None)
@given(size=st.floats(1e-3, 1e3), numerator=st.integers(1, 200), denominator=st.integers(1, 50))
def test_whole_sizes_and_halos_come_out_exactly(size, numerator, denominator):
    """The format compares test tensors and halos without rounding."""
    factor = Fraction(numerator, denominator)
    scale_in, scale_out = choose_scales(size, factor)
    for multiple in (1, 2, 7, 64):
        n, wanted = multiple * factor.denominator, multiple * factor.numerator
        assert n * scale_in / scale_out == wanted
        assert wanted * scale_out / scale_in == n


def test_plain_scales_are_kept_where_they_work():
    assert choose_scales(0.5, Fraction(4)) == (0.5, 0.125)
