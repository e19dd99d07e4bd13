"""``carezoo knime``: the node extension as a folder that KNIME can be pointed at."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
import yaml

import carezoo
from carezoo.cli import declared
from carezoo.errors import InputError, MissingExtraError
from carezoo.registry.zoo import open_embedded

NEEDED = {"markdown": (3, 6), "pandas": (3, 0), "pillow": None, "py4j": None, "pyarrow": None, "pytz": None}
"""What KNIME's Python code needs in the environment that runs the nodes, and the version it must stay below."""

IGNORED = ("__pycache__", ".pixi", "local-update-site")


@click.group("knime")
def knime_command() -> None:
    """Use carezoo inside KNIME: the nodes CARE Model, CARE Restore, CARE Evaluate and CARE Zoo."""


@knime_command.command("export")
@click.argument("folder", type=declared.PATH)
def export_command(folder: Path) -> None:
    """Write the node extension to FOLDER, with a configuration that runs it in this Python environment.

    Without KNIME's bundler, an update site or a network. A folder that was exported before is replaced.
    """
    _check_environment()
    export(folder)
    click.echo(f"written: {folder.absolute()}")
    click.echo("Add this line at the end of knime.ini, beside the KNIME program, and start KNIME again:")
    click.echo(f"-Dknime.python.extension.config={(folder / 'config.yml').absolute()}")


def export(folder: Path) -> None:
    """Write the extension, a demo table with its images, and ``config.yml`` to `folder`.

    Raises
    ------
    InputError
        If there is something else at `folder`, or it cannot be written.
    """
    target, source = folder.absolute(), _source()
    if target.exists() and not (target / "knime.yml").is_file():
        raise InputError(f"{target} exists and is not a KNIME extension; choose a folder that does not exist yet")
    identity = yaml.safe_load((source / "knime.yml").read_text("utf8"))
    config = {
        f"{identity['group_id']}.{identity['name']}": {"src": str(target), "python_executable": sys.executable},
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".carezoo-", dir=target.parent) as temporary:
            made = Path(temporary) / "made"
            shutil.copytree(source, made, ignore=shutil.ignore_patterns(*IGNORED))
            shutil.copytree(open_embedded().folder / "demo", made / "demo", dirs_exist_ok=True)
            (made / "config.yml").write_text(yaml.safe_dump(config, sort_keys=False), "utf8")
            if target.exists():
                target.replace(Path(temporary) / "old")
            made.replace(target)
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror or error}. Choose another folder") from error


def _source() -> Path:
    """Return the extension: inside the installed package, or in the checkout it runs from."""
    package = Path(carezoo.__file__).parent
    installed = package / "_knime"
    return installed if installed.is_dir() else package.parent / "bridges" / "knime"


def _check_environment() -> None:
    for name, below in NEEDED.items():
        try:
            found = tuple(map(int, re.findall(r"\d+", version(name))[:2]))
        except PackageNotFoundError:
            found = None
        if found is None or (below is not None and found >= below):
            limit = f" below {'.'.join(map(str, below))}" if below else ""
            raise MissingExtraError.of(f"{name}{limit}", "knime", "in the environment that runs KNIME nodes")
