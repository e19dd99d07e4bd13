"""How a command runs inside ImageJ: asked, then done, with progress, Escape, and errors told once.

ImageJ announces every command to listeners before it looks for a plugin; ours handles those it knows. It does so
holding the lock of its list of listeners, which would stop every other command until ours is done. Therefore commands
from menus run in a thread of their own, and those that have to finish before the caller goes on (macros, `IJ.run`)
wait *on that lock*, which lets others have it.
"""

from __future__ import annotations

import logging
import textwrap
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from carezoo.errors import Cancelled, OutOfMemoryError
from carezoo.host.models import Problem
from carezoo_fiji import form
from carezoo_fiji.java import jpype, load, start_thread
from carezoo_fiji.leaving import start_worker

log = logging.getLogger("carezoo")

T = TypeVar("T")

VERDICT = "carezoo.verdict"
"""Java property with how the last command ended: ``OK ...``, ``CANCELLED`` or ``ERROR TYPE: MESSAGE``."""

TITLE = "CAREzoo"
_POLL_S = 0.05


@dataclass
class Call:
    """One call of one command."""

    command: str
    options: str
    """What a macro gave; empty for a person."""
    is_interactive: bool
    """Whether somebody is there to answer a dialog."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set by Escape."""

    def ask(self, fields: list[form.Field], **shown: Any) -> form.Values:
        """Return what the options of the macro or the person in front of the dialog answer."""
        if not self.is_interactive:
            return form.answer_from_options(self.command, fields, self.options)
        return form.ask(self.command.removesuffix("..."), fields, **shown)

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Show how much is done."""
        del what
        load("ij.IJ").showProgress(jpype.JDouble(done / max(total, 1)))

    def status(self, text: str) -> None:
        """Show a line in ImageJ's window."""
        load("ij.IJ").showStatus(text)

    def in_background(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, done in another thread, while Escape is watched and ImageJ goes on."""
        box: list[T] = []
        errors: list[BaseException] = []
        done = threading.Event()

        def run() -> None:
            try:
                box.append(work())
            except BaseException as error:
                errors.append(error)
            finally:
                done.set()

        start_worker(f"{self.command} (carezoo)", run, self.stopped.set)
        lock, ij = _listeners(), load("ij.IJ")
        while not done.is_set():
            if bool(load("java.lang.Thread").holdsLock(lock)):
                lock.wait(int(_POLL_S * 1000))
            else:
                done.wait(_POLL_S)
            if bool(ij.escapePressed()):
                self.stopped.set()
        if errors:
            raise errors[0]
        return box[0]


@dataclass(frozen=True)
class Command:
    """A command: what it asks, and what it does with the answer."""

    label: str
    ask: Callable[[Any, Call], Any]
    """Called with the session and the call; its answer goes to `do`."""
    do: Callable[[Any, Call, Any], str]
    """Called with session, call and answer; returns what happened in one line."""


class Listener:
    """What ImageJ asks before it runs any command."""

    def __init__(self, session: Any, commands: Mapping[str, Command]) -> None:
        self._session, self._commands = session, commands

    def execute(self, name: Any) -> Any:
        """Run the command if it is ours and return None; else return its name, so that ImageJ goes on."""
        command = self._commands.get(str(name))
        if command is None:
            return name
        thread = load("java.lang.Thread").currentThread()
        if str(thread.getName()) == command.label and load("ij.Macro").getOptions() is None:
            call = Call(command.label, "", is_interactive=True)
            start_thread(command.label, lambda: run(self._session, command, call))
        else:
            options = str(load("ij.Macro").getOptions() or "")
            nobody = bool(options.strip()) or bool(load("ij.IJ").isMacro()) or is_headless()
            run(self._session, command, Call(command.label, options, is_interactive=not nobody))
        return None


def run(session: Any, command: Command, call: Call) -> None:
    """Run a command from question to verdict. Each error is shown once; the user's image is never changed."""
    ij, recorder = load("ij.IJ"), load("ij.plugin.frame.Recorder")
    is_recorded = call.is_interactive and bool(recorder.record)
    ij.resetEscape()
    try:
        if is_recorded:
            recorder.setCommand(command.label)
        try:
            answer = command.ask(session, call)
        finally:
            if is_recorded:
                recorder.saveCommand()
        _conclude(f"OK {command.do(session, call, answer)}")
    except Cancelled as error:
        _conclude("CANCELLED")
        call.status(f"{command.label} {error}" if call.stopped.is_set() else "")
        _abort_macro(call)
    except Exception as error:
        tell(call, problem_of(error), error)
    finally:
        ij.showProgress(jpype.JDouble(1.0))


def problem_of(error: BaseException) -> Problem:
    """Return what to tell of an error, of Python or of Java."""
    if not isinstance(error, jpype.JException):
        return Problem.from_error(error)
    if isinstance(error, load("java.lang.OutOfMemoryError")):
        most = int(load("java.lang.Runtime").getRuntime().maxMemory()) / 2**30
        return Problem(
            OutOfMemoryError.__name__,
            f"there is not enough memory for the result: ImageJ may take {most:.1f} GiB, and has too little of it left",
            "Close other images, or give ImageJ more: carezoo fiji start --memory GIB; or Edit > Options > Memory & "
            "Threads in an ImageJ you started yourself. carezoo restore needs no ImageJ.",
        )
    return Problem("JavaError", str(error), "Please report it with what the log says.")


def tell(call: Call, problem: Problem, error: BaseException | None = None) -> None:
    """Tell of a problem: by a dialog if somebody is there, else by one line in the log; and as the verdict."""
    log.debug("%s failed", call.command, exc_info=error)
    _conclude(f"ERROR {problem.line}")
    if call.is_interactive:
        load("ij.IJ").error(TITLE, _wrap_text(problem.text))
    else:
        load("ij.IJ").log(f"CAREZOO ERROR {problem.line} {problem.hint}".replace("\n", " ").rstrip())
        _abort_macro(call)


def is_headless() -> bool:
    """Return whether no window can be opened."""
    return bool(load("java.awt.GraphicsEnvironment").isHeadless())


def _abort_macro(call: Call) -> None:
    """Keep a macro from going on with the wrong image, unless it says that it looks at the verdict itself."""
    if not call.is_interactive and form.parse(call.options).get(form.ON_ERROR) != "continue":
        load("ij.macro.Interpreter").abort()
        load("ij.Macro").abort()  # for IJ.run outside of macros: its caller gets an exception


def _conclude(verdict: str) -> None:
    load("java.lang.System").setProperty(VERDICT, verdict)


def _wrap_text(text: str, width: int = 80) -> str:
    return "\n".join(textwrap.fill(line, width, break_long_words=False) for line in text.splitlines())


@cache
def _listeners() -> Any:
    """Return the list whose lock ImageJ holds while a listener works."""
    declared = load("ij.Executer").class_.getDeclaredField("listeners")
    declared.setAccessible(True)
    return declared.get(None)
