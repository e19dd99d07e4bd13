"""A zoo: an index and its packages, in a folder, on a web server or in an object store."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import carezoo
from carezoo.errors import InputError, IntegrityError, ZooError
from carezoo.package.read import open_package
from carezoo.progress import Progress
from carezoo.registry import cache, index, transport
from carezoo.registry.cache import Pulled
from carezoo.registry.fetch import fetch, require_identity
from carezoo.registry.index import Index, Version

log = logging.getLogger("carezoo")

Locations = Sequence[str | os.PathLike[str]] | str | os.PathLike[str]

VARIABLE = "CAREZOO_ZOO"
"""Environment variable: addresses or folders of zoos, with semicolons between; asked before the models that ship."""


@dataclass(frozen=True)
class Zoo:
    """Where models come from."""

    location: str
    """Address or folder, without a slash at the end."""

    @property
    def address(self) -> str:
        """The location without a password: what is written down and shown."""
        return transport.redact(self.location)

    @property
    def is_remote(self) -> bool:
        """Whether it is anywhere but in the file system."""
        return transport.is_remote(self.location)

    @property
    def folder(self) -> Path:
        """The folder of a zoo that is one."""
        return transport.local_path(self.location)

    @property
    def name(self) -> str:
        """How a person reads of it."""
        return "ships with carezoo" if self == open_embedded() else self.address

    def index(self) -> Index:
        """Read the index. One of a server is asked for, and the last one is used where there is no network.

        Raises
        ------
        ZooError
            If there is no zoo, or its index is not one.
        DownloadError
            If it cannot be reached and never was.
        """
        if self.is_remote:
            return _remote_index(self.location)
        path = self.folder / index.NAME
        if not path.is_file():
            raise ZooError(f"{self.folder} is not a zoo: it holds no {index.NAME}. carezoo publish makes one")
        if path.stat().st_size > index.MAX_BYTES:
            raise ZooError(f"{path} has more than {index.MAX_BYTES} bytes; this is not the index of a zoo")
        return index.parse(path.read_bytes(), str(path))

    def url(self, relative: str) -> str:
        """Return the address of a file that the index names."""
        if transport.is_remote(relative):
            return relative
        return f"{self.location}/{relative}" if self.is_remote else str(self.folder / relative)

    def place(self, version: Version, progress: Progress | None = None) -> Path:
        """Return the package on this machine: where it lies in a folder, downloaded from anywhere else.

        Raises
        ------
        DownloadError, IntegrityError
            If it does not arrive as the index describes it.
        """
        path = Path(self.url(version.zip.url))
        if self.is_remote or transport.is_remote(version.zip.url):
            return self.pull(version, progress)
        package = open_package(path)
        if package.sha256 != version.sha256:
            raise IntegrityError(
                f"{path} is not the package that {index.NAME} describes (rdf.yaml has sha256 {package.sha256[:12]}..., "
                f"expected {version.sha256[:12]}...). A published version never changes"
            )
        require_identity(package, version.model, version.version, str(path))
        return path

    def pull(self, version: Version, progress: Progress | None = None) -> Path:
        """Return the package in the cache, brought there if need be.

        Raises
        ------
        ZooError
            If this zoo gave something else under this name and version before.
        DownloadError, IntegrityError
            If it does not arrive as the index describes it.
        """
        before = [each for each in cache.list_pulled() if (each.zoo, each.model, each.version) == self._key(version)]
        if before and before[0].sha256 != version.zip.sha256:
            raise ZooError(
                f"{self.name} gave another file for {version.reference} before (sha256 {before[0].sha256[:12]}..., now "
                f"{version.zip.sha256[:12]}...). A published version never changes: ask whoever runs the zoo. To take "
                f"the new one nevertheless, run carezoo remove {version.reference} first"
            )
        entry = Pulled(*self._key(version)[1:], self.address, version.zip.sha256, version.zip.size, version.schema)
        return fetch(self.url(version.zip.url), entry, version.sha256, progress)

    def _key(self, version: Version) -> tuple[str, str, str]:
        return self.address, version.model, version.version


def zoo_at(location: str | os.PathLike[str]) -> Zoo:
    """Return the zoo at an address or in a folder; the address of its index will do, too."""
    text = os.fspath(location).strip().removesuffix(index.NAME)
    if not transport.is_remote(text):
        return Zoo(str(transport.local_path(text).absolute()))
    return Zoo(text.rstrip("/"))


def folder_of(zoo: str | os.PathLike[str]) -> Path:
    """Return the folder of a zoo that is written to.

    Raises
    ------
    InputError
        If it is an address.
    """
    text = os.fspath(zoo)
    # A path has lost one of the slashes of an address; a single letter is a drive.
    if re.match(r"[A-Za-z][\w+.-]+:[/\\]", text) and not text.lower().startswith("file:"):
        raise InputError(f"{text}: expected a folder. Publish into one, and copy it to the server")
    return transport.local_path(text)


def list_zoos(zoos: Locations | None = None) -> tuple[Zoo, ...]:
    """Return the zoos to ask, in order; None takes those of the environment variable CAREZOO_ZOO."""
    if isinstance(zoos, str | os.PathLike):
        zoos = [zoos]
    chosen = zoos if zoos is not None else [each for each in os.environ.get(VARIABLE, "").split(";") if each.strip()]
    return tuple(dict.fromkeys(zoo_at(each) for each in chosen))


@functools.cache
def open_embedded() -> Zoo:
    """Return the models that ship: inside the installed package, or in the checkout it runs from."""
    package = Path(carezoo.__file__).parent
    installed = package / "_zoo"
    return Zoo(str(installed if installed.is_dir() else package.parent / "zoo"))


def _remote_index(location: str) -> Index:
    url, kept = f"{location}/{index.NAME}", cache.index_path(location)
    before = _read_kept(kept)
    try:
        answer = transport.read(url, index.MAX_BYTES, etag=before[1] if before else "")
        if answer is None and before is not None:
            return index.parse(before[0], url)
        content, etag = answer or (b"", "")
        if not content.lstrip().startswith(b"{"):
            raise transport.Interrupted(
                f"{transport.redact(url)} answers, but not with the index of a zoo. Does this network want you to log "
                "in first? Models that ship and those pulled before need no network"
            )
    except transport.Missing as error:
        raise ZooError(f"{transport.redact(location)} is not a zoo: {error}") from error
    except transport.Interrupted as error:
        if before is None:
            raise
        log.warning("%s; its models are taken from the list of the last visit", error)
        return index.parse(before[0], url)
    parsed = index.parse(content, transport.redact(url))
    cache.keep(kept, json.dumps({"etag": etag, "zoo": transport.redact(location), "index": content.decode()}).encode())
    return parsed


def _read_kept(path: Path) -> tuple[bytes, str] | None:
    """Return the last index and its ETag; None if there is none, or it cannot be read any more."""
    try:
        values = json.loads(path.read_text("utf8"))
        content = str(values["index"]).encode()
        index.parse(content, str(path))
        return content, str(values["etag"])
    except (OSError, ValueError, KeyError, TypeError, ZooError):
        return None
