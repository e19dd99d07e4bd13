"""Small pictures of one evaluated image: all methods at one display range, its errors, and what was said of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.evaluate.assessment import INPUT, RESTORED, TARGET, Assessment
from carezoo.evaluate.frames import ScoredFrame
from carezoo.metrics import AffineFit
from carezoo.pictures import display

SIDE = 160
"""Largest side of what is shown: pixels are enlarged, so that noise can be seen."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture."""

    name: str
    """Of the image (`INPUT`, a baseline, `RESTORED`, `TARGET`), or scale, disagreement, error."""
    caption: str
    png: bytes


@dataclass(frozen=True, eq=False)
class Example:
    """Pictures of one image."""

    name: str
    group: str
    psnr_gain_db: float
    views: tuple[tuple[str, tuple[Panel, ...]], ...]
    """What is shown of the image, and its panels: a region of one plane; of volumes, a section along Z, too."""


def example(frame: ScoredFrame, images: Mapping[str, NDArray[Any]], assessment: Assessment) -> Example:
    """Draw one image, as given to, and returned by, `carezoo.evaluate.assessment.assess`."""
    scores = assessment.scores
    of_image = {INPUT: scores.input, RESTORED: scores.restored, **scores.baselines}
    fits = {name: AffineFit(one.gain, one.offset) for name, one in of_image.items()}
    low, high = (float(p) for p in np.percentile(frame.target, (0.1, 99.9)))
    target = (frame.target.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    shown = {
        name: image.astype(np.float32) * np.float32(fits[name].gain) + np.float32(fits[name].offset)
        for name, image in images.items()
    }
    shown[TARGET] = target
    captions = {name: f"{one.psnr_db:.1f} dB" for name, one in of_image.items()}
    maps = {"error": np.abs(shown[RESTORED] - target)}
    if frame.predicted is not None:
        maps["scale"] = frame.predicted.scale * abs(fits[RESTORED].gain)
    if frame.disagreement is not None:
        maps["disagreement"] = frame.disagreement
    views = []
    for words, cut in _views(target, frame.pixel_size_um):
        views.append((words, (*_grey(shown, captions, cut), *_draw_maps(maps, cut))))
    return Example(frame.name, frame.group, scores.psnr_gain_db, tuple(views))


def choose_examples(examples: list[Example]) -> list[tuple[str, Example]]:
    """Return the images with the smallest, the middle and the largest gain in PSNR, and which of these they are."""
    ordered = sorted(examples, key=lambda one: one.psnr_gain_db if math.isfinite(one.psnr_gain_db) else 0.0)
    words = {0: "smallest gain", (len(ordered) - 1) // 2: "median gain", len(ordered) - 1: "largest gain"}
    if len(ordered) == 1:
        return [("", ordered[0])]
    return [(words[i], ordered[i]) for i in sorted(words)]


def png(plane: NDArray[np.uint8]) -> bytes:
    """Return a grey (YX) or coloured (YX3) picture as the bytes of a PNG file."""
    from imagecodecs import png_encode

    return bytes(png_encode(np.ascontiguousarray(plane), level=7))


class _PanelCut:
    """A region of one plane or section, at whole multiples of its pixels."""

    def __init__(self, index: tuple[int | slice, ...], stretch: int) -> None:
        self.index, self.stretch = index, stretch

    def __call__(self, image: NDArray[Any]) -> NDArray[np.float32]:
        return np.repeat(np.asarray(image[self.index], np.float32), self.stretch, axis=0)


def _views(target: NDArray[Any], pixel_size_um: Mapping[str, float]) -> list[tuple[str, _PanelCut]]:
    plane = target if target.ndim == 2 else target[_richest(target)]
    shape = (min(SIDE, plane.shape[0]), min(SIDE, plane.shape[1]))
    rows, columns = display.informative_region(plane, shape)
    if target.ndim == 2:
        return [("the region with the most structure", _PanelCut((rows, columns), 1))]
    z, y = _richest(target), (rows.start + rows.stop) // 2
    size = [pixel_size_um.get(letter) for letter in "ZX"]
    stretch = max(1, round(size[0] / size[1])) if size[0] and size[1] else 1
    return [
        (f"plane {z}", _PanelCut((z, rows, columns), 1)),
        (f"section along Z and X at row {y}", _PanelCut((slice(None), y, columns), min(stretch, 12))),
    ]


def _richest(stack: NDArray[Any]) -> int:
    return int(np.argmax(stack.reshape(len(stack), -1).std(axis=1)))


def _grey(images: Mapping[str, NDArray[Any]], captions: Mapping[str, str], cut: _PanelCut) -> list[Panel]:
    # Of the whole target, so that the views of an image can be compared.
    low, high = (float(p) for p in np.percentile(images[TARGET], display.PERCENTILES))
    return [Panel(name, captions.get(name, ""), png(_levels(cut(image), low, high))) for name, image in images.items()]


def _draw_maps(maps: Mapping[str, NDArray[Any]], cut: _PanelCut) -> list[Panel]:
    """Draw error and scale at one range, so that they can be compared, and disagreement from 0 to 1."""
    shared = [np.percentile(cut(maps[name]), 99.5) for name in ("error", "scale") if name in maps]
    high = float(max(shared)) or 1.0
    found = []
    for name, values in maps.items():
        top = 1.0 if name == "disagreement" else high
        found.append(Panel(name, f"0 to {top:.2g}", png(_palette()[_levels(cut(values), 0.0, top)])))
    return found


def _levels(plane: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    shown = np.clip((plane - low) / max(high - low, 1e-12), 0, 1) * 255
    return np.asarray(np.rint(shown).astype(np.uint8))


def _palette() -> NDArray[np.uint8]:
    """Return matplotlib's cividis: rising in brightness, the same for every kind of colour vision."""
    from matplotlib import colormaps

    return np.asarray((colormaps["cividis"](np.arange(256))[:, :3] * 255).round().astype(np.uint8))
