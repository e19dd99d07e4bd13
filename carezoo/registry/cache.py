"""Models that were pulled, on this machine: one folder a package, complete or not there at all.

- ``packages/HASH/NAME-VERSION.zip``: HASH is the beginning of the zip's sha256;
- ``packages/HASH/origin.json``: what it is and where it came from;
- ``partial/HASH.zip``: a download that was interrupted, and will go on from there;
- ``indexes/HASH.json``: the last index of every zoo, for work without a network;
- ``locks/``: so that two processes never write the same file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from carezoo.errors import ZooError
from carezoo.files.atomic import replacing
from carezoo.package.section import SCHEMA as PACKAGE_SCHEMA
from carezoo.registry.index import version_key

log = logging.getLogger("carezoo")

VARIABLE = "CAREZOO_CACHE"
"""Environment variable with the folder, where the usual one of the system will not do."""

ORIGIN = "origin.json"

_WORDS = ("model", "version", "zoo", "sha256", "path")
"""What it says in words."""


@dataclass(frozen=True)
class Pulled:
    """A package in the cache."""

    model: str
    version: str
    zoo: str
    """Where it was pulled from: address or folder."""
    sha256: str
    """Of the zip."""
    size: int
    schema: int = PACKAGE_SCHEMA
    path: Path = Path()
    """The zip."""

    @property
    def key(self) -> tuple[int, ...]:
        """What versions are ordered by."""
        return version_key(self.version)

    @property
    def is_compatible(self) -> bool:
        """Whether this carezoo knows how to run it."""
        return self.schema <= PACKAGE_SCHEMA


def folder() -> Path:
    """Return the cache folder, which need not exist yet."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("carezoo")


def list_pulled() -> tuple[Pulled, ...]:
    """Return every package in the cache, sorted by name and version."""
    found = []
    for origin in folder().glob(f"packages/*/{ORIGIN}"):
        if origin.parent.name.startswith("."):
            continue
        try:
            values = json.loads(origin.read_text("utf8"))
            if not all(isinstance(values[name], str) for name in _WORDS):
                raise TypeError(f"expected words for {', '.join(_WORDS)}")
            entry = Pulled(**{**values, "path": origin.parent / values["path"]})
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s is damaged and not used: %s. Delete its folder and pull the model again", origin, error)
            continue
        if entry.path.is_file():  # without its zip it is as if it had not been pulled
            found.append(entry)
    return tuple(sorted(found, key=lambda each: (each.model, each.key, each.zoo)))


def partial(key: str) -> Path:
    """Return where an unfinished download lies."""
    return _make_folder("partial") / f"{key[:32]}.zip"


def scratch() -> Path:
    """Return a folder for what is not finished."""
    return _make_folder("partial")


def find(sha256: str) -> Path | None:
    """Return the cached zip of that hash, if there is one."""
    return next((each.path for each in list_pulled() if each.sha256 == sha256), None)


def adopt(download: Path, entry: Pulled) -> Path:
    """Move a verified download into the cache and return its new path; call with the lock of its hash held.

    The folder is renamed into place when it is complete. What a killed process has left of it is taken away first.
    """
    target = _make_folder("packages") / entry.sha256[:32]
    making = target.with_name(f".{target.name}")
    name = f"{entry.model.replace('/', '_')}-{entry.version}.zip"
    with _explain():
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        values = {**asdict(entry), "path": name}
        (making / ORIGIN).write_text(json.dumps(values, indent=1) + "\n", "utf8")
        download.replace(making / name)
        shutil.rmtree(target, ignore_errors=True)
        making.rename(target)
    return target / name


def remove(entry: Pulled) -> None:
    """Delete a package from the cache."""
    with hold_lock(entry.sha256), _explain():
        # The record goes first: without it, nothing takes the folder for a package.
        (entry.path.parent / ORIGIN).unlink(missing_ok=True)
        shutil.rmtree(entry.path.parent)


def index_path(zoo: str) -> Path:
    """Return where the last index of a zoo is kept."""
    return _make_folder("indexes") / f"{hashlib.sha256(zoo.encode()).hexdigest()[:32]}.json"


def keep(path: Path, content: bytes) -> None:
    """Write a small file of the cache, whole or not at all."""
    with _explain(), replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def hold_lock(key: str, doing: str = "pulling the same model") -> Iterator[None]:
    """Hold a lock; another process that wants the same waits and says what it waits for."""
    path = _make_folder("locks") / f"{key[:32]}.lock"
    lock = FileLock(path)
    with _explain():
        try:
            lock.acquire(timeout=0.5)
        except Timeout:
            log.info("another process is %s; waiting for it", doing)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make_folder(name: str) -> Path:
    path = folder() / name
    with _explain():
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _explain() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ZooError(
            f"the cache folder {folder()} cannot be used: {error.strerror or error}. Free some space, or set "
            f"{VARIABLE} to a folder that can be written"
        ) from error
