"""The node CARE Restore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import knime.extension as knext

from care_nodes import CATEGORY
from care_nodes.model import MODEL_PORT, CareModel, CareModelSpec
from care_nodes.rows import EveryRow, report_rows, require_columns
from care_nodes.table import PICTURE, Columns, extend_schema, is_path, progress_of, translate_errors
from carezoo.runtime.batch import Job
from carezoo.settings import OFFERED, Setting, Settings, from_dialog
from carezoo_knime.cells import folder_of
from carezoo_knime.restoring import restore_rows

COLUMNS: Columns = {
    "Restored": str,
    "Scale": str,
    "Disagreement": str,
    "Disagreement, mean": float,
    "Disagreement, 99 %": float,
    "Status": str,
    "Warnings": str,
    "Seconds": float,
    "Preview": PICTURE,
    "Error": str,
}
"""In the order of the fields of `RestoredRow`."""


def _parameter(row: Setting) -> Any:
    """Return the parameter of a restore setting: a flag, a number, or a text that is one of several or free."""
    if row.is_flag:
        return knext.BoolParameter(row.label, row.help, row.default, is_advanced=True)
    if isinstance(row.default, int):
        return knext.IntParameter(row.label, row.help, row.default, is_advanced=True)
    enum = list(row.titles) or None
    return knext.StringParameter(row.label, row.help, row.title, enum=enum, is_advanced=True)


RestoreSettings: Any = type("RestoreSettings", (), {row.name: _parameter(row) for row in OFFERED})
"""The parameters that say how to restore, one for each row of carezoo's settings."""


@knext.node(
    name="CARE Restore",
    node_type=knext.NodeType.PREDICTOR,
    icon_path="icons/restore.png",
    category=CATEGORY,
    after="CareModelNode",
    keywords=["denoise", "microscopy", "restoration", "deep learning", "CARE", "TIFF", "fluorescence"],
)
@knext.input_port("Model", "The model, from *CARE Model*.", MODEL_PORT)
@knext.input_table("Images", "A table with a column of image paths.")
@knext.output_table("Restored images", "The input table, and what became of every image.")
class CareRestoreNode(RestoreSettings, EveryRow):
    """Restores microscopy images with a CARE model.

    Every row names an image file (TIFF, PNG, JPEG, NPY; with carezoo[formats] also Zarr, CZI, ND2, LIF, MRC, HDF5). It
    is restored in the intensities of the input and written as a TIFF that keeps pixel size, channels and time interval:
    `cell.tif` becomes `cell_restored.tif`; probabilistic models write `cell_scale.tif`, too, and ensembles
    `cell_disagreement.tif`.

    Images larger than memory are restored tile by tile; tiles do not change the result. An image that cannot be
    restored becomes a row with an **Error** and missing cells; the others are not held up. Images that were finished
    before, with the same model and settings, are not restored again.

    **Warnings** tells in words where a result should not be trusted without a look. A restored image is an estimate:
    the scale tells how noisy it is, not whether the model fits the image.
    """

    image_column = knext.ColumnParameter(
        "Image column", "Column with the paths of the images: text or paths.", port_index=1, column_filter=is_path
    )
    output_folder = knext.StringParameter(
        "Output folder",
        "Where restored images are written; it is made if need be. A relative one starts in *Folder of relative "
        "paths*. Empty: beside each image. The same name in different input folders needs an output folder for each, "
        "so leave it empty then.",
        "",
    )
    replace = knext.BoolParameter(
        "Replace existing results",
        "Whether to overwrite files of the same name that were made otherwise. If not, such a row gets an error.",
        False,
    )

    def configure(self, context: knext.ConfigurationContext, spec: CareModelSpec, schema: knext.Schema) -> knext.Schema:
        """Check what can be checked before the work, and return the columns there will be."""
        require_columns(schema, {"image paths": self.image_column})
        with translate_errors(knext.InvalidParametersError):
            self._settings()
            self._output()
        return extend_schema(schema, COLUMNS)

    def execute(self, context: knext.ExecutionContext, model: CareModel, table: knext.Table) -> knext.Table:
        """Restore every row."""
        frame = table.to_pandas()
        with translate_errors():
            job = Job(
                models={None: model.chosen.open()},
                settings=self._settings(),
                axes=self.axes.strip() or None,
                scene=self.scene.strip() or None,
                output=self._output(),
                is_overwriting=self.replace,
            )
            rows = restore_rows(
                list(frame[self.image_column]),
                job,
                folder=folder_of(self.folder),
                is_strict=self.stop,
                progress=progress_of(context),
                cancelled=context.is_canceled,
            )
        return report_rows(context, frame, COLUMNS, rows, "restored")

    def _output(self) -> Path | None:
        """Return the folder of results; a relative one starts where relative images do."""
        return folder_of(self.output_folder, folder_of(self.folder))

    def _settings(self) -> Settings:
        return from_dialog({row.name: getattr(self, row.name) for row in OFFERED})
