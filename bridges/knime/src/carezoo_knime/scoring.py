"""CARE Evaluate: paths of restored images and of references in, scores out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo import files
from carezoo.errors import Cancelled, InputError, MissingExtraError
from carezoo.evaluate.scores import evaluate_pairs
from carezoo.image import Image
from carezoo.metrics import mean_scores, score
from carezoo.pictures.view import take_restored_frames
from carezoo.progress import Progress
from carezoo_knime.cells import Row, path_of


@dataclass(frozen=True, kw_only=True)
class ScoredRow(Row):
    """Scores of one image, the mean over its channels and time points. None becomes a missing cell."""

    psnr_db: float | None = None
    """Of the restored image against the reference, after the paper's fit of gain and offset."""
    nrmse: float | None = None
    ssim: float | None = None
    """None for images with fewer than 7 pixels along an axis."""
    input_psnr_db: float | None = None
    """Of the noisy image; this and what follows is None without a column of noisy images."""
    psnr_gain_db: float | None = None
    gain_error: float | None = None
    """Of the intensities of the restored image, in the units of the noisy one: gain - 1."""
    offset_error: float | None = None
    """The same for the offset, over the range of the expected image."""
    error: str | None = None


def score_rows(
    rows: Sequence[Mapping[str, Any]],
    *,
    folder: Path | None = None,
    axes: str | None = None,
    scene: str | None = None,
    is_strict: bool = False,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[ScoredRow]:
    """Score the restored image of every row against its reference, as `restore_rows` restores.

    Parameters
    ----------
    rows
        Paths under the keys `restored`, `reference` and, if there are noisy images, `noisy`.
    axes
        Axes of the files; None: as their metadata say.
    scene
        Name or number of the image in noisy and reference files that hold several; None: the first.

    Raises
    ------
    Cancelled
        If `cancelled`, asked before each row, returned True.
    MissingExtraError
        If scikit-image is not installed.
    """
    scored = []
    for i, row in enumerate(rows):
        if cancelled and cancelled():
            raise Cancelled(f"stopped before row {i + 1} of {len(rows)}")
        try:
            scored.append(_score({key: path_of(cell, folder) for key, cell in row.items()}, axes, scene))
        except InputError as error:
            if is_strict:
                raise
            scored.append(ScoredRow(error=str(error)))
        if progress:
            progress(i + 1, len(rows), f"{i + 1} of {len(rows)}")
    return scored


def _score(paths: Mapping[str, Path], axes: str | None, scene: str | None) -> ScoredRow:
    try:
        images = {
            key: files.open_image(path, axes, scene=files.applicable_scene(path, scene)) for key, path in paths.items()
        }
    except MissingExtraError as error:  # the reader of this file; other rows may do without it
        raise InputError(str(error)) from error
    if "noisy" not in images:
        mean = mean_scores([score(each["restored"], each["reference"]) for _, each in _planes(images)]).mean
        return ScoredRow(psnr_db=mean.psnr_db, nrmse=mean.nrmse, ssim=mean.ssim)
    images["noisy"] = take_restored_frames(images["noisy"], paths["restored"])
    found = evaluate_pairs((name, each["noisy"], each["restored"], each["reference"]) for name, each in _planes(images))
    intensities = found.intensities.mean if found.intensities else None
    return ScoredRow(
        psnr_db=found.restored.mean.psnr_db,
        nrmse=found.restored.mean.nrmse,
        ssim=found.restored.mean.ssim,
        input_psnr_db=found.input.mean.psnr_db,
        psnr_gain_db=found.psnr_gain_db,
        gain_error=intensities.gain_error if intensities else None,
        offset_error=intensities.offset_error if intensities else None,
    )


def _planes(images: Mapping[str, Image]) -> Iterator[tuple[str, dict[str, NDArray[np.generic]]]]:
    """Yield every channel and time point of all images, ZYX or YX, with its name.

    Images that differ in shape are an `InputError`.
    """
    shapes = {key: tuple(image.sizes.get(letter, 1) for letter in axes_.LETTERS) for key, image in images.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{key} {image.axes} {image.shape}" for key, image in images.items())
        raise InputError(f"only images of one shape can be compared pixel by pixel; found {found}")
    for s, t, c in np.ndindex(next(iter(shapes.values()))[:3]):
        region = {"S": slice(s, s + 1), "T": slice(t, t + 1), "C": slice(c, c + 1)}
        plane = {
            key: image.crop({letter: bound for letter, bound in region.items() if letter in image.axes})
            for key, image in images.items()
        }
        yield (
            f"{images['restored'].name}, sample {s}, time {t}, channel {c}",
            {key: axes_.move(image.array(), image.axes, "STCZYX")[0, 0, 0] for key, image in plane.items()},
        )
