"""Make the pairs of this recipe: the clean stack in three parts that do not touch, and what a dim camera sees of them.

python zoo/models/denoise-cells3d/make_pairs.py DIR/cells3d/nuclei_zyx.tif OUT
carezoo train zoo/models/denoise-cells3d/recipe.yaml --data OUT -o RUN
"""

import sys
from pathlib import Path

import numpy as np

from carezoo.files import open_image, write_image
from carezoo.image import Image
from carezoo.schema.span import Span
from carezoo.simulate.camera import Camera, degrade

# Rows 120 to 128 and 192 to 200 belong to no part: a patch sees its surroundings blurred into its border.
PARTS = {"fit": slice(0, 120), "choose": slice(128, 192), "report": slice(200, 256)}
CAMERA = Camera(photons=Span(20, 20), read_noise=Span(2, 2), gain=Span(1, 1), offset=Span(100, 100))
PIXEL_SIZE_UM = {"Z": 0.29, "Y": 0.26, "X": 0.26}


def main(stack: Path, out: Path) -> None:
    clean = open_image(stack, "ZYX").array()
    noisy, parameters = degrade(clean, CAMERA, np.random.default_rng(1))
    print(parameters)
    for name, rows in PARTS.items():
        for side, pixels in (("low", noisy), ("high", clean)):
            path = out / "cells3d_degraded" / side / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, Image(pixels[:, rows], "ZYX", PIXEL_SIZE_UM))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
