"""All models there are: those that ship, those pulled, those of the zoos that were named."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carezoo.errors import DownloadError, InputError, PackageError, UnknownModelError, ZooError
from carezoo.package.read import Package, open_package
from carezoo.package.section import SCHEMA as PACKAGE_SCHEMA
from carezoo.registry import cache
from carezoo.registry.cache import Pulled
from carezoo.registry.index import MODEL_NAME, VERSION, Version, Zip, make_unknown_error, version_key
from carezoo.registry.zoo import Locations, Zoo, list_zoos, open_embedded, zoo_at
from carezoo.tasks import TASKS

log = logging.getLogger("carezoo")


@dataclass(frozen=True)
class Listed:
    """The newest version of a model in one place."""

    name: str
    version: str
    zoo: str
    """Where it comes from, for a person."""
    is_here: bool
    """Whether it runs without a network."""
    entry: Version | None = None
    """What the index says, or the package itself; None for a pulled model that cannot be read."""


@dataclass(frozen=True)
class Outdated:
    """A model on this machine with a newer version elsewhere."""

    name: str
    version: str
    """On this machine."""
    newest: str
    zoo: str
    """Where the newer one is, as an address or folder."""


@dataclass(frozen=True)
class Here:
    """A model that runs without a network."""

    name: str
    version: str
    path: Path
    """The package."""


def list_here() -> tuple[Here, ...]:
    """Return the newest version of every model on this machine, shipped or pulled, that this carezoo can run."""
    zoo = open_embedded()
    found = [Here(v.model, v.version, Path(zoo.url(v.zip.url))) for v in zoo.index().versions if v.is_compatible]
    found += [Here(p.model, p.version, p.path) for p in cache.list_pulled() if p.is_compatible]
    newest: dict[str, Here] = {}
    for each in sorted(found, key=lambda each: version_key(each.version)):
        newest[each.name] = each
    return tuple(newest[name] for name in sorted(newest))


def models(
    *, task: str | None = None, dims: int | None = None, search: str | None = None, zoos: Locations | None = None
) -> tuple[Listed, ...]:
    """Return the newest version of every model, in each place it is found.

    Parameters
    ----------
    task
        A name of `carezoo.tasks`.
    dims
        Spatial dimensions of the images: 2 or 3.
    search
        Words that all have to occur in name, title, description, channels or tags.
    zoos
        Addresses or folders to look in beside what is here; None takes those of CAREZOO_ZOO.

    Raises
    ------
    InputError
        If there is no such task.
    ZooError
        If a zoo is none. One that cannot be reached is named in a warning.
    """
    if task is not None and task not in TASKS:
        raise InputError(f"no task {task!r}; there are {', '.join(TASKS)}")
    hashes = {each.sha256 for each in cache.list_pulled()}
    rows = []
    for zoo in dict.fromkeys((*list_zoos(zoos), open_embedded())):
        for version in _newest(zoo):
            is_here = not zoo.is_remote or version.zip.sha256 in hashes
            rows.append(Listed(version.model, version.version, zoo.name, is_here, version))
    listed = {(row.name, row.version) for row in rows}
    for each in cache.list_pulled():
        if (each.model, each.version) not in listed:
            rows.append(Listed(each.model, each.version, each.zoo, True, _read(each)))
    return tuple(sorted((row for row in rows if _fits(row, task, dims, search)), key=lambda row: row.name))


def outdated(zoos: Locations | None = None) -> tuple[Outdated, ...]:
    """Return the models on this machine of which a zoo has a newer version that this carezoo can run.

    The zoos named, those of CAREZOO_ZOO, and those that models were pulled from are asked. A warning tells which cannot
    be read.
    """
    pulled = cache.list_pulled()
    versions = {each.name: each.version for each in list_here()}
    sources = [zoo_at(each.zoo) for each in pulled if not each.zoo.endswith((".zip", ".yaml", ".yml"))]
    found: dict[str, Outdated] = {}
    for zoo in dict.fromkeys((*list_zoos(zoos), *sources)):
        try:
            index = zoo.index()
        except ZooError as error:
            log.warning("%s", error)
            continue
        for name, version in versions.items():
            for newer in index.of(name):
                best = found[name].newest if name in found else version
                if newer.is_compatible and newer.key > version_key(best):
                    found[name] = Outdated(name, version, newer.version, zoo.address)
    return tuple(found[name] for name in sorted(found))


def remove(reference: str) -> tuple[Pulled, ...]:
    """Delete a pulled model, NAME for all its versions or NAME@VERSION, and return what was deleted.

    Raises
    ------
    UnknownModelError
        If it was not pulled.
    ZooError
        If it ships with carezoo, or cannot be deleted.
    """
    name, _, version = reference.partition("@")
    chosen = [each for each in cache.list_pulled() if each.model == name and version in {"", each.version}]
    for each in chosen:
        cache.remove(each)
    if chosen:
        return tuple(chosen)
    if any(each.version == version or not version for each in open_embedded().index().of(name)):
        raise ZooError(f"{reference} ships with carezoo and stays; only models that were pulled can be removed")
    names = [each.model for each in cache.list_pulled()]
    if name in names:
        raise UnknownModelError(f"{reference} was not pulled; there is {', '.join(_versions(name))}")
    raise (
        make_unknown_error(name, names, "was pulled")
        if names
        else UnknownModelError(f"no model {name!r}: none was pulled")
    )


def _versions(name: str) -> list[str]:
    return [each.version for each in cache.list_pulled() if each.model == name]


def _newest(zoo: Zoo) -> tuple[Version, ...]:
    try:
        return zoo.index().newest()
    except DownloadError as error:
        log.warning("%s", error)
        return ()


def _read(pulled: Pulled) -> Version | None:
    """Return what a package that was pulled says of itself."""
    try:
        return version_of(open_package(pulled.path), Zip(pulled.path.name, pulled.sha256, pulled.size))
    except (PackageError, ZooError):
        return None


def _fits(row: Listed, task: str | None, dims: int | None, search: str | None) -> bool:
    if row.entry is None:
        return task is None and dims is None and (not search or search.lower() in row.name.lower())
    entry = row.entry
    text = " ".join((entry.model, entry.title, entry.description, *entry.tags, *entry.channels)).lower()
    return (
        task in {None, entry.task}
        and dims in {None, entry.n_dims}
        and all(word in text for word in (search or "").lower().split())
    )


_SCORES = 12
"""Most numbers that are taken over from `config.carezoo.scores`."""


def version_of(package: Package, archive: Zip, *, source: str = "", comment: str = "") -> Version:
    """Return the entry of a package.

    Parameters
    ----------
    archive
        Where its zip is.
    source
        Where its rdf.yaml is; the zip if nothing is unpacked.
    comment
        What is new in this version.

    Raises
    ------
    ZooError
        If its name or version is not one a zoo can list.
    """
    manifest, section = package.manifest, package.manifest.carezoo
    if not MODEL_NAME.fullmatch(manifest.id) or ".." in manifest.id:
        raise ZooError(
            f"{package.path}: its id is {manifest.id!r}; a zoo lists names of lower-case letters, digits and _ . - only"
        )
    if not VERSION.fullmatch(manifest.version):
        raise ZooError(f"{package.path}: its version is {manifest.version!r}; a zoo lists three numbers, such as 1.2.0")
    return Version(
        model=manifest.id,
        version=manifest.version,
        created_at=str(manifest.rdf.get("timestamp") or ""),
        source=source or archive.url,
        sha256=package.sha256,
        zip=archive,
        comment=comment,
        schema=section.schema or PACKAGE_SCHEMA,
        title=manifest.name,
        description=manifest.description,
        task=section.task,
        axes=manifest.spatial_axes,
        channels=manifest.input.channels,
        results=tuple(result.name for result in manifest.results),
        n_members=section.members.n if section.members else 1,
        license=str(manifest.rdf.get("license") or ""),
        tags=_tags(manifest.rdf.get("tags")),
        scores=_scores(section.scores or {}),
    )


def _tags(tags: Any) -> tuple[str, ...]:
    """Return the tags once each: they are written by people and by the packing, in both cases of letters."""
    found = {str(tag).lower(): None for tag in tags} if isinstance(tags, list) else {}
    return tuple(sorted(found))


def _scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the plain numbers of the card."""
    numbers = {
        str(key): float(f"{value:.5g}")
        for key, value in scores.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0
    }
    return dict(list(numbers.items())[:_SCORES])
