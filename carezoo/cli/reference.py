"""A model named on the command line: found or pulled, and told what it turned out to be."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from tqdm import tqdm

from carezoo.cli.talk import talk_on_stderr
from carezoo.package.read import Package, open_package
from carezoo.registry.fetch import Progress
from carezoo.registry.resolve import Resolved, resolve


def opened(reference: str, zoos: Sequence[str] = ()) -> Package:
    """Return the package that a reference means, pulled if need be, and say on stderr which one a name meant."""
    with talk_on_stderr(), download_bar() as progress:
        found = resolve(reference, zoos or None, progress=progress)
    if found.name:
        click.echo(told(found), err=True)
    return open_package(found.path)


def told(found: Resolved) -> str:
    """Return in one line what a name turned out to mean."""
    return f"model {found.name} {found.version} ({found.origin})"


@contextmanager
def download_bar() -> Iterator[Progress]:
    """Show a bar of bytes on stderr while a person is looking; yields what a download calls."""
    bars: dict[str, Any] = {}

    def show(what: str, done: int, total: int) -> None:
        if not sys.stderr.isatty():
            return
        if what not in bars:
            bars[what] = tqdm(total=total, desc=what, unit="B", unit_scale=True, leave=False)
        bars[what].update(done - bars[what].n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
