"""`config.carezoo`, read and written: what the format has no place for.

The section gives the network's true minimum sizes (the format wants more), exact factors, what every output channel
means, and how the model was made. Where it contradicts the rest of the manifest, the package is refused.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from fractions import Fraction
from typing import TypeVar

import numpy as np

from carezoo.errors import InputError, ManifestError, UnsupportedError
from carezoo.intensity import Affine
from carezoo.package.document import Entry
from carezoo.package.draft import Constants, Draft
from carezoo.package.manifest import (
    Architecture,
    Calibration,
    ChannelMeaning,
    DataSource,
    FitSummary,
    IntensityUse,
    Manifest,
    Members,
    OutputAxis,
    Plain,
    Record,
    Result,
    Section,
    TrainingSummary,
    Undo,
)
from carezoo.tasks import TASKS
from carezoo.tiling import AxisRule
from carezoo.uncertainty.levels import Recalibration
from carezoo.version import __version__

SCHEMA = 1

UNDO: Mapping[str, Undo] = {"mean": "affine", "scale": "gain", "disagreement": "none"}
"""Meanings of output channels, and how each returns to the intensities of the input."""

MODES = ("matched", "own", "fixed")

UNDO_MODES = ("input_range", "in_rdf", "none")

FRACTION = re.compile(r"[0-9]{1,9}(/[0-9]{1,9}|\.[0-9]{1,18})?")
"""How a factor is written. `Fraction` also takes exponents, whose few digits (1e3000000) fill the memory."""

MEMBERS_OUTPUT = "members"
"""Name of the last output of an ensemble's graph: what each member says. Other readers overlook it."""

CONTRACT = ("task", "axes", "factors", "input_channels", "channels", "intensity")
"""Keys that others rely on."""

T = TypeVar("T")


def check_schema(section: Entry) -> None:
    """Raise `UnsupportedError` for a section that a newer carezoo wrote."""
    schema = section["schema"].integer(at_least=1)
    if schema > SCHEMA:
        raise UnsupportedError(
            f"{section.path}: written in schema {schema}, this carezoo reads up to {SCHEMA}. "
            "Update: pip install -U carezoo"
        )


def read_hashes(section: Entry) -> dict[str, str]:
    """Return the sha256 of every file besides the manifest."""
    return {path: entry.text() for path, entry in section["files"].items()}


def overlay(manifest: Manifest, section: Entry) -> Manifest:
    """Return the manifest with the section, and with its numbers in place of those derived from the format.

    What is missing, of the wrong kind, or contradicts the rest of the manifest is a `ManifestError`.
    """
    task = section["task"]
    if task.text() not in TASKS:
        raise task.error(f"one of {', '.join(TASKS)}")
    if len(manifest.outputs) != 1:
        raise ManifestError(f"{section.path}: a carezoo package lists one output tensor, found {len(manifest.outputs)}")
    output = manifest.outputs[0]
    channels = _read_channels(section["channels"], len(output.channels), len(manifest.input.channels))
    names = tuple(channel.name or known for channel, known in zip(channels, output.channels, strict=True))
    intensity = _read_intensity(section["intensity"])
    if intensity.undo == "in_rdf":
        _check_inverse(manifest, channels, section.path)
    results = tuple(
        _build_result(kind, channels, is_undone=intensity.undo != "none")
        for kind in UNDO
        if any(channel.kind == kind for channel in channels)
    )
    rules = {letter: _read_rule(section["axes"], letter, rule) for letter, rule in manifest.input.rules.items()}
    sizes = {letter: OutputAxis(factor) for letter, factor in _read_factors(section, manifest).items()}
    return replace(
        manifest,
        input=replace(manifest.input, rules=rules, channels=_read_input_channels(section, manifest)),
        # The constants of the postprocessing are those of the preprocessing: `Result.undo` says the same.
        outputs=(replace(output, channels=names, sizes=sizes, postprocessing=()),),
        results=results,
        carezoo=Section(
            schema=section["schema"].integer(),
            carezoo_version=section.optional("carezoo_version", Entry.text) or "",
            task=task.text(),
            channels=channels,
            intensity=intensity,
            members=section.optional("members", _read_members),
            bytes_per_pixel=section.optional("bytes_per_pixel", _read_bytes),
            files=read_hashes(section),
            **vars(_read_record(section)),
        ),
        remarks=(),
    )


def contract(manifest: Manifest) -> Plain:
    """Return what others rely on, as the section has it; None where a key is missing."""
    section = ((manifest.rdf.get("config") or {}).get("carezoo") or {}) if manifest.is_by_carezoo else {}
    return {key: section.get(key) for key in CONTRACT}


def write(draft: Draft) -> Plain:
    """Return the section of a draft, as plain values."""
    section = {
        "schema": SCHEMA,
        "carezoo_version": __version__,
        "task": draft.task,
        "axes": {letter.lower(): _write_rule(draft.rules[letter]) for letter in draft.axes},
        "factors": {letter.lower(): str(factor) for letter, factor in sorted(draft.factors.items()) if factor != 1},
        "input_channels": list(draft.input_channels),
        "channels": [vars(channel) for channel in draft.output_channels],
        "intensity": vars(_intensity(draft)),
        "members": vars(Members(MEMBERS_OUTPUT, draft.n_members)) if draft.n_members else None,
        "bytes_per_pixel": draft.bytes_per_pixel,
        **write_record(draft.record),
        "files": {path: hashlib.sha256(draft.files[path]).hexdigest() for path in sorted(draft.files)},
    }
    return {key: value for key, value in section.items() if value is not None}


def _read_channels(entries: Entry, n_out: int, n_in: int) -> tuple[ChannelMeaning, ...]:
    channels = tuple(_read_channel(entry, n_in) for entry in entries)
    if len(channels) != n_out:
        raise ManifestError(f"{entries.path}: {len(channels)} meanings for {n_out} output channel(s)")
    if not any(channel.kind == "mean" for channel in channels):
        raise ManifestError(f"{entries.path}: no channel of kind mean; a restoration has at least one")
    return channels


def _read_channel(entry: Entry, n_in: int) -> ChannelMeaning:
    kind, of = entry["kind"], entry.get("of")
    if kind.text() not in UNDO:
        raise kind.error(f"one of {', '.join(UNDO)}")
    if of is not None and of.integer(at_least=0) >= n_in:
        raise of.error(f"an input channel, 0 to {n_in - 1}")
    return ChannelMeaning(kind.text(), None if of is None else of.integer(), entry.optional("name", Entry.text) or "")


def _read_input_channels(section: Entry, manifest: Manifest) -> tuple[str, ...]:
    """Return the names people gave; the format's own are identifiers."""
    listed = section.get("input_channels")
    names = manifest.input.channels if listed is None else tuple(item.text() for item in listed)
    if listed is not None and len(names) != len(manifest.input.channels):
        raise listed.error(f"{len(manifest.input.channels)} names, one for each input channel")
    return names


def _build_result(kind: str, channels: tuple[ChannelMeaning, ...], *, is_undone: bool) -> Result:
    chosen = [(i, channel.of) for i, channel in enumerate(channels) if channel.kind == kind]
    of = tuple(source for _, source in chosen if source is not None)
    has_units = is_undone and len(of) == len(chosen)
    return Result(kind, 0, tuple(i for i, _ in chosen), UNDO[kind] if has_units else "none", of if has_units else ())


def _read_rule(axes: Entry, letter: str, from_format: AxisRule) -> AxisRule:
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


def _write_rule(rule: AxisRule) -> Plain:
    return {"min": rule.min_size, "step": rule.step, "halo": rule.halo, "tileable": rule.is_tileable}


def _read_factors(section: Entry, manifest: Manifest) -> dict[str, Fraction]:
    """Return the exact factor of every output axis."""
    listed = {letter.upper(): _read_fraction(entry) for letter, entry in _items(section, "factors")}
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


def _items(entry: Entry, key: str) -> Iterator[tuple[str, Entry]]:
    found = entry.get(key)
    return iter(()) if found is None else found.items()


def _read_fraction(entry: Entry) -> Fraction:
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


def _read_intensity(entry: Entry) -> IntensityUse:
    mode, undo = entry["mode"], entry["undo"]
    if mode.text() not in MODES:
        raise mode.error(f"one of {', '.join(MODES)}")
    if undo.text() not in UNDO_MODES:
        raise undo.error(f"one of {', '.join(UNDO_MODES)}")
    return IntensityUse(mode.text(), undo.text())


def _intensity(draft: Draft) -> IntensityUse:
    if isinstance(draft.normalization, Constants):
        return IntensityUse("fixed", "in_rdf")
    has_units = all(channel.of is not None for channel in draft.output_channels if channel.kind == "mean")
    return IntensityUse(draft.normalization.mode, "input_range" if has_units else "none")


def _check_inverse(manifest: Manifest, channels: tuple[ChannelMeaning, ...], path: str) -> None:
    """Refuse constants behind the network that are not those before it, the other way round."""
    before = [step for step in manifest.input.preprocessing if isinstance(step, Affine)]
    after = [step for step in manifest.outputs[0].postprocessing if isinstance(step, Affine)]
    if len(before) != 1 or len(after) != 1:
        raise ManifestError(
            f"{path}.intensity: undo in_rdf needs one fixed_zero_mean_unit_variance before and one scale_linear after "
            f"the network, found {len(before)} and {len(after)}"
        )
    gains, offsets = (_each(values, len(manifest.input.channels)) for values in (before[0].gain, before[0].offset))
    found = zip(*(_each(values, len(channels)) for values in (after[0].gain, after[0].offset)), strict=True)
    for channel, (gain, offset) in zip(channels, found, strict=True):
        if channel.of is None or channel.kind == "disagreement":
            wanted = (1.0, 0.0)
        else:
            wanted = (1 / gains[channel.of], -offsets[channel.of] / gains[channel.of])
        if channel.kind == "scale":
            wanted = (wanted[0], 0.0)
        if not np.allclose((gain, offset), wanted, rtol=1e-4, atol=1e-4 * abs(wanted[0])):
            raise ManifestError(
                f"{path}.intensity: output channel {channel.name or channel.kind} is put back with gain {gain:g} and "
                f"offset {offset:g}; the inverse of the preprocessing is {wanted[0]:g} and {wanted[1]:g}"
            )


def _each(values: tuple[float, ...], n: int) -> tuple[float, ...]:
    return values * n if len(values) == 1 else values


def _read_members(entry: Entry) -> Members:
    return Members(entry["output"].text(), entry["n"].integer(at_least=2))


def _read_bytes(entry: Entry) -> int:
    if entry.number() <= 0:
        raise entry.error("a number above 0")
    return math.ceil(entry.number())


def _read_record(section: Entry) -> Record:
    """Return how the model was made. What nothing runs with is left out where it is not understood."""
    return Record(
        parity=_mapping(section, "parity"),
        fast=_mapping(section, "fast"),
        converted=_mapping(section, "converted"),
        network=_if_understood(section, "network", _read_network),
        training=_if_understood(section, "training", _read_training),
        training_images=_mapping(section, "training_images"),
        calibration=section.optional("calibration", _read_calibration),
        halo_measured=_mapping(section, "halo_measured"),
        scores=_mapping(section, "scores"),
    )


def write_record(record: Record) -> Plain:
    """Return what is known of how a model was made and measured, as plain values by key."""
    found: Plain = {each.name: getattr(record, each.name) for each in fields(Record)}
    written = {
        "network": write_network(record.network) if record.network else None,
        "training": _write_training(record.training) if record.training else None,
        "calibration": write_calibration(record.calibration) if record.calibration else None,
    }
    return {key: value for key, value in {**found, **written}.items() if value is not None}


def _mapping(section: Entry, key: str) -> Plain | None:
    return _if_understood(section, key, Entry.mapping)


def _if_understood(section: Entry, key: str, read: Callable[[Entry], T]) -> T | None:
    try:
        return section.optional(key, read)
    except ManifestError:
        return None


def _read_network(entry: Entry) -> Architecture:
    own = {"name", "n_parameters"}
    settings = {key: value for key, value in entry.mapping().items() if key not in own}
    return Architecture(
        entry.optional("name", Entry.text) or "", settings, entry.optional("n_parameters", Entry.integer)
    )


def write_network(network: Architecture) -> Plain:
    """Return the plain values of a network: its settings between its name and its size."""
    return {"name": network.name, **network.settings, "n_parameters": network.n_parameters}


def _read_training(entry: Entry) -> TrainingSummary:
    return TrainingSummary(
        data=tuple(_read_source(each) for each in entry["data"]),
        members=tuple(
            FitSummary(
                n_steps=each["n_steps"].integer(),
                n_epochs=each["n_epochs"].integer(),
                best_epoch=each["best_epoch"].integer(),
                best_validation_loss=each["best_validation_loss"].number(),
            )
            for each in entry["members"]
        ),
        precision=entry["precision"].text(),
        device=entry["device"].text(),
        libraries={name: version.text() for name, version in entry["libraries"].items()},
        python=entry["python"].text(),
    )


def _read_source(entry: Entry) -> DataSource:
    n_files = {key: value for key, value in entry.mapping().items() if isinstance(value, int)}
    words = {key: entry[key].text() for key in ("name", "license", "origin", "parts")}
    return DataSource(**words, n_files=n_files)


def _write_training(training: TrainingSummary) -> Plain:
    return {
        **vars(training),
        "data": [
            {"name": each.name, "license": each.license, "origin": each.origin, **each.n_files, "parts": each.parts}
            for each in training.data
        ],
        "members": [vars(fit) for fit in training.members],
    }


def _read_calibration(entry: Entry) -> Calibration:
    return Calibration(
        factor=1.0 if entry.get("factor") is None else entry["factor"].number(),
        nll_before=entry.optional("nll_before", Entry.number),
        nll=entry.optional("nll", Entry.number),
        n_pixels=entry.optional("n_pixels", Entry.integer),
        levels=entry.optional("levels", _read_levels),
        coverage={
            part: {level: share.number() for level, share in each.items()} for part, each in _items(entry, "coverage")
        },
    )


def _read_levels(entry: Entry) -> Recalibration:
    rows = [[number.number() for number in row] for row in entry]
    try:
        return Recalibration.from_plain(rows)
    except InputError as error:
        raise entry.error(f"pairs of levels ({error})") from None


def write_calibration(calibration: Calibration) -> Plain:
    """Return the plain values of a calibration, without what is not known."""
    levels = calibration.levels.to_plain() if calibration.levels else None
    values = {**vars(calibration), "levels": levels, "coverage": calibration.coverage or None}
    return {key: value for key, value in values.items() if value is not None}
