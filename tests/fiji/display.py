"""A virtual screen with a window manager, for tests that open windows; and waiting, always for something."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

JAR = Path("/usr/share/java/ij.jar")
SIZE = "1280x900x24"

PATIENCE_S = 180.0
"""Longer than anything takes on a machine that is busy with other things; two of them fit into one test."""

RUNNER = Path(__file__).parent / "inside"


def missing() -> str:
    """Return what is not installed here of what the tests need, or an empty text."""
    programs = {"java": "default-jre", "Xvfb": "xvfb", "fluxbox": "fluxbox", "xdotool": "xdotool"}
    programs |= {"import": "imagemagick"}
    packages = [package for program, package in programs.items() if shutil.which(program) is None]
    packages += [] if JAR.exists() else ["imagej"]
    return f"needs the Debian packages {', '.join(packages)} (make system)" if packages else ""


def wait_for(condition: Callable[[], T], what: str, seconds: float = PATIENCE_S) -> T:
    """Return what `condition` returns once that is true; say what did not happen if it never is."""
    ends = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > ends:
            raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.05)


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
        number = pipe.readline().strip()  # comes when the server is ready; the pipe ends if the server does
    assert number, f"Xvfb ended with exit code {server.wait()}"
    environment = {**os.environ, "DISPLAY": f":{number}"}
    manager = subprocess.Popen(
        ["fluxbox"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _give_time_to(manager, environment)
        yield environment
    finally:
        for process in (manager, server):
            process.kill()  # a window manager that is asked politely may wait for windows
            process.wait()


def _give_time_to(manager: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    """Wait until the window manager answers. Windows open without one, too: none of the tests needs its help."""
    question = ["xdotool", "get_num_desktops"]
    ends = time.monotonic() + 20
    while manager.poll() is None and time.monotonic() < ends:
        if subprocess.run(question, env=environment, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.05)


def windows(environment: dict[str, str], name: str) -> list[int]:
    """Return the numbers of the windows on the screen whose title matches a pattern."""
    search = ["xdotool", "search", "--onlyvisible", "--name", name]
    found = subprocess.run(search, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    return [int(number) for number in found.stdout.split()]


def ask_to_close(environment: dict[str, str], window: int) -> None:
    """Send a window what a click on its cross sends, which needs no focus and no window manager."""
    code = f"import display; display._send_close({environment['DISPLAY']!r}, {window})"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=False, timeout=PATIENCE_S)


class _ClientMessage(ctypes.Structure):
    """XClientMessageEvent, with the room of an XEvent."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("room", ctypes.c_long * 24),
    )


def _send_close(screen: str, window: int) -> None:
    """Send WM_DELETE_WINDOW; Xlib ends the process if the window is gone by then."""
    x = ctypes.CDLL("libX11.so.6")
    x.XOpenDisplay.restype = ctypes.c_void_p
    x.XInternAtom.restype = ctypes.c_ulong
    display = ctypes.c_void_p(x.XOpenDisplay(screen.encode()))
    protocols, delete = (x.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
    message = _ClientMessage(type=33, window=window, message_type=protocols, format=32)  # ClientMessage
    message.data[0] = delete
    x.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
    x.XCloseDisplay(display)


@contextmanager
def busy_machine() -> Iterator[None]:
    """Keep every core busy with something else."""
    loop = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(loop) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in others:
            process.kill()
            process.wait()


def run_inside(test: Path, environment: dict[str, str], timeout: float = 1200) -> subprocess.CompletedProcess[str]:
    """Run a file of tests in a Python process of its own, which may start one Java virtual machine."""
    options = ["-q", "-x", "-p", "no:faulthandler", "-p", "no:cacheprovider"]
    command = [sys.executable, str(RUNNER), *options, str(test)]
    environment = {**environment, "CAREZOO_INSIDE_IMAGEJ": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
