"""A zip from anywhere into the cache: goes on where it stopped, is verified, and only then has its name.

The chain: the index names size and sha256 of the zip and sha256 of its manifest, the manifest the hashes of all files.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from carezoo.errors import DownloadError, IntegrityError
from carezoo.files.atomic import hash_file
from carezoo.package.read import Package, open_package
from carezoo.progress import Progress
from carezoo.registry import cache, transport
from carezoo.registry.cache import Pulled
from carezoo.registry.transport import Interrupted, redact

log = logging.getLogger("carezoo")

ATTEMPTS = 4
"""Of one download, each going on where the last one stopped."""

PAUSE_S = 0.5
"""Before the second attempt, doubled before each further one."""


def fetch(url: str, entry: Pulled, manifest_sha256: str, progress: Progress | None = None) -> Path:
    """Return the package's zip in the cache, downloaded if it is not there or not whole.

    Parameters
    ----------
    manifest_sha256
        Of its rdf.yaml, as the index says.
    progress
        Called after each piece with the bytes that are there, those in all and what is downloaded.

    Raises
    ------
    DownloadError
        If it did not arrive; what did is kept, and the next call goes on from there.
    IntegrityError
        If what arrived is not what the index describes; nothing is kept.
    """
    with cache.hold_lock(entry.sha256):
        found = cache.find(entry.sha256)
        if found is not None:
            if is_whole(found, entry.sha256):
                return found
            log.warning("%s was damaged on the disk and is downloaded again", found)
        part = cache.partial(entry.sha256)
        for is_last in (False, True) if part.exists() else (True,):
            try:
                _download(url, part, entry, progress)
                _verify(part, entry, manifest_sha256, url)
                break
            except IntegrityError:
                part.unlink(missing_ok=True)
                if is_last:
                    raise
                # The beginning may be of another file, or of a crash: once more from the first byte.
                log.info("what was left of an earlier download is not the beginning of this file; starting again")
        return cache.adopt(part, entry)


def _download(url: str, part: Path, entry: Pulled, progress: Progress | None) -> None:
    """Bring `part` to its full size, in several attempts if need be."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _continue(url, part, entry, progress)
        except Interrupted as error:
            if attempt == ATTEMPTS:
                n_bytes = part.stat().st_size if part.exists() else 0
                kept = f". {n_bytes} of {entry.size} bytes are kept: the same command goes on from there"
                raise DownloadError(f"{error}{kept if n_bytes else ''}") from error
            log.info("%s; trying again", error)
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
        else:
            return


def _continue(url: str, part: Path, entry: Pulled, progress: Progress | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have > entry.size:
        part.unlink()
        have = 0
    if have == entry.size:
        return
    with transport.open_body(url, start=have) as body:
        assert body is not None  # None answers an ETag, and none was sent
        if body.total is not None and body.total != entry.size:
            raise IntegrityError(
                f"{redact(url)}: the server has {body.total} bytes, the index of the zoo says {entry.size}. The file "
                "or the index was changed; nothing was kept. Tell whoever runs the zoo"
            )
        have = body.start
        with part.open("r+b" if part.exists() else "wb") as stream:
            stream.truncate(have)
            stream.seek(have)
            for chunk in body.chunks:
                have += len(chunk)
                if have > entry.size:
                    raise IntegrityError(
                        f"{redact(url)}: the server sends more than the {entry.size} bytes that the index of the zoo "
                        "says; nothing was kept"
                    )
                stream.write(chunk)
                if progress:
                    progress(have, entry.size, f"{entry.model} {entry.version}")
    if have < entry.size:
        raise Interrupted(f"{redact(url)}: the connection ended after {have} of {entry.size} bytes")


def _verify(part: Path, entry: Pulled, manifest_sha256: str, url: str) -> None:
    found, _ = hash_file(part)
    if found != entry.sha256:
        raise IntegrityError(
            f"{redact(url)} is not the file that the index of the zoo describes (sha256 {found[:12]}..., expected "
            f"{entry.sha256[:12]}...). Server, proxy or index has changed it; nothing was kept"
        )
    package = open_package(part)
    if package.sha256 != manifest_sha256:
        raise IntegrityError(
            f"{redact(url)}: its rdf.yaml has sha256 {package.sha256[:12]}..., the index says {manifest_sha256[:12]}..."
        )
    require_identity(package, entry.model, entry.version, redact(url))


def require_identity(package: Package, model: str, version: str, where: str) -> None:
    """Refuse a package that calls itself otherwise than the index does.

    Raises
    ------
    IntegrityError
        Naming both.
    """
    told = (package.manifest.id, package.manifest.version)
    if told != (model, version):
        raise IntegrityError(
            f"{where} calls itself {' '.join(told)}, the index calls it {model} {version}; it is not used"
        )


def is_whole(path: Path, sha256: str) -> bool:
    """Return whether a file still has the bytes it was kept with."""
    return hash_file(path)[0] == sha256
