"""What keeps a package from running in other bioimage.io readers, as hints.

Each rule names the reader it is for. None of them stops carezoo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from carezoo.package.graph import GraphFacts
from carezoo.package.manifest import Manifest

NEWEST_PLAIN_FORMAT = (0, 5, 10)
"""From 0.5.11 on, documentation and covers are objects, which older readers, Fiji and QuPath refuse."""

MAX_OPSET, MAX_IR = 17, 8
"""Fiji (JDLL) has ONNX Runtime 1.13."""

MIN_OPSET = 15

MAX_WEIGHTS_BYTES = 2_000_000_000

PORTABLE_OPERATIONS = frozenset(
    {
        *("ensure_dtype", "scale_range", "scale_linear", "zero_mean_unit_variance", "fixed_zero_mean_unit_variance"),
    }
)


def hints(manifest: Manifest, facts: GraphFacts, weights_bytes: int) -> tuple[str, ...]:
    """Return what other readers will stumble over, one sentence each; empty for a package that runs everywhere."""
    return (
        *_check_graph(facts, weights_bytes),
        *_check_text(manifest.rdf),
        *_check_tensors(manifest.rdf),
        *_check_sizes(manifest),
    )


def _check_graph(facts: GraphFacts, weights_bytes: int) -> Iterator[str]:
    if not MIN_OPSET <= facts.opset <= MAX_OPSET:
        yield f"opset {facts.opset}: Fiji runs {MIN_OPSET} to {MAX_OPSET}"
    if facts.ir_version > MAX_IR:
        yield f"IR version {facts.ir_version}: Fiji reads up to {MAX_IR}"
    if facts.external_files:
        yield "weights in a second file: Fiji does not fetch it"
    if weights_bytes > MAX_WEIGHTS_BYTES:
        yield f"weights of {weights_bytes} bytes: one file holds less than 2 GB"
    if facts.metadata:
        yield f"the graph holds notes of its exporter ({', '.join(facts.metadata[:3])}), maybe paths of its machine"
    if facts.domains:
        yield f"operators of {', '.join(facts.domains)}: only ONNX Runtime builds with them run the graph"


def _check_text(rdf: Mapping[str, Any]) -> Iterator[str]:
    version = str(rdf.get("format_version", ""))
    parts = tuple(int(part) for part in version.split(".") if part.isdigit())
    if not (0, 5) <= parts <= NEWEST_PLAIN_FORMAT:
        yield f"format_version {version}: written as 0.5.0 to 0.5.10 every reader takes it"
    for key in ("documentation", "license"):
        if not isinstance(rdf.get(key), str):
            yield f"{key} is not plain text, which Fiji expects"
    if any(not isinstance(cover, str) for cover in _read_list(rdf, "covers")):
        yield "covers are not plain texts, which Fiji and older readers expect"
    for key in ("id", "version", "timestamp"):
        if not rdf.get(key):
            yield f"{key} is missing" + (": Fiji lists no model without it" if key == "id" else "")
    if "version_comment" in rdf:
        yield "version_comment: readers of format 0.5.4 refuse the key"
    people = [*_read_list(rdf, "authors"), *_read_list(rdf, "maintainers")]
    if any(isinstance(person, Mapping) and person.get("github_user") for person in people):
        yield "github_user: bioimageio.core asks GitHub for it, and does not load the model offline"
    tags = {str(tag) for tag in _read_list(rdf, "tags")}
    if not tags & {"2d", "3d"}:
        yield "no tag 2d or 3d, by which BiaPy and the collection sort"


def _check_tensors(rdf: Mapping[str, Any]) -> Iterator[str]:
    inputs, outputs = _tensors(rdf, "inputs"), _tensors(rdf, "outputs")
    if len(outputs) > 1:
        yield f"{len(outputs)} outputs: ilastik and QuPath take one"
    if any("pad" in tensor for tensor in inputs):
        yield "pad: readers before format 0.5.10 refuse the key"
    for tensor in (*inputs, *outputs):
        name = tensor.get("id", tensor.get("name"))
        operations = [*_read_list(tensor, "preprocessing"), *_read_list(tensor, "postprocessing")]
        names = {str(step.get("id", step.get("name"))) for step in operations if isinstance(step, Mapping)}
        if names - PORTABLE_OPERATIONS:
            yield f"{name}: {', '.join(sorted(names - PORTABLE_OPERATIONS))} is not known to every reader"
        letters = [
            str(axis.get("id") or axis.get("type")) for axis in _read_list(tensor, "axes") if isinstance(axis, dict)
        ]
        if letters and letters not in (["batch", "channel", "y", "x"], ["batch", "channel", "z", "y", "x"]):
            yield f"{name}: axes {', '.join(letters)}; BiaPy takes batch, channel, (z,) y, x"
        if isinstance(tensor.get("axes"), list) and "test_tensor" not in tensor:
            yield f"{name}: no test tensor"


def _tensors(rdf: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return [tensor for tensor in _read_list(rdf, key) if isinstance(tensor, Mapping)]


def _read_list(mapping: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list of the manifest; parts that carezoo does not need may hold anything."""
    value = mapping.get(key)
    return value if isinstance(value, list) else []


def _check_sizes(manifest: Manifest) -> Iterator[str]:
    """Look at the sizes as the format writes them, not as `config.carezoo` does."""
    for tensor in _tensors(manifest.rdf, "inputs"):
        for axis in _read_list(tensor, "axes"):
            size = axis.get("size") if isinstance(axis, Mapping) else None
            if isinstance(size, Mapping) and "min" in size and size["min"] % size["step"]:
                yield f"axis {axis.get('id')}: min {size['min']} is not a multiple of step {size['step']} (for Fiji)"
    for letter, rule in manifest.input.rules.items():
        if rule.step and not rule.halo and letter in "YX" and rule.is_tileable:
            yield f"axis {letter.lower()} has no halo: readers that tile will show seams"
