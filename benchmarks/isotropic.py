"""Memory of an isotropic model on a stack that CSBDeep could not tile: 100 planes by a factor of 10 on 1024 x 1024.

Measured is a process that runs the graph on one tile of the plan for that stack; image and result lie in files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from benchmarks.figures import Figure
from carezoo.runtime import tile_size
from carezoo.train.export import to_onnx
from carezoo.train.networks.isotropic import IsotropicNetwork
from carezoo.train.networks.unet import UNet
from carezoo.train.pack import measure

SHAPE, FACTOR = (100, 1024, 1024), 10
BUDGET_BYTES = 2 << 30
"""What `restore` takes for a tile on a machine with 4 GiB free."""


def figures() -> Iterator[Figure]:
    unet = UNet("YX", 1, 1, depth=3, kernel=3, n_first=16, is_residual=True, is_probabilistic=True)
    network = IsotropicNetwork(unet, Fraction(FACTOR))
    weights, rules = to_onnx(network), list(network.geometry.rules.values())
    per_pixel = measure.bytes_per_pixel(weights, 1, rules)
    plan = tile_size.automatic(SHAPE, rules, per_pixel, BUDGET_BYTES)
    with tempfile.TemporaryDirectory(prefix="carezoo-") as folder:
        path = Path(folder, "weights.onnx")
        path.write_bytes(weights)
        peak = measure.peak_of_run(path, (1, 1, *plan.tile_shape))
    size = "x".join(map(str, SHAPE))
    note = f"{plan.n_tiles} tiles of {plan.tile_shape}, {per_pixel} bytes a pixel, {100 * plan.halo_share:.0f} % halo"
    yield Figure(f"isotropic, {size} by a factor of {FACTOR}", peak / 2**30, "GiB", at_most=3, note=note)
