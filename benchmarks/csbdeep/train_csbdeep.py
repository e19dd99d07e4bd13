"""Train CSBDeep 0.8.2's default 2D network on pairs, and restore the images to report on with it.

Runs only in the environment of ``requirements.txt`` beside this file::

    python benchmarks/csbdeep/train_csbdeep.py PAIRS.npz RESTORED.npz --epochs 12 --steps 40 --batch 4

``PAIRS.npz`` holds images YX: ``fit_source_0``, ``fit_target_0``, ..., the same for ``choose``, and
``report_source_0``, ...; ``RESTORED.npz`` gets ``report_0``, .... Patches are drawn and normalised, and images
restored, as CSBDeep's examples do.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # must be set before TensorFlow is imported
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
from csbdeep.data import RawData, create_patches
from csbdeep.models import CARE, Config

SEED, SIDE = 1, 128


def images(pairs: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    """Return ``name_0``, ``name_1``, ... in order."""
    return [pairs[f"{name}_{i}"] for i in range(sum(key.startswith(f"{name}_") for key in pairs))]


def patches(pairs: dict[str, np.ndarray], part: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return normalised patches SYXC of sources and targets, about ``n`` of all images of a part together."""
    sources, targets = images(pairs, f"{part}_source"), images(pairs, f"{part}_target")
    each = max(1, n // len(sources))
    raw = [RawData(lambda x=x, y=y: iter([(x, y, "YX", None)]), 1, "") for x, y in zip(sources, targets, strict=True)]
    made = [create_patches(one, (SIDE, SIDE), each, verbose=False) for one in raw]
    return tuple(np.moveaxis(np.concatenate([one[i] for one in made]), 1, -1) for i in (0, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("restored", type=Path)
    for name in ("epochs", "steps", "batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    keras.utils.set_random_seed(SEED)
    with np.load(options.pairs) as file:
        pairs = dict(file)
    config = Config(
        "YXC",
        train_epochs=options.epochs,
        train_steps_per_epoch=options.steps,
        train_batch_size=options.batch,
        train_tensorboard=False,
    )
    x, y = patches(pairs, "fit", options.steps * options.batch)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = CARE(config, "default_2d", basedir=folder)
        model.train(x, y, validation_data=patches(pairs, "choose", 32))
        seconds = time.perf_counter() - started
        sources = images(pairs, "report_source")
        restored = {f"report_{i}": model.predict(source, "YX") for i, source in enumerate(sources)}
    np.savez(options.restored, **restored)
    print(json.dumps({"n_patches": len(x), "seconds": round(seconds, 1)}))


if __name__ == "__main__":
    main()
