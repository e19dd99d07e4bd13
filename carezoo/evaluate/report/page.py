"""The report as one HTML page that needs no other file: numbers, curves and pictures, on light and dark screens."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from carezoo.errors import MissingExtraError
from carezoo.evaluate import estimated, fourier
from carezoo.evaluate.assessment import BEFORE, INPUT, RESTORED, TARGET
from carezoo.evaluate.estimated import EstimatedScores
from carezoo.evaluate.findings import Findings, Group
from carezoo.evaluate.scores import format_mean
from carezoo.pictures import charts
from carezoo.pictures.charts import PlotArea, Series

LEVELS = (0.5, 0.9, 0.95)
"""Levels of intervals whose coverage stands in tables."""

COLUMNS = (("psnr_db", "PSNR (dB)", 2), ("nrmse", "NRMSE", 4), ("ssim", "SSIM", 3), ("ssim_care2018", "SSIM 2018", 3))
"""Of the table of scores: field, title, decimals."""


@dataclass(frozen=True)
class Chart:
    """A drawing and what it shows."""

    title: str
    svg: str
    words: str


@dataclass(frozen=True)
class TableRow:
    """One line of a table."""

    name: str
    cells: tuple[str, ...]
    is_model: bool = False


@dataclass(frozen=True)
class Picture:
    """A PNG file and its caption."""

    title: str
    caption: str
    png: bytes

    @property
    def address(self) -> str:
        """The picture itself, as an address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Course:
    """How a training went, for its report."""

    facts: Sequence[tuple[str, str]]
    """What data, what settings, how long."""
    curves: Sequence[Chart]
    epochs: Sequence[tuple[str, Sequence[Picture]]]
    """Example patches over time: a title, and pictures."""


def to_html(findings: Findings, *, title: str, facts: Sequence[tuple[str, str]], course: Course | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    facts
        Names and values of what a reader should know first.
    course
        Of the training, for the report of one.

    Raises
    ------
    MissingExtraError
        If Jinja2 or matplotlib is not installed.
    """
    return str(
        _template("report.html").render(
            title=title,
            facts=facts,
            findings=findings,
            lead=headline(findings),
            columns=[words for _, words, _ in COLUMNS],
            sections=[_section(findings, group) for group in findings.all_groups],
            examples=[(why, one.name, _views(findings, one)) for why, one in findings.examples],
            course=course,
        )
    )


def to_estimated_html(found: EstimatedScores, *, title: str, facts: Sequence[tuple[str, str]]) -> str:
    """Return the page of scores that were estimated from noisy images; parameters and errors as of `to_html`."""
    rows = [TableRow(*row) for row in estimated.rows(found)]
    template = _template("estimated.html")
    return str(
        template.render(title=title, lead=found.verdict, facts=facts, found=found, columns=estimated.COLUMNS, rows=rows)
    )


def headline(findings: Findings) -> str:
    """Return the result in a sentence."""
    scores = findings.overall.scores
    error = scores.psnr_gain_standard_error_db
    spread = "" if error is None else f" ± {error:.1f}"
    text = (
        f"PSNR {scores.input.mean.psnr_db:.1f} dB before, {scores.restored.mean.psnr_db:.1f} dB restored: a gain of "
        f"{round(scores.psnr_gain_db, 1) + 0.0:.1f}{spread} dB over {findings.overall.n_files} file(s)."
    )
    if best := findings.overall.best_baseline:
        baseline = scores.baselines[best].mean.psnr_db
        difference = scores.restored.mean.psnr_db - baseline
        words = f"{difference:.1f} dB better than" if difference > 0 else f"{-difference:.1f} dB WORSE than"
        words = "no more and no less than" if abs(difference) < 0.05 else words
        text += f" That is {words} the best baseline, {findings.titles[best]} ({baseline:.1f} dB)."
    return text


def table(findings: Findings, group: Group) -> list[TableRow]:
    """Return the scores of all methods."""
    means = {INPUT: group.scores.input, **group.scores.baselines, RESTORED: group.scores.restored}
    rows = []
    for name in group.methods:
        cells = tuple(format_mean(means[name], column, decimals) for column, _, decimals in COLUMNS)
        parameters = group.parameters.get(name, {})
        words = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in parameters.items())
        shown = f"{findings.titles[name]} ({words})" if words else findings.titles[name]
        rows.append(TableRow(shown, cells, name == RESTORED))
    return rows


def intensity_words(group: Group) -> str:
    """Return errors of gain and offset in words."""
    found = group.scores.intensities
    if found is None:
        return "Restored intensities have units of their own: gain and offset are not judged."
    gain, offset = (format_mean(found, name, 1, percent=True) for name in ("gain_error", "offset_error"))
    return f"Gain error {gain} %; offset error at the mean level {offset} % of the range of the expected image."


def coverage_rows(group: Group) -> list[TableRow]:
    """Return how often the true value lies inside the interval of each of `LEVELS`."""
    rows = []
    for part, one in group.calibration.items():
        cells = (*(f"{100 * one.at(level):.1f} %" for level in LEVELS), f"{100 * one.error:.1f}", f"{one.nll:.2f}")
        rows.append(TableRow(part, cells, is_model=BEFORE not in part))
    return rows


def _section(findings: Findings, group: Group) -> dict[str, Any]:
    return {
        "group": group,
        "rows": table(findings, group),
        "intensities": intensity_words(group),
        "coverage": coverage_rows(group),
        "resolution": _resolution_rows(findings, group),
        "segmentation": _segmentation_rows(findings, group),
        "charts": [*_trust(group), *_fourier(findings, group)],
    }


def draw_chart(title: str, series: Sequence[Series], frame: PlotArea, words: str = "") -> Chart:
    """Draw lines, with a title above and words below."""
    return Chart(title, charts.draw_lines(series, frame), words)


def _trust(group: Group) -> list[Chart]:
    made = []
    if group.calibration:
        series = [Series("ideal", (0, 1), (0, 1), 9, ":")]
        for colour, part in ((0, "foreground"), (1, "background")):
            for words, style in (("", "-"), (BEFORE, "--")):
                if part + words in group.calibration:
                    one = group.calibration[part + words]
                    series.append(Series(part + words, one.levels, one.observed, colour, style))
        frame = PlotArea(
            "level of the interval", "true values inside", x_range=(0, 1), y_range=(0, 1), legend="lower right"
        )
        made.append(draw_chart("Calibration", series, frame, "Above the diagonal: intervals wider than needed."))
    if group.sparsification:
        series = []
        for colour, (by, found) in enumerate(group.sparsification.items()):
            series.append(Series(f"by {by} (AUSE {found.ause:.2f})", found.removed, found.by_uncertainty, colour))
        best = next(iter(group.sparsification.values()))
        series.append(Series("by true error (best possible)", best.removed, best.by_error, 9, "--"))
        highest = max(1.0, *(y for one in series for y in one.y))
        frame = PlotArea("least certain pixels removed", "error of the rest, relative", y_range=(0, 1.05 * highest))
        words = "AUSE: 0 if uncertainty sorts pixels as their errors do, 1 if it knows nothing."
        made.append(draw_chart("Sparsification", series, frame, words))
    if scale := group.sparsification.get("scale"):
        ends = (min(scale.bin_uncertainty), max(scale.bin_uncertainty))
        series = [
            Series("images", scale.bin_uncertainty, scale.bin_error, 0, "."),
            Series("error = scale", ends, ends, 9, ":"),
        ]
        frame = PlotArea("predicted scale / range", "mean absolute error / range", x_log=True, y_log=True)
        made.append(draw_chart("Error against scale", series, frame, "Ten bins of equally many pixels."))
    if found_d := group.sparsification.get("disagreement"):
        series = [Series("", found_d.bin_uncertainty, found_d.bin_error, 0, ".")]
        frame = PlotArea("disagreement D of the members", "mean absolute error / range")
        words = "Ten bins of equally many pixels. A low D proves nothing: members can agree on an error."
        made.append(draw_chart("Error against disagreement", series, frame, words))
    return made


def _fourier(findings: Findings, group: Group) -> list[Chart]:
    made = []
    methods = [name for name in (*group.methods[::-1],) if name in group.correlations]
    shown = methods[:1] + [name for name in (INPUT, group.best_baseline) if name in methods]
    for direction in group.correlations.get(RESTORED, {}):
        curves = {name: group.correlations[name][direction] for name in shown if direction in group.correlations[name]}
        series = [
            Series(findings.titles[name], one.frequency, one.value, colour)
            for colour, (name, one) in enumerate(curves.items())
        ]
        frame = PlotArea(
            f"cycles per {curves[RESTORED].unit}", "correlation", y_range=(-0.1, 1.02), level=fourier.THRESHOLD
        )
        kind = "shell" if "Z" in group.spectra.get(TARGET, {}) else "ring"
        words = "Of each image and its target. Dotted: 1/7, where the resolution is read."
        made.append(draw_chart(f"Fourier {kind} correlation, {direction}", series, frame, words))
    for axis in group.spectra.get(RESTORED, {}):
        names = [*shown, TARGET]
        series = [
            Series(
                "Target" if name == TARGET else findings.titles[name],
                group.spectra[name][axis].frequency,
                group.spectra[name][axis].power,
                9 if name == TARGET else colour,
                "--" if name == TARGET else "-",
            )
            for colour, name in enumerate(names)
            if axis in group.spectra.get(name, {})
        ]
        frame = PlotArea("cycles per pixel", "power", y_log=True)
        made.append(draw_chart(f"Spectrum along {axis}", series, frame, "All fitted to the target."))
    return made


def _resolution_rows(findings: Findings, group: Group) -> tuple[list[str], list[TableRow]]:
    directions = list(group.correlations.get(RESTORED, {}))
    rows = []
    for name in group.methods:
        cells = []
        for direction in directions:
            one = group.correlations.get(name, {}).get(direction)
            if one is None or one.resolution is None:
                cells.append("–")
            else:
                limit = "≤ " if one.is_limited_by_pixels else ""
                unit = "px" if one.unit == "pixel" else one.unit
                cells.append(f"{limit}{one.resolution:.3g} {unit}")
        rows.append(TableRow(findings.titles[name], tuple(cells), is_model=name == RESTORED))
    return directions, rows if directions else []


def _segmentation_rows(findings: Findings, group: Group) -> list[TableRow]:
    return [
        TableRow(
            findings.titles[name],
            (
                f"{one.seg:.3f}",
                f"{100 * one.wrong_fraction:.1f} %",
                f"{one.n_objects:.1f}",
                f"{one.n_objects_target:.1f}",
            ),
            is_model=name == RESTORED,
        )
        for name, one in group.segmentation.items()
    ]


def _views(findings: Findings, example: Any) -> list[tuple[str, list[Picture]]]:
    titles: Mapping[str, str] = {
        **findings.titles,
        TARGET: "Target",
        "error": "Error",
        "scale": "Scale",
        "disagreement": "Disagreement",
    }
    return [
        (words, [Picture(titles[panel.name], panel.caption, panel.png) for panel in found])
        for words, found in example.views
    ]


@cache
def _template(name: str) -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError.of("jinja2", "evaluate", "to write report pages") from error
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(name)
