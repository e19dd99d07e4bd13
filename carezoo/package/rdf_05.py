"""Tensors as format 0.5 writes them: axes are objects, sizes refer to each other, scales are physical."""

from __future__ import annotations

from carezoo.errors import ManifestError, UnsupportedError
from carezoo.intensity import Binarize, Cast, Operation
from carezoo.package import operations
from carezoo.package.document import Entry
from carezoo.package.operations import OperationContext
from carezoo.package.tensors import Axis, Free, Reference, Tensor

KINDS = {"batch": "batch", "channel": "channel", "time": "time", "space": "", "index": "index"}
"""Axis types, and the id an axis of that type has unless it says otherwise."""


def read_input(entry: Entry) -> Tensor:
    """Read the one input tensor."""
    name = _name(entry, "input")
    return _read_tensor(entry, name, name, "preprocessing")


def read_output(entry: Entry, source: Tensor) -> Tensor:
    """Read one output tensor."""
    return _read_tensor(entry, _name(entry, "output"), source.name, "postprocessing")


def _read_tensor(entry: Entry, name: str, source: str, key: str) -> Tensor:
    axes = _axes(entry["axes"])
    subject = OperationContext.from_axes(axes, source, is_input=key == "preprocessing")
    reading = operations.read(entry.get(key), subject, name_key="id")
    steps = _with_implied_cast(reading.operations, _dtype(entry))
    return Tensor(name, entry.path, axes, steps, _test_path(entry), reading.remarks)


def _name(entry: Entry, default: str) -> str:
    name = entry.optional("id", Entry.text)
    return default if name is None else name


def _with_implied_cast(found: tuple[Operation, ...], dtype: str) -> tuple[Operation, ...]:
    """Add the format's own last step: unless told otherwise, the tensor ends in the type its data has.

    A model for uint16 images without an explicit ``ensure_dtype: float32`` gets whole numbers, whatever was normalized.
    """
    is_typed = bool(found) and isinstance(found[-1], Cast | Binarize)
    return found if is_typed or dtype.startswith("float") else (*found, Cast(dtype))


def _dtype(entry: Entry) -> str:
    data = entry.get("data")
    if data is not None and isinstance(data.value, list):
        data = next(iter(data), None)
    return (data and data.optional("type", Entry.text)) or "float32"


def _test_path(entry: Entry) -> str | None:
    test = entry.get("test_tensor")
    if test is None:
        return None
    return test.text() if isinstance(test.value, str) else test["source"].text()


def _axes(entries: Entry) -> tuple[Axis, ...]:
    axes = tuple(_axis(entry) for entry in entries)
    letters = [axis.letter for axis in axes]
    if len(set(letters)) != len(letters):
        raise ManifestError(f"{entries.path}: axes {''.join(letters)} name one axis twice")
    return axes


def _axis(entry: Entry) -> Axis:
    kind = entry["type"].text()
    if kind not in KINDS:
        raise entry["type"].error(f"one of {', '.join(KINDS)}")
    if kind == "batch":
        return Axis("B", entry.path)
    named = entry.get("id")
    name = named.text() if named is not None else KINDS[kind] or "x"
    if kind == "index":
        raise UnsupportedError(f"{entry.path}: an index axis ({name}) has no counterpart in an image")
    if kind == "channel":
        return Axis("C", entry.path, names=tuple(item.text() for item in entry["channel_names"]))
    letter = operations.letter_of(name, entry)
    if letter not in ("T" if kind == "time" else "ZYX"):
        raise entry.error(f"an id out of {'time' if kind == 'time' else 'z, y, x'} for a {kind} axis")
    return Axis(
        letter,
        entry.path,
        _size(entry["size"]),
        scale=entry.optional("scale", _positive) or 1.0,
        halo=entry.optional("halo", lambda halo: halo.integer(at_least=0)) or 0,
        is_concatenable=entry.optional("concatenable", Entry.flag) or False,
        unit=entry.optional("unit", Entry.text),
    )


def _positive(entry: Entry) -> float:
    if entry.number() <= 0:
        raise entry.error("a number above 0")
    return entry.number()


def _size(entry: Entry) -> int | Free | Reference:
    if not isinstance(entry.value, dict):
        return entry.integer(at_least=1)
    if entry.get("tensor_id") is not None:
        axis, offset = entry["axis_id"], entry.get("offset")
        return Reference(
            entry["tensor_id"].text(),
            operations.letter_of(axis.text(), axis),
            offset=0 if offset is None else offset.integer(),
        )
    if entry.get("max") is not None:
        raise UnsupportedError(f"{entry.path}: a size that depends on the data; carezoo plans tiles before it runs")
    return Free(entry["min"].integer(at_least=1), entry["step"].integer(at_least=1))
