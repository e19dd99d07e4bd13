"""Does a package do what it says? Its files, its graph, its tensors, its tiles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from carezoo.check.bioimageio import judge
from carezoo.check.finding import Finding, Subject
from carezoo.check.tensors import check_graph, check_sizes, check_test_tensors
from carezoo.check.tiles import check_halo, check_tiles
from carezoo.errors import CarezooError, CheckError, MissingExtraError
from carezoo.package.read import Package
from carezoo.runtime.session import Session

CHECKS: Mapping[str, Callable[[Subject], list[Finding]]] = {
    "graph": check_graph,
    "test tensors": check_test_tensors,
    "sizes": check_sizes,
    "tiles": check_tiles,
    "halo": check_halo,
}
"""Everything that needs the graph, in this order."""

NEEDS: Mapping[str, Collection[str]] = {
    "test tensors": {"graph"},
    "sizes": {"graph"},
    "tiles": {"graph", "sizes"},
    "halo": {"graph", "sizes"},
}
"""Checks that say nothing where others have failed."""


@dataclass(frozen=True)
class CheckReport:
    """Everything that was checked of a package."""

    package: str
    """Name and version."""
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed but warnings."""
        return all(finding.passed or finding.severity == "warning" for finding in self.findings)

    def raise_if_failed(self) -> None:
        """Raise a CheckError that names everything that failed."""
        failed = [f for f in self.findings if not f.passed and f.severity == "error"]
        if failed:
            reasons = "; ".join(f"{finding.name}: {finding.detail}" for finding in failed)
            raise CheckError(f"{self.package} does not do what it says. {reasons}")


def check(package: Package, *, bioimageio: bool = False, progress: Callable[[str], None] | None = None) -> CheckReport:
    """Check a package against what it says of itself.

    Parameters
    ----------
    bioimageio
        True: also run bioimageio.core's own test, in a process of its own.
    progress
        Called with the name of each check before it starts.

    Returns
    -------
    CheckReport
        A finding for each check; those that make no sense after an earlier one failed are missing.

    Raises
    ------
    MissingExtraError
        If ONNX Runtime, or with `bioimageio` bioimageio.core, is not installed.
    """
    tell = progress or (lambda _name: None)
    tell("files")
    findings = _run_guarded("files", lambda: _files(package))
    session = _session(package, findings)
    if session is not None:
        # One seed for all: a check says the same of a package every time.
        work = Subject(package, session, np.random.default_rng(0))
        for name, look in CHECKS.items():
            if name in NEEDS and _have_failed(findings, NEEDS[name]):
                continue
            tell(name)
            findings += _run_guarded(name, partial(look, work))
    if bioimageio:
        tell("bioimageio")
        passed, detail = judge(package)
        findings.append(Finding("bioimageio", passed, detail))
    return CheckReport(package.manifest.reference, tuple(findings))


def _have_failed(findings: Iterable[Finding], names: Collection[str]) -> bool:
    return any(f.name in names and not f.passed and f.severity == "error" for f in findings)


def _run_guarded(name: str, function: Callable[[], list[Finding]]) -> list[Finding]:
    """Turn an error that a package causes into a finding."""
    try:
        return function()
    except MissingExtraError:
        raise
    except CarezooError as error:
        return [Finding(name, False, str(error))]


def _session(package: Package, findings: list[Finding]) -> Session | None:
    try:
        return Session(package.read_weights(), external_data=package.read_external_data(), provider="cpu")
    except MissingExtraError:
        raise
    except CarezooError as error:
        findings.append(Finding("graph", False, str(error)))
        return None


def _files(package: Package) -> list[Finding]:
    package.verify()
    n, total = len(package.manifest.hashes), len(package.names())
    # The manifest itself has no hash: it holds the others.
    is_complete = n >= total - 1
    return [
        Finding(
            "files", True, f"{n} of {total - 1} files with their sha256" + ("" if is_complete else ", as far as given")
        )
    ]
