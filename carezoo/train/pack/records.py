"""What a model was trained on, file by file, for its package; and the last guard of the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carezoo.errors import DataError
from carezoo.files.atomic import hash_file
from carezoo.pairs.section import FileSet
from carezoo.pairs.split import PairParts, Part
from carezoo.simulate.sets import OpenSet, SimulatedSet

Role = Literal["source", "target", "clean"]


@dataclass(frozen=True)
class FileRecord:
    """One file of the training data."""

    dataset: str
    """Name of its set."""
    part: Part
    role: Role
    """clean: an image that was degraded."""
    name: str
    """Folder and file name; not the whole path, which is a matter of the machine."""
    sha256: str
    n_bytes: int
    license: str
    origin: str


def record_files(parts: PairParts, sets: Sequence[FileSet]) -> tuple[FileRecord, ...]:
    """Hash every file of the three parts.

    Returns
    -------
    tuple of FileRecord
        Each file once, in the order of the parts.

    Raises
    ------
    DataError
        If two files of different parts have the same content: scores on pixels that were trained on mean nothing.
    """
    by_name = {each.name: each for each in sets}
    records: dict[Path, FileRecord] = {}
    for part, pair in parts.all():
        roles: Mapping[Role, Path] = {"source": pair.source_path, "target": pair.target_path}
        for role, path in roles.items():
            if path not in records:
                records[path] = _record(path, part, role, by_name[pair.dataset])
    _check_copies(records)
    return tuple(records.values())


def record_clean_files(opened: OpenSet) -> tuple[FileRecord, ...]:
    """Hash the clean images behind a set of computed pairs, once for each part they serve.

    Raises
    ------
    DataError
        If the set is split by file and two files of different parts have the same content.
    """
    described, by_path = opened.described, {}
    records = []
    for part, paths in opened.clean_files.items():
        for path in dict.fromkeys(paths):
            by_path[path] = _record(path, part, "clean", described)
            records.append(by_path[path])
    if described.split.is_by_name:
        _check_copies(by_path)
    return tuple(records)


def _record(path: Path, part: Part, role: Role, of: FileSet | SimulatedSet) -> FileRecord:
    name, (sha256, n_bytes) = f"{path.parent.name}/{path.name}", hash_file(path)
    return FileRecord(of.name, part, role, name, sha256, n_bytes, of.license, of.origin)


def _check_copies(records: Mapping[Path, FileRecord]) -> None:
    first: dict[str, tuple[Path, FileRecord]] = {}
    for path, record in records.items():
        other_path, other = first.setdefault(record.sha256, (path, record))
        if other.part != record.part:
            raise DataError(
                f"{path} ({record.part}) is a copy of {other_path} ({other.part}), and scores on pixels that were "
                "trained on mean nothing; remove one of them, or name both for the same part (split)"
            )
