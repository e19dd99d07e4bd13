"""Hands and eyes for a real ImageJ on a screen: mouse, keys, screenshots, threads."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from display import PATIENCE_S, wait_for

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

    wait_for(is_settled, f"{window.getTitle()} keeps its size")


def picture():
    """Return the pixels of the whole screen."""
    command = ["import", "-window", "root", "-depth", "8", "rgb:-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def seen(*words):
    """Move the mouse or press keys, and wait until the screen shows that it was noticed."""
    before = picture()
    xdotool(*words)
    wait_for(lambda: picture() != before, f"the screen changes after {' '.join(map(str, words))}", 30)


def click_menu(index):
    """Choose the command of this number from Plugins > CAREzoo; again if a key was lost on the way."""
    problems = []
    for _ in range(5):
        try:
            _click_menu(index)
            wait_for(lambda: windows("java.awt.Dialog"), f"the dialog of command {index} opens", 60)
            return
        except AssertionError as problem:
            problems.append(str(problem))
            xdotool("key", "Escape", "Escape")
    raise AssertionError(f"no dialog came of five clicks: {problems}")


def _click_menu(index):
    """Open the menu by mouse, and choose from it by arrows and Return; each when the one before shows."""
    window = load("ij.IJ").getInstance()
    window.toFront()
    settle(window)
    place = window.getLocationOnScreen()
    seen("mousemove", place.x + PLUGINS_X, place.y + MENU_Y, "click", 1)
    seen("key", "Up")
    seen("key", "Right")
    for _ in range(index):
        seen("key", "Down")
    shot("menu")
    xdotool("key", "Return")


def escape(until):
    """Press Escape over ImageJ's window as people do: again if nothing has come of it after some seconds."""
    window = load("ij.IJ").getInstance()
    for _ in range(20):
        window.toFront()
        place = window.getLocationOnScreen()
        xdotool("mousemove", place.x + 560, place.y + 87, "click", 1)
        with suppress(AssertionError):  # without a window manager, it may never hear of its focus
            wait_for(window.isFocused, "ImageJ's window has the keys", 3)
        xdotool("key", "Escape")
        with suppress(AssertionError):
            return wait_for(until, "Escape is heard", 5)
    raise AssertionError("Escape was pressed 20 times and not heard")


def windows(kind):
    frames = [*load("java.awt.Window").getWindows()]
    return [each for each in frames if isinstance(each, load(kind)) and each.isShowing()]


def dialog(title):
    """Wait for a dialog of this title."""

    def found():
        return [each for each in windows("java.awt.Dialog") if str(each.getTitle()) == title]

    return wait_for(found, f"the dialog {title} opens")[0]


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
    settle(window)
    place, size = button.getLocationOnScreen(), button.getSize()
    xdotool("mousemove", place.x + size.width // 2, place.y + size.height // 2, "click", 1)


def is_restoring():
    """Return whether the status bar says that a restoration is under way."""
    return "restoring" in str(load("ij.IJ").getInstance().getStatusBar().getComponent(0).getText())


def titles():
    return [str(title) for title in load("ij.WindowManager").getImageTitles()]


def image(title):
    return wait_for(lambda: load("ij.WindowManager").getImage(title), f"the image {title} opens")


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

    def join(self):
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive(), f"the call goes on after {PATIENCE_S:.0f} s"
        return self


def event_thread_answers():
    """Return whether AWT's event thread gets to do something."""
    done = threading.Event()
    runnable = implements("java.lang.Runnable", run=done.set)
    load("java.awt.EventQueue").invokeLater(runnable)
    return done.wait(PATIENCE_S)
