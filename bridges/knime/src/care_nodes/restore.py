"""The node CARE Restore."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import knime.extension as knext

from care_nodes import CATEGORY
from care_nodes.model import MODEL_PORT, CareModel, CareModelSpec
from care_nodes.rows import EveryRow, finished, require_columns
from care_nodes.table import PICTURE, Columns, extended, is_path, progress_of, told_in_words
from carezoo.runtime.batch import Order
from carezoo.runtime.providers import Precision
from carezoo.runtime.restore import Settings
from carezoo_knime.cells import folder_of
from carezoo_knime.restoring import restore_rows
from carezoo_knime.settings import PROVIDERS, settings_of

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

DEFAULT = Settings()


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
class CareRestoreNode(EveryRow):
    """Restores microscopy images with a CARE model.

    Every row names an image file (TIFF; with the package bioio also CZI, ND2, LIF, OME-Zarr). It is restored in the
    intensities of the input and written as a TIFF that keeps pixel size, channels and time interval: `cell.tif` becomes
    `cell_restored.tif`; probabilistic models write `cell_scale.tif`, too, and ensembles `cell_disagreement.tif`.

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
    average = knext.IntParameter(
        "Average frames",
        "Restore the means of so many consecutive frames (T) of a series; 1: every frame.",
        DEFAULT.average,
        min_value=1,
        is_advanced=True,
    )
    tile = knext.StringParameter(
        "Tile",
        "Largest piece that is restored at once: auto (as memory allows), whole, one size (512), or one for each axis "
        "(16,256,256). It does not change the result.",
        str(DEFAULT.tile),
        is_advanced=True,
    )
    provider = knext.StringParameter(
        "Provider",
        "What computes. One that is asked for and does not run is an error; auto takes the fastest that gives exact "
        "results.",
        DEFAULT.provider,
        enum=PROVIDERS,
        is_advanced=True,
    )
    precision = knext.StringParameter(
        "Precision",
        "exact: 32 bit. fast: half precision, where the hardware has it.",
        DEFAULT.precision,
        enum=list(get_args(Precision)),
        is_advanced=True,
    )
    threads = knext.IntParameter(
        "Threads",
        "Processor threads; 0: all cores.",
        DEFAULT.n_threads or 0,
        min_value=0,
        is_advanced=True,
    )

    nan = knext.StringParameter(
        "NaN pixels",
        "refuse: an image with NaN or infinite pixels gets an error. zero: they are taken as zero.",
        DEFAULT.nan,
        enum=["refuse", "zero"],
        is_advanced=True,
    )

    def configure(self, context: knext.ConfigurationContext, spec: CareModelSpec, schema: knext.Schema) -> knext.Schema:
        """Check what can be checked before the work, and return the columns there will be."""
        require_columns(schema, {"image paths": self.image_column})
        with told_in_words(knext.InvalidParametersError):
            self._settings()
            self._output()
        return extended(schema, COLUMNS)

    def execute(self, context: knext.ExecutionContext, model: CareModel, table: knext.Table) -> knext.Table:
        """Restore every row."""
        frame = table.to_pandas()
        with told_in_words():
            order = Order(
                models={None: model.chosen.open()},
                settings=self._settings(),
                axes=self.axes.strip() or None,
                output=self._output(),
                is_overwriting=self.replace,
            )
            rows = restore_rows(
                list(frame[self.image_column]),
                order,
                folder=folder_of(self.folder),
                is_strict=self.stop,
                progress=progress_of(context),
                cancelled=context.is_canceled,
            )
        return finished(context, frame, COLUMNS, rows, "restored")

    def _output(self) -> Path | None:
        """Return the folder of results; a relative one starts where relative images do."""
        return folder_of(self.output_folder, folder_of(self.folder))

    def _settings(self) -> Settings:
        return settings_of(
            tile=self.tile,
            provider=self.provider,
            precision=self.precision,
            n_threads=self.threads,
            average=self.average,
            nan=self.nan,
        )
