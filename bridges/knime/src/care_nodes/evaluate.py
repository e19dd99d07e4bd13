"""The node CARE Evaluate."""

from __future__ import annotations

import knime.extension as knext

from care_nodes import CATEGORY
from care_nodes.rows import EveryRow, report_rows, require_columns
from care_nodes.table import Columns, extend_schema, is_path, progress_of, translate_errors
from carezoo_knime.cells import folder_of
from carezoo_knime.scoring import score_rows

COLUMNS: Columns = {
    "PSNR (dB)": float,
    "NRMSE": float,
    "SSIM": float,
    "PSNR of noisy (dB)": float,
    "PSNR gain (dB)": float,
    "Gain error": float,
    "Offset error": float,
    "Score error": str,
}
"""In the order of the fields of `ScoredRow`."""


@knext.node(
    name="CARE Evaluate",
    node_type=knext.NodeType.OTHER,
    icon_path="icons/evaluate.png",
    category=CATEGORY,
    after="CareRestoreNode",
    keywords=["PSNR", "SSIM", "NRMSE", "score", "quality", "ground truth", "microscopy"],
)
@knext.input_table("Images", "A table with columns of image paths: restored images, and a reference for each.")
@knext.output_table("Scores", "The input table with scores.")
class CareEvaluateNode(EveryRow):
    """Scores restored images against references, such as long exposures of the same field.

    PSNR, NRMSE and SSIM are those of [Weigert et al. 2018](https://doi.org/10.1038/s41592-018-0216-7): every image is
    first fitted to its reference by gain and offset, so that different exposures can be compared. With a column of
    noisy images the node also gives the gain over them, and how far the intensities of the restored image are off.
    Scores of an image with several channels or time points are the mean over them.

    Only references that the model was not trained on say how good it is.
    """

    restored = knext.ColumnParameter("Restored", "Column with the paths of the restored images.", column_filter=is_path)
    reference = knext.ColumnParameter("Reference", "Column with the paths of the references.", column_filter=is_path)
    noisy = knext.ColumnParameter(
        "Noisy (optional)",
        "Column with the paths of the noisy images. They need the shape of the restored ones: leave it out for models "
        "that add or project planes.",
        column_filter=is_path,
        include_none_column=True,
        default_value=knext.ColumnParameter.NONE,
    )

    def configure(self, context: knext.ConfigurationContext, schema: knext.Schema) -> knext.Schema:
        """Check that the columns are there, and return those there will be."""
        require_columns(schema, {f"{what} images": column for what, column in self._columns().items()})
        return extend_schema(schema, COLUMNS)

    def execute(self, context: knext.ExecutionContext, table: knext.Table) -> knext.Table:
        """Score every row."""
        frame = table.to_pandas()
        columns = self._columns()
        rows = [
            dict(zip(columns, cells, strict=True))
            for cells in zip(*(frame[name] for name in columns.values()), strict=True)
        ]
        with translate_errors():
            scored = score_rows(
                rows,
                folder=folder_of(self.folder),
                axes=self.axes.strip() or None,
                scene=self.scene.strip() or None,
                is_strict=self.stop,
                progress=progress_of(context),
                cancelled=context.is_canceled,
            )
        return report_rows(context, frame, COLUMNS, scored, "scored")

    def _columns(self) -> dict[str, str]:
        """Return the chosen columns by what is in them."""
        chosen = {"restored": self.restored, "reference": self.reference}
        has_noisy = self.noisy not in {None, "", knext.ColumnParameter.NONE}
        return {**chosen, "noisy": self.noisy} if has_noisy else chosen
