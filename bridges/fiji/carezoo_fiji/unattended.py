"""Macros that nobody watches: ImageJ shows their errors in dialogs, which would wait for ever."""

from __future__ import annotations

import threading
from typing import Any

from carezoo_fiji.java import load

MACRO_ERROR = "Macro Error"
"""Title of the dialog with an error of a macro itself."""

_POLL_S = 0.2


class Messages:
    """Closes dialogs that only tell something while it is entered, and keeps what they said. Those that ask stay."""

    def __init__(self) -> None:
        self.told: list[str] = []
        """What the dialogs said, in one line each."""
        self.has_failed = False
        """Whether one of them was about an error of the macro itself."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="unattended", daemon=True)

    def __enter__(self) -> Messages:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_POLL_S):
            for window in load("java.awt.Window").getWindows():
                is_error = isinstance(window, load("java.awt.Dialog")) and str(window.getTitle()) == MACRO_ERROR
                if window.isShowing() and (is_error or isinstance(window, load("ij.gui.MessageDialog"))):
                    self.told.append(" ".join(_lines(window)))
                    self.has_failed |= is_error
                    window.dispose()


def _lines(container: Any) -> list[str]:
    """Return the text of all labels below a container."""
    label = load("ij.gui.MultiLineLabel")
    lines: list[str] = []
    for part in container.getComponents():
        if isinstance(part, label):
            declared = label.class_.getDeclaredField("lines")
            declared.setAccessible(True)
            lines += [str(line).strip() for line in declared.get(part)]
        elif isinstance(part, load("java.awt.Container")):
            lines += _lines(part)
    return [line for line in lines if line]
