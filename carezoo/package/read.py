"""Open a package: verify what it claims, and hand out its files. Never unpacks, never executes.

A folder, a zip or the path of an rdf.yaml; made by carezoo or by anybody for bioimage.io.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import IntegrityError, ManifestError, PackageError, UnsupportedError
from carezoo.package import files, graph, rdf
from carezoo.package.document import MAX_BYTES
from carezoo.package.files import Archive, Files, Folder
from carezoo.package.manifest import Manifest

MANIFEST_NAMES = ("rdf.yaml", "bioimageio.yaml", "model.yaml")


@dataclass(frozen=True, eq=False)
class Package:
    """A package that keeps what it promises about its files."""

    path: Path
    """The folder or zip."""
    manifest: Manifest
    sha256: str
    """Of the manifest, which holds the hashes of all other files: the identity of a package, zipped or not."""
    _files: Files = field(repr=False)

    def names(self) -> tuple[str, ...]:
        """Return every file of the package but what operating systems leave behind, in alphabetical order."""
        return tuple(sorted(name for name in self._files.names() if not files.JUNK.search(name)))

    def has(self, relative: str) -> bool:
        """Return whether the package holds a file."""
        return self._files.has(relative)

    def size_bytes(self, relative: str) -> int:
        """Return the size of one file; a missing one is an `IntegrityError`."""
        return self._files.size(relative)

    def read_bytes(self, relative: str) -> bytes:
        """Read one file, and compare it with its hash where the manifest has one.

        Raises
        ------
        IntegrityError
            If it is missing, or is no longer the file the manifest describes.
        """
        relative = files.check_path(relative, str(self.path))
        content = b"".join(self._files.chunks(relative))
        _compare(self.path, relative, self.manifest.hashes.get(relative), hashlib.sha256(content).hexdigest())
        return content

    def load_array(self, relative: str) -> NDArray[Any]:
        """Read a NumPy file (.npy) of numbers; anything that would need pickle is refused.

        Raises
        ------
        IntegrityError
            If it holds objects, or claims another size than it has.
        """
        return _parse_npy(self.read_bytes(relative), f"{self.path}: {relative}")

    def read_weights(self) -> bytes:
        """Read the ONNX file."""
        return self.read_bytes(self.manifest.weights.path)

    def read_external_data(self) -> dict[str, bytes]:
        """Read the graph's second file, by the name the graph knows it by; empty where everything is in one file.

        Raises
        ------
        ManifestError
            If the graph wants files that the manifest does not name: ONNX Runtime would look for them on the disk.
        """
        weights = self.manifest.weights
        wanted = graph.read_facts(self.read_weights(), weights.path).external_files
        if not wanted:
            return {}
        if weights.external_data is None or wanted != (Path(weights.external_data).name,):
            raise ManifestError(
                f"{self.path}: the graph keeps numbers in {', '.join(wanted)}, the manifest names "
                f"{weights.external_data or 'no external data'}"
            )
        return {wanted[0]: self.read_bytes(weights.external_data)}

    def verify(self) -> None:
        """Compare every file with its hash, reading piece by piece.

        Raises
        ------
        IntegrityError
            If a file is missing, changed, or (in packages made by carezoo) not listed.
        """
        for relative in self.manifest.hashes:
            if self.manifest.is_by_carezoo or relative in self._list_needed() or self._files.has(relative):
                digest = hashlib.sha256()
                for chunk in self._files.chunks(relative):
                    digest.update(chunk)
                _compare(self.path, relative, self.manifest.hashes[relative], digest.hexdigest())
        for relative in self._list_needed():
            if not self._files.has(relative):
                raise IntegrityError(f"{self.path}: the file {relative} is missing, the model cannot run without it")
        if self.manifest.is_by_carezoo:
            self._verify_listing()

    def _list_needed(self) -> tuple[str, ...]:
        weights = self.manifest.weights
        return (weights.path, weights.external_data) if weights.external_data else (weights.path,)

    def _verify_listing(self) -> None:
        present = set(self.names()) - {self._files.manifest_name}
        unlisted = sorted(present - set(self.manifest.carezoo.files))
        if unlisted:
            raise IntegrityError(
                f"{self.path}: {', '.join(unlisted[:5])} {'has' if len(unlisted) == 1 else 'have'} no sha256 in "
                "config.carezoo.files; a carezoo package lists every file"
            )
        used = {self.manifest.test_input, *self.manifest.test_outputs, *self._list_needed()} - {None}
        missing = sorted(str(path) for path in used if path not in self.manifest.hashes)
        if missing:
            raise IntegrityError(f"{self.path}: {', '.join(missing)} has no sha256 in config.carezoo.files")


def open_package(path: str | os.PathLike[str]) -> Package:
    """Open a model package and verify every hash it has.

    Parameters
    ----------
    path
        A folder, a zip, or the rdf.yaml in a folder.

    Returns
    -------
    Package
        Its files are read only when asked for.

    Raises
    ------
    PackageError
        If there is no package.
    IntegrityError
        If a file is missing or not what the manifest says, or the archive is built to harm.
    ManifestError
        If the manifest cannot be understood, or contradicts itself.
    UnsupportedError
        If it is a valid model that carezoo does not run; the message says why.
    """
    found = _locate(Path(path))
    content = _read_manifest(found)
    manifest = rdf.parse(content, found.manifest_name)
    for relative in filter(None, (*manifest.hashes, manifest.weights.path, manifest.weights.external_data)):
        files.check_path(relative, found.manifest_name)
    package = Package(found.path, manifest, hashlib.sha256(content).hexdigest(), found)
    package.verify()
    return package


def _locate(path: Path) -> Files:
    try:
        if path.is_dir():
            path = path.resolve()
            for name in MANIFEST_NAMES:
                if (path / name).is_file():
                    return Folder(path, name)
            raise PackageError(f"{path} is not a model package: no {' or '.join(MANIFEST_NAMES)} in the folder")
        if path.is_file():
            if path.suffix.lower() in {".yaml", ".yml"}:
                return Folder(path.parent.resolve(), path.name)
            return Archive(path.resolve(), MANIFEST_NAMES)
    except (OSError, ValueError) as error:
        raise PackageError(f"{path}: cannot be read: {error}") from error
    raise PackageError(f"{path}: no such file or folder; expected a model package (folder, zip or rdf.yaml)")


def _read_manifest(found: Files) -> bytes:
    content = b""
    for chunk in found.chunks(found.manifest_name):
        content += chunk
        if len(content) > MAX_BYTES:
            raise IntegrityError(f"{found.path}: {found.manifest_name} has more than {MAX_BYTES} bytes")
    return content


def _compare(path: Path, relative: str, wanted: str | None, found: str) -> None:
    if wanted is not None and wanted != found:
        raise IntegrityError(
            f"{path}: {relative} is not the file the manifest describes (sha256 {found[:12]}..., expected "
            f"{wanted[:12]}...). The package is damaged or was changed: get it again"
        )


def _parse_npy(content: bytes, name: str) -> NDArray[Any]:
    """Read an array without believing its header, which may claim any size and ask for pickle."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in {(1, 0), (2, 0)}:
            raise UnsupportedError(f"{name}: .npy version {version}; expected 1.0 or 2.0")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, is_fortran, dtype = read_header(stream)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise IntegrityError(f"{name} is not a NumPy array: {error}") from error
    if dtype.hasobject:
        raise IntegrityError(f"{name} holds pickled objects; they are code and never loaded")
    if dtype.kind not in "biuf":
        raise IntegrityError(f"{name} holds {dtype}; expected integer or floating-point numbers")
    n_values = 1
    for length in shape:
        n_values *= length
    n_bytes = len(content) - stream.tell()
    if min(shape, default=1) < 0 or n_values * dtype.itemsize != n_bytes:
        raise IntegrityError(f"{name} claims shape {shape} of {dtype}, but has {n_bytes} bytes")
    flat = np.frombuffer(content, dtype, count=n_values, offset=stream.tell())
    return flat.reshape(shape, order="F" if is_fortran else "C")
