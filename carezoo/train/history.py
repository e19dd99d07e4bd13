"""The course of a training on disk: `log.csv` with a row an epoch, TensorBoard with the same, and example patches."""

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

LOG, TENSORBOARD, EXAMPLES = "log.csv", "tensorboard", "examples"


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
                shown = picture(patch, limits)
                self._board.add_image(f"{name}/{i}", shown, epoch, dataformats="CHW")
                if i == 0 and is_kept(epoch):
                    _save(shown, example_path(self.path.parent, epoch, name))


def is_kept(epoch: int) -> bool:
    """Whether example patches of an epoch are kept as pictures: the first ones, fewer and fewer, every tenth."""
    return epoch % 10 == 0 or epoch & (epoch - 1) == 0


def example_path(folder: Path, epoch: int, name: str) -> Path:
    """Return where the example patch `name` (source, target, mean, scale) of an epoch is kept."""
    return folder / EXAMPLES / f"{epoch:05d}-{name}.png"


def example_epochs(folder: Path) -> list[int]:
    """Return the epochs of which a restored example patch is kept, ascending, up to the last one in the log."""
    last = max((int(row["epoch"]) for row in read(folder)), default=0)
    epochs = sorted(int(path.name.split("-")[0]) for path in (folder / EXAMPLES).glob("*-mean.png"))
    return [epoch for epoch in epochs if epoch <= last]


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


def _save(shown: NDArray[np.float32], path: Path) -> None:
    from carezoo.evaluate.report.panels import png

    levels = np.rint(shown * 255).astype(np.uint8)
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(png(levels[0] if len(levels) == 1 else np.moveaxis(levels[:3], 0, -1)))
