"""The models that ship with carezoo, and the resolution of a reference to a package on disk."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

import carezoo
from carezoo.errors import UnknownModelError, ZooError


@dataclass(frozen=True, order=True)
class Entry:
    """One version of one model."""

    name: str
    version: str
    path: Path

    @property
    def key(self) -> tuple[int, ...]:
        """What versions are ordered by."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version))


def folder() -> Path:
    """Return where the embedded packages are: inside the installed package, or in the checkout it runs from."""
    package = Path(carezoo.__file__).parent
    installed = package / "_zoo" / "packages"
    return installed if installed.is_dir() else package.parent / "zoo" / "packages"


def entries() -> tuple[Entry, ...]:
    """Return all embedded models, files named NAME-VERSION.zip, sorted by name and version."""
    found = []
    for path in folder().glob("*.zip"):
        name, _, version = path.stem.rpartition("-")
        if name and re.fullmatch(r"\d+(\.\d+)*", version):
            found.append(Entry(name, version, path))
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.key)))


def resolve(reference: str) -> Path:
    """Return the package that `reference` means.

    Parameters
    ----------
    reference
        Path of a package (folder, zip, or rdf.yaml); or NAME for the newest version of an embedded model, or
        NAME@VERSION for that version and no other.

    Raises
    ------
    UnknownModelError
        If there is none; the nearest names are offered, never taken.
    ZooError
        If a path was meant and nothing is there.
    """
    path = Path(reference)
    if path.exists():
        return path
    if path.suffix or len(path.parts) > 1:
        raise ZooError(f"no package at {reference}: expected a folder, a .zip file or the name of a model")
    name, _, version = reference.partition("@")
    known = entries()
    versions = [entry for entry in known if entry.name == name]
    if not versions:
        names = sorted({entry.name for entry in known})
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
        advice = f"Did you mean {', '.join(near)}?" if near else "No models came with this installation."
        raise UnknownModelError(f"no model {name!r} is known here. {advice} The path of a package will do, too")
    if not version:
        return versions[-1].path
    for entry in versions:
        if entry.version == version:
            return entry.path
    raise UnknownModelError(f"model {name} has no version {version}; there is {', '.join(v.version for v in versions)}")
