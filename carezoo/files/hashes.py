"""What a file or folder is, as one number."""

from __future__ import annotations

import hashlib
from pathlib import Path


def hash_file(path: Path) -> tuple[str, int]:
    """Return sha256 (hexadecimal) and size in bytes of a file, or of a folder's files in the order of their names."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size
    digest, n_bytes = hashlib.sha256(), 0
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        sha256, size = hash_file(file)
        digest.update(f"{sha256}  {file.relative_to(path).as_posix()}\n".encode())
        n_bytes += size
    return digest.hexdigest(), n_bytes
