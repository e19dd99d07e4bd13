"""`config.carezoo`: what carezoo writes into its packages because the format has no place for it.

The section gives the network's true minimum sizes (the format wants more), exact factors, and what every output channel
means. Where it contradicts the rest of the manifest, the package is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from carezoo.errors import InputError, ManifestError, UnsupportedError
from carezoo.intensity import Affine
from carezoo.package.document import Entry
from carezoo.package.manifest import Manifest, OutputAxis, Result, Undo
from carezoo.tasks import TASKS
from carezoo.tiling import AxisRule
from carezoo.uncertainty.levels import Recalibration

SCHEMA = 1

UNDO: Mapping[str, Undo] = {"mean": "affine", "scale": "gain", "disagreement": "none"}
"""Meanings of output channels, and how each returns to the intensities of the input."""

MODES = ("matched", "own", "fixed")

UNDO_MODES = ("input_range", "in_rdf", "none")

FRACTION = re.compile(r"[0-9]{1,9}(/[0-9]{1,9}|\.[0-9]{1,18})?")
"""How a factor is written. `Fraction` also takes exponents, of which a few digits (1e3000000) fill the memory."""


@dataclass(frozen=True)
class ChannelMeaning:
    """What one output channel is."""

    kind: str
    """mean, scale or disagreement."""
    of: int | None
    """Input channel whose intensity units it has; None: none of them."""
    name: str


def check_schema(section: Entry) -> None:
    """Refuse a section that a newer carezoo wrote.

    Raises
    ------
    UnsupportedError
        With the line that updates carezoo.
    """
    schema = section["schema"].integer(at_least=1)
    if schema > SCHEMA:
        raise UnsupportedError(
            f"{section.path}: written in schema {schema}, this carezoo reads up to {SCHEMA}. "
            "Update: pip install -U carezoo"
        )


def overlay(manifest: Manifest, section: Entry) -> Manifest:
    """Return the manifest with the numbers of `config.carezoo` in place of those derived from the format.

    Raises
    ------
    ManifestError
        If something is missing or contradicts the rest of the manifest.
    """
    task = section["task"]
    if task.text() not in TASKS:
        raise task.error(f"one of {', '.join(TASKS)}")
    if len(manifest.outputs) != 1:
        raise ManifestError(f"{section.path}: a carezoo package lists one output tensor, found {len(manifest.outputs)}")
    output = manifest.outputs[0]
    meanings = _meanings(section["channels"], len(output.channels), len(manifest.input.channels))
    names = tuple(meaning.name or known for meaning, known in zip(meanings, output.channels, strict=True))
    undo = _undo_mode(section["intensity"])
    if undo == "in_rdf":
        _check_inverse(manifest, meanings, section.path)
    is_undone = undo != "none"
    results = tuple(
        _result(kind, meanings, is_undone=is_undone) for kind in UNDO if any(m.kind == kind for m in meanings)
    )
    rules = {letter: _rule(section["axes"], letter, rule) for letter, rule in manifest.input.rules.items()}
    sizes = {letter: OutputAxis(factor) for letter, factor in _factors(section, manifest).items()}
    _check_runtime_numbers(section)
    return replace(
        manifest,
        input=replace(manifest.input, rules=rules, channels=_input_channels(section, manifest)),
        # The constants of the postprocessing are those of the preprocessing: `Result.undo` says the same.
        outputs=(replace(output, channels=names, sizes=sizes, postprocessing=()),),
        results=results,
        carezoo=section.mapping(),
        recalibration=_recalibration(section.get("calibration")),
        remarks=(),
    )


def hashes(section: Entry) -> dict[str, str]:
    """Return the sha256 of every file besides the manifest."""
    return {path: entry.text() for path, entry in section["files"].items()}


def _check_runtime_numbers(section: Entry) -> None:
    """Refuse what the runtime could not use, before it meets it."""
    members, bytes_per_pixel = section.get("members"), section.get("bytes_per_pixel")
    if members is not None:
        members["output"].text()
        members["n"].integer(at_least=2)
    if bytes_per_pixel is not None and bytes_per_pixel.number() <= 0:
        raise bytes_per_pixel.error("a number above 0")


def _recalibration(calibration: Entry | None) -> Recalibration | None:
    levels = None if calibration is None else calibration.get("levels")
    if levels is None:
        return None
    rows = [[number.number() for number in row] for row in levels]
    try:
        return Recalibration.from_plain(rows)
    except InputError as error:
        raise levels.error(f"pairs of levels ({error})") from None


def _input_channels(section: Entry, manifest: Manifest) -> tuple[str, ...]:
    """Return the names people gave; the format's own are identifiers."""
    listed = section.get("input_channels")
    names = manifest.input.channels if listed is None else tuple(item.text() for item in listed)
    if listed is not None and len(names) != len(manifest.input.channels):
        raise listed.error(f"{len(manifest.input.channels)} names, one for each input channel")
    return names


def _rule(axes: Entry, letter: str, from_format: AxisRule) -> AxisRule:
    entry = axes[letter.lower()]
    step = entry["step"].integer(at_least=1)
    smallest, halo = entry["min"].integer(at_least=1), entry["halo"].integer(at_least=0)
    if smallest % step or halo % step:
        raise ManifestError(f"{entry.path}: min {smallest} and halo {halo} have to be multiples of step {step}")
    if from_format.step % step or from_format.min_size % step or from_format.min_size < smallest:
        raise ManifestError(
            f"{entry.path}: sizes {smallest} + n * {step} do not include those the tensor's axis gives "
            f"({from_format.min_size} + n * {from_format.step})"
        )
    return AxisRule(smallest, step, halo, entry["tileable"].flag())


def _factors(section: Entry, manifest: Manifest) -> dict[str, Fraction]:
    """Return the exact factor of every output axis."""
    listed = {letter.upper(): _fraction(entry) for letter, entry in _items(section.get("factors"))}
    found = manifest.outputs[0].sizes
    strangers = sorted(set(listed) - set(found))
    if strangers:
        raise ManifestError(f"{section.path}.factors: axes {', '.join(strangers).lower()} are not axes of the output")
    factors = {letter: listed.get(letter, Fraction(1)) for letter in found}
    for letter, factor in factors.items():
        rounded = found[letter]
        if rounded.offset or abs(rounded.factor / factor - 1) > Fraction(1, 10**6):
            raise ManifestError(
                f"{section.path}.factors: {letter.lower()} is {factor}, but the output axis gives {rounded.factor} "
                f"times the input {rounded.offset:+d}"
            )
    return factors


def _items(entry: Entry | None) -> Any:
    return () if entry is None else entry.items()


def _fraction(entry: Entry) -> Fraction:
    text = entry.text()
    if not FRACTION.fullmatch(text):
        raise entry.error("a fraction such as 51/5 or 10.2, of at most 9 digits above and below the line")
    try:
        factor = Fraction(text)
    except ZeroDivisionError:
        raise entry.error("a fraction such as 51/5") from None
    if factor <= 0:
        raise entry.error("a fraction above 0")
    return factor


def _meanings(entries: Entry, n_out: int, n_in: int) -> list[ChannelMeaning]:
    meanings = [_meaning(entry, n_in) for entry in entries]
    if len(meanings) != n_out:
        raise ManifestError(f"{entries.path}: {len(meanings)} meanings for {n_out} output channel(s)")
    if not any(meaning.kind == "mean" for meaning in meanings):
        raise ManifestError(f"{entries.path}: no channel of kind mean; a restoration has at least one")
    return meanings


def _meaning(entry: Entry, n_in: int) -> ChannelMeaning:
    kind, of, name = entry["kind"], entry.get("of"), entry.get("name")
    if kind.text() not in UNDO:
        raise kind.error(f"one of {', '.join(UNDO)}")
    if of is not None and of.integer(at_least=0) >= n_in:
        raise of.error(f"an input channel, 0 to {n_in - 1}")
    return ChannelMeaning(kind.text(), None if of is None else of.integer(), "" if name is None else name.text())


def _result(kind: str, meanings: list[ChannelMeaning], *, is_undone: bool) -> Result:
    chosen = [(i, meaning.of) for i, meaning in enumerate(meanings) if meaning.kind == kind]
    of = tuple(source for _, source in chosen if source is not None)
    has_units = is_undone and len(of) == len(chosen)
    return Result(kind, 0, tuple(i for i, _ in chosen), UNDO[kind] if has_units else "none", of if has_units else ())


def _check_inverse(manifest: Manifest, meanings: list[ChannelMeaning], path: str) -> None:
    """Refuse constants behind the network that are not those before it, the other way round."""
    before = [step for step in manifest.input.preprocessing if isinstance(step, Affine)]
    after = [step for step in manifest.outputs[0].postprocessing if isinstance(step, Affine)]
    if len(before) != 1 or len(after) != 1:
        raise ManifestError(
            f"{path}.intensity: undo in_rdf needs one fixed_zero_mean_unit_variance before and one scale_linear after "
            f"the network, found {len(before)} and {len(after)}"
        )
    gains, offsets = (_each(values, len(manifest.input.channels)) for values in (before[0].gain, before[0].offset))
    found = zip(*(_each(values, len(meanings)) for values in (after[0].gain, after[0].offset)), strict=True)
    for meaning, (gain, offset) in zip(meanings, found, strict=True):
        if meaning.of is None or meaning.kind == "disagreement":
            wanted = (1.0, 0.0)
        else:
            wanted = (1 / gains[meaning.of], -offsets[meaning.of] / gains[meaning.of])
        if meaning.kind == "scale":
            wanted = (wanted[0], 0.0)
        if not np.allclose((gain, offset), wanted, rtol=1e-4, atol=1e-4 * abs(wanted[0])):
            raise ManifestError(
                f"{path}.intensity: output channel {meaning.name or meaning.kind} is put back with gain {gain:g} and "
                f"offset {offset:g}; the inverse of the preprocessing is {wanted[0]:g} and {wanted[1]:g}"
            )


def _each(values: tuple[float, ...], n: int) -> tuple[float, ...]:
    return values * n if len(values) == 1 else values


def _undo_mode(intensity: Entry) -> str:
    mode, undo = intensity["mode"], intensity["undo"]
    if mode.text() not in MODES:
        raise mode.error(f"one of {', '.join(MODES)}")
    if undo.text() not in UNDO_MODES:
        raise undo.error(f"one of {', '.join(UNDO_MODES)}")
    return undo.text()
