"""Packages built to harm or to break readers; each builder writes one from a good package and returns its path."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import yaml


def entries(package: Path) -> dict[str, bytes]:
    """Return the files of a good zip."""
    with zipfile.ZipFile(package) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def unpack(package: Path, folder: Path) -> Path:
    """Return a good package as a folder."""
    for name, content in entries(package).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def with_manifest(package: Path, path: Path, change) -> Path:
    """Return the package with `change(rdf)` applied to its manifest; hashes of files stay right."""
    files = entries(package)
    rdf = yaml.safe_load(files["rdf.yaml"])
    change(rdf)
    return write(path, {**files, "rdf.yaml": yaml.safe_dump(rdf, sort_keys=False).encode()})


def bomb(package: Path, path: Path) -> Path:
    """One entry of 80 MB of zeros in 80 kB."""
    write(path, entries(package))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros.bin", "w") as stream:
        for _ in range(80):
            stream.write(bytes(1 << 20))
    return path


def understated_bomb(package: Path, path: Path) -> Path:
    """The weights unpack to far more than the directory claims."""
    files = entries(package)
    write(path, {**files, "weights.onnx": bytes(8 << 20)}, zipfile.ZIP_DEFLATED)
    return _patch_directory(path, "weights.onnx", 24, struct.pack("<I", len(files["weights.onnx"])))


def overstated_size(package: Path, path: Path) -> Path:
    """The directory claims more bytes than there are."""
    write(path, entries(package), zipfile.ZIP_DEFLATED)
    return _patch_directory(path, "weights.onnx", 24, struct.pack("<I", 1 << 20))


def overlapping(package: Path, path: Path) -> Path:
    """Fifty entries share one large compressed body (a quine-like bomb): their bytes add up to more than the file."""
    write(path, {**entries(package), **{f"part{i:02}": bytes(1 << 20) for i in range(50)}}, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        big = max(archive.infolist(), key=lambda entry: entry.compress_size)
        size = struct.pack("<I", len(content) // 2)
        directory = archive.start_dir
        names = [entry.filename for entry in archive.infolist()]
    for name in names:
        if name.startswith("part"):
            at = content.index(name.encode(), directory) - 46
            content[at + 20 : at + 24] = size
    assert big.compress_size
    path.write_bytes(content)
    return path


def _patch_directory(path: Path, name: str, offset: int, value: bytes) -> Path:
    """Overwrite bytes of an entry in the central directory (46 bytes before its name)."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    at = content.index(name.encode(), directory) - 46
    content[at + offset : at + offset + len(value)] = value
    path.write_bytes(content)
    return path


def many_entries(package: Path, path: Path) -> Path:
    return write(path, {**entries(package), **{f"file{i}": b"" for i in range(2000)}})


def escaping(package: Path, path: Path, name: str) -> Path:
    """An entry whose name leads out of the folder it would be unpacked to."""
    return write(path, {**entries(package), name: b"owned"})


def linking(package: Path, path: Path) -> Path:
    """A symbolic link inside the zip."""
    write(path, entries(package))
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("secrets")
        entry.create_system = 3
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return path


def device(package: Path, path: Path) -> Path:
    """A device file inside the zip."""
    write(path, entries(package))
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("zero")
        entry.create_system = 3
        entry.external_attr = (stat.S_IFCHR | 0o666) << 16
        archive.writestr(entry, "")
    return path


def encrypted(package: Path, path: Path) -> Path:
    """The weights claim to be encrypted."""
    write(path, entries(package))
    return _patch_directory(path, "weights.onnx", 8, struct.pack("<H", 1))


def duplicate(package: Path, path: Path) -> Path:
    """Two manifests: which one is read depends on the reader."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(path, entries(package))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("rdf.yaml", b"type: model")
    return path


def strange_compression(package: Path, path: Path) -> Path:
    return write(path, entries(package), zipfile.ZIP_LZMA)


def pickled_array() -> bytes:
    """A .npy that runs code when it is loaded with pickle allowed."""

    class Bomb:
        def __reduce__(self):
            return (os.system, ("touch /tmp/carezoo-was-here",))

    stream = io.BytesIO()
    np.save(stream, np.array([Bomb()], dtype=object), allow_pickle=True)
    return stream.getvalue()


def lying_array(shape: str = "(1000000000000,)") -> bytes:
    """A .npy that claims four terabytes."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16)


def billion_laughs() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(lines).encode()
