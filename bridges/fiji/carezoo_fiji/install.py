"""Commands for a Fiji that people start themselves: written, checked, and taken away again.

They are Groovy scripts that keep a worker (`carezoo.host.worker`) alive through Appose, which Fiji brings. A list of
what was written, with hashes, lies beside the files: uninstalling removes what is on it and was not changed since.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from carezoo.errors import InputError
from carezoo.files.atomic import replacing
from carezoo.registry import catalog
from carezoo.settings import OFFERED, Setting
from carezoo.version import __version__

LIST = "carezoo-installed.json"
"""Name of the list of what was written, in the folder of the commands."""

PLACE = Path("scripts") / "Plugins" / "CAREzoo"
"""Folder of the commands: where Fiji looks for scripts, which gives their place in the menu."""

_FILES = {
    "restore.groovy": "CARE_Restore....groovy",
    "models.groovy": "CARE_Get_Models....groovy",
    "info.groovy": "CARE_Model_Info....groovy",
}
"""Names of the files by template: Fiji makes menu items of them, with blanks for underscores."""


@dataclass(frozen=True)
class InstallState:
    """One line of the status."""

    text: str
    is_problem: bool = False


def install(folder: Path, *, python: Path) -> list[Path]:
    """Write the commands and return their paths. What an earlier version of carezoo wrote is replaced.

    Parameters
    ----------
    folder
        Of the Fiji.
    python
        The Python that runs carezoo, written into the commands.

    Raises
    ------
    InputError
        If the folder is not that of a Fiji with Appose, cannot be written, or holds other files of these names.
    """
    _require_fiji(folder)
    place = folder / PLACE
    contents = dict(_render(python))
    before = set(_list_unchanged(place)) if _is_installed(folder) else set()
    strangers = [place / name for name in contents if (place / name).exists() and place / name not in before]
    if strangers:
        raise InputError(f"{strangers[0]} was not written by carezoo, or was changed since. Move it away first")
    if _is_installed(folder):
        uninstall(folder)
    made = [path for path in (place, *place.parents) if not path.exists()]
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}. Run as its owner") from error
    hashes = {}
    for name, content in contents.items():
        with replacing(place / name) as temporary:
            temporary.write_bytes(content)
        hashes[name] = hashlib.sha256(content).hexdigest()
    listed = {
        "carezoo": __version__,
        "python": str(python),
        "files": hashes,
        "folders": [path.relative_to(folder).as_posix() for path in made],
    }
    with replacing(place / LIST) as temporary:
        temporary.write_text(json.dumps(listed, indent=2), encoding="utf8")
    return [place / name for name in contents]


def uninstall(folder: Path) -> list[Path]:
    """Remove what `install` wrote and nobody changed since, and return it; `InputError` if nothing is installed."""
    if not _is_installed(folder):
        raise InputError(f"no commands of carezoo are installed in {folder}")
    place = folder / PLACE
    made = [folder / name for name in _read(place).get("folders", []) if ".." not in Path(name).parts]
    removed = [*_list_unchanged(place), place / LIST]
    for path in removed:
        path.unlink()
    for path in made:  # the deepest first; what somebody else has put files into stays
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return removed


def status(folder: Path) -> list[InstallState]:
    """Say what is installed in a Fiji, and whether it can work."""
    if not _is_installed(folder):
        return [InstallState(f"not installed in {folder.resolve()}. Run carezoo fiji install for it", is_problem=True)]
    place = folder / PLACE
    listed, kept = _read(place), _list_unchanged(place)
    changed = sorted(set(listed["files"]) - {path.name for path in kept})
    return [
        InstallState(f"{len(kept)} commands of carezoo {listed['carezoo']} in {place}"),
        *(InstallState(f"{place / name} is missing or was changed since", is_problem=True) for name in changed),
        _python_works(Path(listed["python"])),
    ]


def _render(python: Path) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the commands."""
    scripts = resources.files("carezoo_fiji") / "scripts"
    written = {
        "// @COMMON@": (scripts / "common.groovy").read_text("utf8"),
        "// @SETTINGS@": "\n".join(_parameter(row) for row in OFFERED),
        "@OPTIONS@": ", ".join(f"{row.key}: {row.name}" for row in OFFERED),
        "@NAMES@": ", ".join(json.dumps(row.name) for row in OFFERED),
        "@MODEL@": next((each.name for each in catalog.list_here()), ""),
        "@PYTHON@": str(python).replace("\\", "\\\\"),
    }
    for template, name in _FILES.items():
        text = (scripts / template).read_text("utf8")
        for mark, what in written.items():
            text = text.replace(mark, what)
        yield name, text.encode()


def _parameter(row: Setting) -> str:
    """Return the line that makes Fiji ask for a restore setting."""
    if row.is_flag:
        return f'#@ Boolean (label="{row.label}", value={str(row.default).lower()}, persist=false) {row.name}'
    choices = f"choices={{{', '.join(map(json.dumps, row.titles))}}}, " if row.titles else ""
    return f'#@ String (label="{row.label}", {choices}value="{row.title}", persist=false) {row.name}'


def _require_fiji(folder: Path) -> None:
    missing = [name for name in ("jars", "plugins") if not (folder / name).is_dir()]
    if missing:
        raise InputError(
            f"{folder} is not the folder of a Fiji: it holds no folder {' and no '.join(missing)}. For plain ImageJ: "
            "carezoo fiji start --imagej-jar ij.jar"
        )
    if not any(path.name.startswith("appose") for path in (folder / "jars").rglob("*.jar")):
        raise InputError(
            f"{folder} brings no Appose (jars/appose-*.jar), which the commands need. Update this Fiji (Help > "
            f"Update...) and install again, or start it from here: carezoo fiji start --fiji {folder}"
        )


def _is_installed(folder: Path) -> bool:
    return (folder / PLACE / LIST).is_file()


def _read(place: Path) -> dict[str, Any]:
    try:
        listed = json.loads((place / LIST).read_text("utf8"))
        return {**listed, "files": dict(listed["files"]), "python": str(listed["python"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{place / LIST} cannot be read ({error}). Remove the folder {place} by hand") from error


def _list_unchanged(place: Path) -> list[Path]:
    """Return the listed files that are as they were written; names that lead elsewhere are ignored."""
    listed = _read(place)["files"]
    return [
        place / name
        for name, expected in listed.items()
        if Path(name).name == name
        and (place / name).is_file()
        and hashlib.sha256((place / name).read_bytes()).hexdigest() == expected
    ]


def _python_works(python: Path) -> InstallState:
    if not python.is_file():
        return InstallState(
            f"{python} is gone. Run carezoo fiji install again, from where carezoo is now", is_problem=True
        )
    command = [str(python), "-c", "import carezoo, carezoo_fiji; print(carezoo.__version__)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        return InstallState(f"{python} has no carezoo any more. Run carezoo fiji install again", is_problem=True)
    return InstallState(f"{python} runs carezoo {done.stdout.strip()}")
