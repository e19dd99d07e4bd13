"""Hands and eyes for a real ImageJ on a screen: mouse, keys, screenshots, threads."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from carezoo_fiji.java import implements, load

SHOTS = Path(os.environ.get("CAREZOO_SCREENSHOTS") or Path(__file__).parents[3] / "build" / "screenshots")

PLUGINS_X, MENU_Y = 321, 33
"""Where the menu Plugins is, in the window of ImageJ."""


def xdotool(*words):
    subprocess.run(["xdotool", *map(str, words)], check=True)


def shot(name, window=None):
    SHOTS.mkdir(parents=True, exist_ok=True)
    command = ["import", "-window", "root"]
    if window is not None:
        settle(window)
        place, size = window.getLocationOnScreen(), window.getSize()
        command += ["-crop", f"{size.width}x{size.height}+{place.x}+{place.y}", "+repage"]
    subprocess.run([*command, str(SHOTS / f"{name}.png")], check=True)


def settle(window, n=10):
    """Wait until a window has the size it keeps: its frame and its last widgets come after it shows."""
    sizes = []

    def is_settled():
        sizes.append(str(window.getSize()))
        return len(sizes) > n and len(set(sizes[-n:])) == 1

    wait_for(is_settled)


def wait_for(condition, seconds=90.0):  # on a machine that is busy with other things, too
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"did not happen within {seconds} s")


def click_menu(index):
    """Choose the command of this number from Plugins > CAREzoo; again and slower if no dialog comes of it.

    A busy machine loses keys that come before the menu is drawn, and nothing tells when it is.
    """
    for pause in (0.3, 1, 3):
        _click_menu(index, pause)
        with suppress(AssertionError):
            wait_for(lambda: windows("java.awt.Dialog"), 30)
            return
        xdotool("key", "Escape", "Escape")
    raise AssertionError("no dialog came of three clicks")


def _click_menu(index, pause):
    """Open the menu by mouse, and choose from it by arrows and Return."""
    window = load("ij.IJ").getInstance()
    window.toFront()
    time.sleep(pause)
    place = window.getLocationOnScreen()
    xdotool("mousemove", place.x + PLUGINS_X, place.y + MENU_Y, "click", 1)
    time.sleep(pause)
    xdotool("key", "Up")
    time.sleep(pause)
    xdotool("key", "Right", *["Down"] * index)
    time.sleep(pause)
    shot("menu")
    xdotool("key", "Return")


def escape(until):
    """Press Escape over ImageJ's window as people do: again if nothing has come of it after some seconds."""
    window = load("ij.IJ").getInstance()
    for _ in range(20):
        window.toFront()
        place = window.getLocationOnScreen()
        xdotool("mousemove", place.x + 560, place.y + 87, "click", 1)
        time.sleep(0.3)
        xdotool("key", "Escape")
        with suppress(AssertionError):
            return wait_for(until, 5)
    raise AssertionError("Escape was not heard")


def windows(kind):
    frames = [*load("java.awt.Window").getWindows()]
    return [each for each in frames if isinstance(each, load(kind)) and each.isShowing()]


def dialog(title):
    """Wait for a dialog of this title."""
    return wait_for(lambda: next((w for w in windows("java.awt.Dialog") if str(w.getTitle()) == title), None))


def buttons(container):
    found = []
    for part in container.getComponents():
        if isinstance(part, load("java.awt.Button")):
            found.append(part)
        elif isinstance(part, load("java.awt.Container")):
            found += buttons(part)
    return found


def press(window, label):
    """Click on a button with the mouse."""
    button = next(each for each in buttons(window) if str(each.getLabel()).strip() == label)
    time.sleep(0.3)
    place, size = button.getLocationOnScreen(), button.getSize()
    xdotool("mousemove", place.x + size.width // 2, place.y + size.height // 2, "click", 1)


def is_restoring():
    """Return whether the status bar says that a restoration is under way."""
    return "restoring" in str(load("ij.IJ").getInstance().getStatusBar().getComponent(0).getText())


def titles():
    return [str(title) for title in load("ij.WindowManager").getImageTitles()]


def image(title):
    return wait_for(lambda: load("ij.WindowManager").getImage(title))


def close_all():
    for imp in [load("ij.WindowManager").getImage(int(i)) for i in load("ij.WindowManager").getIDList() or []]:
        imp.changes = False
        imp.close()


class Background:
    """A call in a thread of its own, with what it returned or raised."""

    def __init__(self, work):
        self.result, self.error = None, None

        def run():
            try:
                self.result = work()
            except BaseException as error:
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def join(self, seconds=180):
        self.thread.join(seconds)
        assert not self.thread.is_alive()
        return self


def event_thread_latency_s():
    """Return how long AWT's event thread takes to do nothing."""
    done = threading.Event()
    runnable = implements("java.lang.Runnable", run=done.set)
    started = time.monotonic()
    load("java.awt.EventQueue").invokeLater(runnable)
    assert done.wait(10)
    return time.monotonic() - started
