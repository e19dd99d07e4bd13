"""Put a model into a zoo: check it, hold its version number against what has changed, list it, rebuild the pages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from carezoo.check.run import check
from carezoo.errors import AlreadyPublishedError, InputError, ZooError
from carezoo.files.atomic import replacing
from carezoo.package.read import Package, open_package
from carezoo.package.section import contract as section_contract
from carezoo.package.write import write_zip
from carezoo.registry import folder as zoo_folder
from carezoo.registry.index import Index, Version, version_key
from carezoo.registry.site import pages
from carezoo.registry.zoo import folder_of

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Published:
    """What publishing did, or with a dry run would do."""

    version: Version
    change: str
    """Since the version before, in words."""
    index: Index
    """With the new version."""
    path: Path
    """The zip in the zoo."""


def publish(
    reference: str | os.PathLike[str],
    zoo: str | os.PathLike[str],
    *,
    comment: str = "",
    url: str = "",
    dry_run: bool = False,
    is_zips_only: bool = False,
    progress: Tell | None = None,
) -> Published:
    """Publish a package into the zoo in a folder.

    Parameters
    ----------
    reference
        Path of the package.
    zoo
        Folder of the zoo; a new one is made where nothing is.
    comment
        What is new, one line.
    url
        Where the folder will be served; remembered by the index, needed for id_map.json.
    dry_run
        True: nothing is written.
    is_zips_only
        Of a new zoo: True holds zips and the index alone, for a repository; `site` makes the served folder out of it.
    progress
        Called with each step.

    Raises
    ------
    AlreadyPublishedError
        If the zoo has that version.
    CheckError
        If the package does not do what it says.
    InputError
        If `zoo` is an address.
    ZooError
        If its version number promises less change than there is, or its name or version is not one for a zoo.
    """
    tell = progress or (lambda _step: None)
    folder, package = folder_of(zoo), open_package(reference)
    with zoo_folder.hold_lock(folder):
        before = zoo_folder.read_index(folder, "zips" if is_zips_only else "unpacked")
        if before.layout == "unpacked":
            pages.require()
        before = replace(before, url=url.rstrip("/") or before.url)
        content = zoo_folder.flat_zip(package)
        version = zoo_folder.entry_of(package, content, before.layout, comment)
        _require_new(before, version)
        older = max(
            (each for each in before.of(version.model) if each.key < version.key),
            key=lambda each: each.key,
            default=None,
        )
        change = require_version(open_package(folder / older.zip.url) if older else None, package)
        tell(f"{version.reference}: {change}")
        check(package, progress=lambda name: tell(f"check {name}")).raise_if_failed()
        after = before.with_version(version)
        if not dry_run:
            _write(folder, after, version, package, content, tell)
    return Published(version, change, after, folder / version.zip.url)


def _write(folder: Path, index: Index, version: Version, package: Package, content: bytes, tell: Tell) -> None:
    zoo_folder.place(folder, version, content)
    if index.layout == "unpacked":
        zoo_folder.unpack(folder, version, package)
    # The index is what makes a version public: it comes after everything it names.
    zoo_folder.write_index(folder, index)
    if index.layout == "unpacked":
        tell("pages")
        pages.write_site(folder, folder)


def rebuild(zoo: str | os.PathLike[str], *, url: str = "") -> Index:
    """Write index and pages anew from the zips that lie in a zoo; of those taken away nothing stays.

    Raises
    ------
    InputError
        If `zoo` is an address.
    ZooError
        If the folder is not a zoo, a zip lies where the index would not look for it, or one is not what was published.
    """
    folder = folder_of(zoo)
    with zoo_folder.hold_lock(folder):
        before = zoo_folder.read_index(folder)
        index = zoo_folder.rebuild_index(folder, replace(before, url=url.rstrip("/") or before.url))
        zoo_folder.write_index(folder, index)
        if index.layout == "unpacked":
            zoo_folder.clear(folder, before, index)
            pages.write_site(folder, folder)
    return index


def bioimageio_zip(reference: str | os.PathLike[str], target: str | os.PathLike[str]) -> tuple[str, ...]:
    """Write the zip that the upload form of bioimage.io takes, and return what it will still ask for.

    The collection gives names itself and refuses a package that has an `id`.

    Raises
    ------
    InputError
        If `target` exists.
    PackageError
        If the package cannot be read.
    """
    package, path = open_package(reference), Path(target)
    if path.exists():
        raise InputError(f"{path} exists already. Choose another name")
    if zoo_folder.MANIFEST not in package.names():
        raise ZooError(f"{package.path}: its manifest has to be called {zoo_folder.MANIFEST}")
    rdf = {key: value for key, value in package.manifest.rdf.items() if key != "id"}
    text = yaml.safe_dump(rdf, sort_keys=False, allow_unicode=True, width=120)
    others = [name for name in package.names() if name != zoo_folder.MANIFEST]
    with replacing(path) as temporary:
        write_zip({zoo_folder.MANIFEST: text.encode()} | {name: package.read_bytes(name) for name in others}, temporary)
    return missing_for_bioimageio(package)


def missing_for_bioimageio(package: Package) -> tuple[str, ...]:
    """Return what bioimage.io wants of a model and this package does not have, one line each."""
    rdf = package.manifest.rdf
    documentation = str(rdf.get("documentation") or "")
    text = package.read_bytes(documentation).decode("utf8", "replace") if package.has(documentation or "-") else ""
    authors = _read_list(rdf, "authors")
    wanted: Mapping[str, bool] = {
        "authors with a name": bool(authors),
        "authors: an affiliation or ORCID of each": all(
            each.get("affiliation") or each.get("orcid") for each in authors
        ),
        "cite: what users should cite, with doi or url": any(
            c.get("doi") or c.get("url") for c in _read_list(rdf, "cite")
        ),
        "license: an SPDX identifier": bool(rdf.get("license")),
        "description": bool(rdf.get("description")),
        "tags: among them 2d or 3d": bool({"2d", "3d"} & {str(tag).lower() for tag in rdf.get("tags") or ()}),
        "documentation: a Markdown file with a heading Validation": "validation" in text.lower(),
        "covers: a picture": bool(rdf.get("covers")),
        "git_repo: where the code is": bool(rdf.get("git_repo")),
        "maintainers: your GitHub name, which the form asks for": bool(_read_list(rdf, "maintainers")),
        "uploader: your email, which the form asks for": bool(rdf.get("uploader")),
    }
    return tuple(name for name, is_there in wanted.items() if not is_there)


def _require_new(before: Index, version: Version) -> None:
    same = [each for each in before.of(version.model) if each.version == version.version]
    if same:
        is_same = same[0].sha256 == version.sha256
        raise AlreadyPublishedError(
            f"{version.reference} is published already"
            + (", with the same content" if is_same else " with other content; give this one a new version")
        )


def _read_list(rdf: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = rdf.get(key)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


Change = Literal["words", "weights", "contract"]

_WORDS: Mapping[Change, str] = {
    "words": "only words have changed",
    "weights": "the weights have changed",
    "contract": "the contract (tensors, axes, channels or intensities) has changed",
}

_TENSOR_KEYS = ("id", "axes", "data", "preprocessing", "postprocessing")


def change(old: Package, new: Package) -> Change:
    """Return the largest change from one package to another."""
    if contract(old) != contract(new):
        return "contract"
    if _weights(old) != _weights(new):
        return "weights"
    return "words"


def contract(package: Package) -> Mapping[str, Any]:
    """Return what others rely on, as plain values to compare.

    The halo does not belong to it, nor does the smallest tile derived from it: readers take both from every version.
    """
    rdf = package.manifest.rdf
    tensors = {
        kind: [
            {key: tensor.get(key) for key in _TENSOR_KEYS} for tensor in rdf.get(kind) or () if isinstance(tensor, dict)
        ]
        for kind in ("inputs", "outputs")
    }
    found: Mapping[str, Any] = _drop_halo({**tensors, **section_contract(package.manifest)})
    return found


def _drop_halo(value: Any) -> Any:
    """Return plain values without halos, and without the smallest sizes of the format, which are more than two."""
    if isinstance(value, list):
        return [_drop_halo(each) for each in value]
    if not isinstance(value, dict):
        return value
    is_format_size = value.keys() == {"min", "step"}
    return {
        key: _drop_halo(each) for key, each in value.items() if key != "halo" and not (key == "min" and is_format_size)
    }


def require_version(old: Package | None, new: Package) -> str:
    """Check a version number against what has changed, and return in words what it is.

    Raises
    ------
    ZooError
        If the number promises less change than there is.
    """
    if old is None:
        return "the first version"
    before, after = old.manifest.version, new.manifest.version
    found = change(old, new)
    needed = _next(before, found)
    if version_key(after) < version_key(needed):
        raise ZooError(
            f"{new.manifest.id} {after}: {_WORDS[found]} since {before}, so its version has to be {needed} or "
            "higher. Patch means words only, minor new weights under the same contract, major another contract"
        )
    return f"{_WORDS[found]} since {before}"


def _next(version: str, found: Change) -> str:
    major, minor, patch = version_key(version)
    return {
        "words": f"{major}.{minor}.{patch + 1}",
        "weights": f"{major}.{minor + 1}.0",
        "contract": f"{major + 1}.0.0",
    }[found]


def _weights(package: Package) -> tuple[str | None, ...]:
    weights, hashes = package.manifest.weights, package.manifest.hashes
    return tuple(hashes.get(path) for path in (weights.path, weights.external_data) if path)
