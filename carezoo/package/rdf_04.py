"""Tensors as format 0.4 writes them: axes are letters, sizes are lists beside them.

``output size = scale * input size + 2 * offset``; the output's `halo` is cut off both sides.
"""

from __future__ import annotations

from fractions import Fraction

from carezoo.errors import ManifestError, UnsupportedError
from carezoo.package import operations
from carezoo.package.document import Entry
from carezoo.package.operations import OperationContext
from carezoo.package.tensors import Axis, Free, Reference, Tensor, simple_fraction

MAX_CHANNELS = 4096
"""Most channels of a tensor. This format gives only their number, and a few digits must not fill the memory."""


def read_input(entry: Entry, tests: Entry | None) -> Tensor:
    """Read the one input tensor; its test tensor stands beside the tensors in this format."""
    name, letters = entry["name"].text(), _letters(entry["axes"])
    shape = entry["shape"]
    if isinstance(shape.value, dict):
        smallest, steps = _integers(shape["min"], letters), _integers(shape["step"], letters)
        sizes: list[int | Free] = [Free(n, step) if step else n for n, step in zip(smallest, steps, strict=True)]
    else:
        sizes = list(_integers(shape, letters))
    axes = tuple(_input_axis(letter, size, shape) for letter, size in zip(letters, sizes, strict=True))
    subject = OperationContext.from_axes(axes, name, is_input=True)
    reading = operations.read(entry.get("preprocessing"), subject, name_key="name")
    return Tensor(name, entry.path, axes, reading.operations, _test_path(tests, 0), reading.remarks)


def read_output(entry: Entry, source: Tensor, tests: Entry | None, index: int) -> Tensor:
    """Read one output tensor."""
    name, letters = entry["name"].text(), _letters(entry["axes"])
    halo_entry = entry.get("halo")
    halos = [0] * len(letters) if halo_entry is None else _integers(halo_entry, letters)
    shape = entry["shape"]
    sizes = _implicit(shape, letters, source) if isinstance(shape.value, dict) else list(_integers(shape, letters))
    axes = tuple(
        _output_axis(letter, size, halo, shape) for letter, size, halo in zip(letters, sizes, halos, strict=True)
    )
    subject = OperationContext.from_axes(axes, source.name, is_input=False)
    reading = operations.read(entry.get("postprocessing"), subject, name_key="name")
    return Tensor(name, entry.path, axes, reading.operations, _test_path(tests, index), reading.remarks)


def _letters(entry: Entry) -> str:
    letters = entry.text().upper()
    if "I" in letters:
        raise UnsupportedError(f"{entry.path}: an index axis (i) has no counterpart in an image")
    if not letters or set(letters) - set("BCTZYX") or len(set(letters)) != len(letters):
        raise entry.error("axes as letters out of bctzyx, each at most once")
    return letters


def _integers(entry: Entry, letters: str) -> list[int]:
    numbers = [item.integer(at_least=0) for item in entry]
    if len(numbers) != len(letters):
        raise entry.error(f"{len(letters)} numbers, one for each of the axes {letters.lower()}")
    return numbers


def _input_axis(letter: str, size: int | Free, shape: Entry) -> Axis:
    if letter == "B":
        return Axis("B", shape.path)
    smallest = size.min if isinstance(size, Free) else size
    if smallest < 1:
        raise ManifestError(f"{shape.path}: axis {letter.lower()} may be empty; expected sizes of at least 1")
    if letter == "C":
        if isinstance(size, Free):
            raise UnsupportedError(f"{shape.path}: a free number of channels")
        return Axis("C", shape.path, names=_channel_names(size, shape))
    return Axis(letter, shape.path, size)


def _output_axis(letter: str, size: int | Reference, halo: int, shape: Entry) -> Axis:
    if letter == "B":
        return Axis("B", shape.path)
    if isinstance(size, int) and size < 1:
        raise ManifestError(f"{shape.path}: axis {letter.lower()} is empty; expected a size of at least 1")
    if letter == "C":
        assert isinstance(size, int)
        return Axis("C", shape.path, names=_channel_names(size, shape))
    return Axis(letter, shape.path, size, halo=halo)


def _implicit(shape: Entry, letters: str, source: Tensor) -> list[int | Reference]:
    """Return the sizes that follow from an input tensor; scale null makes a new axis of length ``2 * offset``."""
    reference = shape["reference_tensor"].text()
    if reference != source.name:
        raise UnsupportedError(
            f"{shape.path}.reference_tensor: {reference!r} is not the input tensor {source.name!r}; carezoo runs "
            "models whose outputs follow from their one input"
        )
    scales = [None if item.value is None or item.number() == 0 else item.number() for item in shape["scale"]]
    offsets = [2 * item.number() for item in shape["offset"]]
    if len(scales) != len(letters) or len(offsets) != len(letters):
        raise shape.error(f"scale and offset with {len(letters)} numbers, one for each of the axes {letters.lower()}")
    return [
        _implicit_size(letter, scale, offset, source, shape)
        for letter, scale, offset in zip(letters, scales, offsets, strict=True)
    ]


def _implicit_size(letter: str, scale: float | None, offset: float, source: Tensor, shape: Entry) -> int | Reference:
    if not offset.is_integer():
        raise shape["offset"].error("multiples of 0.5")
    if scale is None:
        return int(offset)
    if scale < 0:
        raise shape["scale"].error("numbers above 0")
    if letter == "C":
        # The product may be infinite, which is not a whole number; one too many is refused all the same.
        return int(min(len(source.channels) * scale + offset, MAX_CHANNELS + 1))
    return Reference(source.name, letter, simple_fraction(Fraction(scale)), int(offset))


def _channel_names(n: int, shape: Entry) -> tuple[str, ...]:
    if n > MAX_CHANNELS:
        raise ManifestError(f"{shape.path}: too many channels; expected at most {MAX_CHANNELS}")
    return tuple(f"channel{i}" for i in range(n))


def _test_path(tests: Entry | None, index: int) -> str | None:
    paths = [] if tests is None else [item.text() for item in tests]
    return paths[index] if index < len(paths) else None
