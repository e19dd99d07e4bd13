"""A progress bar on stderr when a person is looking, silence otherwise."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from tqdm import tqdm


class Bar:
    """Voxels done, voxels per second and time left of one file after the other."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._source: Path | None = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, source: Path, done: int, total: int) -> None:
        """Show that `done` of `total` voxels of `source` are restored."""
        if not sys.stderr.isatty():
            return
        if self._bar is None or self._source != source:
            self.close()
            self._source = source
            self._bar = tqdm(total=total, desc=source.name, unit="voxel", unit_scale=True, leave=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Steps:
    """Steps done of a job whose steps are known beforehand, and what the last one was."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int, words: str) -> None:
        """Show that `done` of `total` steps are done, the last of them in words."""
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = tqdm(total=total, unit="step", leave=False, dynamic_ncols=True)
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(done - self._bar.n)


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
