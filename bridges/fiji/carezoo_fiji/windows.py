"""A restoration as ImageJ windows: calibrated, named, displayed in its own range, with a note of what made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from carezoo.api import Model
from carezoo.files import notes
from carezoo.image import Image
from carezoo.runtime.batch import SUFFIX_OF
from carezoo.runtime.restoration import Provenance, Restoration
from carezoo.uncertainty.levels import Recalibration
from carezoo_fiji.images import display_range, set_display, to_imageplus, to_table
from carezoo_fiji.java import load

UNCERTAINTY_TABLE = "fire"
"""ImageJ's look-up table for widths and disagreements."""

_KEPT, _LEVELS = "carezoo.results", "carezoo.levels"


def make_results(
    restoration: Restoration, model: Model, source: Any, region: Mapping[str, slice] | None
) -> dict[str, Any]:
    """Return an ij.ImagePlus for every result, not shown yet.

    `source`, the ij.ImagePlus that was restored, gives calibration, labels and overlay; `region` is the restored part.
    """
    made = {}
    for name, image in restoration.images.items():
        imp = make_result(name, image, restoration.report.provenance, str(source.getShortTitle()))
        _calibrate(imp, source, _depth_factor(model, name), region)
        imp.getCalibration().frameInterval *= restoration.report.provenance.average
        _label(imp, source)
        _draw(imp, source, region)
        made[name] = imp
    keep(made, restoration.recalibration)
    return made


def keep(made: Mapping[str, Any], levels: Recalibration | None) -> None:
    """Let a restored image know what was made with it, and its model's levels, for as long as its window lives."""
    if "mean" in made:
        made["mean"].setProperty(_KEPT, _java_map(made))
        made["mean"].setProperty(_LEVELS, json.dumps(levels.to_plain()) if levels else None)


def make_result(name: str, image: Image, provenance: Provenance, source: str) -> Any:
    """Return one result as an ij.ImagePlus, displayed in its own range, with a note of what made it."""
    metadata = replace(image.metadata, display_ranges=(), luts=image.metadata.luts if name == "mean" else ())
    text = f"{image.metadata.notes}\nrestored with {provenance.model} {provenance.version}".strip()
    text = notes.append(text, {"carezoo": {"result": name, "run": provenance.to_dict()}})
    imp = to_imageplus(replace(image, metadata=replace(metadata, notes=text)), title(source, name))
    if name != "mean":
        paint(imp, image)
    return imp


def paint(imp: Any, image: Image) -> None:
    """Display values that are no intensities of a structure: in a table of fire, from 0 on."""
    table = to_table(load("ij.process.LUT")(load("ij.plugin.LutLoader").getLut(UNCERTAINTY_TABLE), 0.0, 1.0))
    array = image.array()
    n_channels = int(imp.getNChannels())
    channels = np.moveaxis(array, image.axes.index("C"), 0) if "C" in image.axes else array[np.newaxis]
    if n_channels > 1:
        imp.setDisplayMode(load("ij.IJ").GRAYSCALE)
    set_display(imp, (table,) * n_channels, [(0.0, display_range(channel)[1]) for channel in channels])


def find_kept(imp: Any) -> dict[str, Any]:
    """Return the results that were made together with a restored image, by name; empty if there are none."""
    found = imp.getProperty(_KEPT)
    return {str(key): found.get(key) for key in found.keySet()} if found is not None else {}


def recalibration(imp: Any) -> Recalibration | None:
    """Return at which levels intervals of a restored image hold; None: as its distribution promises."""
    found = imp.getProperty(_LEVELS)
    return Recalibration.from_plain(json.loads(str(found))) if found is not None else None


def title(source: str, name: str) -> str:
    """Return the title of a result, as the command line names its files, and as no other window is called."""
    wanted = f"{source}_{SUFFIX_OF.get(name, name)}"
    return str(load("ij.WindowManager").makeUniqueName(wanted))


def _depth_factor(model: Model, name: str) -> float:
    """Return how many planes come out for one."""
    which = next(result for result in model.manifest.results if result.name == name)
    return float(model.manifest.tensor(which).factor("Z"))


def _calibrate(imp: Any, source: Any, factor: float, region: Mapping[str, slice] | None) -> None:
    """Give a result the calibration of its source: in any unit, with the origin where it was."""
    calibration = source.getCalibration().copy()
    is_signed = imp.getCalibration().isSigned16Bit()
    if imp.getBitDepth() != source.getBitDepth() or calibration.isSigned16Bit():
        calibration.setFunction(calibration.NONE, None, "Gray Value")
    if is_signed:
        calibration.setSigned16BitCalibration()
    if region:
        calibration.xOrigin -= region["X"].start
        calibration.yOrigin -= region["Y"].start
    if factor != 1:
        calibration.pixelDepth /= factor
        # Planes are closer together, half a new one from the border (the half-pixel convention).
        calibration.zOrigin = (calibration.zOrigin + 0.5) * factor - 0.5
    imp.setCalibration(calibration)


def _label(imp: Any, source: Any) -> None:
    """Keep the labels of slices, where the planes are the same ones."""
    if imp.getStackSize() != source.getStackSize():
        return
    for i in range(1, int(source.getStackSize()) + 1):
        imp.getStack().setSliceLabel(source.getStack().getSliceLabel(i), i)


def _draw(imp: Any, source: Any, region: Mapping[str, slice] | None) -> None:
    """Keep what is drawn over the image."""
    overlay = source.getOverlay()
    if overlay is None or imp.getStackSize() != source.getStackSize():
        return
    copy = overlay.duplicate()
    if region:
        copy.translate(float(-region["X"].start), float(-region["Y"].start))
    imp.setOverlay(copy)


def _java_map(values: Mapping[str, Any]) -> Any:
    found = load("java.util.LinkedHashMap")()
    for key, value in values.items():
        found.put(key, value)
    return found
