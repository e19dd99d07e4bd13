"""The few facts of an ONNX file that must be known before it is run, read without the onnx package.

An ONNX file is a protocol buffer: a sequence of fields, each a number, a wire type and a value. The numbers are those
of `onnx.proto3`, which never change once released.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from carezoo.errors import ManifestError

Fields = Iterator[tuple[int, int | memoryview]]

MAX_DEPTH = 8
"""Graphs within graphs (loops, branches) that are followed."""

# Field numbers: ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, OperatorSetIdProto, StringStringEntry.
MODEL_IR, MODEL_PRODUCER, MODEL_DOC, MODEL_GRAPH, MODEL_OPSET, MODEL_METADATA = 1, 2, 6, 7, 8, 14
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_DOC, GRAPH_METADATA = 1, 5, 10, 16
NODE_ATTRIBUTE, NODE_DOC, NODE_DOMAIN, NODE_METADATA = 5, 6, 7, 9
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 5, 6, 10, 11
TENSOR_EXTERNAL, OPSET_DOMAIN, OPSET_VERSION, ENTRY_KEY, ENTRY_VALUE = 13, 1, 2, 1, 2


@dataclass(frozen=True)
class GraphFacts:
    """What an ONNX file says of itself."""

    ir_version: int
    opset: int
    """Of the standard operators."""
    producer: str
    metadata: tuple[str, ...]
    """Keys of all metadata and documentation texts in the model, its graphs and nodes."""
    domains: tuple[str, ...]
    """Operator sets besides the standard one, imported or used."""
    external_files: tuple[str, ...]
    """Files that hold numbers of the graph."""


@dataclass
class _Found:
    metadata: set[str]
    domains: set[str]
    external_files: set[str]

    def add_text(self, value: int | memoryview, *, is_metadata: bool) -> None:
        if is_metadata:
            self.metadata.add(_entry(value)[0])
        elif len(_bytes(value)):
            self.metadata.add("doc_string")


def read_facts(weights: bytes, name: str = "weights.onnx") -> GraphFacts:
    """Read an ONNX file; `ManifestError` if it is none."""
    ir_version, opset, producer = 0, 0, ""
    found = _Found(set(), set(), set())
    has_graph = False
    try:
        for number, value in _fields(memoryview(weights)):
            if number == MODEL_IR:
                ir_version = _integer(value)
            elif number == MODEL_PRODUCER:
                producer = _text(value)
            elif number == MODEL_OPSET:
                domain, version = _opset(value)
                opset = max(opset, version) if domain in {"", "ai.onnx"} else opset
                found.domains.add(domain)
            elif number == MODEL_GRAPH:
                has_graph = True
                _graph(value, found, 0)
            elif number in {MODEL_METADATA, MODEL_DOC}:
                found.add_text(value, is_metadata=number == MODEL_METADATA)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ManifestError(f"{name} is not an ONNX file: {error}") from error
    if not has_graph or not ir_version:
        raise ManifestError(f"{name} is not an ONNX file: it holds no graph")
    return GraphFacts(
        ir_version,
        opset,
        producer,
        tuple(sorted(found.metadata)),
        tuple(sorted(found.domains - {"", "ai.onnx"})),
        tuple(sorted(found.external_files)),
    )


def _graph(graph: int | memoryview, found: _Found, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"graphs nested more than {MAX_DEPTH} deep")
    for number, value in _fields(_bytes(graph)):
        if number == GRAPH_NODE:
            _node(value, found, depth)
        elif number == GRAPH_INITIALIZER:
            _tensor(value, found)
        elif number in {GRAPH_METADATA, GRAPH_DOC}:
            found.add_text(value, is_metadata=number == GRAPH_METADATA)


def _node(node: int | memoryview, found: _Found, depth: int) -> None:
    for number, value in _fields(_bytes(node)):
        if number == NODE_DOMAIN:
            found.domains.add(_text(value))
        elif number in {NODE_METADATA, NODE_DOC}:
            found.add_text(value, is_metadata=number == NODE_METADATA)
        elif number == NODE_ATTRIBUTE:
            for kind, part in _fields(_bytes(value)):
                if kind in {ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS}:
                    _tensor(part, found)
                elif kind in {ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS}:
                    _graph(part, found, depth + 1)


def _tensor(tensor: int | memoryview, found: _Found) -> None:
    for number, value in _fields(_bytes(tensor)):
        if number == TENSOR_EXTERNAL:
            key, text = _entry(value)
            if key == "location":
                found.external_files.add(text)


def _opset(value: int | memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, part in _fields(_bytes(value)):
        if number == OPSET_DOMAIN:
            domain = _text(part)
        elif number == OPSET_VERSION:
            version = _integer(part)
    return domain, version


def _entry(value: int | memoryview) -> tuple[str, str]:
    texts = {number: _text(part) for number, part in _fields(_bytes(value)) if number in {ENTRY_KEY, ENTRY_VALUE}}
    return texts.get(ENTRY_KEY, ""), texts.get(ENTRY_VALUE, "")


def _fields(data: memoryview) -> Fields:
    """Go over the fields of a message: numbers as they are, everything with a length as bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            length, position = _varint(data, position)
        elif wire in {1, 5}:
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"field of unknown wire type {wire} at byte {position}")
        if position + length > len(data):
            raise ValueError(f"a field of {length} bytes ends behind the file")
        yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return the number at `position` (seven bits a byte, lowest first) and where it ends."""
    result = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise ValueError("a number of more than ten bytes")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message was expected")
    return value


def _integer(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("a message stands where a number was expected")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)).decode("utf-8")
