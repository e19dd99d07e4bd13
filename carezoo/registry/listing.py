"""What the index says of a package: read from the package itself, never typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carezoo.errors import ZooError
from carezoo.package import own
from carezoo.package.read import Package
from carezoo.registry.index import MODEL_NAME, VERSION, Version, Zip

_SCORES = 12
"""Most numbers that are taken over from `config.carezoo.scores`."""


def version_of(package: Package, archive: Zip, *, source: str = "", comment: str = "") -> Version:
    """Return the entry of a package.

    Parameters
    ----------
    package
        The package; its hashes have been verified by opening it.
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
        schema=int(section.get("schema", own.SCHEMA)),
        title=manifest.name,
        description=manifest.description,
        task=str(section.get("task", "")),
        axes=manifest.spatial_axes,
        channels=manifest.input.channels,
        results=tuple(result.name for result in manifest.results),
        n_members=_members(section),
        license=str(manifest.rdf.get("license") or ""),
        tags=_tags(manifest.rdf.get("tags")),
        scores=_scores(section.get("scores")),
    )


def _members(section: Mapping[str, Any]) -> int:
    members = section.get("members")
    return int(members.get("n", 1)) if isinstance(members, Mapping) else 1


def _tags(tags: Any) -> tuple[str, ...]:
    """Return the tags once each: they are written by people and by the packing, in both cases of letters."""
    found = {str(tag).lower(): None for tag in tags} if isinstance(tags, list) else {}
    return tuple(sorted(found))


def _scores(scores: Any) -> dict[str, float]:
    """Return the plain numbers of the card."""
    if not isinstance(scores, Mapping):
        return {}
    numbers = {
        str(key): float(f"{value:.5g}")
        for key, value in scores.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0
    }
    return dict(list(numbers.items())[:_SCORES])
