"""Rows and cells of a KNIME table: the paths in them, what a node says of each, names for new columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PureWindowsPath
from typing import Any

from carezoo.errors import InputError

LOCAL = "LOCAL"
"""What KNIME calls the file system of this computer in a cell of type Path."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a node says of one image: a field a column, in their order; None becomes a missing cell."""

    def cells(self) -> list[Any]:
        """Return the values in the order of the columns."""
        return [getattr(self, field.name) for field in fields(self)]


def path_of(cell: Any, folder: Path | None) -> Path:
    """Return the file a cell names.

    Parameters
    ----------
    cell
        Text, or a value of KNIME's type Path (it has a file system `fs_category` and a `path`).
    folder
        Where relative paths start. A KNIME node has no working directory that its user would know, so that without
        a folder relative paths mean nothing.

    Raises
    ------
    InputError
        If the cell is missing or empty, lies on another file system, or is relative without a folder.
    """
    category = getattr(cell, "fs_category", None)
    if category not in {None, LOCAL}:
        raise InputError(
            f"{cell.path} lies on KNIME's file system {category}; carezoo reads files of this computer. "
            "Copy them first, for example with the node Transfer Files"
        )
    text = getattr(cell, "path", cell)
    if not isinstance(text, str) or not text.strip():
        raise InputError("there is no path in this row")
    if "://" in text:
        raise InputError(f"{text} is an address; carezoo reads files of this computer. Give a path without ://")
    path = Path(text.strip())
    if path.is_absolute():
        return path
    if PureWindowsPath(text.strip()).is_absolute():
        raise InputError(f"{text} is a path of a Windows computer, and this is none")
    if folder is None:
        raise InputError(
            f'{text} is a relative path: fill in "Folder of relative paths" with an absolute one, or use absolute paths'
        )
    return folder / path


def folder_of(text: str, start: Path | None = None) -> Path | None:
    """Return the folder a parameter names; None if it is empty. A relative one starts at `start`; see `path_of`."""
    return path_of(text, start) if text.strip() else None


def fresh_names(wanted: Iterable[str], taken: Iterable[str]) -> Mapping[str, str]:
    """Return a column name that is not taken for every wanted one, numbered as KNIME does: ``Restored (#1)``."""
    used, names = set(taken), {}
    for name in wanted:
        candidates = (name if n == 0 else f"{name} (#{n})" for n in range(len(used) + 1))
        names[name] = next(candidate for candidate in candidates if candidate not in used)
        used.add(names[name])
    return names
