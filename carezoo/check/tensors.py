"""Checks of a package's graph: its tensors against the manifest, its test tensors, and images of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo import intensity
from carezoo.check.finding import Finding, Float, Subject, format_sizes
from carezoo.check.halo import cut_off
from carezoo.errors import ManifestError
from carezoo.intensity import Normalization
from carezoo.package import graph, portable
from carezoo.package.document import Entry
from carezoo.package.manifest import InputTensor, Manifest, OutputTensor
from carezoo.runtime import postprocess
from carezoo.runtime.predict import TENSOR_TYPES, undo
from carezoo.runtime.session import Port
from carezoo.statistics import Blocks

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-3, 1e-3
"""The format's own defaults for test tensors."""

MISMATCHED_PER_MILLION = 100.0

N_RANDOM_SIZES = 5


def check_graph(work: Subject) -> list[Finding]:
    """Compare names, order, ranks, channels and versions with what ONNX Runtime and the file say."""
    weights = work.package.read_weights()
    facts = graph.read_facts(weights, work.manifest.weights.path)
    problems = list(_graph_problems(work, facts.opset))
    detail = f"opset {facts.opset}, IR {facts.ir_version}, {len(work.manifest.outputs)} listed output(s)"
    findings = [Finding("graph", not problems, "; ".join(problems) or detail)]
    hints = portable.hints(work.manifest, facts, len(weights))
    findings += [Finding("portable", False, hint, "warning") for hint in hints]
    return (
        findings if hints else [*findings, Finding("portable", True, "nothing other readers stumble over", "warning")]
    )


def _graph_problems(work: Subject, opset: int) -> Iterator[str]:
    manifest, session = work.manifest, work.session
    if len(session.inputs) != 1:
        yield f"the graph has {len(session.inputs)} inputs, the manifest one"
    if manifest.weights.opset is not None and manifest.weights.opset != opset:
        yield f"the manifest says opset {manifest.weights.opset}, the graph is {opset}"
    if len(session.outputs) < len(manifest.outputs):
        yield f"the graph has {len(session.outputs)} output(s), the manifest {len(manifest.outputs)}"
    tensors: list[InputTensor | OutputTensor] = [manifest.input, *manifest.outputs]
    for tensor, port in zip(tensors, (session.inputs[0], *session.outputs), strict=False):
        if manifest.is_by_carezoo and port.name != tensor.name:
            yield f"tensor {tensor.name!r} is called {port.name!r} in the graph, or stands in another place"
        yield from _port_problems(tensor, port)
    if manifest.is_by_carezoo:
        wanted = [manifest.carezoo.members.output] if manifest.carezoo.members else []
        unlisted = [port.name for port in session.outputs[len(manifest.outputs) :]]
        if unlisted != wanted:
            yield f"unlisted outputs {unlisted or 'none'}; config.carezoo.members names {wanted or 'none'}"


def _port_problems(tensor: InputTensor | OutputTensor, port: Port) -> Iterator[str]:
    if port.dtype not in TENSOR_TYPES:
        yield f"{tensor.name} has type {port.dtype}; carezoo runs floating-point graphs"
    if not port.shape:
        return
    if len(port.shape) != len(tensor.axes):
        yield f"{tensor.name} has axes {tensor.axes}, but {len(port.shape)} dimensions in the graph"
        return
    found = dict(zip(tensor.axes, port.shape, strict=True)).get("C")
    if isinstance(found, int) and found != len(tensor.channels):
        yield f"{tensor.name} has channels {', '.join(tensor.channels)}, but {found} in the graph"


def check_test_tensors(work: Subject) -> list[Finding]:
    """Run the test image through the whole recipe and compare."""
    manifest = work.manifest
    if manifest.test_input is None or len(manifest.test_outputs) != len(manifest.outputs):
        return [Finding("test tensors", False, "the package has none", "warning")]
    raw = work.package.load_array(manifest.test_input)
    if raw.ndim != len(manifest.input.axes):
        raise ManifestError(f"{manifest.test_input} has shape {raw.shape} for axes {manifest.input.axes}")
    wanted = [work.package.load_array(path) for path in manifest.test_outputs]
    batches = _batches(raw, manifest.input.axes)
    restored = [_process(work, batch) for batch in batches]
    findings = []
    for i, (output, expected) in enumerate(zip(manifest.outputs, wanted, strict=True)):
        found = np.concatenate([one[i] for one in restored], axis=output.axes.index("B") if "B" in output.axes else 0)
        findings.append(_compare(output, found, expected, _tolerance(manifest.rdf, output.name)))
    return findings


def _batches(raw: NDArray[Any], axes: str) -> list[NDArray[Any]]:
    """Return every image of a test tensor, with the batch axis kept."""
    return np.split(raw, raw.shape[axes.index("B")], axis=axes.index("B")) if "B" in axes else [raw]


def _process(work: Subject, raw: NDArray[Any]) -> list[Float]:
    """Normalize one image, run it, and do what the manifest asks for behind the network."""
    manifest = work.manifest
    channels = axes_.move(raw, manifest.input.axes, "C" + manifest.spatial_axes)
    blocks = [_as_blocks(channel) for channel in channels]
    normalization = intensity.measure(manifest.input.preprocessing, blocks, manifest.test_input or "test image")
    restored = []
    for index, (tensor, output) in enumerate(
        zip(work.run(normalization.apply(channels)), manifest.outputs, strict=True)
    ):
        spatial = "".join(letter for letter in manifest.spatial_axes if letter in output.sizes)
        block = np.asarray(axes_.move(tensor, output.axes, "C" + spatial), np.float32)
        block = _to_listed_units(block, index, manifest, normalization)
        block = postprocess.finish(postprocess.at_once(output).apply(block), output, blocks)
        restored.append(np.asarray(axes_.move(block, "C" + spatial, output.axes), np.float32))
    return restored


def _as_blocks(channel: NDArray[np.generic]) -> Blocks:
    return lambda: (channel,)


def _to_listed_units(block: Float, index: int, manifest: Manifest, normalization: Normalization) -> Float:
    """Return network output in the units of the test tensor: a package with constants of its own puts them back."""
    if manifest.carezoo.intensity is None or manifest.carezoo.intensity.undo != "in_rdf":
        return block
    block = block.copy()
    for result in manifest.results:
        if result.tensor == index:
            chosen = list(result.channels)
            block[chosen] = undo(block[chosen], result, normalization)
    return block


def _compare(
    output: OutputTensor, found: Float, expected: NDArray[Any], tolerance: tuple[float, float, float]
) -> Finding:
    name, (relative, absolute, per_million) = f"test tensor {output.name}", tolerance
    if found.shape != expected.shape:
        return Finding(name, False, f"shape {found.shape}, the package holds {expected.shape}")
    difference = np.abs(found.astype(np.float64) - expected)
    # `not <=` rather than `>`: NaN is not within any tolerance.
    wrong = ~(difference <= absolute + relative * np.abs(expected.astype(np.float64)))
    detail = f"largest difference {_largest(difference):.2g}, values up to {_largest(np.abs(expected)):.3g}"
    if wrong.sum() * 1e6 > per_million * wrong.size or not np.isfinite(expected).all():
        return Finding(name, False, f"{wrong.sum()} of {wrong.size} values differ; {detail}")
    return Finding(name, True, detail)


def _largest(values: NDArray[Any]) -> float:
    """Return the largest finite value, 0 where there is none."""
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))


def _tolerance(rdf: Mapping[str, Any], output: str) -> tuple[float, float, float]:
    """Return relative and absolute tolerance and allowed misses per million, as the package says for ONNX."""
    defaults = {
        "relative_tolerance": RELATIVE_TOLERANCE,
        "absolute_tolerance": ABSOLUTE_TOLERANCE,
        "mismatched_elements_per_million": MISMATCHED_PER_MILLION,
    }
    listed: Entry | None = Entry(dict(rdf), "rdf.yaml")
    for key in ("config", "bioimageio", "reproducibility_tolerance"):
        listed = listed.get(key) if listed is not None else None
    for entry in listed or ():
        outputs, formats = (_texts(entry.get(key)) for key in ("output_ids", "weights_formats"))
        if (not outputs or output in outputs) and (not formats or "onnx" in formats):
            relative, absolute, per_million = (
                default if (given := entry.get(key)) is None else given.number() for key, default in defaults.items()
            )
            return relative, absolute, per_million
    return RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE, MISMATCHED_PER_MILLION


def _texts(entry: Entry | None) -> list[str]:
    return [] if entry is None else [item.text() for item in entry]


def check_sizes(work: Subject) -> list[Finding]:
    """Run images of random size, every axis on its own, and one without any structure."""
    problems, tried = [], []
    for i in range(N_RANDOM_SIZES):
        sizes = _random_sizes(work, smallest=i == 0)
        image = work.image(sizes) if i else np.zeros_like(work.image(sizes))
        for tensor, output in zip(work.run(image), work.manifest.outputs, strict=True):
            expected = output.shape(sizes)
            if tensor.shape != expected:
                problems.append(
                    f"{output.name} of an input {format_sizes(sizes)} has shape {tensor.shape}, not {expected}"
                )
            elif not np.isfinite(tensor).all():
                problems.append(f"{output.name} of an input {format_sizes(sizes)} holds NaN or infinite values")
        tried.append(format_sizes(sizes))
    return [Finding("sizes", not problems, "; ".join(problems[:3]) or f"right and finite for {', '.join(tried)}")]


def _random_sizes(work: Subject, *, smallest: bool) -> dict[str, int]:
    rules = work.manifest.input.rules
    most = int(work.max_pixels ** (1 / len(rules))) // 2
    sizes = {}
    for letter, rule in rules.items():
        least = rule.round_up(2 * cut_off(work.manifest, letter) + 1)
        highest = max(least, min(least + 12 * rule.step, most))
        sizes[letter] = (
            least if smallest or not rule.step else rule.round_up(int(work.rng.integers(least, highest + 1)))
        )
    return sizes
