"""What a training keeps on disk: the state it continues from, and the best weights so far."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from carezoo.errors import TrainError
from carezoo.files.atomic import replacing
from carezoo.train.networks.network import Network

FOLDER, LAST, BEST = "checkpoints", "last.pt", "best.pt"

_COUNTS = ("epoch", "n_steps", "best_loss", "loss", "best_epoch", "seconds")
"""Fields of `State` that are stored as they are."""


class Average:
    """Exponential moving average of a network's weights."""

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: Network, n_steps: int) -> None:
        """Take in the weights after step `n_steps`."""
        # A shorter memory at first: the initial weights must not linger in the average.
        decay = min(self.decay, (1 + n_steps) / (10 + n_steps))
        for averaged, weight in zip(self.network.parameters(), network.parameters(), strict=True):
            averaged.lerp_(weight, 1 - decay)


@dataclass
class State:
    """Everything that changes during a training."""

    network: Network
    optimizer: Optimizer
    plateau: ReduceLROnPlateau
    average: Average | None
    epoch: int = 0
    """Finished epochs."""
    n_steps: int = 0
    """Updates of the weights."""
    best_loss: float = math.inf
    """Lowest loss on the validation patches."""
    loss: str = ""
    """Name of the loss that `best_loss` goes with."""
    best_epoch: int = 0
    seconds: float = 0.0
    """That the finished epochs took."""

    def judge_by(self, loss: str) -> None:
        """Go on with a loss; the best value of another one says nothing about it."""
        if self.loss not in {"", loss}:
            self.best_loss = self.plateau.best = math.inf
            self.plateau.num_bad_epochs = 0
        self.loss = loss

    @property
    def judged(self) -> Network:
        """The weights that are validated and packed: the average, if there is one."""
        return self.average.network if self.average else self.network

    def save(self, folder: Path) -> None:
        """Write the last checkpoint."""
        content = {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(),
            **{name: getattr(self, name) for name in _COUNTS},
            "random_state": torch.get_rng_state(),
        }
        _save(content, folder / LAST)

    def save_best(self, folder: Path) -> None:
        """Write the judged weights as the best ones."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        _save({"network": self.judged.state_dict(), "trained_at": now}, folder / BEST)

    def load(self, folder: Path) -> None:
        """Continue from the last checkpoint.

        Raises
        ------
        TrainError
            If the file cannot be read, or belongs to another network.
        """
        content = _load(folder / LAST)
        _load_weights(self.network, content["network"], folder / LAST)
        if self.average:
            _load_weights(self.average.network, content["average"], folder / LAST)
        self.optimizer.load_state_dict(content["optimizer"])
        self.plateau.load_state_dict(content["plateau"])
        torch.set_rng_state(content["random_state"])
        for name in _COUNTS:
            setattr(self, name, content[name])


def exists(folder: Path) -> bool:
    """Whether a training in `folder` can be continued."""
    return (folder / LAST).exists()


def load_best(network: Network, folder: Path) -> datetime:
    """Give `network` the best weights of a training, and return when they were reached.

    Raises
    ------
    TrainError
        If the file cannot be read, or belongs to another network.
    """
    content = _load(folder / BEST)
    _load_weights(network, content["network"], folder / BEST)
    return datetime.fromisoformat(content["trained_at"])


def _save(content: dict[str, Any], path: Path) -> None:
    with replacing(path) as temporary:
        torch.save(content, temporary)


def _load(path: Path) -> dict[str, Any]:
    try:
        # weights_only: nothing in the file is executed.
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises whatever a broken file leads it to
        raise TrainError(
            f"{path}: cannot read the checkpoint ({type(error).__name__}: {error}); train again without --resume"
        ) from error
    return content


def _load_weights(network: Network, weights: dict[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise TrainError(f"{path} belongs to another network: {' '.join(str(error).split())}") from error
