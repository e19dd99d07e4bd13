"""Line charts for pages, as SVG whose colours are those of the page, light or dark.

matplotlib draws with placeholder colours, and the placeholders become CSS variables: one drawing serves both themes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from carezoo.pictures.figures import figure

_LEAST_LOG = 4.0

_INK, _GRID = "#a00001", "#a00002"
_SERIES = tuple(f"#b000{number:02d}" for number in range(10))
_VARIABLES = {
    _INK: "var(--soft)",
    _GRID: "var(--line)",
    **{placeholder: f"var(--series-{number})" for number, placeholder in enumerate(_SERIES)},
}


@dataclass(frozen=True)
class Series:
    """One line."""

    label: str
    """In the legend; empty: not there."""
    x: Sequence[float]
    y: Sequence[float]
    colour: int
    """Number of a colour of the page, 0 to 9; 0 is the model's own."""
    style: str = "-"
    """matplotlib's line style; "." draws points on the line."""


@dataclass(frozen=True)
class PlotArea:
    """What stands around the lines."""

    x: str
    y: str
    x_log: bool = False
    y_log: bool = False
    """Logarithmic, if the values are positive and differ by a factor of `_LEAST_LOG`."""
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    level: float | None = None
    """A horizontal line."""
    legend: Literal["best", "lower right"] = "best"
    """matplotlib's place of the legend."""


def draw_lines(series: Sequence[Series], frame: PlotArea) -> str:
    """Return a chart as an SVG element without size: as wide as its place on the page.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    with figure(440, 320) as drawn:
        import matplotlib as mpl

        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": repr((series, frame))}):
            drawn.patch.set_alpha(0.0)
            axes = drawn.add_axes((0.15, 0.16, 0.82, 0.8))
            axes.patch.set_alpha(0.0)
            for one in series:
                axes.plot(
                    one.x,
                    one.y,
                    color=_SERIES[one.colour % len(_SERIES)],
                    label=one.label or "_",
                    linestyle="-" if one.style == "." else one.style,
                    marker="o" if one.style == "." else "",
                    markersize=4,
                    linewidth=2.4 if one.colour == 0 else 1.5,
                )
            _furnish(axes, frame)
            if any(one.label for one in series):
                axes.legend(frameon=False, loc=frame.legend, fontsize=9.5, labelcolor=_INK)
            buffer = io.StringIO()
            drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _apply_theme(buffer.getvalue())


def _furnish(axes: Any, frame: PlotArea) -> None:
    axes.set_xlabel(frame.x, color=_INK, fontsize=10.5)
    axes.set_ylabel(frame.y, color=_INK, fontsize=10.5)
    for is_log, set_scale, axis in (
        (frame.x_log, axes.set_xscale, axes.xaxis),
        (frame.y_log, axes.set_yscale, axes.yaxis),
    ):
        low, high = axis.get_data_interval()
        if is_log and high > _LEAST_LOG * low > 0:
            set_scale("log")
            _mark(axis)
        elif not is_log:
            axis.get_major_locator().set_params(nbins=6)
    if frame.x_range:
        axes.set_xlim(*frame.x_range)
    if frame.y_range:
        axes.set_ylim(*frame.y_range)
    if frame.level is not None:
        axes.axhline(frame.level, color=_INK, linewidth=1, linestyle=":")
    axes.tick_params(which="both", colors=_INK, labelsize=9.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(_INK)
    axes.grid(color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def _mark(axis: Any) -> None:
    """Label 1, 2 and 5 of every decade, or the decades alone where there are many."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    if high < 100 * low:  # few decades, or none
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _apply_theme(svg: str) -> str:
    """Return the SVG element with the colours of the page in place of the placeholders."""
    element = svg[svg.index("<svg") :]
    head, body = element.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None  # matplotlib writes one
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"font: ([0-9.]+px) [^;\"]*", r"font-size: \1", body)
    for placeholder, variable in _VARIABLES.items():
        body = body.replace(placeholder, variable)
    return f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box[0]} role="img">{body}'
