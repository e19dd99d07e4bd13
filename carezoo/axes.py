"""Axes strings: upper-case letters over ``STCZYX`` in array order, each at most once.

S sample, T time, C channel, Z Y X space. The one place that knows how to move an array from one order to another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import AxesError

LETTERS = "STCZYX"
"""All letters, in carezoo's canonical order."""

SPATIAL = "ZYX"


def parse(text: str) -> str:
    """Return `text` as an axes string, upper-cased.

    Raises
    ------
    AxesError
        If a letter is not one of ``STCZYX`` or stands twice.
    """
    axes = text.strip().upper()
    unknown = sorted(set(axes) - set(LETTERS))
    if unknown:
        raise AxesError(f"axes {text!r}: expected letters out of {LETTERS}, found {', '.join(map(repr, unknown))}")
    twice = sorted({letter for letter in axes if axes.count(letter) > 1})
    if twice:
        raise AxesError(f"axes {text!r}: each letter may stand once, found {', '.join(twice)} more than once")
    return axes


def check(axes: str, shape: Sequence[int], name: str) -> str:
    """Return `axes` parsed, if it names every dimension of `shape`.

    Parameters
    ----------
    axes
        Axes string in array order.
    shape
        Shape of the array called `name` in the message.

    Raises
    ------
    AxesError
        If the number of letters is not the number of dimensions.
    """
    parsed = parse(axes)
    if len(parsed) != len(shape):
        raise AxesError(
            f"axes {parsed} name {len(parsed)} dimension(s), but {name} has {len(shape)}: {tuple(shape)}; "
            f"give one letter out of {LETTERS} for each dimension (--axes on the command line)"
        )
    return parsed


def sizes(axes: str, shape: Sequence[int]) -> dict[str, int]:
    """Return the length of every axis by its letter."""
    return dict(zip(axes, map(int, shape), strict=True))


def sort(letters: Iterable[str]) -> str:
    """Return `letters` in canonical order STCZYX."""
    return "".join(sorted(letters, key=LETTERS.index))


def move(array: NDArray[np.generic], source: str, target: str) -> NDArray[np.generic]:
    """Return a view of `array` with axes `target` instead of `source`.

    Axes that only `target` has become singletons; axes that only `source` has must be singletons and are dropped.

    Raises
    ------
    AxesError
        If an axis to drop is longer than one.
    """
    lengths = sizes(source, array.shape)
    lost = {letter: lengths[letter] for letter in source if letter not in target and lengths[letter] != 1}
    if lost:
        raise AxesError(f"array with axes {source} and shape {array.shape} has no place in axes {target}: {lost}")
    kept = [letter for letter in target if letter in source]
    squeezed = array[tuple(slice(None) if letter in target else 0 for letter in source)]
    remaining = [letter for letter in source if letter in target]
    view = squeezed.transpose([remaining.index(letter) for letter in kept])
    return view[tuple(slice(None) if letter in source else np.newaxis for letter in target)]
