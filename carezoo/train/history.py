"""The course of a training on disk: `log.csv` with a row for each epoch, and TensorBoard with the same and pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import MissingExtraError
from carezoo.files.atomic import replacing

LOG, TENSORBOARD = "log.csv", "tensorboard"


class History:
    """Writes both after every epoch; used as a context manager.

    Parameters
    ----------
    folder
        Where `log.csv` and the folder `tensorboard` stand.
    n_epochs
        Epochs that stay; rows of later ones, which a continued training repeats, are dropped.
    """

    def __init__(self, folder: Path, n_epochs: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError.of("tensorboard", "train", "to record trainings") from error
        self.path = folder / LOG
        self.rows = [row for row in read(folder) if int(row["epoch"]) <= n_epochs]
        self._board = SummaryWriter(folder / TENSORBOARD, purge_step=n_epochs + 1)

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._board.close()

    def add(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Record the numbers of an epoch."""
        self.rows.append({"epoch": str(epoch), **{name: f"{value:.8g}" for name, value in numbers.items()}})
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[-1]), extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with replacing(self.path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")
        for name, value in numbers.items():
            self._board.add_scalar(name, value, epoch)

    def show(self, epoch: int, images: Mapping[str, NDArray[np.float32]]) -> None:
        """Record example patches for TensorBoard, arrays BC(Z)YX by name."""
        for name, batch in images.items():
            limits = (0.0, 100.0) if name == "scale" else (1.0, 99.8)
            for i, patch in enumerate(batch):
                self._board.add_image(f"{name}/{i}", picture(patch, limits), epoch, dataformats="CHW")


def read(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a training's log; none if there is no log."""
    path = folder / LOG
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def picture(patch: NDArray[np.float32], percentiles: tuple[float, float]) -> NDArray[np.float32]:
    """Return `patch` (C(Z)YX) as a picture: CYX with 1 or 3 channels, 0 to 1.

    Z is projected by its maximum. Two channels are shown magenta and green, more than three by their maximum.
    """
    plane = patch.max(axis=1) if patch.ndim == 4 else patch
    plane = plane if len(plane) <= 3 else plane.max(axis=0, keepdims=True)
    low, high = np.percentile(plane, percentiles, axis=(1, 2), keepdims=True)
    shown: NDArray[np.float32] = np.clip((plane - low) / np.maximum(high - low, 1e-9), 0.0, 1.0).astype(np.float32)
    return shown[[0, 1, 0]] if len(shown) == 2 else shown
