"""A figure: what was measured, what was promised, and how two things are timed against each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.metrics import score


def psnr_db(image: NDArray[np.generic], target: NDArray[np.generic]) -> float:
    """Return the paper's PSNR of an image, after the affine fit to its target."""
    return score(image, target, with_ssim=False).psnr_db


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    value: float | None
    """None: could not be measured here; `note` says why."""
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""
    run: str = ""
    """Commit and date of its measurement, if it is not of the run that its file describes."""

    @property
    def is_reached(self) -> bool | None:
        """Whether the promise is kept; None where there is none, or nothing was measured."""
        if self.value is None or (self.at_most is None and self.at_least is None):
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def measured(self) -> str:
        """The value with its unit."""
        return "not measured" if self.value is None else f"{self.value:.4g} {self.unit}".strip()

    @property
    def target(self) -> str:
        """What was promised."""
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        return ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)

    def line(self) -> str:
        """Return the figure for a person."""
        verdict = {True: "ok", False: "MISSED", None: ""}[self.is_reached]
        return f"{self.name:<62} {self.measured:>22}  {self.target:<16} {verdict:<7} {self.note}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratio(first: Callable[[], object], second: Callable[[], object], n: int = 5) -> tuple[float, float, float]:
    """Time two calls in turn; return the median of the pairwise ratios first / second, and both median times."""
    first(), second()  # warm-up
    pairs = [(seconds(first), seconds(second)) for _ in range(n)]
    ratios = [a / b for a, b in pairs]
    return statistics.median(ratios), statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
