"""What a package is, for a person: one screen."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from carezoo.intensity import Affine, Cast, Operation, ScaleRange, Standardize
from carezoo.package.manifest import Manifest
from carezoo.package.read import Package
from carezoo.package.section import write_network
from carezoo.tasks import TASKS

UNITS = {
    "affine": "in the intensities of the input",
    "gain": "in the intensities of the input",
    "none": "as the package leaves it",
}


WIDTH = 110
"""Columns of the screen."""


def describe(package: Package) -> dict[str, Any]:
    """Return what `carezoo info` tells, as plain values for JSON.

    Returns
    -------
    dict
        Only what the package says; sizes in pixels, pixel sizes in micrometres, file sizes in bytes.
    """
    manifest, rdf = package.manifest, package.manifest.rdf
    section = manifest.carezoo
    told = {
        "description": manifest.description,
        "made_by": f"carezoo {section.carezoo_version}".strip() if manifest.is_by_carezoo else "another tool",
        "task": section.task,
        "input": {
            "axes": manifest.input.axes,
            "channels": list(manifest.input.channels),
            "pixel_size_um": {letter: float(f"{size:.6g}") for letter, size in manifest.input.pixel_size_um.items()},
            "sizes": {letter: _rule(manifest, letter) for letter in manifest.input.rules},
            "normalization": [_operation(operation) for operation in manifest.input.preprocessing],
        },
        "results": [_describe_result(manifest, i) for i in range(len(manifest.results))],
        "members": section.members.n if section.members else None,
        "intensity": vars(section.intensity) if section.intensity else None,
        "fast": section.fast,
        "scores": section.scores,
        "network": write_network(section.network) if section.network else None,
        "license": rdf.get("license"),
        "authors": [str(author["name"]) for author in _mappings(rdf.get("authors")) if "name" in author],
        "cite": [str(citation.get("text") or citation.get("doi") or "") for citation in _mappings(rdf.get("cite"))],
        "parent": rdf.get("parent"),
        "weights": {"file": manifest.weights.path, "opset": manifest.weights.opset, "bytes": _weights_bytes(package)},
        "sha256": package.sha256,
        "path": str(package.path),
        "remarks": list(manifest.remarks),
    }
    told = {key: value for key, value in told.items() if value not in (None, [], {}, "")}
    return {"id": manifest.id, "version": manifest.version, "name": manifest.name, **told}


def summary(package: Package) -> str:
    """Return what `carezoo info` prints."""
    return "\n".join(_lines(describe(package), _format_normalization(package)))


def _lines(told: Mapping[str, Any], normalization: str) -> Iterator[str]:
    yield f"{told['id']} {told['version']}: {told['name']}"
    if "description" in told:
        yield f"  {told['description']}"
    yield ""
    yield from _lines_of_use(told)
    yield _format_line("normalized by", normalization)
    yield from _lines_of_quality(told)
    yield from _lines_of_origin(told)
    for remark in told.get("remarks", ()):
        yield _format_line("note", remark)


def _lines_of_use(told: Mapping[str, Any]) -> Iterator[str]:
    if "task" in told:
        yield _format_line("task", TASKS[told["task"]].title)
    taken = told["input"]
    yield _format_line("takes", _format_axes(taken["axes"], taken["channels"]))
    if taken["pixel_size_um"]:
        shown = ", ".join(f"{letter} {size:g}" for letter, size in taken["pixel_size_um"].items())
        yield _format_line("trained at", f"{shown} micrometres per pixel")
    for result in told["results"]:
        yield _format_line(result["name"], f"{_format_axes(result['axes'], result['channels'])}, {result['units']}")
    for letter, rule in taken["sizes"].items():
        yield _format_line(f"axis {letter}", _format_rule(rule))


def _format_axes(axes: str, channels: Sequence[str]) -> str:
    """Return the axes an image needs: none for the batch, and none for channels where there is only one."""
    return f"{axes.translate({ord('B'): None, ord('C'): 'C' if len(channels) > 1 else None})} ({', '.join(channels)})"


def _lines_of_quality(told: Mapping[str, Any]) -> Iterator[str]:
    if "members" in told:
        yield _format_line("ensemble", f"{told['members']} members in one graph")
    for name in ("scores", "fast"):
        values = told.get(name)
        if isinstance(values, Mapping):
            plain = {key: value for key, value in values.items() if _is_plain(value)}
            missing = plain.pop("unmeasured", None)
            words = [
                *(f"{key} {value}" for key, value in plain.items()),
                *([f"not measured where this model was packed: {missing}"] if missing else []),
            ]
            yield _format_line(name, ", ".join(words))


def _lines_of_origin(told: Mapping[str, Any]) -> Iterator[str]:
    weights = told["weights"]
    yield _format_line(
        "weights", f"{weights['file']}, {weights['bytes'] / 1e6:.3g} MB, opset {weights['opset'] or 'not told'}"
    )
    yield _format_line("license", str(told.get("license", "not told")))
    yield _format_line("authors", ", ".join(told.get("authors", ["not told"])))
    for citation in told.get("cite", ()):
        yield _format_line("cite", citation)
    if isinstance(told.get("parent"), Mapping):
        yield _format_line("tuned from", f"{told['parent'].get('id')} {told['parent'].get('version', '')}")
    yield _format_line("made by", told["made_by"])
    yield _format_line("sha256", told["sha256"])


def _format_line(name: str, text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=f"  {name:<14}", subsequent_indent=" " * 16, break_on_hyphens=False
    )


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _operation(operation: Operation) -> dict[str, Any]:
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(operation).items()}
    return {"operation": type(operation).__name__, **values}


def _format_normalization(package: Package) -> str:
    """Return how images are normalized, in words; casts are no news to anybody."""
    words = []
    for operation in package.manifest.input.preprocessing:
        if isinstance(operation, ScaleRange):
            words.append(f"percentiles {operation.low_percentile:g} to {operation.high_percentile:g} of each image")
        elif isinstance(operation, Standardize):
            words.append("mean and standard deviation of each image")
        elif isinstance(operation, Affine):
            words.append("constants")
        elif not isinstance(operation, Cast):
            words.append(type(operation).__name__.lower())
    return ", then ".join(words) or "not at all"


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _rule(manifest: Manifest, letter: str) -> dict[str, Any]:
    rule = manifest.input.rules[letter]
    factors = {output.sizes[letter].factor for output in manifest.outputs if letter in output.sizes}
    told = {"min": rule.min_size, "step": rule.step, "halo": rule.halo, "tileable": rule.is_tileable}
    return {**told, "factor": str(factors.pop()) if factors else "projected"}


def _format_rule(rule: Mapping[str, Any]) -> str:
    size = f"from {rule['min']} in steps of {rule['step']}" if rule["step"] else f"tiles of {rule['min']} only"
    cut = f"halo {rule['halo']}" if rule["tileable"] else "never cut into tiles"
    factor = (
        ""
        if rule["factor"] == "1"
        else f", {'projected' if rule['factor'] == 'projected' else 'times ' + rule['factor']}"
    )
    return f"{size}, {cut}{factor} (images of other sizes are padded)"


def _describe_result(manifest: Manifest, index: int) -> dict[str, Any]:
    result = manifest.results[index]
    output = manifest.tensor(result)
    axes = "".join(letter for letter in output.axes if letter != "B" and (letter == "C" or letter in output.sizes))
    chosen = [output.channels[i] for i in result.channels]
    return {"name": result.name, "axes": axes, "channels": chosen, "units": UNITS[result.undo]}


def _weights_bytes(package: Package) -> int:
    weights = package.manifest.weights
    return sum(package.size_bytes(path) for path in (weights.path, weights.external_data) if path)
