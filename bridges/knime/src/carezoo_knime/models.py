"""CARE Model and CARE Zoo: which models there are, and the one that was chosen."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from carezoo.errors import InputError, IntegrityError, ZooError
from carezoo.package.read import Package, open_package
from carezoo.progress import Progress
from carezoo.registry import catalog
from carezoo.registry.resolve import resolve
from carezoo_knime.cells import Row

log = logging.getLogger("carezoo")


@dataclass(frozen=True)
class ModelFields:
    """What a dialog asks for."""

    reference: str
    """NAME, NAME@VERSION, an address, or the path of a package."""
    zoo: str = ""
    """Address or folder of a zoo to ask first; empty: those of the environment variable CAREZOO_ZOO."""

    @classmethod
    def from_dialog(cls, *, name: str, version: str, package: str, zoo: str) -> ModelFields:
        """Return what the fields of the dialog ask for together.

        Neither a name nor a package, or a package that is not there, is an `InputError`.
        """
        name, version, package = name.strip(), version.strip(), package.strip()
        if package:
            if not Path(package).exists():
                raise InputError(f"there is no package at {package}; choose a folder or a .zip file")
            return cls(package, zoo.strip())
        if not name:
            raise InputError("choose a model, or a package of your own")
        return cls(f"{name}@{version}" if version else name, zoo.strip())

    @property
    def zoos(self) -> list[str] | None:
        """What `resolve` takes."""
        return [self.zoo] if self.zoo else None


@dataclass(frozen=True)
class ChosenModel:
    """What travels from CARE Model to CARE Restore: enough to find the same package again."""

    reference: str
    """NAME@VERSION, or the path of a package."""
    zoo: str
    sha256: str
    """Of the package's manifest, which holds the hashes of all its files."""
    name: str
    version: str

    def open(self) -> Package:
        """Open the package, downloaded once more if the workflow has moved to another computer.

        Raises
        ------
        IntegrityError
            If another package lies there now.
        ZooError
            If there is none any more.
        """
        package = open_package(resolve(self.reference, ModelFields(self.reference, self.zoo).zoos).path)
        if package.sha256 != self.sha256:
            raise IntegrityError(
                f"{self.reference} is not the package that CARE Model chose (sha256 of rdf.yaml {package.sha256[:12]}, "
                f"expected {self.sha256[:12]}): it was replaced. Reset and execute CARE Model to use the new one"
            )
        return package


def choose(wanted: ModelFields, progress: Progress | None = None) -> ChosenModel:
    """Return the model `wanted` means, brought to this computer and verified.

    Raises
    ------
    ZooError
        If there is no such model, or it cannot be downloaded.
    PackageError
        If the package is damaged, or cannot be run.
    """

    def report(n_done: int, n_bytes: int, what: str) -> None:
        if progress:
            progress(n_done, n_bytes, f"downloading {what}")

    found = resolve(wanted.reference, wanted.zoos, progress=report)
    package = open_package(found.path)
    reference = f"{found.name}@{found.version}" if found.name else wanted.reference
    return ChosenModel(reference, wanted.zoo, package.sha256, package.manifest.id, package.manifest.version)


@dataclass(frozen=True, kw_only=True)
class ZooRow(Row):
    """What the table of models says of one. None becomes a missing cell."""

    name: str
    version: str
    task: str | None
    axes: str | None
    """Spatial axes of the images: YX or ZYX."""
    channels: str | None
    results: str | None
    """restored image (mean), scale, disagreement."""
    description: str | None
    license: str | None
    megabytes: float | None
    """Size of the package."""
    is_here: str
    """yes: it runs without a network. no: it is downloaded first."""
    zoo: str
    """Where it comes from."""


def zoo_rows(zoo: str = "") -> list[ZooRow]:
    """Return the newest version of every model: those that ship, those pulled, and those of a zoo."""
    rows = []
    for listed in catalog.models(zoos=ModelFields("", zoo.strip()).zoos):
        entry = listed.entry
        rows.append(
            ZooRow(
                name=listed.name,
                version=listed.version,
                task=(entry and entry.task) or None,
                axes=(entry and entry.axes) or None,
                channels=(entry and ", ".join(entry.channels)) or None,
                results=(entry and ", ".join(entry.results)) or None,
                description=(entry and entry.description) or None,
                license=(entry and entry.license) or None,
                megabytes=entry.zip.size / 1e6 if entry else None,
                is_here="yes" if listed.is_here else "no",
                zoo=listed.zoo,
            )
        )
    return rows


def names() -> list[str]:
    """Return the names a dialog offers. A zoo that cannot be reached offers nothing here; the log says why."""
    try:
        listed = catalog.models()
    except ZooError as error:
        log.warning("the dialog of CARE Model lists the models on this computer only: %s", error)
        listed = catalog.models(zoos=[])
    return sorted({row.name for row in listed})
