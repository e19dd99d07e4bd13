"""Starting ImageJ or Fiji from Python, or attaching to one that runs in this process."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Literal

from carezoo.errors import InputError, MissingExtraError
from carezoo_fiji import java, leaving
from carezoo_fiji.java import load
from carezoo_fiji.session import FijiSession

VARIABLE = "CAREZOO_FIJI"
"""Environment variable: the folder of a Fiji."""

FOLDERS = ("~/Fiji", "~/Fiji.app", "~/fiji", "/Applications/Fiji", "/Applications/Fiji.app", "/opt/Fiji", "/opt/fiji")
"""Where Fiji usually lies."""

IMGLYB_JARS = ("imglib2-imglyb", "imglib2-unsafe")
"""What pyimagej needs and Fiji does not bring."""

_READY_S = 30.0


def start(
    fiji: str | os.PathLike[str] | None = None,
    *,
    imagej_jar: str | os.PathLike[str] | None = None,
    headless: bool = False,
    memory_gib: float | None = None,
) -> FijiSession:
    """Start Fiji or ImageJ in this process, with carezoo's commands in Plugins > CAREzoo.

    Parameters
    ----------
    fiji
        Folder of a Fiji. By default that of the environment variable CAREZOO_FIJI, or one in a usual place.
    imagej_jar
        An ``ij.jar``, to start plain ImageJ 1.x instead; by default it is started where no Fiji is found.
    headless
        Without windows. Plain ImageJ then has only what needs no menus: conversion, and carezoo's commands by
        `Session.run`; macros need Fiji or a screen.
    memory_gib
        Most memory Java may take; by default a quarter of the computer's.

    Raises
    ------
    InputError
        If there is no Java, no Fiji and no ImageJ, no screen, or Java runs in this process already.
    MissingExtraError
        If pyimagej is needed and missing.
    """
    if not headless and not java.has_display():
        raise InputError(
            "there is no screen to open windows on (DISPLAY is not set). Start it under xvfb-run, or a Fiji headless"
        )
    folder = find_fiji(fiji) if imagej_jar is None else None
    if folder is not None:
        return _start_fiji(folder, headless, memory_gib)
    jar = java.find_jar(imagej_jar)
    if jar is None:
        raise InputError(
            f"neither Fiji nor ImageJ was found. Set {VARIABLE} to the folder of your Fiji, or give it (--fiji DIR). "
            f"{java.ADVICE_JAR}"
        )
    return _start_imagej(jar, headless, memory_gib)


def attach(ij: Any = None) -> FijiSession:
    """Add carezoo's commands to the ImageJ that runs in this process.

    Parameters
    ----------
    ij
        The gateway of pyimagej, if it was started with it; only asked whether it is there.

    Raises
    ------
    InputError
        If no ImageJ runs in this process.
    """
    if not java.is_running():
        raise InputError(
            "no Java runs in this Python process. Start one with carezoo_fiji.start(), or with imagej.init()"
        )
    if ij is not None and not bool(getattr(ij, "legacy", True)):
        raise InputError(
            "this ImageJ2 came without ImageJ 1.x (imagej-legacy), which has the commands. Start it with "
            "imagej.init(FIJI_FOLDER), or with add_legacy=True"
        )
    try:
        load("ij.IJ")
    except TypeError as error:
        raise InputError("the Java of this process has no ImageJ 1.x classes (ij.IJ)") from error
    leaving.leave_cleanly_at_exit()
    return FijiSession()


def find_fiji(given: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the folder of a Fiji: the one given, that of CAREZOO_FIJI, or one in a usual place; None without one.

    A folder that is named and is none of a Fiji is an `InputError`.
    """
    for name, place in (("--fiji", given), (VARIABLE, os.environ.get(VARIABLE) or None)):
        if place is not None:
            path = Path(place).expanduser()
            if not is_fiji(path):
                raise InputError(
                    f"{name} {place}: expected the folder of a Fiji, which holds the folders jars and plugins"
                )
            return path
    return next((path for place in FOLDERS if is_fiji(path := Path(place).expanduser())), None)


def is_fiji(folder: Path) -> bool:
    """Return whether a folder is that of a Fiji, or of another ImageJ2."""
    return (folder / "jars").is_dir() and (folder / "plugins").is_dir()


def missing_jars(folder: Path) -> list[str]:
    """Return which of the jars pyimagej needs are not in the folder of a Fiji."""
    names = [path.name for path in (folder / "jars").rglob("*.jar")]
    return [jar for jar in IMGLYB_JARS if not any(name.startswith(jar) for name in names)]


def _start_imagej(jar: Path, headless: bool, memory_gib: float | None) -> FijiSession:
    java.start([jar], headless=headless, memory_gib=memory_gib)
    leaving.leave_cleanly_at_exit()
    if not headless:
        application = load("ij.ImageJ")(load("ij.ImageJ").STANDALONE)
        application.exitWhenQuitting(False)  # Python ends when the window is closed, and by itself
    return FijiSession()


def _start_fiji(folder: Path, headless: bool, memory_gib: float | None) -> FijiSession:
    """Start a Fiji through pyimagej, without its downloads where they are not needed."""
    try:
        import imagej
        import scyjava
    except ImportError as error:
        raise MissingExtraError.of("pyimagej", "fiji", "to start Fiji") from error
    scyjava.config.set_java_constraints(fetch="auto")  # an installed Java will do; "never" breaks pyimagej 1.8
    if not missing_jars(folder):
        # Importing imagej asks for these two from the internet, also where the folder has them.
        scyjava.config.endpoints.clear()
    options = [f"-Dimagej.dir={folder}", f"-Dij.dir={folder}", f"-Dscijava.app.directory={folder}"]
    options += [f"-Xmx{int(memory_gib * 1024)}m"] if memory_gib is not None else []
    scyjava.config.add_options(options)
    mode: Literal["headless", "interactive"] = "headless" if headless else "interactive"
    try:
        gateway = imagej.init(str(folder), mode=mode)
    except Exception as error:
        missing = missing_jars(folder)
        advice = (
            f"pyimagej needs {' and '.join(missing)} in {folder / 'jars'}, or the internet to fetch them. "
            if missing
            else ""
        )
        raise InputError(f"Fiji in {folder} did not start: {error}. {advice}carezoo doctor says more") from error
    leaving.leave_cleanly_at_exit()
    if not headless:
        gateway.ui().showUI()
        _wait_for_window()
        load("ij.IJ").getInstance().exitWhenQuitting(False)
    return attach(gateway)


def _wait_for_window() -> None:
    """Wait for the menus, which Fiji makes once, a moment after its window."""
    ends = time.monotonic() + _READY_S
    while load("ij.IJ").getInstance() is None or load("ij.Menus").getMenuBar() is None:
        if time.monotonic() > ends:
            raise InputError(f"Fiji's window did not open within {_READY_S:.0f} s")
        time.sleep(0.1)
