"""Floating-point scales for exact factors.

A bioimage.io reader computes ``floor(size * input scale / output scale)`` in double precision. A factor of 51/5 between
scales 2.0 and 2.0 / 10.2 can come out one plane short. The scales chosen here never do.
"""

from __future__ import annotations

import math
from fractions import Fraction

MAX_SIZE = 4096
"""Every size up to here is checked."""

SHORT_BITS = 24
"""Bits of the common unit when the plain scales fail: multiples of it by sizes and factors are then exact."""


def choose(size: float, factor: Fraction) -> tuple[float, float]:
    """Return input and output scale of an axis.

    Parameters
    ----------
    size
        Pixel size of the input, above 0.
    factor
        Output pixels for one input pixel.

    Returns
    -------
    tuple of float
        Scales with which ``floor(n * input / output) == floor(n * factor)`` for every n up to `MAX_SIZE`, without any
        rounding where ``n * factor`` is whole. The input scale is `size`, or differs from it by less than 1e-7 of it.
    """
    plain = size, size / float(factor)
    if reproduces(*plain, factor):
        return plain
    # Both scales as whole multiples of one short number: every product below is exact, and the quotient of two exact
    # numbers is exact where it is whole.
    mantissa, exponent = math.frexp(size / factor.numerator)
    unit = math.ldexp(round(math.ldexp(mantissa, SHORT_BITS)), exponent - SHORT_BITS)
    return factor.numerator * unit, factor.denominator * unit


def reproduces(scale_in: float, scale_out: float, factor: Fraction) -> bool:
    """Return whether floating-point arithmetic with these scales gives every output size, and whole ones exactly."""
    for n in range(1, MAX_SIZE + 1):
        exact = n * factor
        computed = n * scale_in / scale_out
        if math.floor(computed) != math.floor(exact) or (exact.denominator == 1 and computed != exact):
            return False
        if exact.denominator == 1 and int(exact) * scale_out / scale_in != n:
            return False
    return True
