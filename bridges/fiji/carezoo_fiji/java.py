"""The Java virtual machine: found, started once; and ImageJ's classes by name."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from carezoo.errors import InputError, MissingExtraError

try:
    import jpype
except ImportError as error:
    raise MissingExtraError.of("jpype1", "fiji", "to talk to ImageJ and Fiji") from error

__all__ = ["find_jar", "find_java", "implements", "is_running", "jpype", "load", "start", "start_thread"]

JARS = (
    "/usr/share/java/ij.jar",
    "/Applications/ImageJ.app/Contents/Java/ij.jar",
    "/Applications/ImageJ/ImageJ.app/Contents/Java/ij.jar",
    "~/ImageJ/ij.jar",
    "C:/ImageJ/ij.jar",
    "C:/Program Files/ImageJ/ij.jar",
)
"""Where ImageJ 1.x lies on Debian, macOS, at home, on Windows."""

ADVICE_JAVA = (
    "Install Java 8 or newer (Debian: apt install default-jre; elsewhere: https://adoptium.net), or set JAVA_HOME"
)
ADVICE_JAR = "Install ImageJ (Debian: apt install imagej; elsewhere: https://imagej.net), or name its ij.jar"


@cache
def load(name: str) -> Any:
    """Return a Java class."""
    return jpype.JClass(name)


def implements(interface: str, **methods: Any) -> Any:
    """Return a Java object of `interface` that calls `methods`. The caller keeps it: Java does not."""
    return jpype.JProxy(interface, dict=methods)


def is_running() -> bool:
    """Return whether this process has a Java virtual machine."""
    return bool(jpype.isJVMStarted())


def start(class_path: Sequence[Path], *, headless: bool, memory_gib: float | None = None) -> None:
    """Start the Java virtual machine; `InputError` if there is no Java, or one runs already with other classes."""
    if is_running():
        raise InputError(
            "this Python process runs Java already, and Java can be started only once with its classes. "
            "Use attach() with the ImageJ that runs in it, or start a new Python"
        )
    library = find_java()
    if library is None:
        raise InputError(f"no Java was found. {ADVICE_JAVA}")
    # Planes are large arrays: the parallel collector allocates them more than twice as fast as Java's default one.
    options = [f"-Djava.awt.headless={str(headless).lower()}", "-XX:+UseParallelGC"]
    if memory_gib is not None:
        options.append(f"-Xmx{int(memory_gib * 1024)}m")
    jpype.startJVM(library, *options, classpath=[str(path) for path in class_path], convertStrings=False)


def find_java() -> str | None:
    """Return the library of the Java virtual machine, or None."""
    try:
        return str(jpype.getDefaultJVMPath())
    except (jpype.JVMNotFoundException, jpype.JVMNotSupportedException, OSError):
        return None


def find_jar(given: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the jar of ImageJ 1.x: the one given, or the first in one of the usual places; None without one.

    One that is given and is not there, or is something else, is an `InputError`.
    """
    if given is not None:
        path = Path(given).expanduser()
        path = path / "ij.jar" if path.is_dir() else path
        if not path.is_file():
            raise InputError(f"there is no ij.jar at {given}. {ADVICE_JAR}")
        if not _is_imagej(path):
            raise InputError(f"{given} is not ImageJ's jar: it holds no class ij.ImageJ. {ADVICE_JAR}")
        return path
    return next((path for place in JARS if (path := Path(place).expanduser()).is_file()), None)


def _is_imagej(path: Path) -> bool:
    return zipfile.is_zipfile(path) and zipfile.Path(path, "ij/ImageJ.class").exists()


def has_display() -> bool:
    """Return whether windows can be opened, as far as it is known before trying."""
    return sys.platform in {"win32", "darwin"} or bool(os.environ.get("DISPLAY"))


def start_thread(name: str, work: Any) -> Any:
    """Run `work` in a Java thread of this name (ImageJ asks threads for their names), and return the thread."""
    thread = load("java.lang.Thread")(implements("java.lang.Runnable", run=work), name)
    thread.start()
    return thread
