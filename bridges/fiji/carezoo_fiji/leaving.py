"""How a process that runs Java ends: our work stopped, and nobody torn out of a call between Python and Java.

Before version 3.14, Python unwinds every thread that asks for the interpreter once it is being taken down. JPype's C++
code does not survive that: ``FATAL: exception not rethrown``, ``terminate called without an active exception``, exit
code -6. Java's threads (events, garbage collection) ask at any time.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import jpype.config

from carezoo_fiji.java import is_running, load

log = logging.getLogger("carezoo")

_STOPS_WITHIN_S = 20.0
"""A tile that is being restored, and the removal of a half-written file."""
_POLL_S = 0.01

_workers: dict[threading.Thread, Callable[[], None]] = {}
"""Our threads that call Java, each with what makes it stop."""


def start_worker(name: str, work: Callable[[], None], stop: Callable[[], None]) -> None:
    """Run `work` in a thread; `stop` makes it end soon, and is called when the process ends before it."""

    def run() -> None:
        try:
            work()
        finally:
            del _workers[thread]

    thread = threading.Thread(target=run, name=name, daemon=True)
    _workers[thread] = stop
    thread.start()


def leave(exit_code: int) -> NoReturn:
    """End this process, which is ours: if Java runs in it, with all threads where they are, and windows as they are."""
    if not is_running():
        sys.exit(exit_code)
    _stop_workers()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # what was to be said cannot be written
            exit_code = exit_code or 1
    os._exit(exit_code)


def leave_cleanly_at_exit() -> None:
    """Let a Python that is not ours end as ever, with its own exit code, although Java runs in it."""
    jpype.config.destroy_jvm = False  # would wait for Java's threads: ImageJ's pools never end by themselves
    atexit.unregister(_part_from_java)
    atexit.register(_part_from_java)


def _part_from_java() -> None:
    """Stop what we do in Java, and keep Java out of Python, which is about to be taken down."""
    if not is_running():  # somebody shut it down
        return
    _stop_workers()
    try:
        _refuse_calls_from_java()
        _wait_until(lambda: not _is_java_inside_python(), "calls of Java into Python")
        load("org.jpype.ref.JPypeReferenceQueue").getInstance().stop()
    except (jpype.JException, AttributeError, TypeError):  # a JPype that is made differently
        log.debug("Java could not be kept out of Python", exc_info=True)


def _stop_workers() -> None:
    for stop in list(_workers.values()):
        stop()
    _wait_until(lambda: not _workers, "work in the background")


def _refuse_calls_from_java() -> None:
    """Let Java's calls into Python fail in Java, as JPype does when Java is shut down."""
    context = load("org.jpype.JPypeContext")
    declared = context.class_.getDeclaredField("shutdownFlag")
    declared.setAccessible(True)
    declared.get(context.getInstance()).incrementAndGet()


def _is_java_inside_python() -> bool:
    """Return whether a thread of Java runs Python or is about to; one that waits, for a person or for us, does not."""
    waiting = load("java.lang.Thread").State.WAITING
    stacks = load("java.lang.Thread").getAllStackTraces()
    busy = [stack for thread, stack in stacks.items() if thread.getState() != waiting]
    return any(str(frame.getClassName()) == "org.jpype.proxy.JPypeProxy" for stack in busy for frame in stack)


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + _STOPS_WITHIN_S
    while not condition():
        if time.monotonic() > ends:
            log.warning("%s did not end within %.0f s", what, _STOPS_WITHIN_S)
            return
        time.sleep(_POLL_S)
