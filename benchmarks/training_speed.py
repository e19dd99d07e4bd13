"""Figure 5: training steps of CARE's default 2D network, against CSBDeep on the same machine in the same run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.against_csbdeep import MISSING, csbdeep
from benchmarks.figures import Figure
from benchmarks.models import network
from carezoo.train import history
from carezoo.train.loop import TrainingData, fit
from carezoo.train.sections import Training

BATCH, SIDE, STEPS = 16, 128, 5


def _step_seconds() -> tuple[float, str]:
    """Return the seconds of a step in the loop users run, validation on one patch included."""
    generator = torch.Generator().manual_seed(0)
    batch = tuple(torch.rand(BATCH, 1, SIDE, SIDE, generator=generator) for _ in range(2))
    validation = tuple(each[:1] for each in batch)
    data = TrainingData(lambda steps, *_: (batch for _ in steps), [validation])  # type: ignore[arg-type,misc]
    settings = Training(n_epochs=3, steps_per_epoch=STEPS, batch_size=BATCH)
    with tempfile.TemporaryDirectory(prefix="carezoo-benchmark-") as folder:
        fitted = fit(network(), data, settings, Path(folder))
        rows = history.read(Path(folder))
    return min(float(row["seconds"]) for row in rows[1:]) / STEPS, fitted.dtype


def figures() -> Iterator[Figure]:
    ours, dtype = _step_seconds()
    name = f"CSBDeep / carezoo, seconds of a training step, default 2D network, {BATCH}x{SIDE}x{SIDE}"
    theirs = next((float(t["seconds"]) for t in csbdeep() if t.get("what") == "train_step"), None)
    if theirs is None:
        yield Figure(name, None, at_least=3.0, note=f"carezoo {ours:.2f} s in {dtype}; {MISSING}")
        return
    yield Figure(name, theirs / ours, at_least=3.0, note=f"{theirs:.2f} s against {ours:.2f} s in {dtype}")
