"""Figure 3: what tiling, normalization and files cost beyond the bare network on the same padded tiles."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, ratio
from benchmarks.models import package, structure
from carezoo import files
from carezoo.image import Image
from carezoo.runtime.batch import Job, restore_files
from carezoo.runtime.layout import lay_out
from carezoo.runtime.restore import open_session, plan_tiles
from carezoo.settings import Settings

SIDE = 2048


def figures() -> Iterator[Figure]:
    made, image = package(), Image(structure((SIDE, SIDE)), "YX")
    session = open_session(made, Settings(provider="cpu"))
    plan = plan_tiles(lay_out(image, made.manifest), Settings())
    tile = np.random.default_rng(0).random((1, 1, *plan.tile_shape), dtype=np.float32)

    def bare() -> None:
        for _ in range(plan.n_tiles):
            session.run(tile)

    with tempfile.TemporaryDirectory(prefix="carezoo-benchmark-") as folder:
        source = Path(folder) / "image.tif"
        files.write_image(source, image)
        job = Job(models={None: made}, settings=Settings(provider="cpu"), is_overwriting=True)

        def from_file_to_file() -> None:
            (outcome,) = restore_files([source], job)
            assert outcome.status == "restored", outcome.error

        cost, ours, theirs = ratio(from_file_to_file, bare, n=3)
    note = f"{ours:.2f} s against {theirs:.2f} s, {plan.n_tiles} tiles of {plan.tile_shape}"
    yield Figure(f"restore {SIDE}x{SIDE} file to file / bare network on its tiles", cost, at_most=1.15, note=note)
    yield Figure("share of the halo at the automatic tile size", plan.halo_share, at_most=0.15)
