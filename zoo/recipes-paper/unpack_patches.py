"""Write training patches that come as one .npz (X: noisy, Y: clean; axes SCZYX) as folders of TIFF files.

    python unpack_patches.py data_label.npz OUT

Each file holds 100 neighbouring patches, so that those of one stack mostly stay together: the data are split by file.
"""

import sys
from pathlib import Path

import numpy as np

from carezoo.files import write_image
from carezoo.image import Image

PATCHES_PER_FILE = 100


def unpack(archive: Path, out: Path) -> int:
    """Return how many pairs of files were written, to `out`/condition_1 and `out`/GT."""
    with np.load(archive, allow_pickle=False) as content:
        sources, targets = content["X"], content["Y"]
    if sources.shape != targets.shape or sources.ndim != 5:
        raise SystemExit(f"{archive}: expected X and Y of one shape SCZYX, found {sources.shape} and {targets.shape}")
    starts = range(0, len(sources), PATCHES_PER_FILE)
    for folder, patches in (("condition_1", sources), ("GT", targets)):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for number, start in enumerate(starts):
            block = patches[start : start + PATCHES_PER_FILE, 0].astype(np.float32)
            write_image(out / folder / f"patches{number:04d}.tif", Image(block, "TZYX"))
    return len(starts)


if __name__ == "__main__":
    print(unpack(Path(sys.argv[1]), Path(sys.argv[2])), "pairs of files")
