"""Seeded random weights for CSBDeep's networks: numpy only, so that any framework can load the same numbers."""

from collections.abc import Mapping, Sequence

import numpy as np


def draw_weights(shapes: Mapping[str, Sequence[int]], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw a weight for every shape, in the order given.

    Parameters
    ----------
    shapes : mapping of str to sequence of int
        Weight name to shape in Keras' order: ``.../kernel`` is ``(*spatial, n_in, n_out)``, ``.../bias`` ``(n_out,)``.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    dict of str to numpy.ndarray
        float32, same keys and order as ``shapes``: kernels normal with He's variance, biases normal with 0.1.
    """
    weights = {}
    for name, shape in shapes.items():
        fan_in = int(np.prod(shape[:-1]))
        spread = np.sqrt(2 / fan_in) if name.endswith("kernel") else 0.1
        weights[name] = rng.normal(0.0, spread, tuple(shape)).astype(np.float32)
    return weights
