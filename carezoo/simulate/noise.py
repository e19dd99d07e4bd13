"""The noise of a camera, measured on files, and the section ``camera`` of a recipe that makes the same noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo.errors import DataError
from carezoo.files import applicable_scene, open_image
from carezoo.image import Image
from carezoo.noise.measure import NoiseFit, fit_pair, fit_repeats
from carezoo.schema.build import build
from carezoo.schema.span import Span
from carezoo.simulate.camera import Camera


def to_section(fit: NoiseFit) -> dict[str, Any]:
    """Return the section ``camera`` of a recipe with this noise, and half to twice the light of the frames."""
    return {
        "photons": {"log": [float(f"{fit.photons * factor:.3g}") for factor in (0.5, 2.0)]},
        "gain": float(f"{fit.gain.value:.4g}"),
        "offset": float(f"{fit.offset.value:.5g}"),
        "read_noise": float(f"{fit.read_noise.value:.3g}"),
        "bit_depth": fit.bit_depth,
    }


def to_camera(fit: NoiseFit, photons: Span | None = None) -> Camera:
    """Return the camera of `to_section`, with other photons if they are given."""
    camera = build(Camera, to_section(fit), "camera")
    return camera if photons is None else dataclasses.replace(camera, photons=photons)


def fit_files(
    paths: Sequence[Path],
    *,
    is_repeats: bool,
    axes: str | None = None,
    scene: int | str | None = None,
    channel: int = 0,
    offset: float | None = None,
) -> NoiseFit:
    """Fit the noise from repeated frames of one scene, or from a noisy and a clean image of it.

    Parameters
    ----------
    paths
        Repeated frames: one file with frames along T, or several files of one frame each. Else two files, the noisy
        image first.
    is_repeats
        Which of the two.
    axes
        Axes of the files; None: from their metadata. Frames that are stored as Z are named so: "TYX".
    scene
        Name or number of the image in files that hold several; None: the first.
    channel
        Which channel, from 0.
    offset
        Grey level of no light, if it is known (from a dark frame).

    Raises
    ------
    DataError
        If a file has no frames or no such channel, or the fit is not possible (`carezoo.noise.measure`).
    InputError
        If a file cannot be read.
    """
    images = [open_image(path, axes, scene=applicable_scene(path, scene)) for path in paths]
    if not is_repeats:
        noisy, clean = (_read_channel(image, channel, "", path) for image, path in zip(images, paths, strict=True))
        return fit_pair(noisy, clean, offset=offset)
    n_frames = [image.sizes.get("T", 1) for image in images]
    if sum(n_frames) < 2:
        raise DataError(
            f"{paths[0]}: expected repeated frames along T, found axes {images[0].axes} with shape {images[0].shape}; "
            "name the axis of the frames T (--axes TYX), or give a clean image of the same scene as a second file"
        )
    frames = [_read_channel(image, channel, "T", path) for image, path in zip(images, paths, strict=True)]
    for path, each in zip(paths, frames, strict=True):
        if each.shape[1:] != frames[0].shape[1:] or each.dtype != frames[0].dtype:
            raise DataError(
                f"{path}: frames of one scene have one size and type, found {each.shape[1:]} {each.dtype}, and "
                f"{frames[0].shape[1:]} {frames[0].dtype} in {paths[0]}"
            )
    return fit_repeats(np.concatenate(frames), offset=offset)


def to_numbers(fit: NoiseFit) -> dict[str, object]:
    """Return what was fitted as plain values: each number with its standard error, and where offset comes from."""
    estimates = {"gain": fit.gain, "offset": fit.offset, "read_noise": fit.read_noise, "excess_skew": fit.excess_skew}
    plain: dict[str, object] = {
        name: {"value": each.value, "standard_error": each.se} for name, each in estimates.items() if each is not None
    }
    return plain | {"basis": fit.basis, "photons": fit.photons, "camera": to_section(fit)}


def format_camera(fit: NoiseFit, paths: Sequence[Path]) -> str:
    """Return the section ``camera`` of a recipe as YAML, with what it comes from as comments."""
    comments = [
        f"Noise fitted from {', '.join(path.name for path in paths[:3])}{' and others' if len(paths) > 3 else ''}",
        f"gain {fit.gain} grey levels per photoelectron",
        f"offset {fit.offset} grey levels",
        f"read noise {fit.read_noise} electrons",
        fit.basis,
    ]
    skew = fit.excess_skew
    if skew is not None and skew.value - 2 * skew.se > 1.3:
        comments.append(
            f"the noise is {skew.value:.2f} times as skewed as shot noise: with an EM register set em_gain, too"
        )
    body = yaml.safe_dump(to_section(fit), sort_keys=False, default_flow_style=None)
    return "".join(f"# {line}\n" for line in comments) + body


def _read_channel(image: Image, channel: int, lead: str, path: Path) -> NDArray[np.generic]:
    """Return one channel with axes `lead`, then ZYX where there are planes, else YX."""
    if not 0 <= channel < image.sizes.get("C", 1):
        raise DataError(f"{path} has {image.sizes.get('C', 1)} channel(s), counted from 0; found channel {channel}")
    chosen = image.crop({"C": slice(channel, channel + 1)}) if "C" in image.axes else image
    letters = lead + ("ZYX" if image.sizes.get("Z", 1) > 1 else "YX")
    return axes_.move(chosen.array(), chosen.axes, letters)
