"""How long a training goes on, and how its learning rate and its loss change meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from carezoo.train.sections import Training

_RISING_SHARE, _MOST_RISING_STEPS = 0.05, 200
"""How long the learning rate of a cosine rises, as a share of all steps and in steps, whichever is less."""


class Clock:
    """The time a training has taken, that of earlier runs which this one continues included.

    Parameters
    ----------
    max_minutes
        Of the whole training; None: no limit.
    spent_s
        Seconds that earlier runs have taken.
    """

    def __init__(self, max_minutes: float | None, spent_s: float) -> None:
        self._limit_s = math.inf if max_minutes is None else 60 * max_minutes
        self._started = time.monotonic() - spent_s
        self.elapsed_s = spent_s

    def update(self, agreed: Callable[[float], float]) -> None:
        """Look at the time; all processes have to use the same one."""
        self.elapsed_s = agreed(time.monotonic() - self._started)

    @property
    def share(self) -> float:
        """How much of the time is over, 0 without limit."""
        return self.elapsed_s / self._limit_s

    @property
    def is_over(self) -> bool:
        """Whether all of it is."""
        return self.share >= 1


def plateau(optimizer: Optimizer, settings: Training) -> ReduceLROnPlateau:
    """Return the schedule that lowers the learning rate after exactly `plateau_patience` epochs without improvement."""
    # Keras reduces when the count of bad epochs reaches its patience, torch when it exceeds it.
    return ReduceLROnPlateau(
        optimizer,
        factor=settings.plateau_factor,
        patience=settings.plateau_patience - 1,
        threshold=0.0,
        threshold_mode="abs",
    )


def share(settings: Training, n_steps: int, clock: Clock) -> float:
    """Return how much of the training is over, in steps or in time, whichever is more: 0 to 1."""
    return min(max(n_steps / (settings.n_epochs * settings.steps_per_epoch), clock.share), 1.0)


def set_cosine(optimizer: Optimizer, settings: Training, n_steps: int, clock: Clock) -> None:
    """Set the learning rate of the next step: half a cosine from the recipe's to 0 at the end of steps or time.

    The first steps rise to it. Adam makes them as long as all others before it knows the size of gradients, and a
    projection may never come back from them: its softmax along Z becomes a choice of one plane, without gradient.
    """
    n_rising = min(_MOST_RISING_STEPS, _RISING_SHARE * settings.n_epochs * settings.steps_per_epoch)
    rise = min(1.0, (n_steps + 1) / max(n_rising, 1.0))
    rate = rise * settings.learning_rate * (1 + math.cos(math.pi * share(settings, n_steps, clock))) / 2
    for group in optimizer.param_groups:
        group["lr"] = rate


def loss_name(settings: Training, n_steps: int, clock: Clock) -> str:
    """Return the loss of the next epoch: the recipe's, or the likelihood that ends a training with `faithful`."""
    is_ending = settings.likelihood_from < 1 and share(settings, n_steps, clock) >= settings.likelihood_from
    return "laplace" if is_ending else settings.loss
