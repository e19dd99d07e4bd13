"""What the library logs, on stderr, while a command runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click


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
