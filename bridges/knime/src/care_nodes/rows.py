"""What the nodes have in common that do one thing with every row of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import knime.extension as knext
import pandas as pd

from care_nodes.table import Columns, with_columns
from carezoo_knime.restoring import RestoredRow
from carezoo_knime.scoring import ScoredRow


class EveryRow:
    """A node that adds columns to a table of images; a row that fails says why in the last of them."""

    stop = knext.BoolParameter(
        "Fail on the first error",
        "Whether the first image that fails ends the node with an error, instead of becoming a row that says so.",
        False,
    )
    axes = knext.StringParameter(
        "Axes",
        "Axes of the images in their order, letters out of STCZYX, for files that do not say it themselves: "
        "TYX is a time series, ZYX a stack. Empty: as the files say.",
        "",
        is_advanced=True,
    )
    scene = knext.StringParameter(
        "Scene",
        "Name or number (from 0) of the image in files that hold several (LIF, CZI, OME-TIFF). Empty: the first.",
        "",
        is_advanced=True,
    )
    folder = knext.StringParameter(
        "Folder of relative paths", "Where paths that do not name a folder start.", "", is_advanced=True
    )


def require_columns(schema: knext.Schema, columns: Mapping[str, str]) -> None:
    """Check that columns were chosen, and are there; `columns` are their names, by what is in them."""
    for what, column in columns.items():
        if not column:
            raise knext.InvalidParametersError(f"Choose the column with the {what}")
        if column not in schema.column_names:
            raise knext.InvalidParametersError(f"There is no column {column!r} any more; choose another")


def report_rows(
    context: knext.ExecutionContext,
    frame: pd.DataFrame,
    columns: Columns,
    rows: Sequence[RestoredRow | ScoredRow],
    verb: str,
) -> knext.Table:
    """Return the table with what became of every row, and warn if some of them failed."""
    n_failed = sum(row.error is not None for row in rows)
    if n_failed:
        context.set_warning(f"{n_failed} of {len(rows)} images could not be {verb}; see the column {list(columns)[-1]}")
    return with_columns(frame, columns, [row.cells() for row in rows])
