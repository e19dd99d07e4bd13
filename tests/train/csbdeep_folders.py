"""Model folders as CSBDeep writes them, with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

CONFIG = {
    "n_dim": 2,
    "axes": "YXC",
    "n_channel_in": 1,
    "n_channel_out": 1,
    "train_checkpoint": "weights_best.h5",
    "probabilistic": False,
    "unet_residual": True,
    "unet_n_depth": 1,
    "unet_kern_size": 3,
    "unet_n_first": 2,
    "unet_last_activation": "linear",
}


def write(folder: Path, shapes, seed: int = 0, **changes) -> Path:
    """Write config.json and weights_best.h5 with a convolution for each kernel shape, and return the folder."""
    rng = np.random.default_rng(seed)
    kernels = [(0.5 * rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32) for shape in shapes]
    biases = [(0.1 * rng.standard_normal(shape[-1])).astype(np.float32) for shape in shapes]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    write_weights(folder / "weights_best.h5", kernels, biases)
    return folder


def write_weights(path: Path, kernels, biases) -> None:
    """Write kernels and biases in Keras' layout."""
    with h5py.File(path, "w") as file:
        names = [f"conv2d_{i}" for i in range(len(kernels))]
        file.attrs["layer_names"] = ["input", *names]
        file.create_group("input").attrs["weight_names"] = np.zeros(0, "S1")
        for name, kernel, bias in zip(names, kernels, biases, strict=True):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel", f"{name}/bias"]
            group[f"{name}/kernel"], group[f"{name}/bias"] = kernel, bias


def unet_shapes(*, depth: int = 1, kernel: int = 3, n_first: int = 2, n_in: int = 1, n_out: int = 1, n_dim: int = 2):
    """Return the kernel shapes of CSBDeep's U-Net."""
    sides = (kernel,) * n_dim
    width = [n_first * 2**level for level in range(depth + 1)]
    shapes, before = [], n_in
    for level in range(depth):
        shapes += [(*sides, before, width[level]), (*sides, width[level], width[level])]
        before = width[level]
    shapes += [(*sides, before, width[depth]), (*sides, width[depth], width[depth - 1])]
    for level in reversed(range(depth)):
        after = width[max(0, level - 1)]
        shapes += [(*sides, 2 * width[level], width[level]), (*sides, width[level], after)]
    return [*shapes, ((1,) * n_dim + (n_first, n_out))]
