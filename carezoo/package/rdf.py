"""rdf.yaml of bioimage.io models, formats 0.4 and 0.5, as a `Manifest`.

What a package made elsewhere means to carezoo:

- The first output is the result `mean`, further ones are results under their own tensor names. All are given as the
  package's postprocessing leaves them: the format cannot say that a value returns to the intensities of the input, and
  a network that normalizes by percentiles may well be a segmentation.
- Only ONNX weights are run, and only graphs with one input. Nothing in a package is ever executed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from carezoo.errors import ManifestError, UnsupportedError
from carezoo.package import document, rdf_04, rdf_05
from carezoo.package.document import Entry
from carezoo.package.manifest import InputTensor, Manifest, OutputTensor, Result, Weights
from carezoo.package.section import check_schema, overlay, read_hashes
from carezoo.package.tensors import Tensor, solve

MICROMETRES = {
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "angstrom": 1e-4,
    "meter": 1e6,
    "centimeter": 1e4,
}


def parse(content: bytes, name: str = "rdf.yaml") -> Manifest:
    """Return the manifest that an rdf.yaml holds.

    Parameters
    ----------
    content
        The file.
    name
        What messages call it.

    Raises
    ------
    ManifestError
        If something is missing, of the wrong kind or contradictory; the message names the path to the key.
    UnsupportedError
        If the model is valid but carezoo does not run it, with the reason.
    IntegrityError
        If the file tries to exhaust the reader.
    """
    root = Entry(document.parse(content, name), name)
    version = _format_version(root)
    weights = _weights(root["weights"])
    if version == (0, 4):
        source, outputs = _tensors_04(root)
    else:
        source, outputs = _tensors_05(root)
    _check_names([source, *outputs])
    return _assemble(root, source, outputs, weights)


def is_local(path: str) -> bool:
    """Return whether a file entry names a file in the package, not an address."""
    return "://" not in path


def _format_version(root: Entry) -> tuple[int, int]:
    kind, version = root.get("type"), root["format_version"]
    if kind is not None and kind.text() != "model":
        raise UnsupportedError(f"{kind.path}: {kind.text()}; carezoo runs models")
    parts = version.text().split(".")
    # Not isdigit, which takes superscripts; and few digits, as int refuses thousands with an error of its own.
    if not all(part.isdecimal() and len(part) < 10 for part in parts) or len(parts) < 2:
        raise version.error("a version such as 0.5.3")
    found = int(parts[0]), int(parts[1])
    if found not in {(0, 4), (0, 5)}:
        raise UnsupportedError(
            f"{version.path}: {version.text()}; carezoo reads 0.4 and 0.5. "
            "`bioimageio update-format` of bioimageio.core writes the newest format"
        )
    return found


def _tensors_04(root: Entry) -> tuple[Tensor, list[Tensor]]:
    inputs, outputs = list(root["inputs"]), list(root["outputs"])
    _check_one_input(inputs, root)
    source = rdf_04.read_input(inputs[0], root.get("test_inputs"))
    tests = root.get("test_outputs")
    return source, [rdf_04.read_output(entry, source, tests, i) for i, entry in enumerate(outputs)]


def _tensors_05(root: Entry) -> tuple[Tensor, list[Tensor]]:
    inputs, outputs = list(root["inputs"]), list(root["outputs"])
    _check_one_input(inputs, root)
    source = rdf_05.read_input(inputs[0])
    return source, [rdf_05.read_output(entry, source) for entry in outputs]


def _check_one_input(inputs: list[Entry], root: Entry) -> None:
    if len(inputs) > 1:
        names = ", ".join((entry.get("id") or entry.get("name") or entry).text() for entry in inputs)
        raise UnsupportedError(
            f"{root.path}.inputs: {len(inputs)} inputs ({names}); carezoo runs models with one. "
            "Run this model with bioimageio.core"
        )
    if not inputs:
        raise ManifestError(f"{root.path}.inputs: no input tensor")
    if not list(root["outputs"]):
        raise ManifestError(f"{root.path}.outputs: no output tensor")


def _check_names(tensors: list[Tensor]) -> None:
    names = [tensor.name for tensor in tensors]
    for name in names:
        if names.count(name) > 1:
            raise ManifestError(f"{tensors[names.index(name)].path}: two tensors are called {name!r}")
    for tensor in tensors:
        if not tensor.channels:
            raise ManifestError(f"{tensor.path}: a channel axis without channels")


def _weights(entry: Entry) -> Weights:
    onnx = entry.get("onnx")
    if onnx is None:
        formats = ", ".join(name for name, _ in entry.items()) or "none"
        raise UnsupportedError(
            f"{entry.path}: carezoo runs ONNX weights, this package has {formats}. `bioimageio add-weights` of "
            "bioimageio.core converts, or ask the authors for ONNX"
        )
    source = onnx["source"].text()
    external_path = onnx.optional("external_data", lambda external: external["source"].text())
    for path in filter(None, (source, external_path)):
        if not is_local(path):
            raise UnsupportedError(
                f"{onnx.path}: the weights are at {path}, not in the package. "
                "Download the whole package (the zip) first"
            )
    return Weights(source, onnx.optional("opset_version", lambda opset: opset.integer(at_least=1)), external_path)


def _assemble(root: Entry, source: Tensor, outputs: list[Tensor], weights: Weights) -> Manifest:
    geometry = solve(source, outputs)
    config = root.get("config")
    section = config.get("carezoo") if config is not None else None
    if section is not None:
        check_schema(section)
    tests = tuple(output.test_path for output in outputs)
    identifier, version = root.get("id"), root.get("version")
    manifest = Manifest(
        id=(identifier.text() if identifier is not None else _nickname(config)) or _slug(root["name"].text()),
        name=root["name"].text(),
        version=version.text() if version is not None else "0.0.0",
        description=_text_or(root, "description", ""),
        input=InputTensor(
            source.name, source.letters, source.channels, geometry.rules, source.operations, _pixel_size_um(source)
        ),
        outputs=tuple(
            OutputTensor(output.name, output.letters, output.channels, sizes, output.operations)
            for output, sizes in zip(outputs, geometry.sizes, strict=True)
        ),
        results=tuple(
            Result("mean" if i == 0 else output.name, i, tuple(range(len(output.channels))), "none")
            for i, output in enumerate(outputs)
        ),
        weights=weights,
        hashes=_hashes(root, section),
        test_input=_local(source.test_path),
        test_outputs=tuple(path for path in tests if path and is_local(path)) if all(tests) else (),
        rdf=root.mapping(),
        remarks=tuple(remark for tensor in (source, *outputs) for remark in tensor.remarks) + geometry.remarks,
    )
    return manifest if section is None else overlay(manifest, section)


def _local(path: str | None) -> str | None:
    return path if path is not None and is_local(path) else None


def _nickname(config: Entry | None) -> str | None:
    """Return the collection's name for an older model, which had its id added there."""
    bioimageio = config.get("bioimageio") if config is not None else None
    return bioimageio.optional("nickname", Entry.text) if bioimageio is not None else None


def _slug(name: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split()) or "unnamed"


def _text_or(root: Entry, key: str, default: str) -> str:
    entry = root.get(key)
    return default if entry is None else entry.text()


def _pixel_size_um(source: Tensor) -> dict[str, float]:
    return {
        axis.letter: axis.scale * MICROMETRES[axis.unit]
        for axis in source.extent
        if axis.unit is not None and axis.unit in MICROMETRES
    }


def _hashes(root: Entry, section: Entry | None) -> dict[str, str]:
    """Return every sha256 in the manifest by file, after checking that no two of them contradict."""
    found = read_hashes(section) if section is not None else {}
    described = {key: value for key, value in root.mapping().items() if key != "config"}
    for path, sha256, where in _file_entries(described, root.path):
        key = str(PurePosixPath(path))
        if found.setdefault(key, sha256) != sha256:
            raise ManifestError(f"{where}: gives another sha256 for {path} than the rest of the manifest")
    for path, sha256 in found.items():
        if len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef"):
            raise ManifestError(f"{root.path}: {sha256!r}, given for {path}, is not a sha256 (64 hexadecimal digits)")
    return {path: sha256.lower() for path, sha256 in found.items()}


def _file_entries(value: Any, where: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, sha256 and place of every file entry that has both."""
    if isinstance(value, Mapping):
        path, sha256 = value.get("source"), value.get("sha256")
        if isinstance(path, str) and sha256 is not None and is_local(path):
            yield path, str(sha256), where
        for key, child in value.items():
            yield from _file_entries(child, f"{where}.{key}")
    elif isinstance(value, list):
        for i, child in enumerate(value):
            yield from _file_entries(child, f"{where}[{i}]")
