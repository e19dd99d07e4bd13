"""Draws the pictures of docs/knime.md: the workflow as a diagram, and the table that its nodes make of the demo images.

Not screenshots: KNIME Desktop is not needed. The table is what the code of the node really returns. Run from the
checkout, in any environment with carezoo[cpu,evaluate]: python docs/images/draw_knime.py
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import matplotlib.image
import numpy as np
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import FancyBboxPatch

HERE = Path(__file__).parent
EXTENSION = HERE.parents[1] / "bridges" / "knime"
DEMO = HERE.parents[1] / "zoo" / "demo"
sys.path.insert(0, str(EXTENSION / "src"))

from carezoo.runtime.batch import Job  # noqa: E402
from carezoo_knime import models  # noqa: E402
from carezoo_knime.restoring import RestoredRow, restore_rows  # noqa: E402
from carezoo_knime.scoring import ScoredRow, score_rows  # noqa: E402

GREY, DARK, ORANGE = "#8a949e", "#18202c", "#ffb000"


def demo() -> tuple[list[dict[str, str]], list[RestoredRow], list[ScoredRow]]:
    """Run what the nodes run on the demo table."""
    with (EXTENSION / "demo" / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = models.ModelFields.from_dialog(name="denoise-bpae-2d", version="", package="", zoo="")
    with tempfile.TemporaryDirectory() as folder:
        job = Job(models={None: models.choose(wanted).open()}, output=Path(folder))
        restored = restore_rows([row["image"] for row in rows], job, folder=DEMO)
        pairs = [
            {"restored": done.restored, "reference": row["reference"], "noisy": row["image"]}
            for row, done in zip(rows, restored, strict=True)
        ]
        scored = score_rows(pairs, folder=DEMO)
    return rows, restored, scored


def draw_workflow(path: Path) -> None:
    """Draw the nodes and their connections."""
    figure = Figure(figsize=(8, 3.0), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 8), ylim=(0, 3.0))
    axes.axis("off")
    nodes = {
        "CARE Model": (1.2, 2.2, "model.png", "1  choose a model"),
        "CSV Reader": (1.2, 0.8, None, "2  a table of paths"),
        "CARE Restore": (4.0, 1.5, "restore.png", "3  restore every row"),
        "CARE Evaluate": (6.8, 1.5, "evaluate.png", "4  score, where there\nare references"),
    }
    links = [
        ("CARE Model", "CARE Restore", ORANGE, 0.12),
        ("CSV Reader", "CARE Restore", DARK, -0.12),
        ("CARE Restore", "CARE Evaluate", DARK, 0.0),
    ]
    for start, end, color, shift in links:
        (x0, y0, *_), (x1, y1, *_) = nodes[start], nodes[end]
        axes.annotate(
            "",
            (x1 - 0.36, y1 + shift),
            (x0 + 0.36, y0),
            arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.6, "connectionstyle": "arc3,rad=0"},
        )
    for name, (x, y, icon, text) in nodes.items():
        axes.add_patch(
            FancyBboxPatch((x - 0.26, y - 0.26), 0.52, 0.52, "round,pad=0.06", fc="#eef1f4", ec=GREY, lw=1.2)
        )
        if icon:
            picture = OffsetImage(matplotlib.image.imread(EXTENSION / "icons" / icon), zoom=2, interpolation="nearest")
            axes.add_artist(AnnotationBbox(picture, (x, y), frameon=False))
        else:
            axes.text(x, y, "CSV", ha="center", va="center", fontsize=11, fontweight="bold", color=GREY)
        axes.text(x, y + 0.42, name, ha="center", va="bottom", fontsize=10, fontweight="bold", color=DARK)
        axes.text(x, y - 0.42, text, ha="center", va="top", fontsize=9, color="#444c55")
    figure.savefig(path, metadata={"Software": None})


def draw_table(path: Path) -> None:
    """Draw the table after CARE Restore and CARE Evaluate."""
    rows, restored, scored = demo()
    places = (0.1, 1.4, 3.2, 4.2, 5.7, 7.1, 8.1)
    columns = dict(
        zip(("image", "Restored", "Status", "Preview", "PSNR of noisy", "PSNR", "Error"), places, strict=True)
    )
    height = 0.5 + 1.5 + 0.8
    figure = Figure(figsize=(10.4, height), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 10.4), ylim=(0, height))
    axes.axis("off")
    axes.axhspan(height - 0.5, height, color="#eef1f4")
    for name, x in columns.items():
        axes.text(x, height - 0.25, name, va="center", fontsize=10, fontweight="bold", color=DARK)
    for row, done, score, y in zip(rows, restored, scored, (1.52, 0.4), strict=True):
        missing = "?"
        values = {
            "image": row["image"],
            "Restored": Path(done.restored).name if done.restored else missing,
            "Status": done.status,
            "PSNR of noisy": missing if score.input_psnr_db is None else f"{score.input_psnr_db:.2f} dB",
            "PSNR": missing if score.psnr_db is None else f"{score.psnr_db:.2f} dB",
            "Error": missing
            if done.error is None
            else f"{Path(done.error.split(' does ')[0]).name} does not exist ...",
        }
        for name, text in values.items():
            color = "#b00020" if text == missing else DARK
            axes.text(columns[name], y, text, va="center", fontsize=10, color=color)
        if done.preview is None:
            axes.text(columns["Preview"], y, missing, va="center", fontsize=10, color="#b00020")
        else:
            shown = np.repeat(done.preview[..., None], 3, axis=2)
            zoom = 96 / max(done.preview.shape)
            picture = AnnotationBbox(OffsetImage(shown, zoom=zoom), (columns["Preview"] + 0.6, y), frameon=False)
            axes.add_artist(picture)
        axes.axhline(y - 0.76 if done.preview is not None else y - 0.38, color="#d5dae0", lw=0.8)
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    draw_workflow(HERE / "knime_workflow.png")
    draw_table(HERE / "knime_table.png")
