"""A progress bar on stderr when a person is looking, silence otherwise."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import click
from tqdm import tqdm


class Bar:
    """How much is done, how fast, and the time left: a `carezoo.progress.Progress` on stderr."""

    def __init__(self, unit: str = "voxel") -> None:
        self._unit = unit
        self._bar: Any = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show that `done` of `total` are done, and what is worked on; where less is done than before, a new bar."""
        if not sys.stderr.isatty():
            return
        if self._bar is not None and (total != self._bar.total or done < self._bar.n):
            self.close()
        if self._bar is None:
            # What a continued training or download has already must not count as fast work.
            self._bar = tqdm(
                total=total,
                initial=done,
                unit=self._unit,
                unit_scale=self._unit != "step",
                leave=False,
                dynamic_ncols=True,
                smoothing=0.05,
                file=sys.stderr,
            )
        self._bar.set_postfix_str(what, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _ToStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        mark = "warning: " if record.levelno >= logging.WARNING else ""
        click.echo(f"{mark}{record.getMessage()}", err=True)


@contextmanager
def talk_on_stderr() -> Iterator[None]:
    """Show messages of the logger `carezoo`; the library itself adds no handler."""
    log, handler = logging.getLogger("carezoo"), _ToStderr()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


REPORT = "Please report it with the output of the same command after setting the environment variable CAREZOO_DEBUG=1"


def trace(error: BaseException) -> None:
    """Print the traceback of `error` on stderr, where CAREZOO_DEBUG is set."""
    if os.environ.get("CAREZOO_DEBUG"):
        traceback.print_exception(error)
