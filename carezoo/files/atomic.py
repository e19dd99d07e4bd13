"""Writing files so that a crash leaves the old file or the new one: temporary file, verify, rename.

The one home of this rule: images, packages, tables and pictures are all written through `replacing`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carezoo.errors import InputError

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


@contextmanager
def replacing(
    path: str | os.PathLike[str],
    *,
    n_bytes: int = 0,
    verify: Callable[[Path], None] | None = None,
) -> Iterator[Path]:
    """Yield the path of a temporary file that becomes `path` when the block ends without an exception.

    The temporary file lies in the same folder (a rename is atomic only there) and ends in the same suffixes. It is
    removed when the block ends with any exception, Ctrl-C included; `path` is then as it was before.

    Parameters
    ----------
    path
        File to write or replace. Its folder must exist.
    n_bytes
        Size the file will have, as far as it is known: checked against the free space before the block starts.
    verify
        Called with the complete temporary file; raises if the file is not what it should be.

    Raises
    ------
    InputError
        If the folder is missing or cannot be written, the disk is or becomes full, or the file cannot be replaced.
    """
    target = Path(path)
    require_space(target, n_bytes)
    temporary = target.with_name(f".{secrets.token_hex(4)}.{target.name}")
    _create(temporary, target)
    try:
        try:
            yield temporary
        except OSError as error:
            # The block may fail at other files too: only what a disk says, or what is said of our file, is ours.
            if error.errno in _DISK_ERRORS or error.filename == str(temporary):
                raise _explain(error, target) from error
            raise
        _to_disk(temporary)
        if verify is not None:
            verify(temporary)
        _rename(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def require_folder(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` if the folder `path` can neither be written to nor made there."""
    folder = Path(path)
    there = next((each for each in (folder, *folder.absolute().parents) if each.exists()), folder)
    if not there.is_dir():
        raise InputError(f"{folder} cannot be the folder for results: {there} is a file. Choose another folder")
    if not os.access(there, os.W_OK):
        raise InputError(f"{folder} cannot be the folder for results: {there} may not be written to. Choose another")


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make the folder `path` with those above it, unless it is there; `InputError` if that is not possible."""
    folder = Path(path)
    require_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {folder} cannot be made: {error.strerror or error}. Choose another") from error
    return folder


def require_space(path: str | os.PathLike[str], n_bytes: int) -> None:
    """Raise `InputError` if the folder of `path` does not exist, or its disk has less than `n_bytes` left."""
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target} is a folder; give the name of a file to write")
    if not target.parent.is_dir():
        raise InputError(f"cannot write {target.name}: folder {target.parent} does not exist. Create it first")
    free = shutil.disk_usage(target.parent).free
    if n_bytes > free:
        raise InputError(
            f"cannot write {target}: it needs {_size(n_bytes)}, the disk has {_size(free)} left. "
            "Free some space, or write to another disk"
        )


def _create(temporary: Path, target: Path) -> None:
    try:
        with temporary.open("xb"):
            pass
    except OSError as error:
        raise _explain(error, target) from error


def _to_disk(temporary: Path) -> None:
    """Make the contents survive a power failure before the name points at them."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())


def _rename(temporary: Path, target: Path) -> None:
    try:
        temporary.replace(target)
    except OSError as error:
        raise InputError(
            f"cannot replace {target}: {error.strerror or error}. If it is open in another program (ImageJ, a viewer), "
            "close it there"
        ) from error


def _explain(error: OSError, target: Path) -> InputError:
    return InputError(
        f"cannot write {target}: {error.strerror or error}. Nothing was left behind; check the permissions of and the "
        f"free space on {target.parent}, or write to another folder"
    )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**27 else f"{n_bytes / 2**20:.1f} MiB"


MOST_HASHED_BYTES = 2**28
"""Of larger images, parts identify the pixels: reading the whole would take longer than to restore a crop."""

_N_PARTS, _PART_BYTES = 16, 2**16


def identify(files: Sequence[Path]) -> dict[str, Any]:
    """Return what tells the pixels of an image from others, as plain values.

    Parameters
    ----------
    files
        All files or folders that hold the image.

    Returns
    -------
    dict
        Up to 256 MiB the ``sha256`` of all bytes. Above, ``sha256_of_parts``: of names, sizes and times of change of
        all files, and of 16 pieces of 64 KiB spread over them; a change that keeps all of them is not noticed.
    """
    parts = [part for file in files for part in ([file] if file.is_file() else sorted(_walk(file)))]
    if sum(part.stat().st_size for part in parts) <= MOST_HASHED_BYTES:
        hashes = [hash_file(file)[0] for file in files]
        return {"sha256": hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()}
    digest = hashlib.sha256()
    step = -(-len(parts) // _N_PARTS)
    n_pieces = _N_PARTS // -(-len(parts) // step)
    for place, part in enumerate(parts):
        found = part.stat()
        digest.update(f"{part.name} {found.st_size} {found.st_mtime_ns}\n".encode())
        if place % step == 0:  # a Zarr folder may have a hundred thousand files
            with part.open("rb") as stream:
                for number in range(n_pieces):
                    stream.seek(max(0, found.st_size - _PART_BYTES) * number // max(1, n_pieces - 1))
                    digest.update(stream.read(_PART_BYTES))
    return {"sha256_of_parts": digest.hexdigest()}


def _walk(folder: Path) -> Iterator[Path]:
    return (each for each in folder.rglob("*") if each.is_file())


def hash_file(path: Path) -> tuple[str, int]:
    """Return sha256 (hexadecimal) and size in bytes of a file, or of a folder's files in the order of their names."""
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size
    digest, n_bytes = hashlib.sha256(), 0
    for file in sorted(_walk(path)):
        sha256, size = hash_file(file)
        digest.update(f"{sha256}  {file.relative_to(path).as_posix()}\n".encode())
        n_bytes += size
    return digest.hexdigest(), n_bytes
