"""Time CSBDeep 0.8.2 on its default 2D network (depth 2, kernel 5, 32 filters): JSON lines of seconds on stdout.

Runs only in the environment of ``requirements.txt`` beside this file::

    python benchmarks/csbdeep/time_csbdeep.py --weights csbdeep_default_2d.npz

``--weights`` also writes the network's weights (drawn from ``SEED`` with numpy) under Keras' names, such as
``down_level_0_no_0/kernel`` with axes ``(y, x, in, out)`` and ``conv2d/kernel`` for the head, and the image that was
predicted as ``image``, so that another program can be timed on, and compared to, the same numbers.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # must be set before TensorFlow is imported
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
from csbdeep.models import CARE, Config
from random_weights import draw_weights

SEED = 20180101
IMAGE_SIZE, PATCH_SIZE, BATCH_SIZE = 1024, 128, 16
N_PREDICTIONS, N_STEPS = 3, 5


def default_model() -> tuple[CARE, dict[str, np.ndarray]]:
    """CSBDeep's default 2D model, nothing written to disk, with weights from ``SEED``."""
    model = CARE(Config("YX"), "default_2d", basedir=None)
    names = [getattr(w, "path", w.name).removesuffix(":0") for w in model.keras_model.weights]
    shapes = {name: tuple(w.shape) for name, w in zip(names, model.keras_model.weights, strict=True)}
    weights = draw_weights(shapes, np.random.default_rng(SEED))
    model.keras_model.set_weights(list(weights.values()))
    return model, weights


def measure(
    what: str, action: Callable[[], object], n_times: int, choose: Callable[[list[float]], float], **details: object
) -> None:
    """Print the chosen seconds of ``n_times`` calls, after one call that compiles and allocates."""
    action()
    wall, cpu = [], []
    for _ in range(n_times):
        start, start_cpu = time.perf_counter(), time.process_time()
        action()
        wall.append(round(time.perf_counter() - start, 3))
        # Over all threads; where others use the machine too, this is steadier than the clock on the wall.
        cpu.append(round(time.process_time() - start_cpu, 3))
    result = {"what": what, **details, "seconds": choose(wall), "cpu_seconds": choose(cpu), "all": wall}
    print(json.dumps(result | {"load": round(os.getloadavg()[0], 2)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="write weights and image to this .npz file")
    options = parser.parse_args()
    print(
        json.dumps(
            {
                "csbdeep": version("csbdeep"),
                "tensorflow": version("tensorflow-cpu"),
                "python": platform.python_version(),
                "n_cores": os.cpu_count(),
            }
        )
    )
    model, weights = default_model()
    rng = np.random.default_rng([SEED, 1])
    image = rng.poisson(rng.gamma(2.0, 200.0, (IMAGE_SIZE, IMAGE_SIZE))).astype(np.uint16)
    if options.weights:
        np.savez(options.weights, image=image, **weights)

    for n_tiles in ((1, 1), (4, 4)):
        predict = partial(model.predict, image, "YX", n_tiles=n_tiles)
        measure("predict", predict, N_PREDICTIONS, min, size=IMAGE_SIZE, n_tiles=n_tiles)

    x, y = rng.normal(0.5, 0.3, (2, BATCH_SIZE, PATCH_SIZE, PATCH_SIZE, 1)).astype(np.float32)
    model.prepare_for_training()
    step = partial(model.keras_model.train_on_batch, x, y)
    measure("train_step", step, N_STEPS, statistics.median, batch=BATCH_SIZE, patch=PATCH_SIZE)


if __name__ == "__main__":
    main()
