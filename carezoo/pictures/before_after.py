"""Pictures of restorations and trainings, as PNG. Figures are drawn off screen, without pyplot.

Every picture is returned as the bytes of its file and, where a path is given, also written there. The same pixels give
the same bytes: nothing random, no date, no software name, no user settings of matplotlib.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import InputError
from carezoo.metrics import Scores
from carezoo.pictures import display, figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Box = tuple[float, float, float, float]  # left, top, width, height in pixels of the figure

_MARK = "#ffb000"  # orange: apart from grey values for every kind of colour vision
_GAP, _TITLE, _SCORES, _FOOTER = 8, 30, 20, 24
_PANEL_WIDTHS = (360, 640)
_SMALLEST_ENLARGED = 96
_COVER_WIDTH = 512


def before_after(
    noisy: NDArray[Any],
    restored: NDArray[Any],
    clean: NDArray[Any] | None = None,
    *,
    titles: Sequence[str] = ("Noisy", "Restored", "Clean"),
    scores: Sequence[Scores | None] = (None, None, None),
    pixel_size_um: float | None = None,
    colormap: str = "gray",
    path: str | os.PathLike[str] | None = None,
) -> bytes:
    """Draw noisy, restored and clean image side by side and, below them, the region with the most structure enlarged.

    Every panel has its own display range (`carezoo.pictures.display.display_range`): contrast can be compared between
    panels, absolute intensities cannot. A volume is shown as maximum projection, and its title says so. Images with a
    side under 96 pixels are shown whole only.

    Parameters
    ----------
    noisy, restored, clean
        One channel each, YX or ZYX, with the same Y and X; any intensity units.
    titles, scores
        One for each panel; scores are written below the title, None leaves them out. More than there are panels do no
        harm.
    pixel_size_um
        Distance of neighbouring pixels along X; draws scale bars.
    colormap
        Name of a matplotlib colour map.
    path
        PNG file to write as well.

    Raises
    ------
    InputError
        If an image does not have two or three axes, the images differ in Y and X, a panel lacks a title, or `path`
        cannot be written.
    PixelError
        If all pixels are NaN or infinite.
    MissingExtraError
        If matplotlib is not installed.
    """
    images = [noisy, restored] if clean is None else [noisy, restored, clean]
    if min(len(titles), len(scores)) < len(images):
        raise InputError(f"{len(images)} panels need as many titles and scores; found {len(titles)} and {len(scores)}")
    shown = [display.to_plane(image, f"image {title!r}") for image, title in zip(images, titles, strict=False)]
    planes = [plane for plane, _ in shown]
    _check_same_field(planes)
    width, height = _panel_size(planes[0].shape)
    region = _choose_enlarged_region(planes[-1], width)
    zoom = 0 if region is None else round(width * planes[0][region].shape[0] / planes[0][region].shape[1])
    top = _TITLE + (_SCORES if any(scores) else 0)
    total = top + height + (zoom + _GAP if zoom else 0) + _FOOTER
    with figures.figure(_GAP + len(planes) * (width + _GAP), total) as figure:
        for column, (plane, n_planes) in enumerate(shown):
            left = _GAP + column * (width + _GAP)
            _title(figure, left, _with_projection(titles[column], n_planes), scores[column])
            panels = [_panel(figure, (left, top, width, height), plane, colormap)]
            if region is not None:
                below = (left, top + height + _GAP, width, zoom)
                panels.append(_panel(figure, below, plane[region], colormap))
                _mark(panels[0], panels[1], region)
            if column == 0 and pixel_size_um is not None:
                for panel in panels:
                    scale_bar(panel, pixel_size_um)
        _footer(figure, is_enlarged=region is not None)
        return figures.png(figure, path)


def cover(
    noisy: NDArray[Any], restored: NDArray[Any], *, colormap: str = "gray", path: str | os.PathLike[str] | None = None
) -> bytes:
    """Draw one field half noisy, half restored: the cover of a package, at most 512 pixels wide, twice as wide as high.

    Both halves of the field hold structure, if any region does; pixels are enlarged twice where the image is large
    enough, more where it is small.
    Parameters and errors as in `before_after`.
    """
    before, after = display.to_plane(noisy, "the noisy image")[0], display.to_plane(restored, "the restored image")[0]
    _check_same_field([before, after])
    rows = max(1, min(after.shape[0], after.shape[1] // 2, _COVER_WIDTH // 4))
    columns = min(2 * rows, after.shape[1])
    region = display.informative_region(after, (rows, columns), in_both_halves=True)
    zoom = _COVER_WIDTH // columns
    with figures.figure(columns * zoom, rows * zoom) as figure:
        box = (0, 0, columns * zoom, rows * zoom)
        _panel(figure, box, before[region], colormap)
        _cut_diagonally(_panel(figure, box, after[region], colormap))
        return figures.png(figure, path)


def curves(log_rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str] | None = None) -> bytes:
    """Draw the course of a training: losses above, learning rate below, over epochs.

    Parameters
    ----------
    log_rows
        One mapping for each epoch, as `csv.DictReader` yields them: `epoch`, `train_loss` and, where known, `val_loss`
        and `learning_rate`. Missing and empty values are left out.
    path
        PNG file to write as well.

    Raises
    ------
    InputError
        If no row holds an epoch and a training loss, or `path` cannot be written.
    MissingExtraError
        If matplotlib is not installed.
    """
    train, validation = _column(log_rows, "train_loss"), _column(log_rows, "val_loss")
    rate = _column(log_rows, "learning_rate")
    if not train[0]:
        raise InputError(
            f"a loss curve needs rows with epoch and train_loss; found {len(log_rows)} row(s) without them"
        )
    with figures.figure(800, 520) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot(*train, color=figures.BLUE, label="training", marker="o" if len(train[0]) == 1 else "")
        if validation[0]:
            best = int(np.argmin(validation[1]))
            epoch, loss = validation[0][best], validation[1][best]
            above.plot(*validation, color=figures.ORANGE, label="validation")
            above.plot(
                epoch, loss, "o", color=figures.ORANGE, mfc="white", ms=7, label=f"best: {loss:.4g}, epoch {epoch:g}"
            )
        losses = np.array(train[1] + validation[1])
        if losses.max() > 10 * losses.min() > 0:
            above.set_yscale("log")
        above.set_ylabel("loss")
        above.legend(frameon=False, loc="upper right")
        below.step(*rate, where="mid", color=figures.GREY)
        if rate[0]:
            below.set_yscale("log")
        below.set_ylabel("learning rate")
        below.set_xlabel("epoch")
        below.xaxis.get_major_locator().set_params(integer=True)
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        figure.align_ylabels()
        figure.subplots_adjust(left=0.12, right=0.97, top=0.96, bottom=0.1, hspace=0.08)
        return figures.png(figure, path)


def _check_same_field(planes: Sequence[display.Plane]) -> None:
    shapes = [plane.shape for plane in planes]
    if len(set(shapes)) > 1:
        raise InputError(f"the panels of a picture must show the same field; found Y and X of {shapes}")


def _panel_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return width and height on screen: a whole multiple or fraction of the image where one is near 512 wide."""
    narrowest, widest = _PANEL_WIDTHS
    columns = shape[1]
    whole = [columns * k for k in range(1, widest // columns + 1)] + [columns // k for k in range(2, 65)]
    fitting = [n for n in whole if narrowest <= n <= widest]
    width = min(fitting, key=lambda n: abs(n - 512)) if fitting else min(max(columns, narrowest), widest)
    return width, max(1, min(round(width * shape[0] / columns), round(1.5 * width)))


def _choose_enlarged_region(plane: display.Plane, panel_width: int) -> tuple[slice, slice] | None:
    """Return the region to enlarge at least twice: about a quarter of the field's width, square where it fits."""
    rows, columns = plane.shape
    if min(rows, columns) < _SMALLEST_ENLARGED:
        return None
    wanted = min(max(columns / 4, _SMALLEST_ENLARGED / 2), panel_width / 2)
    side = panel_width // max(2, round(panel_width / wanted))
    return display.informative_region(plane, (min(rows, side), side))


def _panel(figure: Figure, box: Box, plane: display.Plane, colormap: str) -> Axes:
    left, top, width, height = box
    whole_width, whole_height = figure.get_size_inches() * figures.DPI
    axes = figure.add_axes(
        (left / whole_width, 1 - (top + height) / whole_height, width / whole_width, height / whole_height)
    )
    low, high = display.display_range(plane)
    interpolation = "nearest" if width >= plane.shape[1] else "antialiased"
    axes.imshow(plane, cmap=colormap, vmin=low, vmax=high, interpolation=interpolation)
    axes.set_anchor("NW")
    axes.set_axis_off()
    return axes


def _title(figure: Figure, left: float, title: str, scores: Scores | None) -> None:
    width, height = figure.get_size_inches() * figures.DPI
    figure.text(left / width, 1 - 18 / height, title, fontsize=13, va="center", weight="bold")
    if scores is not None:
        ssim = "" if scores.ssim is None else f"    SSIM {scores.ssim:.3f}"
        text = f"PSNR {scores.psnr_db:.2f} dB{ssim}    NRMSE {scores.nrmse:.4f}"
        figure.text(left / width, 1 - 38 / height, text, fontsize=9.5, va="center", color=figures.GREY)


def _with_projection(title: str, n_planes: int) -> str:
    return title if n_planes == 1 else f"{title} (maximum of {n_planes} planes)"


def _mark(whole: Axes, enlarged: Axes, region: tuple[slice, slice]) -> None:
    from matplotlib.patches import Rectangle

    rows, columns = region
    corner = (columns.start - 0.5, rows.start - 0.5)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    whole.add_patch(Rectangle(corner, *size, fill=False, edgecolor=_MARK, linewidth=1.2))
    enlarged.add_patch(
        Rectangle((0, 0), 1, 1, transform=enlarged.transAxes, fill=False, edgecolor=_MARK, linewidth=2.4)
    )


def scale_bar(axes: Axes, pixel_size_um: float, shape: tuple[int, int] | None = None) -> None:
    """Draw a bar of a round length into the lower right corner of a panel's image, or of its first rows and columns."""
    from matplotlib.patches import Rectangle

    axes.apply_aspect()
    size = axes.get_images()[0].get_size()
    rows, width = shape or size
    right, bottom = width - 0.5, rows - 0.5
    screen = size[1] / axes.get_window_extent().width  # image pixels per pixel of the figure
    length_um = display.scale_bar_um(width * pixel_size_um)
    length, thickness, margin = length_um / pixel_size_um, 5 * screen, 16 * screen
    corner = (right - margin - length, bottom - margin - thickness)
    axes.add_patch(Rectangle(corner, length, thickness, facecolor="white", edgecolor="black", linewidth=0.6))
    text = f"{length_um:g} µm" if length_um >= 1 else f"{1000 * length_um:g} nm"
    _outline(axes, (corner[0] + length / 2, corner[1] - thickness), text, ha="center", va="bottom")


def _outline(axes: Axes, position: tuple[float, float], text: str, **how: Any) -> None:
    """Write white text with a dark rim, which reads on any image."""
    from matplotlib.patheffects import withStroke

    axes.text(
        *position, text, color="white", fontsize=11, path_effects=[withStroke(linewidth=2, foreground="black")], **how
    )


def _footer(figure: Figure, *, is_enlarged: bool) -> None:
    width, height = figure.get_size_inches() * figures.DPI
    low, high = display.PERCENTILES
    text = f"Each panel from its own percentile {low:g} (black) to {high:g} (white) of 3x3 means."
    if is_enlarged:
        text += " Below: the framed region, enlarged."
    figure.text(_GAP / width, 11 / height, text, fontsize=8.5, va="center", color=figures.GREY)


def _cut_diagonally(axes: Axes) -> None:
    """Keep the right part of the topmost image, with a slanted white line as its edge, and name both sides."""
    from matplotlib.patches import Polygon

    over, under = (0.54, 1.0), (0.46, 0.0)
    kept = Polygon([over, (1, 1), (1, 0), under], closed=True, transform=axes.transAxes)
    axes.images[0].set_clip_path(kept)
    axes.plot(*zip(over, under, strict=True), transform=axes.transAxes, color="white", linewidth=1.5)
    _outline(axes, (0.02, 0.04), "noisy", transform=axes.transAxes)
    _outline(axes, (0.98, 0.04), "restored", transform=axes.transAxes, ha="right")


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Return epochs and values of the rows that have both."""
    pairs = [(row.get("epoch"), row.get(name)) for row in rows]
    known = [(float(x), float(y)) for x, y in pairs if x not in {None, ""} and y not in {None, ""}]
    finite = [(x, y) for x, y in known if math.isfinite(y)]
    return [x for x, _ in finite], [y for _, y in finite]
