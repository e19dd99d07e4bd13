"""The files of a package, in a folder or a zip, read without trusting either.

Nothing is unpacked and nothing is written. Every file is read in bounded pieces up to the size it claims, and every
path is checked before it is followed.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from carezoo.errors import BUGS, IntegrityError, PackageError

CHUNK_BYTES = 1 << 20

MAX_FILES = 1000
"""Files in a package; those of the bioimage.io collection have about twenty."""

MAX_TOTAL_BYTES = 8 << 30
"""All files of a package together. An ONNX file has at most 2 GiB."""

MAX_RATIO = 200
"""Highest compression of a zip entry that is believed, once it is larger than `SMALL_BYTES`."""

SMALL_BYTES = 64 << 20

JUNK = re.compile(r"(^|/)(__MACOSX/|\.DS_Store$|Thumbs\.db$|desktop\.ini$|\._)")
"""What operating systems leave in folders and zips."""


def check_path(relative: str, where: str) -> str:
    """Return a relative path in normal form.

    One that is absolute, climbs up, names a drive or is written for another system is an `IntegrityError`.
    """
    reason = None
    if not relative or "\0" in relative or any(ord(letter) < 32 for letter in relative):
        reason = "is empty or holds control characters"
    elif "\\" in relative:
        reason = "has a backslash; paths in packages have slashes"
    elif relative.startswith("/") or re.match(r"^[A-Za-z]:", relative):
        reason = "is absolute"
    elif ".." in relative.split("/"):
        reason = "leads out of the package"
    if reason:
        raise IntegrityError(f"{where}: the path {relative!r} {reason}. Do not use this package")
    return str(PurePosixPath(relative))


def missing(path: Path, relative: str) -> IntegrityError:
    """Return the error that a package lacks a file."""
    return IntegrityError(f"{path}: the file {relative} is missing; the package is not complete")


@dataclass(frozen=True)
class Folder:
    """A package that is a folder."""

    path: Path
    manifest_name: str

    def names(self) -> Mapping[str, int]:
        """List the folder; a link anywhere in it is an error."""
        sizes: dict[str, int] = {}
        for parent, folders, files in os.walk(self.path, onerror=self._raise):
            for name in (*folders, *files):
                path = Path(parent, name)
                relative = path.relative_to(self.path).as_posix()
                status = path.lstat()
                self._check_kind(relative, status.st_mode)
                if name in files:
                    sizes[relative] = status.st_size
            if len(sizes) > MAX_FILES:
                raise IntegrityError(f"{self.path}: more than {MAX_FILES} files; this is not a package folder")
        return sizes

    def has(self, relative: str) -> bool:
        """Return whether there is such a file, and no link on the way to it."""
        path = self.path
        for part in PurePosixPath(check_path(relative, str(self.path))).parts:
            path /= part
            try:
                mode = path.lstat().st_mode
            except (FileNotFoundError, NotADirectoryError):
                return False
            except OSError as error:
                raise self._unreadable(relative, error) from error
            self._check_kind(relative, mode)
        return path.is_file()

    def size(self, relative: str) -> int:
        """Return the size of a file in bytes."""
        if not self.has(relative):
            raise missing(self.path, relative)
        return (self.path / relative).stat().st_size

    def chunks(self, relative: str) -> Iterator[bytes]:
        """Read a file piece by piece."""
        if not self.has(relative):
            raise missing(self.path, relative)
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            with os.fdopen(os.open(self.path / relative, flags), "rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                if size > MAX_TOTAL_BYTES:
                    raise IntegrityError(
                        f"{self.path}: {relative} has {size} bytes; at most {MAX_TOTAL_BYTES} are read"
                    )
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise self._unreadable(relative, error) from error

    def _check_kind(self, relative: str, mode: int) -> None:
        if stat.S_ISLNK(mode):
            raise IntegrityError(f"{self.path}: {relative} is a link; a package holds files only")
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise IntegrityError(f"{self.path}: {relative} is neither a file nor a folder")

    def _unreadable(self, relative: str, error: OSError) -> PackageError:
        return PackageError(f"{self.path}: cannot read {relative}: {error.strerror or error}")

    def _raise(self, error: OSError) -> None:
        raise PackageError(f"{self.path}: cannot list the folder: {error.strerror or error}") from error


class Archive:
    """A package that is a zip, with the manifest at its root or in its one top folder.

    Parameters
    ----------
    path
        The zip.
    manifest_names
        Names a manifest may have, best first.

    Raises
    ------
    IntegrityError
        If the zip is damaged, or built to harm: paths that leave it, links, duplicate or encrypted entries, entries
        that share bytes, sizes that are out of proportion.
    PackageError
        If it holds no manifest, or cannot be read.
    """

    def __init__(self, path: Path, manifest_names: tuple[str, ...]) -> None:
        self.path = path
        with self._open_zip() as archive:
            self._entries = self._check_entries(archive.infolist())
        self.manifest_name, self._root = self._find_manifest(manifest_names)

    def names(self) -> Mapping[str, int]:
        """List the files below the manifest's folder."""
        return {
            name.removeprefix(self._root): entry.file_size
            for name, entry in self._entries.items()
            if name.startswith(self._root)
        }

    def has(self, relative: str) -> bool:
        """Return whether there is such a file."""
        return self._root + check_path(relative, str(self.path)) in self._entries

    def size(self, relative: str) -> int:
        """Return the size of a file in bytes, unpacked."""
        return self._entry(relative).file_size

    def chunks(self, relative: str) -> Iterator[bytes]:
        """Unpack a file piece by piece, no further than the size it claims."""
        entry, n_bytes = self._entry(relative), 0
        try:
            with self._open_zip() as archive, archive.open(entry) as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    n_bytes += len(chunk)
                    yield chunk
        except BUGS:
            raise
        except Exception as error:  # damage surfaces as errors of zipfile, zlib, struct, Unicode and the file system
            raise IntegrityError(f"{self.path}: {relative} is damaged or not what it claims: {error}") from error
        if n_bytes != entry.file_size:
            raise IntegrityError(f"{self.path}: {relative} has {n_bytes} bytes, the zip claims {entry.file_size}")

    def _entry(self, relative: str) -> zipfile.ZipInfo:
        entry = self._entries.get(self._root + check_path(relative, str(self.path)))
        if entry is None:
            raise missing(self.path, relative)
        return entry

    def _open_zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except OSError as error:
            raise PackageError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        except BUGS:
            raise
        except Exception as error:  # zipfile meets damaged directories with struct, Unicode and value errors
            raise IntegrityError(
                f"{self.path} is not a model package: expected a zip file, or a folder with rdf.yaml ({error})"
            ) from error

    def _check_entries(self, listed: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        if len(listed) > MAX_FILES:
            raise IntegrityError(f"{self.path}: {len(listed)} entries; a package has at most {MAX_FILES}")
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in listed:
            # zipfile turns backslashes into slashes on Windows and cuts names at a null byte: look at the original.
            name = check_path(entry.orig_filename.removesuffix("/"), str(self.path))
            if name in entries:
                raise IntegrityError(f"{self.path}: two entries are called {name}")
            self._check_entry(entry, name)
            if not entry.is_dir():
                entries[name] = entry
        self._check_sizes(entries)
        return {name: entry for name, entry in entries.items() if not JUNK.search(name)}

    def _check_entry(self, entry: zipfile.ZipInfo, name: str) -> None:
        if entry.flag_bits & 0x1:
            raise IntegrityError(f"{self.path}: {name} is encrypted")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind == stat.S_IFLNK:
            raise IntegrityError(f"{self.path}: {name} is a link; a package holds files only")
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise IntegrityError(f"{self.path}: {name} is neither a file nor a folder")
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise IntegrityError(f"{self.path}: {name} is compressed by method {entry.compress_type}; expected deflate")
        if entry.file_size > max(SMALL_BYTES, MAX_RATIO * entry.compress_size):
            raise IntegrityError(
                f"{self.path}: {name} claims {entry.file_size} bytes out of {entry.compress_size}; this is a zip bomb"
            )

    def _check_sizes(self, entries: Mapping[str, zipfile.ZipInfo]) -> None:
        total = sum(entry.file_size for entry in entries.values())
        if total > MAX_TOTAL_BYTES:
            raise IntegrityError(f"{self.path}: {total} bytes unpacked; a package has at most {MAX_TOTAL_BYTES}")
        if sum(entry.compress_size for entry in entries.values()) > self.path.stat().st_size:
            raise IntegrityError(f"{self.path}: its entries share bytes; this is a zip bomb")

    def _find_manifest(self, manifest_names: tuple[str, ...]) -> tuple[str, str]:
        tops = {name.split("/")[0] for name in self._entries}
        roots = ["", *(f"{top}/" for top in tops if len(tops) == 1)]
        for root in roots:
            for name in manifest_names:
                if root + name in self._entries:
                    return name, root
        raise PackageError(
            f"{self.path} is not a model package: no {' or '.join(manifest_names)} at its root or in its one folder"
        )


Files = Folder | Archive
"""Where the files of a package are."""
