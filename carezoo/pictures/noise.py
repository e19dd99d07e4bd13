"""A picture of a noise fit: variance over mean, with the line that was fitted."""

from __future__ import annotations

import os

import numpy as np

from carezoo.pictures import figures
from carezoo.simulate.noise import NoiseFit


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
        above.text(0.02, 0.97, _numbers(fit), transform=above.transAxes, va="top", fontsize=10, linespacing=1.5)
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


def _numbers(fit: NoiseFit) -> str:
    lines = [
        f"gain {fit.gain} grey levels per photoelectron",
        f"offset {fit.offset} grey levels",
        f"read noise {fit.read_noise} electrons",
    ]
    return "\n".join(lines).replace("+-", "±")
