"""Progress of a training for a person who waits: steps, losses and time left, where there is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Progress = Callable[[int, int, str], None]
"""Called after each step with the steps done, the steps in all and a few words."""


@contextmanager
def on_terminal() -> Iterator[Progress | None]:
    """Yield a progress bar on stderr; None where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with tqdm(unit="step", dynamic_ncols=True, file=sys.stderr, smoothing=0.05) as bar:

        def show(n_done: int, n_steps: int, words: str) -> None:
            if bar.total != n_steps:
                # A continued training starts late: its earlier steps must not count as fast ones.
                bar.reset(n_steps)
                bar.initial = bar.last_print_n = bar.n = n_done - 1
            bar.set_postfix_str(words, refresh=False)
            bar.update(n_done - bar.n)

        yield show
