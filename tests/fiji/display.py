"""A virtual screen with a window manager, for tests that open windows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

JAR = Path("/usr/share/java/ij.jar")
SIZE = "1280x900x24"


def missing() -> str:
    """Return what is not installed here of what the tests need, or an empty text."""
    programs = {"java": "default-jre", "Xvfb": "xvfb", "fluxbox": "fluxbox", "xdotool": "xdotool"}
    programs |= {"import": "imagemagick"}
    packages = [package for program, package in programs.items() if shutil.which(program) is None]
    packages += [] if JAR.exists() else ["imagej"]
    return f"needs the Debian packages {', '.join(packages)} (make system)" if packages else ""


@contextmanager
def screen() -> Iterator[dict[str, str]]:
    """Yield the environment of programs that open their windows on a screen of their own."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", SIZE, "-nolisten", "tcp"],
        pass_fds=[write],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    environment = {**os.environ, "DISPLAY": f":{number}"}
    manager = subprocess.Popen(
        ["fluxbox"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(0.5)
    try:
        yield environment
    finally:
        for process in (manager, server):
            process.kill()  # a window manager that is asked politely may wait for windows
            process.wait(timeout=20)


def run_inside(test: Path, environment: dict[str, str], timeout: float = 560) -> subprocess.CompletedProcess[str]:
    """Run a file of tests in a Python process of its own, which may start one Java virtual machine."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:faulthandler", "-p", "no:cacheprovider", str(test)]
    environment = {**environment, "CAREZOO_INSIDE_IMAGEJ": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
