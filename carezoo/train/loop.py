"""The training loop."""

from __future__ import annotations

import ctypes
import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from carezoo.errors import DivergedError, MissingExtraError, RecipeError
from carezoo.progress import Progress
from carezoo.train import checkpoint, losses, schedule
from carezoo.train.batches import Batch
from carezoo.train.checkpoint import Average, State
from carezoo.train.history import History
from carezoo.train.networks.network import Network
from carezoo.train.pack import precision
from carezoo.train.pack.precision import Precision
from carezoo.train.schedule import Clock
from carezoo.train.sections import Training

log = logging.getLogger("carezoo")

N_EXAMPLES = 3
"""Validation patches shown in TensorBoard."""


@dataclass(frozen=True)
class TrainingData:
    """What a network is fitted to."""

    batches: Callable[[range, int, int], Iterable[Batch]]
    """Called with training steps counted from 0 over all epochs, the rank of this process, and how many there are:
    for each step the batch of this process, always the same for the same numbers."""
    validation: Sequence[Batch]


@dataclass(frozen=True)
class Fit:
    """How a training went."""

    best_loss: float
    """On the validation patches."""
    best_epoch: int
    trained_at: datetime
    """When the best weights were reached."""
    n_epochs: int
    n_steps: int
    stopped: str
    """Why it ended, in words."""
    device: str
    dtype: str
    """float32 or bf16."""
    is_first_process: bool
    """False in the helper processes of a training on several GPUs, which have nothing more to do."""


def fit(
    network: Network,
    data: TrainingData,
    settings: Training,
    folder: Path,
    *,
    resume: bool = False,
    is_tuning: bool = False,
    progress: Progress | None = None,
) -> Fit:
    """Fit `network` to `data` and leave it with the best weights.

    After every epoch the validation loss decides on the best checkpoint (and on the learning rate, with schedule
    plateau), and the last one is written: a training that was interrupted continues from there, bit for bit on the same
    processor. `max_minutes` counts the time before an interruption, too; an epoch that it cuts short counts as one.

    Parameters
    ----------
    network
        Freshly initialized, or with the weights to start from.
    settings
        Section `training` of the recipe.
    folder
        For `checkpoints`, `log.csv` and `tensorboard`.
    resume
        Continue from the last checkpoint in `folder`, if there is one.
    is_tuning
        Whether the weights to start from count as the checkpoint of epoch 0, so that no worse ones are packed.

    Raises
    ------
    DivergedError
        If the loss becomes NaN or infinite. The checkpoints of earlier epochs stay.
    TrainError
        If a checkpoint cannot be read, or belongs to another network.
    """
    checkpoints = folder / checkpoint.FOLDER
    checkpoints.mkdir(parents=True, exist_ok=True)
    run = _Run(network, settings, progress)
    state = run.state
    if resume and checkpoint.exists(checkpoints):
        state.load(checkpoints)
    run.clock = Clock(settings.max_minutes, state.seconds)
    batches = run.batches(data)
    if is_tuning and not state.n_steps:
        state.judge_by(schedule.loss_name(settings, 0, run.clock))
        state.best_loss = run.validate(data.validation)[0]["val_loss"]
        log.info("validation loss before the first step: %.6g", state.best_loss)
        if run.fabric.is_global_zero:
            state.save_best(checkpoints)
    with History(folder, state.epoch) as history, keep_heap():
        try:
            while not (stopped := _reason_to_stop(state, settings, is_late=run.clock.is_over)):
                started = time.monotonic()
                train_loss = run.train(islice(batches, settings.steps_per_epoch))
                numbers, examples = run.validate(data.validation)
                state.epoch, state.seconds = state.epoch + 1, run.clock.elapsed_s
                rate = state.optimizer.param_groups[0]["lr"]
                if settings.schedule == "plateau":
                    state.plateau.step(numbers["val_loss"])
                if is_best := numbers["val_loss"] < state.best_loss:
                    state.best_loss, state.best_epoch = numbers["val_loss"], state.epoch
                if not run.fabric.is_global_zero:
                    continue
                numbers = {"train_loss": train_loss, **numbers, "learning_rate": rate}
                history.add(state.epoch, {**numbers, "seconds": time.monotonic() - started})
                history.show(state.epoch, {**(_gather_batch(data) if state.epoch == 1 else {}), **examples})
                if is_best:
                    state.save_best(checkpoints)
                state.save(checkpoints)
        except KeyboardInterrupt:
            log.warning("stopped in epoch %d; to continue, run the same command with --resume", state.epoch + 1)
            raise
    run.fabric.barrier()
    trained_at = checkpoint.load_best(network, checkpoints)
    log.info("%s; lowest validation loss %.6g in epoch %d", stopped, state.best_loss, state.best_epoch)
    return run.summarize(stopped, trained_at)


class _Run:
    """A network on its devices."""

    def __init__(self, network: Network, settings: Training, progress: Progress | None) -> None:
        self.fabric, self.precision = _fabric(settings)
        self._settings, self._progress = settings, progress
        self.clock = Clock(settings.max_minutes, 0.0)
        precision.lay_out(network, self.precision)
        # Keras' epsilon, with which CARE was published.
        optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, eps=1e-7)
        self._network, self._optimizer = self.fabric.setup(network, optimizer)
        self._is_probabilistic = len(network.outputs) > network.n_means
        average = Average(network, settings.averaging) if settings.averaging else None
        self.state = State(network, optimizer, schedule.plateau(optimizer, settings), average)

    def batches(self, data: TrainingData) -> Iterator[Batch]:
        """Return what is left of the training."""
        first, n_epochs = self.state.n_steps, self._settings.n_epochs - self.state.epoch
        steps = range(first, first + n_epochs * self._settings.steps_per_epoch)
        with torch.random.fork_rng(devices=[]):  # a data loader draws from it
            return iter(data.batches(steps, self.fabric.global_rank, self.fabric.world_size))

    @property
    def loss(self) -> losses.Loss:
        """The loss of this epoch."""
        return losses.choose(self.state.loss, is_probabilistic=self._is_probabilistic)

    def train(self, batches: Iterable[Batch]) -> float:
        """Run one epoch, shorter if time is over; return the mean loss."""
        total, n, state = 0.0, 0, self.state
        state.judge_by(schedule.loss_name(self._settings, state.n_steps, self.clock))
        loss_of = self.loss
        for batch in batches:
            if self._settings.schedule == "cosine":
                schedule.set_cosine(state.optimizer, self._settings, state.n_steps, self.clock)
            source, *target = self._on_device(batch)
            loss = loss_of(self._network(source), *target)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise _make_diverged_error(value, f"epoch {state.epoch + 1}, step {n + 1}", batch)
            self.fabric.backward(loss)
            if self._settings.max_gradient_norm is not None:
                self.fabric.clip_gradients(self._network, self._optimizer, max_norm=self._settings.max_gradient_norm)
            self._optimizer.step()
            self._optimizer.zero_grad()
            total, n, state.n_steps = total + value, n + 1, state.n_steps + 1
            if state.average:
                state.average.update(state.network, state.n_steps)
            self._tell(n, total / n)
            self.clock.update(self._agree)
            if self.clock.is_over:
                break
        return total / n

    @torch.inference_mode()
    def validate(self, batches: Sequence[Batch]) -> tuple[dict[str, float], dict[str, NDArray[np.float32]]]:
        """Return losses of the judged weights on all validation patches, and outputs of the first ones."""
        network, n = self.state.judged, 0
        sums = dict.fromkeys(("val_loss", "val_mae", "val_mse"), 0.0)
        examples: dict[str, NDArray[np.float32]] = {}
        for batch in batches:
            source, *target = self._on_device(batch)
            with self.fabric.autocast():
                output = network(source)
            for name, loss in zip(sums, (losses.judge(self.loss), losses.mae, losses.mse), strict=True):
                sums[name] += float(loss(output, *target)) * len(source)
            n += len(source)
            examples = examples or _examples(output, network.n_means)
        numbers: dict[str, float] = self.fabric.broadcast({name: value / n for name, value in sums.items()})
        if not math.isfinite(numbers["val_loss"]):
            raise _make_diverged_error(
                numbers["val_loss"], f"the validation after epoch {self.state.epoch + 1}", batches[0]
            )
        return numbers, examples

    def summarize(self, stopped: str, trained_at: datetime) -> Fit:
        """Return how the training went."""
        return Fit(
            best_loss=self.state.best_loss,
            best_epoch=self.state.best_epoch,
            trained_at=trained_at,
            n_epochs=self.state.epoch,
            n_steps=self.state.n_steps,
            stopped=stopped,
            device=str(self.fabric.device),
            dtype=self.precision.dtype,
            is_first_process=self.fabric.is_global_zero,
        )

    def _agree(self, seconds: float) -> float:
        return float(self.fabric.broadcast(seconds)) if self.fabric.world_size > 1 else seconds

    def _on_device(self, batch: Batch) -> Batch:
        source, *target = (each.to(self.fabric.device, non_blocking=True) for each in batch)
        return (source.contiguous(memory_format=precision.memory_format(self.precision, source.ndim)), *target)

    def _tell(self, n: int, loss: float) -> None:
        if self._progress and self.fabric.is_global_zero:
            epoch, per_epoch = self.state.epoch, self._settings.steps_per_epoch
            best = f", validation {self.state.best_loss:.4g}" if epoch else ""
            words = f"epoch {epoch + 1}, loss {loss:.4g}{best}"
            self._progress(epoch * per_epoch + n, self._settings.n_epochs * per_epoch, words)


def _fabric(settings: Training) -> tuple[Any, Precision]:
    """Return Lightning Fabric on all GPUs there are, else on the processor, and the precision it computes in."""
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise MissingExtraError.of("lightning-fabric", "train", "to train") from error
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = precision.choose_for_machine(settings.precision, torch.device(accelerator))
    n_devices = torch.cuda.device_count() if accelerator == "cuda" else 1
    log.info("training on %d %s device(s) in %s: %s", n_devices, accelerator, chosen.dtype, chosen.reason)
    if settings.batch_size % n_devices:
        raise RecipeError(
            f"training.batch_size: expected a multiple of the number of GPUs, {n_devices}, found "
            f"{settings.batch_size}; change it, or choose GPUs with the variable CUDA_VISIBLE_DEVICES"
        )
    return _launch(Fabric, accelerator, n_devices, chosen.fabric), chosen


@cache
def _launch(make: Callable[..., Any], accelerator: str, n_devices: int, name: str) -> Any:
    """Return Fabric with its processes running. They are started once, and train one member after the other."""
    fabric = make(accelerator=accelerator, devices=n_devices, precision=name)
    fabric.launch()
    return fabric


def _reason_to_stop(state: State, settings: Training, *, is_late: bool) -> str:
    """Return why the training is over; empty if it is not."""
    if state.epoch >= settings.n_epochs:
        return f"all {settings.n_epochs} epochs done"
    if is_late:
        return f"{settings.max_minutes:g} minutes are over after {state.epoch} epoch(s)"
    if settings.early_stop and state.epoch - state.best_epoch >= settings.early_stop:
        return f"no lower validation loss in {settings.early_stop} epochs"
    return ""


def _gather_batch(data: TrainingData) -> dict[str, NDArray[np.float32]]:
    source, target = data.validation[0][:2]
    return {"source": source[:N_EXAMPLES].numpy(), "target": target[:N_EXAMPLES].numpy()}


def _examples(output: Tensor, n_means: int) -> dict[str, NDArray[np.float32]]:
    shown = output[:N_EXAMPLES].float().cpu().numpy()
    return {"mean": shown[:, :n_means]} | ({"scale": shown[:, n_means:]} if shown.shape[1] > n_means else {})


def _make_diverged_error(loss: float, where: str, batch: Batch) -> DivergedError:
    ranges = " and ".join(
        _format_progress(name, each) for name, each in zip(("sources", "targets"), batch[:2], strict=True)
    )
    return DivergedError(
        f"the loss became {loss} in {where}, with {ranges} in normalized intensities, where most should lie between 0 "
        "and 1. If they do, lower training.learning_rate; if not, look for NaN, saturated or empty images, and at "
        "intensity (mode, percentiles, fit)"
    )


def _format_progress(name: str, pixels: Tensor) -> str:
    finite = pixels[torch.isfinite(pixels)]
    n_bad = pixels.numel() - finite.numel()
    found = f"from {finite.min():.3g} to {finite.max():.3g}" if len(finite) else "without a single finite pixel"
    return f"{name} {found}" + (f" and {n_bad} NaN or infinite pixels" if n_bad else "")


# Parameters of glibc's mallopt (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_LARGEST_INT = 2**31 - 1


@contextmanager
def keep_heap() -> Iterator[None]:
    """Keep memory that a training step frees for the next step, instead of giving it back to the system.

    Every step allocates and frees the same hundreds of megabytes. glibc returns large blocks at once, and the system
    clears them before it hands them out again: a fifth of the processor time of a step. On systems without glibc
    nothing is changed.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        yield
        return
    assert library is not None
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _LARGEST_INT)
    try:
        yield
    finally:
        # What glibc's own adjustment arrives at once large blocks have been freed.
        library.mallopt(_MMAP_MAX, 1 << 16)
        library.mallopt(_MMAP_THRESHOLD, 32 << 20)
        library.mallopt(_TRIM_THRESHOLD, 64 << 20)
        library.malloc_trim(0)
