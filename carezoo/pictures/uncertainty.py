"""An image, its restoration, and what the model does not know of it, in one picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carezoo.pictures import before_after, display, figures
from carezoo.pictures.view import View
from carezoo.uncertainty.mixture import map_distribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVEL = 0.9
"""Of the band around the profile."""

_PANEL, _GAP, _BAR, _TITLE, _PROFILE, _MARGIN, _LABELS = 380, 14, 46, 30, 300, 70, 76
_MAP = "cividis"
"""Rises evenly in brightness, and looks the same to every kind of colour vision."""

_LEAST_COMMON = 1 / 3
"""Of the display ranges of an input and its restoration: less than this in common, and each gets its own."""


class _Panel(NamedTuple):
    title: str
    image: NDArray[Any]
    colors: str
    limits: tuple[float, float]


def picture(view: View, at: Mapping[str, int] | None = None, path: str | os.PathLike[str] | None = None) -> bytes:
    """Draw input, restored image, scale and disagreement, and below them a line profile with its 90 % band.

    Input and restored image have one display range, unless that shows little of the input (where a model removes
    background, or has units of its own); the title says which. Of stacks, three orthogonal planes are shown: below the
    one along the line of the profile, on the right the one along the dotted line.

    Parameters
    ----------
    at
        Y chooses the row of the profile, Z and X the other planes of a stack; by default those with the most structure.
    path
        PNG file to write as well.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    cut = _Cut(view, at or {})
    panels = _panels(view, cut)
    tall = max(each.image.shape[0] / each.image.shape[1] for each in panels)
    height = round(_PANEL * min(tall, 2.0))
    width = _GAP + len(panels) * (_PANEL + _GAP)
    total = _TITLE + height + (_BAR if any(each.colors == _MAP for each in panels) else 0) + _PROFILE + _MARGIN
    with figures.figure(width, total) as figure:
        for i, panel in enumerate(panels):
            left = _GAP + i * (_PANEL + _GAP)
            axes = figure.add_axes((left / width, 1 - (_TITLE + height) / total, _PANEL / width, height / total))
            drawn = axes.imshow(
                panel.image, cmap=panel.colors, vmin=panel.limits[0], vmax=panel.limits[1], interpolation="nearest"
            )
            axes.set_axis_off()
            axes.set_anchor("N")
            axes.set_title(panel.title, fontsize=13, weight="bold", loc="left")
            axes.plot((-0.5, cut.n_columns - 0.5), (cut.y, cut.y), color=figures.ORANGE, lw=0.8, alpha=0.8)
            if cut.stack is not None:  # where the plane on the right is
                axes.plot((cut.x, cut.x), (-0.5, cut.n_rows - 0.5), color=figures.ORANGE, lw=0.8, alpha=0.8, ls=":")
            if i == 0 and "X" in view.size_um:
                before_after.scale_bar(axes, view.size_um["X"], cut.plane(view.restored).shape[:2])
            if panel.colors == _MAP:
                place = (left / width, 1 - (_TITLE + height + 16) / total, _PANEL / width, 10 / total)
                figure.colorbar(drawn, cax=figure.add_axes(place), orientation="horizontal").ax.tick_params(labelsize=8)
        below = (_LABELS / width, 48 / total, 1 - (_LABELS + _GAP) / width, (_PROFILE - 40) / total)
        _profile(figure.add_axes(below), view, cut)
        return figures.png(figure, path)


def _panels(view: View, cut: _Cut) -> list[_Panel]:
    shared = display.display_range(cut.plane(view.restored))
    source = cut.show_source(view)
    own = display.display_range(source[: len(cut.plane(view.restored)), : cut.n_columns])
    common = min(own[1], shared[1]) - max(own[0], shared[0])
    is_shared = common > _LEAST_COMMON * (max(own[1], shared[1]) - min(own[0], shared[0]))
    how = ["maximum"] * (view.source.ndim > view.restored.ndim) + ["own contrast"] * (not is_shared)
    panels = [
        _Panel(f"Input ({', '.join(how)})" if how else "Input", source, "gray", shared if is_shared else own),
        _Panel("Restored", cut.show(view.restored), "gray", shared),
    ]
    if view.scale is not None:
        top = float(np.nanpercentile(cut.show(view.scale), 99.8)) or 1.0
        panels.append(_Panel("Scale (intensities)", cut.show(view.scale), _MAP, (0.0, top)))
    if view.disagreement is not None:
        panels.append(_Panel("Disagreement", cut.show(view.disagreement), _MAP, (0.0, 1.0)))
    return panels


class _Cut:
    """Which row of which planes is shown."""

    def __init__(self, view: View, at: Mapping[str, int]) -> None:
        self.stack = view.restored if view.restored.ndim == 3 else None
        self.z = 0
        if self.stack is not None:
            richest = int(np.argmax(self.stack.reshape(len(self.stack), -1).std(axis=1)))
            self.z = min(at.get("Z", richest), len(self.stack) - 1)
        shown = self.plane(view.restored).astype(np.float32)
        self.n_rows, self.n_columns = shown.shape
        rows, columns = display.informative_region(shown, (min(33, shown.shape[0]), min(33, shown.shape[1])))
        self.y = min(at.get("Y", (rows.start + rows.stop) // 2), shown.shape[0] - 1)
        self.x = min(at.get("X", (columns.start + columns.stop) // 2), shown.shape[1] - 1)
        self._stretch = _stretch(view.size_um)

    def plane(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the plane that is shown."""
        return image if image.ndim == 2 else image[self.z]

    def show(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return a plane, or the three planes of a stack."""
        return image if image.ndim == 2 else _orthogonal(image, (self.z, self.y, self.x), self._stretch)

    def show_source(self, view: View) -> NDArray[Any]:
        """Return the same of the input, which may have other planes, or be projected."""
        source = view.source
        if source.ndim == 3 and self.stack is None:
            projection: NDArray[Any] = source.max(axis=0)
            return projection
        if source.ndim == 3 and self.stack is not None:
            z = min(self.z * len(source) // len(self.stack), len(source) - 1)
            # As deep on screen as the restored stack, whatever the number of its planes.
            stretch = self._stretch * len(self.stack) / len(source)
            return _orthogonal(source, (z, self.y, self.x), stretch)
        return source

    def take_row(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the row of the profile."""
        return np.asarray(self.plane(image)[self.y], np.float32)


def _stretch(size_um: Mapping[str, float]) -> float:
    return size_um["Z"] / size_um["X"] if "Z" in size_um and "X" in size_um else 1.0


def _orthogonal(stack: NDArray[Any], at: tuple[int, int, int], stretch: float) -> NDArray[np.float32]:
    """Return the planes YX, YZ (right of it) and ZX (below it) through one voxel as one image, with white between."""
    z, y, x = at
    planes = np.minimum((np.arange(max(1, round(len(stack) * stretch))) / stretch).astype(int), len(stack) - 1)
    right, below = stack[planes, :, x].T, stack[planes, y]
    rows, columns = stack.shape[1:]
    gap = max(2, columns // 100)
    image = np.full((rows + gap + len(planes), columns + gap + len(planes)), np.nan, np.float32)
    image[:rows, :columns] = stack[z]
    image[:rows, columns + gap :] = right
    image[rows + gap :, :columns] = below
    return image


def _profile(axes: Axes, view: View, cut: _Cut) -> None:
    line, size = cut.take_row(view.restored), view.size_um.get("X")
    x = np.arange(len(line)) * (size or 1.0)
    source = cut.show_source(view)[cut.y, : cut.n_columns]
    axes.plot(x, source, color="#999999", lw=0.8, label="input")
    if view.distribution is not None:
        level = view.recalibration.level(LEVEL) if view.recalibration else LEVEL
        lower, upper = map_distribution(view.distribution, cut.take_row).interval(level)
        axes.fill_between(x, lower, upper, color=figures.BLUE, alpha=0.3, lw=0, label=f"{LEVEL:.0%} interval")
    axes.plot(x, line, color=figures.BLUE, lw=1.4, label="restored")
    axes.set_xlim(x[0], x[-1])
    axes.set_xlabel("µm" if size else "pixels")
    where = f"row {cut.y}" + (f" of plane {cut.z}" if cut.stack is not None else "")
    axes.set_title(f"{view.name}, {where}", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=9, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    axes.spines[["top", "right"]].set_visible(False)
