"""The image a converted model is shown with: the user's, or a simulated one, which a model folder can do without."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from carezoo import axes as axes_
from carezoo.errors import ConversionError
from carezoo.files import open_image
from carezoo.image import Image
from carezoo.pairs.cache import read
from carezoo.schema.span import Span
from carezoo.simulate import pairs
from carezoo.simulate.blurred import Denoise
from carezoo.simulate.camera import Camera
from carezoo.simulate.psf_section import GaussianPsf
from carezoo.simulate.structures.granules import Granules
from carezoo.simulate.structures.tubules import Tubules
from carezoo.train.pack.sample import SampleImage

_SIDE = {"YX": 256, "ZYX": 160}
_LATERAL_UM, _AXIAL_UM = 0.1, 0.2
_MOST_PLANES, _FEWEST_PLANES = 32, 6


def from_file(path: Path, axes: str | None, license_: str, spatial: str, n_channels: int) -> SampleImage:
    """Return an image of the user's: its first sample and frame.

    Raises
    ------
    ConversionError
        If it does not fit the model.
    InputError
        If it cannot be read.
    """
    image = open_image(path, axes)
    missing = [letter for letter in spatial if letter not in image.axes]
    if missing or image.sizes.get("C", 1) != n_channels:
        raise ConversionError(
            f"sample {path}: expected axes {spatial} and {n_channels} channel(s), found axes {image.axes} and "
            f"shape {image.shape}. Name the axes of the file, or give another one"
        )
    region = {letter: slice(0, 1) for letter in "ST"}
    if "Z" not in spatial:
        middle = image.sizes.get("Z", 1) // 2
        region["Z"] = slice(middle, middle + 1)
    pixels = axes_.move(read(image, region), "CZYX", "C" + spatial)
    size = {letter: image.pixel_size_um[letter] for letter in spatial if letter in image.pixel_size_um}
    return SampleImage(Image(pixels, "C" + spatial, size, name=path.name), None, license_, "")


def simulate_example(spatial: str, n_channels: int, factor: Fraction) -> SampleImage:
    """Return filaments and spots with camera noise, others in every channel, the same every time.

    Parameters
    ----------
    factor
        Planes the model makes of one: it gets as many fewer, and farther apart.
    """
    side = _SIDE[spatial]
    shape: tuple[int, ...] = (side, side)
    pixel_size_um: tuple[float, ...] = (_LATERAL_UM, _LATERAL_UM)
    if spatial == "ZYX":
        n_planes = max(_FEWEST_PLANES, int(_MOST_PLANES / factor))
        shape, pixel_size_um = (n_planes, *shape), (_AXIAL_UM * float(factor), *pixel_size_um)
    description = Denoise(
        camera=Camera(photons=Span(60.0, 60.0)),
        structures=(Tubules(), Granules()),
        psf=GaussianPsf(sigma_um=Span(0.12, 0.12), sigma_z_um=Span(0.3, 0.3)),
        shape=shape,
        pixel_size_um=pixel_size_um,
    )
    prepared = pairs.prepare(description, Path())
    channels = [pairs.make_pair(prepared, 0, i) for i in range(n_channels)]
    source, target = (
        Image(np.stack(arrays), "C" + spatial, name="simulated filaments and spots")
        for arrays in ([each.source for each in channels], [each.target for each in channels])
    )
    return SampleImage(source, target, "CC0-1.0", "simulated by carezoo, not a microscope's")
