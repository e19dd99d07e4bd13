"""The node CARE Zoo."""

from __future__ import annotations

import knime.extension as knext
import pandas as pd

from care_nodes import CATEGORY
from care_nodes.table import Columns, schema_of, translate_errors, with_columns
from carezoo_knime.models import zoo_rows

COLUMNS: Columns = {
    "Name": str,
    "Version": str,
    "Task": str,
    "Axes": str,
    "Channels": str,
    "Results": str,
    "Description": str,
    "License": str,
    "Size (MB)": float,
    "On this computer": str,
    "Zoo": str,
}
"""In the order of the fields of `ZooRow`."""


@knext.node(
    name="CARE Zoo",
    node_type=knext.NodeType.SOURCE,
    icon_path="icons/zoo.png",
    category=CATEGORY,
    after="CareEvaluateNode",
    keywords=["models", "zoo", "bioimage.io", "CARE", "microscopy"],
)
@knext.output_table("Models", "One row for every model: what it does, on which images, and where it comes from.")
class CareZooNode:
    """Lists the CARE models there are.

    Models that ship with carezoo, models that were downloaded before, and those of a zoo. Nothing is downloaded but
    the list of the zoo.
    """

    zoo = knext.StringParameter(
        "Zoo",
        "Address or folder of a zoo to list, too. Empty: those of the environment variable CAREZOO_ZOO.",
        "",
    )

    def configure(self, context: knext.ConfigurationContext) -> knext.Schema:
        """Return the columns there will be."""
        return schema_of(COLUMNS)

    def execute(self, context: knext.ExecutionContext) -> knext.Table:
        """List the models."""
        with translate_errors():
            rows = [row.cells() for row in zoo_rows(self.zoo)]
        return with_columns(pd.DataFrame(index=range(len(rows))), COLUMNS, rows)
