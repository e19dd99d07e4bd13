"""Whether a draft fits together, and what the format asks of its sizes and names."""

from __future__ import annotations

import io
import keyword
import math
import re
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from carezoo.errors import ManifestError
from carezoo.package.draft import TEST_INPUT_PATH, TEST_OUTPUT_PATH, WEIGHTS_PATH, Constants, Draft
from carezoo.package.section import UNDO
from carezoo.tiling import AxisRule

DATA_TYPES = {"float32", "float64", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"}
"""Types the format knows for a test image."""

MAX_DESCRIPTION = 1024

ONE = Fraction(1)
"""The factor of axes that keep their pixels."""


def is_fixed(draft: Draft, letter: str) -> bool:
    """Return whether an axis has one size for other readers: no halo would make their blocks right."""
    rule = draft.rules[letter]
    return letter not in draft.output_axes or (not rule.is_tileable and rule.halo == 0)


def format_minimum(rule: AxisRule, factor: Fraction = ONE) -> int:
    """Return the smallest size of an axis the format and its readers accept: above two halos, a multiple of step."""
    return max(rule.min_size, (2 * format_halo(rule, factor)[1] // rule.step + 1) * rule.step)


def format_halo(rule: AxisRule, factor: Fraction = ONE) -> tuple[int, int]:
    """Return the halo for other readers, in output and in input pixels.

    It is whole in both, on the step grid, and even in the input, which readers of format 0.5.4 ask for.
    """
    unit = math.lcm(2, rule.step, factor.denominator)
    whole = math.ceil(Fraction(rule.halo, unit)) * unit
    return int(whole * factor), whole


def format_names(names: Sequence[str]) -> list[str]:
    """Return channel names as readers before format 0.5.11 want them: letters, digits, underscores, all different."""
    found: list[str] = []
    for name in names:
        word = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "channel"
        word = f"channel_{word}" if word[0].isdigit() or keyword.iskeyword(word) else word
        found.append(f"{word}_{len(found)}" if word in found else word)
    return found


def npy_header(draft: Draft, path: str) -> tuple[tuple[int, ...], str]:
    """Return shape and type of a test tensor."""
    array = np.load(io.BytesIO(draft.files[path]), allow_pickle=False)
    return array.shape, array.dtype.name


def check(draft: Draft) -> None:
    """Raise `ManifestError` if a draft contradicts itself, or would make a package other readers reject."""
    missing = [path for path in (WEIGHTS_PATH, TEST_INPUT_PATH, TEST_OUTPUT_PATH) if path not in draft.files]
    if missing:
        raise _wrong(draft, f"files {', '.join(missing)} are missing")
    if draft.axes not in {"YX", "ZYX"} or draft.output_axes not in {"YX", "ZYX"} or set(draft.rules) != set(draft.axes):
        raise _wrong(
            draft, f"axes {draft.axes}, output axes {draft.output_axes} and rules {set(draft.rules)} do not fit"
        )
    if draft.timestamp.tzinfo is None:
        raise _wrong(draft, "the timestamp has no time zone, so its meaning depends on the machine")
    for letter, rule in draft.rules.items():
        if rule.step < 1 or rule.min_size % rule.step or rule.halo % rule.step:
            raise _wrong(
                draft, f"axis {letter}: min {rule.min_size} and halo {rule.halo} are no multiples of step {rule.step}"
            )
        if rule.is_tileable and letter not in draft.output_axes:
            raise _wrong(draft, f"axis {letter} is projected away and cannot be tiled")
        if rule.is_tileable and (rule.step * draft.factors.get(letter, ONE)).denominator != 1:
            raise _wrong(draft, f"axis {letter}: step {rule.step} times {draft.factors[letter]} is not whole")
    _check_words(draft)
    _check_channels(draft)
    _check_tests(draft)


def _check_words(draft: Draft) -> None:
    """Compare texts with the limits of the format."""
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9_/.-]*[a-z0-9])?", draft.id):
        raise _wrong(draft, f"id {draft.id!r}; the format wants lower-case letters, digits and _ - / . between them")
    if not re.fullmatch(r"[A-Za-z0-9_+\- ()]{5,128}", draft.name):
        raise _wrong(draft, f"name {draft.name!r}; the format wants 5 to 128 letters, digits, spaces and _ + - ( )")
    if len(draft.description) > MAX_DESCRIPTION:
        raise _wrong(draft, f"description of {len(draft.description)} letters; the format takes {MAX_DESCRIPTION}")
    for citation in draft.cite:
        if not citation.doi and not citation.url:
            raise _wrong(draft, f"citation {citation.text!r} has neither doi nor url")


def _check_channels(draft: Draft) -> None:
    n_in, how = len(draft.input_channels), draft.normalization
    for meaning in draft.output_channels:
        if meaning.kind not in UNDO or (meaning.of is not None and not 0 <= meaning.of < n_in):
            raise _wrong(draft, f"output channel {meaning} with {n_in} input channel(s)")
    names = [meaning.name for meaning in draft.output_channels]
    if not all(names) or len(set(names)) != len(names) or not all(draft.input_channels):
        raise _wrong(draft, f"channels need names of their own, found {draft.input_channels} and {tuple(names)}")
    if isinstance(how, Constants) and (
        len(how.low) != n_in
        or len(how.high) != n_in
        or any(high - low < 1e-6 for low, high in zip(how.low, how.high, strict=True))
    ):
        raise _wrong(draft, f"constants {how.low} to {how.high} for {n_in} input channel(s)")


def _check_tests(draft: Draft) -> None:
    shape_in, dtype = npy_header(draft, TEST_INPUT_PATH)
    shape_out, _ = npy_header(draft, TEST_OUTPUT_PATH)
    if dtype not in DATA_TYPES:
        raise _wrong(draft, f"test input of type {dtype}")
    n_spatial = len(draft.axes)
    if len(shape_in) != 2 + n_spatial or shape_in[1] != len(draft.input_channels):
        raise _wrong(draft, f"test input of shape {shape_in} for axes BC{draft.axes} and {draft.input_channels}")
    sizes = dict(zip(draft.axes, shape_in[2:], strict=True))
    for letter in draft.output_axes:
        smallest, step = format_minimum(draft.rules[letter], draft.factors.get(letter, ONE)), draft.rules[letter].step
        if not is_fixed(draft, letter) and (sizes[letter] < smallest or (sizes[letter] - smallest) % step):
            raise _wrong(draft, f"test input {letter} of {sizes[letter]}; the format accepts {smallest} + n * {step}")
        if (sizes[letter] * draft.factors.get(letter, ONE)).denominator != 1:
            raise _wrong(draft, f"test input {letter} of {sizes[letter]} times {draft.factors[letter]} is not whole")
    expected = tuple(int(sizes[letter] * draft.factors.get(letter, ONE)) for letter in draft.output_axes)
    if shape_out != (shape_in[0], len(draft.output_channels), *expected):
        raise _wrong(
            draft, f"test output of shape {shape_out}; expected {len(draft.output_channels)} channel(s) of {expected}"
        )


def _wrong(draft: Draft, what: str) -> ManifestError:
    return ManifestError(f"package {draft.id} {draft.version}: {what}")
