"""Models of bioimage.io, or at any address, that the runtime can run: fetched as one zip, into the same cache.

Such a model has no index with hashes in front of it. Its rdf.yaml is read first: what carezoo cannot run is refused
before anything else is downloaded, and only the files a restoration or a check needs are.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urljoin, urlsplit

from carezoo.errors import UnknownModelError
from carezoo.files.atomic import hash_file
from carezoo.package import files, rdf
from carezoo.package.document import MAX_BYTES
from carezoo.package.manifest import Manifest
from carezoo.package.read import MANIFEST_NAMES, open_package
from carezoo.package.write import write_zip
from carezoo.progress import Progress
from carezoo.registry import cache, transport
from carezoo.registry.cache import Pulled

PATTERN_VARIABLE = "BIOIMAGEIO_COLLECTION_HTTP_PATTERN"
"""The variable by which bioimageio.core, too, is pointed at another collection."""

PATTERN = "https://hypha.aicell.io/bioimage-io/artifacts/{bioimageio_id}/files/rdf.yaml"

_PREFIX = re.compile(r"(?:bioimage-io|bioimage\.io|bioimageio)[/:](?=[^/])")

_ID = re.compile(r"[a-z0-9][a-z0-9_./-]*")


def is_foreign(reference: str) -> bool:
    """Return whether a reference means a model of bioimage.io (``bioimage.io/ID``) or an address."""
    return bool(_PREFIX.match(reference)) or transport.is_remote(reference)


def address(reference: str) -> str:
    """Return where the rdf.yaml or zip of a reference is.

    Raises
    ------
    UnknownModelError
        If it is not written as ids are.
    """
    prefix = _PREFIX.match(reference)
    if not prefix:
        return reference
    model = reference[prefix.end() :].replace("@", "/")
    if not _ID.fullmatch(model) or ".." in model:
        raise UnknownModelError(
            f"{reference}: expected bioimage.io/ID with the ID of a model of the collection, such as "
            "bioimage.io/affable-shark"
        )
    return os.environ.get(PATTERN_VARIABLE, PATTERN).replace("{bioimageio_id}", model)


def find(reference: str) -> Pulled | None:
    """Return the model if it was pulled before."""
    origin = _origin(address(reference))
    return next((each for each in cache.list_pulled() if each.zoo == origin), None)


def pull(reference: str, progress: Progress | None = None) -> Path:
    """Bring a model into the cache and return its zip.

    Raises
    ------
    DownloadError
        If it does not arrive.
    UnsupportedError
        If carezoo does not run it; the message says why.
    PackageError
        If it is damaged, or no model.
    """
    url = address(reference)
    with (
        cache.hold_lock(hashlib.sha256(url.encode()).hexdigest()),
        tempfile.TemporaryDirectory(prefix=".foreign-", dir=cache.scratch()) as scratch,
    ):
        made = Path(scratch, "model.zip")
        if urlsplit(url).path.lower().endswith((".yaml", ".yml")):
            _collect(url, made, progress)
        else:
            made.write_bytes(_read(url, url, files.MAX_TOTAL_BYTES, progress))
        manifest = open_package(made).manifest
        sha256, size = hash_file(made)
        entry = Pulled(_plain(manifest.id), _plain(manifest.version), _origin(url), sha256, size)
        _forget_older(entry)
        return cache.adopt(made, entry)


def _collect(url: str, made: Path, progress: Progress | None) -> None:
    """Write a zip of the rdf.yaml at an address and the files beside it."""
    content = _read(url, "rdf.yaml", MAX_BYTES, None)
    manifest = rdf.parse(content, transport.redact(url))
    found = {MANIFEST_NAMES[0]: content}
    for relative, is_needed in _list_wanted(manifest):
        files.check_path(relative, transport.redact(url))
        try:
            found[relative] = _read(_beside(url, relative), relative, files.MAX_TOTAL_BYTES, progress)
        except transport.Missing:
            if is_needed:
                raise
    write_zip(found, made)


def _list_wanted(manifest: Manifest) -> Iterator[tuple[str, bool]]:
    """Yield what a restoration and a check need, and what a person reads; weights of other frameworks stay away."""
    weights = manifest.weights
    needed = dict.fromkeys(filter(None, (weights.path, weights.external_data)))
    wished = [manifest.test_input, *manifest.test_outputs, manifest.rdf.get("documentation")]
    covers = manifest.rdf.get("covers")
    wished += covers[:1] if isinstance(covers, list) else []
    yield from ((relative, True) for relative in needed)
    for relative in dict.fromkeys(each for each in wished if isinstance(each, str)):
        if relative not in needed and not transport.is_remote(relative):
            yield relative, False


def _beside(url: str, relative: str) -> str:
    """Return the address of a file beside rdf.yaml; a query (``?version=v1``) belongs to all of them."""
    query = urlsplit(url).query
    joined = urljoin(url, "/".join(quote(part) for part in PurePosixPath(relative).parts))
    return f"{joined}?{query}" if query else joined


def _read(url: str, name: str, limit: int, progress: Progress | None) -> bytes:
    found = transport.read(url, limit, name=name, progress=progress)
    assert found is not None  # None answers an ETag, and none was sent
    return found[0]


def _origin(url: str) -> str:
    """Return an address that may be shown: a query appears as its hash, because it may be a token."""
    query = urlsplit(url).query
    return transport.redact(url) + (f"?{hashlib.sha256(query.encode()).hexdigest()[:12]}" if query else "")


def _plain(text: str) -> str:
    """Return a name that is a file name on every system."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "model"


def _forget_older(entry: Pulled) -> None:
    """Drop what the same address gave before: a pull of an address means what is there now."""
    for each in cache.list_pulled():
        if each.zoo == entry.zoo and each.sha256 != entry.sha256:
            cache.remove(each)
