"""``carezoo check`` and ``carezoo info``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from carezoo.cli import declared
from carezoo.cli.declared import open_reference
from carezoo.errors import CheckError


@click.command("check")
@click.argument("reference", metavar="PACKAGE", type=declared.REFERENCE)
@declared.zoo_option
@click.option("--bioimageio", is_flag=True, help='Let bioimageio.core test it, too (extra "bioimageio").')
@declared.json_option("the findings")
def check_command(reference: str, zoos: Sequence[str], bioimageio: bool, as_json: bool) -> int:
    """Check that PACKAGE (name or path) does what it says: hashes, graph, numbers, tiles, halo."""
    from carezoo.check.run import check

    package = open_reference(reference, zoos)
    report = check(
        package, bioimageio=bioimageio, progress=None if as_json else lambda what: click.echo(what, err=True)
    )
    if as_json:
        click.echo(json.dumps({**asdict(report), "passed": report.passed}, indent=2))
    else:
        for finding in report.findings:
            mark = "ok" if finding.passed else {"error": "FAILED", "warning": "warning"}[finding.severity]
            click.echo(f"{mark:<8} {finding.name:<28} {finding.detail}")
        click.echo(f"{report.package}: {'passed' if report.passed else 'FAILED'}")
    return 0 if report.passed else CheckError.exit_code


@click.command("info")
@click.argument("reference", metavar="PACKAGE", type=declared.REFERENCE)
@declared.zoo_option
@declared.json_option("everything shown")
def info_command(reference: str, zoos: Sequence[str], as_json: bool) -> None:
    """Tell what PACKAGE (name or path) is: task, axes, channels, intensities, scores, licence."""
    from carezoo.package.info import describe, summary

    package = open_reference(reference, zoos)
    click.echo(json.dumps(describe(package), indent=2, default=str) if as_json else summary(package))
