"""Which letter each dimension of a file gets: what the user says, else what the file says, never a guess."""

from __future__ import annotations

import itertools
import logging
import re
from dataclasses import dataclass, replace
from math import prod

from carezoo import axes as axes_
from carezoo.errors import AxesError

logger = logging.getLogger("carezoo")


@dataclass(frozen=True)
class StoredAxes:
    """What a file says of its dimensions, singletons included."""

    name: str
    """What messages call the file."""
    letters: str
    """One for each dimension; letters outside STCZYX, and letters that stand twice, mean nothing."""
    shape: tuple[int, ...]
    has_colour_samples: bool = False
    """True: S counts the samples of a pixel (red, green, blue), not samples of an experiment."""
    keeps_singletons: bool = False
    """True: named dimensions of length 1 were written on purpose."""


def arrange(stored: StoredAxes, asked: str | None, n_inside: int) -> tuple[StoredAxes, str | None]:
    """Return the dimensions that axes with lengths such as ``T6C2YX`` give to the planes of a file.

    Parameters
    ----------
    stored, asked
        As in `assign`. One letter that counts planes may lack its length.
    n_inside
        How many of the last stored dimensions lie inside a plane.

    Returns
    -------
    stored, asked
        For `assign`; as they were if `asked` has no length.

    Raises
    ------
    AxesError
        If the lengths do not make up the planes of the file.
    """
    if asked is None or not re.search(r"\d", asked):
        return stored, asked
    parts = re.findall(r"([A-Za-z])(\d*)", asked)
    letters = axes_.parse("".join(letter for letter, _ in parts))
    inside = stored.shape[len(stored.shape) - n_inside :]
    n_planes, n_shown = prod(stored.shape[: len(stored.shape) - n_inside]), sum(n > 1 for n in inside[2:]) + 2
    given = [int(n) if n else None for _, n in parts[:-n_shown]]
    known = prod(n for n in given if n is not None)
    if given.count(None) == 1 and known and n_planes % known == 0:
        given[given.index(None)] = n_planes // known
    counted = [n for n in given if n is not None]
    if len(counted) != len(given) or prod(counted) != n_planes:
        raise AxesError(
            f"axes {asked}: the lengths give {prod(counted)} planes, {stored.name} holds {n_planes}; give lengths "
            f"before {letters[-n_shown:]} whose product is {n_planes}"
        )
    hidden = "".join("_" for _ in inside[n_shown:])
    return replace(stored, letters=letters + hidden, shape=(*counted, *inside), keeps_singletons=True), letters


def assign(stored: StoredAxes, asked: str | None) -> tuple[str, tuple[int, ...]]:
    """Return the axes of the image and which stored dimensions they name.

    Parameters
    ----------
    stored
        The file's own view.
    asked
        Axes the user gives: they win whenever their number fits, dimensions of length 1 left out where that helps.
        None: the file must know.

    Raises
    ------
    AxesError
        If the number of axes does not fit, or the file does not name its axes; the message proposes some.
    """
    named = _with_colour_as_channels(stored) if stored.has_colour_samples else stored
    if asked is not None:
        return _apply_given(named, axes_.parse(asked))
    kept = _visible_dimensions(named)
    letters = "".join(named.letters[dimension] for dimension in kept)
    if set(letters) <= set(axes_.LETTERS) and len(set(letters)) == len(letters):
        return letters, kept
    raise AxesError(
        f"{named.name} does not say what its axes mean: shape {_lengths(named, kept)}. {_proposal(named, kept)}"
    )


def _with_colour_as_channels(stored: StoredAxes) -> StoredAxes:
    lengths = dict(zip(stored.letters, stored.shape, strict=True))
    if lengths.get("S", 1) == 1:
        return stored
    if lengths.get("C", 1) > 1:
        raise AxesError(
            f"{stored.name} has {lengths['C']} channels of {lengths['S']} colour samples each; expected one meaning of "
            "colour. Split it in ImageJ (Image > Color > Split Channels)"
        )
    # A lone channel axis loses its letter to the samples.
    letters = stored.letters.replace("C", "_").replace("S", "C")
    return StoredAxes(stored.name, letters, stored.shape, keeps_singletons=stored.keeps_singletons)


def _apply_given(stored: StoredAxes, asked: str) -> tuple[str, tuple[int, ...]]:
    is_one_plane = len(_visible_dimensions(stored)) == 2 and not stored.keeps_singletons
    if is_one_plane and set("TZ") & set(asked) and len(asked) < len(stored.shape):  # it is no stack, and no series
        raise _number_error(stored, asked)
    by_letter = [stored.letters.find(letter) for letter in asked]
    if -1 not in by_letter and by_letter == sorted(by_letter):
        left_out = [n for dimension, n in enumerate(stored.shape) if dimension not in by_letter]
        if all(n == 1 for n in left_out):
            return asked, tuple(by_letter)
    everything = tuple(range(len(stored.shape)))
    without_plane_singletons = tuple(d for d in everything if stored.shape[d] > 1)
    for kept in (_visible_dimensions(stored), without_plane_singletons, everything):
        if len(kept) == len(asked):
            return asked, kept
    raise _number_error(stored, asked)


def _number_error(stored: StoredAxes, asked: str) -> AxesError:
    kept = _visible_dimensions(stored)
    return AxesError(
        f"axes {asked} name {len(asked)} dimension(s), but {stored.name} has {len(kept)}: {_lengths(stored, kept)}. "
        f"{_proposal(stored, kept)}"
    )


def _visible_dimensions(stored: StoredAxes) -> tuple[int, ...]:
    """Return the dimensions an image shows: all but singletons, except Y, X, and what was named on purpose."""
    is_named = [stored.keeps_singletons and letter in axes_.LETTERS for letter in stored.letters]
    return tuple(
        dimension
        for dimension, (letter, n) in enumerate(zip(stored.letters, stored.shape, strict=True))
        if n > 1 or letter in "YX" or is_named[dimension]
    )


def _lengths(stored: StoredAxes, kept: tuple[int, ...]) -> str:
    return " x ".join(str(stored.shape[dimension]) for dimension in kept)


def _proposal(stored: StoredAxes, kept: tuple[int, ...]) -> str:
    """Return advice that lists the axes strings that could fit."""
    letters = [stored.letters[dimension] for dimension in kept]
    known = {letter for letter in letters if letter in axes_.LETTERS and letters.count(letter) == 1}
    unknown = [place for place, letter in enumerate(letters) if letter not in known]
    free = [letter for letter in "ZTC" if letter not in known]
    candidates = []
    for choice in itertools.permutations(free, len(unknown)):
        filled = letters.copy()
        for place, letter in zip(unknown, choice, strict=True):
            filled[place] = letter
        candidates.append("".join(filled))
    if not candidates:
        return f"Give one letter out of {axes_.LETTERS} for each with --axes (axes= in Python)"
    return f"Say what they mean with --axes (axes= in Python): {', '.join(candidates[:6])}"
