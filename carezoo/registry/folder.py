"""A zoo as files: what has to lie where, so that carezoo, bioimageio.core and Fiji find it on any static server.

- ``index.json``: ours; readers of bioimage.io's index know its form;
- ``id_map.json``, ``all_versions.json``: the same for bioimageio.core and for Fiji; they need the server's address;
- ``NAME/VERSION/NAME-VERSION.zip``: a package, immutable;
- ``NAME/VERSION/rdf.yaml`` and files: the same unpacked, for readers that take files one by one;
- ``NAME/rdf.yaml`` and files: the newest version.

A zoo of layout `zips` holds ``packages/NAME-VERSION.zip`` and the index only. Published files never change.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from carezoo.errors import AlreadyPublishedError, ZooError
from carezoo.files.atomic import replacing
from carezoo.package.read import Package, open_package
from carezoo.package.write import write_zip
from carezoo.registry import cache
from carezoo.registry import index as index_
from carezoo.registry.catalog import version_of
from carezoo.registry.index import Index, Layout, Version, Zip

MANIFEST = "rdf.yaml"

PAGE = "index.html"
"""Kept free for a model's page."""


def read_index(folder: Path, layout: Layout = "unpacked") -> Index:
    """Return the index of a zoo in a folder; an empty one of `layout` for a folder that is not a zoo yet.

    Raises
    ------
    ZooError
        If the index is damaged, or the folder holds something else.
    """
    path = folder / index_.NAME
    if path.is_file():
        return index_.parse(path.read_bytes(), str(path))
    strangers = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    if strangers and strangers != ["packages"]:
        raise ZooError(f"{folder} is not empty and not a zoo (no {index_.NAME}; found {', '.join(strangers[:3])})")
    return Index(layout=layout)


def write_index(folder: Path, index: Index) -> None:
    """Write `index.json`; with the address of the server known, also the lists that other readers want."""
    _write(folder / index_.NAME, index_.render(index))
    if index.url and index.layout == "unpacked":
        _write(folder / "id_map.json", _json(id_map(index)))
        _write(folder / "all_versions.json", _json(all_versions(index)))


def zip_path(layout: Layout, name: str, version: str) -> str:
    """Return where the zip of a version lies, relative to the index."""
    archive = f"{name}-{version}.zip"
    return f"packages/{archive}" if layout == "zips" else f"{name}/{version}/{archive}"


def entry_of(package: Package, content: bytes, layout: Layout, comment: str = "") -> Version:
    """Return what the index will say of a package, given its zip."""
    name, version = package.manifest.id, package.manifest.version
    archive = Zip(zip_path(layout, name, version), hashlib.sha256(content).hexdigest(), len(content))
    source = f"{name}/{version}/{MANIFEST}" if layout == "unpacked" else archive.url
    return version_of(package, archive, source=source, comment=comment)


def flat_zip(package: Package) -> bytes:
    """Return the package as a flat zip with rdf.yaml first, which Fiji wants; the same bytes if it is one."""
    path = package.path
    names = [MANIFEST, *(name for name in package.names() if name != MANIFEST)]
    if MANIFEST not in package.names():
        raise ZooError(f"{path}: its manifest has to be called {MANIFEST} to be published")
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            if archive.namelist()[:1] == [MANIFEST] and sorted(archive.namelist()) == sorted(names):
                return path.read_bytes()
    stream = io.BytesIO()
    write_zip({name: package.read_bytes(name) for name in names}, stream)
    return stream.getvalue()


def place(folder: Path, version: Version, content: bytes) -> Path:
    """Write the zip of a version where the index says.

    Raises
    ------
    AlreadyPublishedError
        If another file is there.
    """
    path = folder / version.zip.url
    _write_once(path, content)
    return path


def unpack(folder: Path, version: Version, package: Package) -> None:
    """Write the files of a version beside its zip."""
    for name in package.names():
        _write_once(folder / version.model / version.version / name, package.read_bytes(name))


def unpack_newest(folder: Path, version: Version, package: Package) -> None:
    """Write the files of the newest version where a name without version leads.

    rdf.yaml comes last, so that it never names a file that is not there yet.
    """
    names = [name for name in package.names() if name not in {PAGE, MANIFEST}]
    for name in [*names, MANIFEST]:
        path = folder / version.model / name
        content = package.read_bytes(name)
        if not path.is_file() or path.read_bytes() != content:
            _write(path, content)


def rebuild_index(folder: Path, index: Index) -> Index:
    """Return the index of what really lies in the folder of a zoo: versions whose zip was taken away are left out.

    Comments, layout and address are those of `index`, as it was.
    """
    listed = {each.reference: each for each in index.versions}
    versions = []
    for path in sorted(folder.glob("packages/*.zip" if index.layout == "zips" else "*/*/*.zip")):
        package = open_package(path)
        entry = entry_of(package, path.read_bytes(), index.layout)
        if folder / entry.zip.url != path:
            raise ZooError(f"{path} holds {entry.reference}; expected it at {folder / entry.zip.url}")
        before = listed.get(entry.reference, entry)
        if before.zip.sha256 != entry.zip.sha256:
            raise ZooError(
                f"{path} is not the file that was published as {entry.reference}; a published version never changes. "
                "Put that one back, and publish this one under a new version"
            )
        versions.append(replace(entry, comment=before.comment))
    return Index(index_.sort_versions(versions), index.layout, index.url)


def clear(folder: Path, before: Index, after: Index) -> None:
    """Delete the unpacked files of versions that are no longer listed."""
    for version in before.versions:
        gone = folder / version.model
        if version.model in after.names():
            gone /= version.version
        if version not in after.versions and gone.is_dir():
            with _explain(gone):
                shutil.rmtree(gone)


@contextmanager
def hold_lock(folder: Path) -> Iterator[None]:
    """Let one process of this person at a time publish into a zoo."""
    with cache.hold_lock(hashlib.sha256(str(folder.resolve()).encode()).hexdigest(), f"publishing into {folder}"):
        yield


def packages_of(folder: Path, index: Index) -> Iterator[tuple[Version, Package]]:
    """Open every package that an index lists.

    Raises
    ------
    ZooError
        If one is not the file the index describes.
    PackageError
        If one is damaged.
    """
    for version in index.versions:
        package = open_package(folder / version.zip.url)
        if package.sha256 != version.sha256:
            raise ZooError(
                f"{package.path} is not the package that {index_.NAME} lists as {version.reference}; "
                "a published version never changes"
            )
        yield version, package


def copy_to(source: Path, target: Path, index: Index, progress: Callable[[str], None] | None = None) -> Index:
    """Write every package of a zoo into another folder in the layout that all readers know, and return its index.

    `target` may be `source` itself, where it is unpacked already.
    """
    tell = progress or (lambda _reference: None)
    versions = []
    newest = {each.reference for each in index.newest()}
    for version, package in packages_of(source, index):
        tell(version.reference)
        content = package.path.read_bytes()
        entry = entry_of(package, content, "unpacked", version.comment)
        place(target, entry, content)
        unpack(target, entry, package)
        if version.reference in newest:
            unpack_newest(target, entry, package)
        versions.append(entry)
    copied = Index(tuple(versions), "unpacked", index.url)
    write_index(target, copied)
    return copied


def id_map(index: Index) -> dict[str, dict[str, str]]:
    """Return where bioimageio.core finds each model and version (its variable BIOIMAGEIO_ID_MAP)."""
    found = {}
    for version in index.versions:  # oldest first: a name alone means the newest
        entry = {"source": f"{index.url}/{version.source}", "sha256": version.sha256}
        found[version.model] = entry
        found[f"{version.model}/{version.version}"] = entry
    return dict(sorted(found.items()))


def all_versions(index: Index) -> dict[str, list[dict[str, object]]]:
    """Return the list that Fiji's reader (JDLL) understands."""
    return {
        "entries": [
            {
                "concept": name,
                "type": "model",
                "versions": [
                    {"v": each.version, "created": each.created_at, "source": f"{index.url}/{each.source}"}
                    for each in reversed(index.of(name))
                ],
            }
            for name in index.names()
        ]
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _write_once(path: Path, content: bytes) -> None:
    if path.exists():
        if path.is_file() and path.read_bytes() == content:
            return
        raise AlreadyPublishedError(
            f"{path} was published with other content, and a published version never changes. Give the model a new "
            "version"
        )
    _write(path, content)


def _write(path: Path, content: bytes) -> None:
    with _explain(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)


@contextmanager
def _explain(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ZooError(f"{path} cannot be written: {error.strerror or error}") from error
