"""From what a person writes (a name, a name and a version, a path, an address) to one package on this machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from carezoo.errors import DownloadError, UnknownModelError, UnsupportedError, ZooError
from carezoo.package.read import MANIFEST_NAMES
from carezoo.progress import Progress
from carezoo.registry import bioimageio_models, cache
from carezoo.registry.cache import Pulled
from carezoo.registry.fetch import is_whole
from carezoo.registry.index import MODEL_NAME, Version, make_unknown_error, version_key
from carezoo.registry.zoo import Locations, Zoo, list_zoos, open_embedded, zoo_at

log = logging.getLogger("carezoo")

_Candidate = TypeVar("_Candidate", bound=Version | Pulled)


@dataclass(frozen=True)
class Resolved:
    """What a reference turned out to mean."""

    path: Path
    """The package."""
    name: str = ""
    """Of the model; empty if a path was given."""
    version: str = ""
    origin: str = ""
    """Where it comes from, for a person."""


@dataclass(frozen=True)
class Found:
    """A version in a zoo, not yet on this machine."""

    zoo: Zoo
    version: Version


def resolve(reference: str, zoos: Locations | None = None, *, progress: Progress | None = None) -> Resolved:
    """Return the package that `reference` means, downloaded if it is not on this machine.

    Parameters
    ----------
    reference
        Path of a package (folder, zip, or rdf.yaml); NAME for the newest version that this carezoo can run;
        NAME@VERSION for that version and no other; ``bioimage.io/ID``, or the address of a zip or rdf.yaml.
    zoos
        Addresses or folders of zoos to ask first, in order; None takes those of CAREZOO_ZOO. The first that knows the
        name answers. Then come models pulled before and models that ship; these need no network.
    progress
        Of a download.

    Raises
    ------
    UnknownModelError
        If there is none; the nearest names are offered, never taken.
    ZooError
        If a path was meant and nothing is there.
    DownloadError, IntegrityError
        If a download fails.
    """
    path = Path(reference)
    if path.exists() and not _is_folder_of_results(path):
        return Resolved(path)
    if bioimageio_models.is_foreign(reference):
        known = bioimageio_models.find(reference)
        return Resolved(
            known.path if known else bioimageio_models.pull(reference, progress),
            origin=bioimageio_models.address(reference),
        )
    if path.suffix.lower() in {".zip", ".yaml", ".yml"} or len(path.parts) > 1:
        raise ZooError(f"no package at {reference}: expected a folder, a .zip file or the name of a model")
    name, _, version = reference.partition("@")
    chosen = list_zoos(zoos)
    exact = _find_pulled(name, version, chosen) if version else None
    if exact:
        return _resolve_candidate(exact)
    found = find(reference, zoos, is_local_enough=True)
    if isinstance(found, Pulled):
        return _resolve_candidate(found)
    return Resolved(found.zoo.place(found.version, progress), name, found.version.version, found.zoo.name)


def pull(reference: str, zoos: Locations | None = None, *, progress: Progress | None = None) -> Resolved:
    """Bring a model into the cache, so that it is there without its zoo.

    Parameters and errors are those of `resolve`; a model that ships is already there.
    """
    if bioimageio_models.is_foreign(reference):
        return Resolved(bioimageio_models.pull(reference, progress), origin=bioimageio_models.address(reference))
    found = find(reference, zoos)
    if isinstance(found, Pulled):
        return _whole(found, progress)
    place = found.zoo.place if found.zoo == open_embedded() else found.zoo.pull
    return Resolved(place(found.version, progress), found.version.model, found.version.version, found.zoo.name)


def find(reference: str, zoos: Locations | None = None, *, is_local_enough: bool = False) -> Found | Pulled:
    """Return the version that NAME or NAME@VERSION means, without downloading it; parameters as for `resolve`.

    With `is_local_enough` a zoo that cannot be reached is left out with a warning, where the model is on this machine.
    """
    name, at, wanted = reference.partition("@")
    if at and not wanted:
        raise UnknownModelError(f"{reference}: expected NAME or NAME@VERSION, such as {name}@1.0.0")
    versions: list[Version] = []
    passed_over: list[DownloadError | UnsupportedError] = []
    for zoo in list_zoos(zoos):
        try:
            index = zoo.index()
            versions += index.versions
            chosen = _choose(name, wanted, index.of(name))
        except (DownloadError, UnsupportedError) as error:
            passed_over.append(error)
            continue
        if chosen:
            return Found(zoo, chosen)
    local = _local(name, wanted)
    unreached = any(isinstance(error, DownloadError) for error in passed_over)
    if passed_over and not (local and (is_local_enough or not unreached)):
        raise passed_over[0]
    for problem in passed_over:
        log.warning("%s", problem)
    if local:
        return local
    raise _make_unknown_error(name, wanted, [*versions, *open_embedded().index().versions, *cache.list_pulled()])


def _make_unknown_error(name: str, wanted: str, known: Sequence[Version | Pulled]) -> UnknownModelError:
    there = sorted({each.version for each in known if each.model == name}, key=version_key)
    if there:
        return UnknownModelError(f"model {name} has no version {wanted}; there is {', '.join(there)}")
    return make_unknown_error(name, [each.model for each in known], "is known here")


def _local(name: str, wanted: str) -> Found | Pulled | None:
    """Return the version among those that ship and those pulled; one that ships comes first where both are there."""
    zoo = open_embedded()
    candidates: list[Version | Pulled] = [*zoo.index().of(name), *_list_pulled(name)]
    chosen = _choose(name, wanted, candidates)
    return Found(zoo, chosen) if isinstance(chosen, Version) else chosen


def _choose(name: str, wanted: str, versions: Sequence[_Candidate]) -> _Candidate | None:
    """Return the version asked for, or the newest that this carezoo can run."""
    if wanted:
        return next((each for each in versions if each.version == wanted), None)
    fitting = [each for each in versions if each.is_compatible]
    if versions and not fitting:
        raise UnsupportedError(f"all versions of {name} are for a newer carezoo. Update: pip install -U carezoo")
    chosen = max(fitting, key=lambda each: each.key, default=None)
    newest = max(versions, key=lambda each: each.key, default=None)
    if chosen and newest and newest.key > chosen.key:
        advice = "%s %s is for a newer carezoo (pip install -U carezoo); version %s is used"
        log.warning(advice, name, newest.version, chosen.version)
    return chosen


def _list_pulled(name: str) -> list[Pulled]:
    return [each for each in cache.list_pulled() if each.model == name]


def _find_pulled(name: str, version: str, zoos: Sequence[Zoo]) -> Pulled | None:
    """Return the version in the cache, if no zoo that comes first has to be asked for it."""
    for each in _list_pulled(name):
        if each.version == version and (not zoos or each.zoo == zoos[0].address):
            return each
    return None


def _resolve_candidate(found: Pulled) -> Resolved:
    return Resolved(found.path, found.model, found.version, found.zoo)


def _whole(found: Pulled, progress: Progress | None) -> Resolved:
    """Return a model pulled before; damaged meanwhile, it is brought again from where it came from."""
    if not is_whole(found.path, found.sha256):
        log.warning("%s was damaged on the disk and is pulled again from %s", found.path, found.zoo)
        zoo = zoo_at(found.zoo)
        version = next((each for each in zoo.index().of(found.model) if each.version == found.version), None)
        if version is None:
            raise ZooError(f"{found.zoo} has no {found.model} {found.version} any more; carezoo remove {found.model}")
        zoo.pull(version, progress)
    return _resolve_candidate(found)


def _is_folder_of_results(path: Path) -> bool:
    """Return whether a folder has a name as models have, and is none: what that model restored lies there, say."""
    if not path.is_dir() or not MODEL_NAME.fullmatch(str(path)):
        return False
    return not any((path / name).is_file() for name in MANIFEST_NAMES)
