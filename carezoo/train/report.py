"""How good a packed model is on files it has never seen, restored as a user would restore them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.data.pair_axes import PairAxes
from carezoo.data.pairs import Pair
from carezoo.data.raw import read
from carezoo.evaluate import pictures, scores
from carezoo.evaluate.scores import Evaluation
from carezoo.files.atomic import replacing
from carezoo.image import Image
from carezoo.metrics import score
from carezoo.package.read import Package
from carezoo.runtime.restore import Settings, open_session, restore

FRAMES_PER_FILE = 5
"""Planes, frames and samples that are scored of a file that has more of them, spread evenly."""

N_PICTURES = 4

Scored = tuple[str, NDArray[Any], NDArray[Any], NDArray[Any]]
"""Name, noisy, restored and clean image, one channel each."""


def evaluate(package: Package, pairs: Iterable[Pair], axes: PairAxes, folder: Path) -> Evaluation:
    """Restore and score files, and write `scores.json`, `scores.md` and pictures of the first ones into `folder`.

    Parameters
    ----------
    package
        The model.
    pairs
        Files that neither trained nor chose it.
    axes
        Of sources and targets: an image to score has these axes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = scores.evaluate_pairs(_drawn(_restored(package, pairs, axes), folder))
    for name, text in (
        ("scores.json", scores.to_json(evaluation)),
        ("scores.md", scores.to_markdown_table(evaluation)),
    ):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return evaluation


def summary(evaluation: Evaluation) -> dict[str, float | int | None]:
    """Return the mean scores as plain numbers for a manifest."""
    before, after, intensities = evaluation.input.mean, evaluation.restored.mean, evaluation.intensities.mean
    numbers = {
        "psnr_db_input": before.psnr_db,
        "psnr_db": after.psnr_db,
        "psnr_gain_db": evaluation.psnr_gain_db,
        "nrmse_input": before.nrmse,
        "nrmse": after.nrmse,
        "ssim_input": before.ssim,
        "ssim": after.ssim,
        "gain_error": intensities.gain_error,
        "offset_error": intensities.offset_error,
    }
    rounded = {name: None if value is None else float(f"{value:.5g}") for name, value in numbers.items()}
    return {"n_images": len(evaluation.files), **rounded}


def _restored(package: Package, pairs: Iterable[Pair], axes: PairAxes) -> Iterator[Scored]:
    settings = Settings(provider="cpu")
    session = open_session(package, settings)
    for pair in pairs:
        source = _model_input(pair)
        restored = restore(source, package, settings, session=session).images["mean"]
        for region, frame in _frames(source, axes.source):
            images = [read(image, region) for image in (source, restored)]
            target = read(pair.target, _in_target(pair.target, region))[list(pair.target_channels)]
            for channel in range(min(len(images[1]), len(target))):
                name = pair.name + frame + (f", channel {channel}" if len(target) > 1 else "")
                noisy = beside_target(images[0][min(channel, len(images[0]) - 1)], axes)
                yield name, noisy.squeeze(), images[1][channel].squeeze(), target[channel].squeeze()


def beside_target(source: NDArray[Any], axes: PairAxes) -> NDArray[Any]:
    """Return one channel of a source (ZYX) with the planes of its target, as without a model.

    The maximum of all planes for a projection, else planes interpolated between the planes (cubic, half-pixel
    convention).
    """
    if axes.is_projected:
        return np.asarray(source.max(axis=0, keepdims=True))
    if axes.factor == 1:
        return source
    from scipy.ndimage import map_coordinates

    n_planes = int(len(source) * axes.factor)
    z = (np.arange(n_planes) + 0.5) / float(axes.factor) - 0.5
    grid = np.meshgrid(z, *(np.arange(size) for size in source.shape[1:]), indexing="ij", sparse=True)
    positions = np.stack(np.broadcast_arrays(*grid))
    return np.asarray(map_coordinates(source.astype(np.float32), positions, order=3, mode="nearest"))


def _model_input(pair: Pair) -> Image:
    """Return the source with the channels of the model alone."""
    image = pair.source
    if image.sizes.get("C", 1) == len(pair.source_channels):
        return image
    channels = np.take(image.array(), pair.source_channels, axis=image.axes.index("C"))
    return Image(channels, image.axes, image.pixel_size_um, name=image.name)


def _frames(image: Image, spatial_axes: str) -> Iterator[tuple[dict[str, slice], str]]:
    """Yield regions of single frames, spread evenly, and what to add to the name of the image."""
    letters = [letter for letter in "STZ" if letter not in spatial_axes and letter in image.sizes]
    shape = tuple(image.sizes[letter] for letter in letters)
    n = int(np.prod(shape))
    for flat in sorted({int(i) for i in np.linspace(0, n - 1, min(n, FRAMES_PER_FILE))}):
        index = dict(zip(letters, (int(i) for i in np.unravel_index(flat, shape)), strict=True)) if shape else {}
        region = {letter: slice(i, i + 1) for letter, i in index.items()}
        yield region, "".join(f", {letter} {i}" for letter, i in index.items() if image.sizes[letter] > 1)


def _in_target(target: Image, region: dict[str, slice]) -> dict[str, slice]:
    """Return the region of a target, which may have one frame for all those of its source."""
    return {letter: span if target.sizes.get(letter, 1) > 1 else slice(0, 1) for letter, span in region.items()}


def _drawn(scored: Iterable[Scored], folder: Path) -> Iterator[Scored]:
    for number, (name, noisy, restored, target) in enumerate(scored):
        if number < N_PICTURES:
            both = (score(noisy, target), score(restored, target), None)
            path = folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}.png"
            pictures.before_after(noisy, restored, target, scores=both, path=path)
        yield name, noisy, restored, target
