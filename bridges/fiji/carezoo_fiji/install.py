"""Commands for a Fiji or ImageJ that people start themselves: written, checked, and taken away again.

Into a Fiji go Groovy scripts that keep a worker (`carezoo.host.worker`) alive through Appose, where it has Appose;
into an ImageJ 1.x go macros that call the command line on a temporary TIFF. A list of what was written, with hashes,
lies beside the files: uninstalling removes what is on it and was not changed since.
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
from carezoo.version import __version__

LIST = "carezoo-installed.json"
"""Name of the list of what was written, in the folder of the commands."""

PLACES = {"fiji": Path("scripts") / "Plugins" / "CAREzoo", "imagej": Path("plugins") / "CAREzoo"}
"""Folder of the commands: where Fiji and ImageJ look for scripts, which gives their place in the menu."""

_LABELS = {
    "groovy": {
        "restore.groovy": "CARE_Restore....groovy",
        "models.groovy": "CARE_Get_Models....groovy",
        "info.groovy": "CARE_Model_Info....groovy",
    },
    "ijm": {
        "restore.ijm": "CARE_Restore....ijm",
        "models.ijm": "CARE_Get_Models....ijm",
        "info.ijm": "CARE_Model_Info....ijm",
        "folder.ijm": "CARE_Restore_Folder....ijm",
    },
}
"""Names of the files: ImageJ makes menu items of them, with blanks for underscores."""

_PYTHON, _MODEL, _COMMON = "@PYTHON@", "@MODEL@", "// @COMMON@"
"""In the templates: the path of the Python, the model that is offered first, the functions they share."""


@dataclass(frozen=True)
class Finding:
    """One line of the status."""

    text: str
    is_problem: bool = False


def install(folder: Path, *, is_fiji: bool, python: Path) -> list[Path]:
    """Write the commands and return their paths. What an earlier version of carezoo wrote is replaced.

    Parameters
    ----------
    folder
        Of the Fiji, or of an ImageJ 1.x.
    is_fiji
        Whether it is a Fiji: it gets Groovy scripts, and macros only where it has no Appose.
    python
        The Python that runs carezoo, written into the commands.

    Raises
    ------
    InputError
        If the folder is not that of a Fiji or ImageJ, cannot be written, or holds other files of these names.
    """
    _require(folder, is_fiji)
    place = folder / PLACES["fiji" if is_fiji else "imagej"]
    kind = "groovy" if is_fiji and has_appose(folder) else "ijm"
    if is_fiji and kind == "ijm":
        place = folder / PLACES["imagej"]
    contents = dict(_rendered(kind, python))
    before = {path for where in _lists(folder) for path in _unchanged(where)}
    strangers = [place / name for name in contents if (place / name).exists() and place / name not in before]
    if strangers:
        raise InputError(f"{strangers[0]} was not written by carezoo, or was changed since. Move it away first")
    uninstall(folder, may_be_missing=True)
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
        "kind": kind,
        "files": hashes,
        "folders": [path.relative_to(folder).as_posix() for path in made],
    }
    with replacing(place / LIST) as temporary:
        temporary.write_text(json.dumps(listed, indent=2), encoding="utf8")
    return [place / name for name in contents]


def uninstall(folder: Path, *, may_be_missing: bool = False) -> list[Path]:
    """Remove what `install` wrote and nobody changed since; return what was removed.

    Raises
    ------
    InputError
        If nothing is installed there.
    """
    lists = _lists(folder)
    if not lists and not may_be_missing:
        raise InputError(f"no commands of carezoo are installed in {folder}")
    removed = []
    for place in lists:
        made = [folder / name for name in _read(place).get("folders", []) if ".." not in Path(name).parts]
        for path in (*_unchanged(place), place / LIST):
            path.unlink()
            removed.append(path)
        for path in made:  # the deepest first; what somebody else has put files into stays
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    return removed


def status(folder: Path) -> list[Finding]:
    """Say what is installed in a Fiji or ImageJ, and whether it can work."""
    lists = _lists(folder)
    if not lists:
        return [Finding(f"not installed in {folder.resolve()}. Run carezoo fiji install for it", is_problem=True)]
    findings = []
    for place in lists:
        listed = _read(place)
        kept = _unchanged(place)
        findings.append(Finding(f"{len(kept)} commands of carezoo {listed['carezoo']} ({listed['kind']}) in {place}"))
        for name in sorted(set(listed["files"]) - {path.name for path in kept}):
            findings.append(Finding(f"{place / name} is missing or was changed since", is_problem=True))
        findings.append(_python_works(Path(listed["python"])))
    return findings


def has_appose(folder: Path) -> bool:
    """Return whether a Fiji brings Appose's Java library."""
    return any(path.name.startswith("appose") for path in (folder / "jars").rglob("*.jar"))


def _rendered(kind: str, python: Path) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the commands, with the Python they call written into them."""
    scripts = resources.files("carezoo_fiji") / "scripts" / kind
    common = (scripts / f"common.{kind}").read_text("utf8")
    model = next((each.name for each in catalog.here()), "")
    for template, name in _LABELS[kind].items():
        text = (scripts / template).read_text("utf8").replace(_COMMON, common).replace(_MODEL, model)
        yield name, text.replace(_PYTHON, str(python).replace("\\", "\\\\")).encode()


def _require(folder: Path, is_fiji: bool) -> None:
    needed = ("jars", "plugins") if is_fiji else ("plugins",)
    missing = [name for name in needed if not (folder / name).is_dir()]
    if missing:
        program = "Fiji" if is_fiji else "ImageJ"
        raise InputError(f"{folder} is not the folder of {program}: it holds no folder {' and no '.join(missing)}")


def _lists(folder: Path) -> list[Path]:
    return [folder / place for place in PLACES.values() if (folder / place / LIST).is_file()]


def _read(place: Path) -> dict[str, Any]:
    try:
        listed = json.loads((place / LIST).read_text("utf8"))
        return {**listed, "files": dict(listed["files"]), "python": str(listed["python"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{place / LIST} cannot be read ({error}). Remove the folder {place} by hand") from error


def _unchanged(place: Path) -> list[Path]:
    """Return the listed files that are as they were written; names that lead elsewhere are ignored."""
    listed = _read(place)["files"]
    return [
        place / name
        for name, expected in listed.items()
        if Path(name).name == name
        and (place / name).is_file()
        and hashlib.sha256((place / name).read_bytes()).hexdigest() == expected
    ]


def _python_works(python: Path) -> Finding:
    if not python.is_file():
        return Finding(f"{python} is gone. Run carezoo fiji install again, from where carezoo is now", is_problem=True)
    command = [str(python), "-c", "import carezoo, carezoo_fiji; print(carezoo.__version__)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        return Finding(f"{python} has no carezoo any more. Run carezoo fiji install again", is_problem=True)
    return Finding(f"{python} runs carezoo {done.stdout.strip()}")
