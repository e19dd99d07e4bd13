"""Checks of a package's graph against its manifest: names, order, ranks, channels, versions; and of other readers."""

from __future__ import annotations

from collections.abc import Iterator

from carezoo.check.finding import Finding, Subject
from carezoo.package import graph, portable
from carezoo.package.manifest import InputTensor, OutputTensor
from carezoo.runtime.predict import TENSOR_TYPES
from carezoo.runtime.session import Port


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
