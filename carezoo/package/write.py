"""Write a package: the same draft gives the same bytes, and a package appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from carezoo.errors import InputError, PackageError
from carezoo.package import files, rdf_text
from carezoo.package.draft import Draft
from carezoo.package.read import MANIFEST_NAMES, open_package

ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""The oldest date a zip can hold: nothing in the archive depends on the clock."""


def write_package(draft: Draft, target: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a package and open it again, so that what stands at `target` is one that can be read.

    Parameters
    ----------
    draft
        What the package says.
    target
        A path ending in .zip, or a folder that is made; missing parents are made too.
    overwrite
        True: a package that stands there is replaced.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    InputError
        If something stands at `target` already; with `overwrite`, if it is not a package.
    PackageError
        If the draft contradicts itself, or the disk is full or read-only.
    """
    target = Path(target)
    check_target(target, overwrite=overwrite)
    content = {"rdf.yaml": rdf_text.render(draft)}
    for path in sorted(draft.files):
        content[files.check_path(path, draft.id)] = draft.files[path]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".carezoo-", dir=target.parent) as scratch:
            made = Path(scratch, target.name)
            if target.suffix.lower() == ".zip":
                write_zip(content, made)
            else:
                _write_folder(content, made)
            open_package(made)
            _move(made, target, Path(scratch))
    except OSError as error:
        raise PackageError(f"{target}: cannot be written: {error.strerror or error}") from error
    return target


def check_target(target: Path, *, overwrite: bool) -> None:
    """Raise InputError if a package cannot stand at `target`; ask before long work."""
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise InputError(f"{target} exists already. Choose another path, or say overwrite to replace it")
    if target.is_symlink() or not _is_package(target):
        raise InputError(f"{target} is not a model package and is not replaced by one. Choose another path")


def _is_package(target: Path) -> bool:
    """Return whether a folder or zip has a manifest; what else is in it may be damaged, as one reason to replace it."""
    if target.is_dir():
        return any((target / name).is_file() for name in MANIFEST_NAMES)
    if target.suffix.lower() != ".zip" or not target.is_file():
        return False
    try:
        files.Archive(target, MANIFEST_NAMES)
    except PackageError:
        return False
    return True


def _write_folder(content: Mapping[str, bytes], target: Path) -> None:
    for relative, data in content.items():
        path = target / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_zip(content: Mapping[str, bytes], target: Path | IO[bytes]) -> None:
    """Write files in their order into a zip that depends on nothing else: the same files give the same bytes.

    Without compression: weights hardly shrink, and no two zlib versions deflate to the same bytes.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for relative, data in content.items():
            entry = zipfile.ZipInfo(relative, ZIP_DATE)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data)


def _move(made: Path, target: Path, scratch: Path) -> None:
    """Put the new package in place; a folder cannot replace another in one step, so the old one waits aside."""
    if not target.is_dir():
        made.replace(target)
        return
    aside = scratch / "replaced"
    target.replace(aside)
    try:
        made.replace(target)
    except OSError:
        aside.replace(target)
        raise
    shutil.rmtree(aside)
