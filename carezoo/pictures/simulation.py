"""Pictures of a simulation, for a person to judge before training: pairs as a network will see them, a fit of noise."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError
from carezoo.noise.measure import NoiseFit
from carezoo.pictures import display, figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _WIDTH = 250, 1500

_SHOWN = ("photons", "dose_factor", "background", "read_noise", "sigma_um", "density", "coverage", "factor")
"""Last parts of the names of parameters worth a line, in this order."""


def contact_sheet(
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any], Mapping[str, float]]],
    path: str | os.PathLike[str] | None = None,
) -> bytes:
    """Draw one row for each pair: source, target, line profiles, histograms, power spectra; return the bytes of a PNG.

    Source and target are shown between the same two grey levels if they overlap, and along the profile (the row with
    the most structure in the target, framed by ticks) they share an axis: both are in the units of the source.

    Parameters
    ----------
    pairs
        Source, target and the numbers the pair was made with. YX or ZYX; of CYX and CZYX the first channel is shown, of
        stacks the maximum projection.

    Raises
    ------
    InputError
        If there is no pair.
    MissingExtraError
        If matplotlib is not installed.
    """
    if not pairs:
        raise InputError("a contact sheet shows at least one pair, found none")
    with figures.figure(_WIDTH, _ROW * len(pairs) + 30) as figure:
        grid = figure.subplots(len(pairs), 5, squeeze=False, width_ratios=(1, 1, 1.3, 1, 1))
        for row, (source, target, parameters) in zip(grid, pairs, strict=True):
            _draw(row, _plane(source, target.ndim), _plane(target, target.ndim), parameters)
        for axes, title in zip(grid[0], ("source", "target", "profile", "histogram", "power spectrum"), strict=True):
            axes.set_title(title, fontsize=11, weight="bold")
        figure.subplots_adjust(left=0.13, right=0.99, top=1 - 24 / (_ROW * len(pairs) + 30), bottom=0.03, wspace=0.25)
        return figures.png(figure, path)


def _plane(image: NDArray[Any], n_target: int) -> NDArray[np.float32]:
    """Return one channel as YX: stacks by their maximum, a source with an axis more than its target too."""
    # A volume whose small first axis could be channels is rare; four axes always have channels first.
    if image.ndim == 4 or (image.ndim == 3 and n_target == 3 and image.shape[0] <= 4):
        image = image[0]
    return display.to_plane(image, "a pair")[0]


def _draw(
    row: Sequence[Axes], source: NDArray[np.float32], target: NDArray[np.float32], parameters: Mapping[str, float]
) -> None:
    low, high = display.display_range(source)
    low = min(low, float(np.percentile(target, 0.5)))
    high = max(high, float(np.percentile(target, 99.5)))
    y = _profile_row(target)
    for axes, image in zip(row[:2], (source, target), strict=True):
        axes.imshow(image, cmap="gray", vmin=low, vmax=high)
        axes.set_xticks([])
        axes.set_yticks([y], labels=[""])
        axes.tick_params(axis="y", length=8, width=2, color=figures.ORANGE)
    row[0].set_ylabel(_words(parameters), rotation=0, ha="right", va="center", fontsize=8)
    for image, color, name in ((source, figures.BLUE, "source"), (target, figures.ORANGE, "target")):
        line = image[min(y, len(image) - 1)]
        row[2].plot(line, color=color, lw=1, label=name)
        counts, edges = np.histogram(image, bins=_bins(source, low, high))
        row[3].stairs(np.maximum(counts, 0.5), edges, color=color)
        row[4].plot(*_power(image), color=color, lw=1)
    row[2].legend(frameon=False, fontsize=8, loc="upper right")
    row[3].set_yscale("log")
    row[4].set_yscale("log")
    for axes in row[2:]:
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)


def _bins(source: NDArray[np.float32], low: float, high: float) -> NDArray[np.float64]:
    """Return about 80 limits; whole numbers of grey levels, so that a digital image does not look like a comb."""
    width = (high - low) / 80
    if np.array_equal(source, np.rint(source)):
        width = max(1.0, float(np.ceil(width)))
        low = float(np.floor(low)) - 0.5
    return np.arange(low, high + 1.5 * width, width)


def _profile_row(plane: NDArray[np.float32]) -> int:
    return int(np.abs(np.diff(plane.astype(np.float64), axis=1)).sum(axis=1).argmax())


def _power(plane: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequency (cycles a pixel) and power averaged over rings."""
    window = np.outer(np.hanning(plane.shape[0] + 2)[1:-1], np.hanning(plane.shape[1] + 2)[1:-1])
    power = np.abs(np.fft.fft2((plane - plane.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(plane.shape[0])[:, None], np.fft.fftfreq(plane.shape[1]))
    n_rings = max(4, min(plane.shape) // 4)
    ring = np.minimum((radius * 2 * n_rings).astype(int), n_rings)
    mean = np.bincount(ring.ravel(), power.ravel(), n_rings + 1) / np.maximum(np.bincount(ring.ravel()), 1)
    return (np.arange(n_rings) + 0.5) / (2 * n_rings), np.maximum(mean[:n_rings], 1e-12)


def _words(parameters: Mapping[str, float]) -> str:
    """Return the parameters that decide how a pair looks, a line each."""
    lines = []
    for wanted in _SHOWN:
        for name, value in parameters.items():
            if name.rsplit(".", 1)[-1] == wanted and np.isfinite(value):
                lines.append(f"{name.replace('camera.', '')} {value:.3g}")
    return "\n".join(lines[:8])


def noise_plot(fit: NoiseFit, path: str | os.PathLike[str] | None = None) -> bytes:
    """Draw the mean-variance points of `fit`, the fitted line and its numbers; return the bytes of a PNG.

    The lower panel shows how far points lie from the line, in per cent, where a bend (saturation, clipping, processed
    images) shows first.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    points = fit.points
    line = fit.variance(points.mean)
    with figures.figure(760, 620) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.errorbar(
            points.mean, points.variance, 2 * points.variance_se, fmt="o", ms=4, lw=1, color=figures.BLUE, zorder=2
        )
        x = np.linspace(min(fit.offset.value, float(points.mean.min())), float(points.mean.max()), 200)
        above.plot(x, np.maximum(fit.variance(x), 0.0), color=figures.ORANGE, zorder=1)
        above.set_ylabel("variance (grey levels²)")
        above.text(0.02, 0.97, _format_fit(fit), transform=above.transAxes, va="top", fontsize=10, linespacing=1.5)
        shown = line > 0.02 * line.max()
        deviation = 100 * (points.variance[shown] / line[shown] - 1)
        below.errorbar(
            points.mean[shown],
            deviation,
            200 * points.variance_se[shown] / line[shown],
            fmt="o",
            ms=4,
            lw=1,
            color=figures.BLUE,
        )
        below.axhline(0.0, color=figures.ORANGE)
        below.set_ylabel("off the line (%)")
        below.set_xlabel("mean (grey levels)")
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
        figure.align_ylabels()
        figure.subplots_adjust(left=0.12, right=0.97, top=0.97, bottom=0.14, hspace=0.08)
        figure.text(0.02, 0.02, f"Bars: 2 standard errors. {fit.basis[0].upper()}{fit.basis[1:]}.", fontsize=8)
        return figures.png(figure, path)


def _format_fit(fit: NoiseFit) -> str:
    lines = [
        f"gain {fit.gain} grey levels per photoelectron",
        f"offset {fit.offset} grey levels",
        f"read noise {fit.read_noise} electrons",
    ]
    return "\n".join(lines).replace("+-", "±")
