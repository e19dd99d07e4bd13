"""A request of a macro that takes its time: answered by a process of its own, so that Escape and progress work.

ImageJ's ``exec`` holds a macro until the program ends, deaf to Escape. So the program only starts another one and ends;
the macro then looks into a folder of its own for what that one writes:

``progress``
    Done so far, from 0 to 1; written anew all the time, so that a process that died is noticed.
``answer``
    What `carezoo_fiji.macros` says, verdict included; there once, complete, at the end.

The macro in turn writes ``alive`` as long as it waits. Escape ends a macro wherever it is: when nothing comes any more,
the restoration is stopped between two tiles, and the folder with everything in it is removed.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

POLL_S = 0.2
GIVEN_UP_S = 4.0
"""The macro writes ten times a second. Longer than a pause of Java's garbage collection."""

PREFIX = "carezoo-"
"""What the names of the folders begin with: nothing else is ever removed."""


def start(folder: str, words: list[str]) -> None:
    """Start the process that answers `words` in `folder`, and do not wait for it."""
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "answer", folder, *words]
    subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # on Windows
    )


class Watch:
    """Writes how far the work is, and looks whether the macro still waits, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._share = 0.0
        self._ended = threading.Event()
        self._is_alone = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def progress(self, done: int, total: int, what: str) -> None:
        """Say how much of the work is done."""
        del what
        self._share = done / max(total, 1)

    def is_alone(self) -> bool:
        """Return whether the macro waits no more."""
        return self._is_alone.is_set()

    def _run(self) -> None:
        seen, when = None, time.monotonic()
        while not self._ended.wait(POLL_S):
            found = _changed(self._folder / "alive")
            if found != seen:
                seen, when = found, time.monotonic()
            elif time.monotonic() - when > GIVEN_UP_S:
                self._is_alone.set()
            with contextlib.suppress(OSError):  # a disk that is full, a folder that is gone: the work itself tells
                replace(self._folder / "progress", f"{self._share:.3f}")


def answer(folder: Path, words: list[str]) -> None:
    """Answer `words` in `folder`; remove it if nobody is there any more."""
    from carezoo_fiji import macros

    said = io.StringIO()
    with Watch(folder) as watch, contextlib.redirect_stdout(said):
        macros.answer(words, watch.progress, watch.is_alone)
    if watch.is_alone():
        remove(folder)
    else:
        replace(folder / "answer", said.getvalue())


def remove(folder: Path) -> None:
    """Remove a folder of a macro."""
    if folder.name.startswith(PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def replace(path: Path, text: str) -> None:
    """Write a small file so that its reader sees the old text or the new one."""
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf8")
    temporary.replace(path)


def _changed(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


if __name__ == "__main__":
    verb, place, *request = [word for word in sys.argv[1:] if word]  # macros fill up with empty ones
    if verb == "start":
        start(place, request)
    elif verb == "answer":
        answer(Path(place), request)
    elif verb == "remove":
        remove(Path(place))
