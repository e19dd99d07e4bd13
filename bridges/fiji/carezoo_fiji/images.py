"""ImagePlus to and from Image: axes, calibration, look-up tables, display, names, notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo import axes as axes_
from carezoo.errors import FileFormatError, InputError
from carezoo.files import units
from carezoo.image import Image, Metadata
from carezoo_fiji.java import jpype, load
from carezoo_fiji.planes import AXES, StackPixels, to_stack

MODES = {"composite": 1, "color": 2, "grayscale": 3}
"""ImageJ's display modes of several channels."""

_PALETTE_STEP = 20
"""Mean step between neighbouring colours: below 8 in ImageJ's tables for intensities, above 50 in palettes."""

_RGB = (
    "{title} is an RGB image: its colours are for looking at, not intensities. Split it with Image > Color > Split "
    "Channels and restore the channel you need, or better, open the original file"
)
_INDEXED = (
    "{title} is an image of indexed colours: its values are numbers of colours, not intensities. If they are "
    "intensities after all, choose Image > Lookup Tables > Grays first"
)


def to_image(imp: Any, *, region: Mapping[str, slice] | None = None) -> Image:
    """Return the image of an ij.ImagePlus.

    Parameters
    ----------
    imp
        8-bit, 16-bit, signed 16-bit or 32-bit; a single plane, a stack or a hyperstack.
    region
        Part to take, by axis letter.

    Returns
    -------
    Image
        A copy of the pixels, so that nothing the user does changes it; only virtual stacks are read when needed. Axes
        of length 1 other than Y and X are left out. Sizes in micrometres, if the unit of the image is known.

    Raises
    ------
    FileFormatError
        If the image holds colours instead of intensities.
    """
    image = view(imp, region=region)
    return image if imp.getStack().isVirtual() else replace(image, pixels=image.array())


def view(imp: Any, *, region: Mapping[str, slice] | None = None) -> Image:
    """Return the image of an ij.ImagePlus without copying it, as `to_image` does otherwise."""
    title = str(imp.getTitle())
    _refuse_colors(imp, title)
    width, height, n_channels, n_slices, n_frames = map(int, imp.getDimensions())
    sizes = {"T": n_frames, "Z": n_slices, "C": n_channels, "Y": height, "X": width}
    axes = "".join(letter for letter in AXES if sizes[letter] > 1 or letter in "YX")
    calibration = imp.getCalibration()
    is_signed = bool(imp.getBitDepth() == 16 and calibration.isSigned16Bit())
    stack = imp.getStack()
    pixels = StackPixels(stack, (n_frames, n_slices, n_channels, height, width), axes, is_signed, imp.getBitDepth())
    size_um = _pixel_size_um(calibration)
    shown = {letter: size_um[letter] for letter in "ZYX" if letter in size_um and letter in axes}
    image = Image(pixels, axes, shown, _metadata(imp, calibration, size_um, is_signed, n_frames), title)
    return image.crop(region) if region else image


def is_unchanged(imp: Any, image: Image, region: Mapping[str, slice] | None) -> bool:
    """Return whether an ij.ImagePlus still has the pixels of `image`, compared plane by plane."""
    now = view(imp, region=region)
    return now.shape == image.shape and all(
        np.array_equal(now.pixels[(*index, slice(None), slice(None))], image.pixels[(*index, slice(None), slice(None))])
        for index in np.ndindex(now.shape[:-2])
    )


def to_imageplus(image: Image, title: str) -> Any:
    """Return a new ij.ImagePlus, not shown yet, with all pixels in memory.

    Parameters
    ----------
    image
        Axes out of TZCYX in any order; uint8, uint16, int16, float32, or float16 and float64, which become float32.
    title
        Of its window.

    Raises
    ------
    InputError
        If ImageJ has no such pixels, or samples (S).
    """
    if "S" in image.axes:
        raise InputError(f"{image.name} has samples (axis S), ImageJ has only T, Z, C, Y and X. Show them one by one")
    array = axes_.move(image.array(), image.axes, AXES)
    array = array.astype(np.float32) if array.dtype in {np.dtype(np.float16), np.dtype(np.float64)} else array
    n_frames, n_slices, n_channels = array.shape[:3]
    imp = load("ij.ImagePlus")(title, to_stack(array))
    imp.setDimensions(n_channels, n_slices, n_frames)
    imp.setOpenAsHyperStack(sum(n > 1 for n in array.shape[:3]) > 1)
    _calibrate(imp.getCalibration(), image)
    if array.dtype == np.int16:
        imp.getCalibration().setSigned16BitCalibration()
    if n_channels > 1:
        imp = load("ij.CompositeImage")(imp, MODES.get(image.metadata.display_mode or "composite", 1))
    ranges = image.metadata.display_ranges or tuple(display_range(array[:, :, c]) for c in range(n_channels))
    offset = 32768 if array.dtype == np.int16 else 0
    set_display(imp, image.metadata.luts, [(low + offset, high + offset) for low, high in ranges])
    _label(imp, image.metadata.channel_names, n_channels)
    if image.metadata.notes:
        imp.setProperty("Info", image.metadata.notes)
    return imp


def display_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return between which values of a channel the display runs: all but one in a thousand at either end."""
    sample = values.reshape(-1)[:: max(1, values.size >> 20)]
    low, high = np.percentile(sample, [0.1, 99.9])
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1)


def set_display(imp: Any, tables: tuple[NDArray[np.uint8], ...], ranges: list[tuple[float, float]]) -> None:
    """Give every channel a look-up table of shape (3, 256) and the range it is displayed in."""
    n_channels = int(imp.getNChannels())
    if not tables:
        tables = tuple(to_table(lut) for lut in imp.getLuts())
    luts = []
    for channel in range(n_channels):
        low, high = ranges[channel % len(ranges)]
        lut = _lut(tables[channel % len(tables)])
        lut.min, lut.max = low, high
        luts.append(lut)
    if imp.isComposite():
        imp.setLuts(jpype.JArray(load("ij.process.LUT"))(luts))
    else:
        imp.getProcessor().setLut(luts[0])
        imp.getStack().setColorModel(luts[0])
        imp.setDisplayRange(*ranges[0])


def selection(imp: Any) -> dict[str, slice] | None:
    """Return the part of the image under the selection: its bounding box, cut to the image; None without one."""
    roi = imp.getRoi()
    if roi is None:
        return None
    box = roi.getBounds()
    left, top = max(0, int(box.x)), max(0, int(box.y))
    right = min(int(imp.getWidth()), int(box.x) + int(box.width))
    bottom = min(int(imp.getHeight()), int(box.y) + int(box.height))
    return {"Y": slice(top, bottom), "X": slice(left, right)} if right > left and bottom > top else None


def _refuse_colors(imp: Any, title: str) -> None:
    types = load("ij.ImagePlus")
    if imp.getType() == types.COLOR_RGB or imp.isRGB():
        raise FileFormatError(_RGB.format(title=title))
    if imp.getType() == types.COLOR_256 or (imp.getBitDepth() == 8 and _is_palette(to_table(imp.getLuts()[0]))):
        raise FileFormatError(_INDEXED.format(title=title))


def _is_palette(table: NDArray[np.uint8]) -> bool:
    """Return whether a table jumps from colour to colour, as one for intensities never does.

    ImageJ's own type says it of images it has reduced to few colours, not of those it opens.
    """
    return float(np.abs(np.diff(table.astype(np.int16), axis=1)).mean()) > _PALETTE_STEP


def _pixel_size_um(calibration: Any) -> dict[str, float]:
    """Return the size of a pixel by axis; empty if the unit is not a length."""
    found = {}
    for letter, size, unit in (
        ("Z", calibration.pixelDepth, calibration.getZUnit()),
        ("Y", calibration.pixelHeight, calibration.getYUnit()),
        ("X", calibration.pixelWidth, calibration.getXUnit()),
    ):
        unit_um = units.length_um(unit)
        if unit_um is not None and float(size) > 0:
            found[letter] = float(size) * unit_um
    return found


def _metadata(imp: Any, calibration: Any, size_um: Mapping[str, float], is_signed: bool, n_frames: int) -> Metadata:
    n_channels = int(imp.getNChannels())
    luts = list(imp.getLuts())
    offset = 32768 if is_signed else 0
    ranges = [(float(lut.min) - offset, float(lut.max) - offset) for lut in luts]
    if n_channels == 1:
        ranges = [(float(imp.getDisplayRangeMin()) - offset, float(imp.getDisplayRangeMax()) - offset)]
    interval_s = units.time_s(calibration.getTimeUnit())
    has_interval = interval_s is not None and n_frames > 1 and float(calibration.frameInterval) > 0
    modes = {number: mode for mode, number in MODES.items()}
    zeros = {"Z": calibration.zOrigin, "Y": calibration.yOrigin, "X": calibration.xOrigin}
    return Metadata(
        channel_names=_channel_names(imp, n_channels),
        frame_interval_s=float(calibration.frameInterval) * interval_s if has_interval and interval_s else None,
        origin_um={a: -float(zero) * size_um[a] for a, zero in zeros.items() if float(zero) != 0 and a in size_um},
        luts=tuple(to_table(lut) for lut in luts) if len(luts) == n_channels else (),
        display_ranges=tuple(ranges) if len(ranges) == n_channels else (),
        display_mode=modes.get(int(imp.getDisplayMode())) if n_channels > 1 else None,
        notes=str(imp.getProperty("Info") or ""),
    )


def _channel_names(imp: Any, n_channels: int) -> tuple[str, ...]:
    """Return the labels of the first slices, if every channel has its own and they repeat through the stack."""
    if n_channels == 1:
        return ()
    labels = [str(label) if label is not None else "" for label in list(imp.getStack().getSliceLabels() or [])]
    labels = labels[: int(imp.getStackSize())]
    names = tuple(labels[:n_channels])
    is_periodic = labels == list(names) * (len(labels) // n_channels)
    return names if is_periodic and all(names) and len(set(names)) == n_channels else ()


def _calibrate(calibration: Any, image: Image) -> None:
    size_um = image.pixel_size_um
    if "X" in size_um and "Y" in size_um:
        calibration.setUnit("um")
        calibration.pixelWidth, calibration.pixelHeight = size_um["X"], size_um["Y"]
        calibration.pixelDepth = size_um.get("Z", calibration.pixelDepth)
        for letter, position in image.metadata.origin_um.items():
            if letter in size_um:
                setattr(calibration, f"{letter.lower()}Origin", -position / size_um[letter])
    if image.metadata.frame_interval_s is not None:
        calibration.frameInterval = image.metadata.frame_interval_s
        calibration.setTimeUnit("sec")


def _label(imp: Any, names: tuple[str, ...], n_channels: int) -> None:
    if len(names) == n_channels > 1:
        stack = imp.getStack()
        for i in range(int(stack.getSize())):
            stack.setSliceLabel(names[i % n_channels], i + 1)


def to_table(lut: Any) -> NDArray[np.uint8]:
    """Return a look-up table of ImageJ with shape (3, 256)."""
    channels = []
    for get in (lut.getReds, lut.getGreens, lut.getBlues):
        values = jpype.JArray(jpype.JByte)(256)
        get(values)
        channels.append(np.asarray(values).view(np.uint8))
    return np.stack(channels)


def _lut(table: NDArray[np.uint8]) -> Any:
    rows = [jpype.JArray(jpype.JByte)(row.view(np.int8).tolist()) for row in np.asarray(table, np.uint8)]
    return load("ij.process.LUT")(*rows)
