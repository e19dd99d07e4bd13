"""``carezoo fiji``: ImageJ and Fiji, started from here or by themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from carezoo.cli import declared
from carezoo.errors import InputError

ABORTED = "[aborted]"
"""What ImageJ says a macro returned that ended with an error of its own."""


@click.group("fiji")
def fiji_command() -> None:
    """Use carezoo inside Fiji or ImageJ: the commands in Plugins > CAREzoo."""


@fiji_command.command("start")
@click.option("--fiji", type=declared.PATH, help="Folder of a Fiji.  [default: CAREZOO_FIJI, or found]")
@click.option("--imagej-jar", type=declared.PATH, help="An ij.jar, to start plain ImageJ instead of Fiji.")
@click.option("--headless", is_flag=True, help="Without windows; needs --run.")
@click.option("--run", "macro", type=declared.PATH, help="Run this macro and end.")
@click.option("--argument", default="", help="What the macro gets from getArgument().")
@click.option("--memory", "memory_gib", type=click.FloatRange(min=0.25), help="Most GiB for Java.")
@click.argument("images", nargs=-1, type=click.Path(path_type=Path, exists=True))
def start_command(
    fiji: Path | None,
    imagej_jar: Path | None,
    headless: bool,
    macro: Path | None,
    argument: str,
    memory_gib: float | None,
    images: tuple[Path, ...],
) -> int:
    """Start Fiji or ImageJ with carezoo's commands, and open IMAGES. Ends when its window is closed.

    With --run, exit code 0 only if the last command of carezoo in the macro ended well.
    """
    if headless and macro is None:
        raise InputError("--headless has no window to work in: say what to do with --run MACRO.ijm")
    if macro is not None and not macro.is_file():
        raise InputError(f"--run {macro}: there is no such file")
    from carezoo_fiji import start
    from carezoo_fiji.launch import find_fiji
    from carezoo_fiji.unattended import Messages

    if headless and (imagej_jar is not None or find_fiji(fiji) is None):
        raise InputError("--headless needs a Fiji (--fiji DIR): plain ImageJ runs macros only on a screen (xvfb-run)")
    session = start(fiji, imagej_jar=imagej_jar, headless=headless, memory_gib=memory_gib)
    for image in images:
        session.open(image)
    if macro is None:
        session.wait()
        return 0
    with Messages() as messages:
        result = session.run_macro(macro.read_text("utf8"), argument)
    verdict = session.verdict
    for text in messages.told:
        click.echo(f"ImageJ: {text}", err=True)
    if (messages.has_failed or result == ABORTED) and not verdict.startswith("ERROR"):
        verdict = f"ERROR MacroError: {macro}: {messages.told[-1] if messages.has_failed else 'aborted'}"
    click.echo(result, nl=bool(result))
    click.echo(f"CAREZOO {verdict}" if verdict else "CAREZOO OK no command of carezoo was called")
    return int(not verdict.startswith("OK") and bool(verdict))


def _fiji_option(command: Any) -> Any:
    """Give a command the option that names a Fiji people start themselves."""
    return click.option("--fiji", "folder", type=declared.PATH, required=True, help="Folder of a Fiji.")(command)


@fiji_command.command("install")
@_fiji_option
def install_command(folder: Path) -> None:
    """Put the commands into a Fiji that you start yourself; this Python does the work."""
    from carezoo_fiji import install

    for path in install.install(folder, python=Path(sys.executable)):
        click.echo(str(path))
    click.echo("Start Fiji again: the commands are in Plugins > CAREzoo.", err=True)


@fiji_command.command("uninstall")
@_fiji_option
def uninstall_command(folder: Path) -> None:
    """Remove what install wrote, and nothing else."""
    from carezoo_fiji import install

    for path in install.uninstall(folder):
        click.echo(f"removed {path}")


@fiji_command.command("status")
@_fiji_option
def status_command(folder: Path) -> int:
    """Say whether the commands are installed, and whether the Python they use is still there. Exit code 1 if not."""
    from carezoo_fiji import install

    findings = install.status(folder)
    for finding in findings:
        click.echo(finding.text)
    return int(any(finding.is_problem for finding in findings))
