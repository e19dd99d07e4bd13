"""ImagePlus to and from numpy, in a JVM without a screen: every type exact, every axis in its place."""

import numpy as np
import packages
import pytest

from carezoo.axes import move
from carezoo.errors import FileFormatError, InputError
from carezoo.image import Image, Metadata
from carezoo_fiji import java
from carezoo_fiji.images import display_range, selection, to_image, to_imageplus

SHAPE = (3, 4, 2, 7, 9)


@pytest.fixture(scope="module", autouse=True)
def _jvm():
    java.start([java.find_jar()], headless=True)


def value_coded(dtype, shape=SHAPE):
    """Return an array whose every pixel says where it is, over the whole range of the type."""
    array = np.arange(np.prod(shape)).reshape(shape) * 31
    if np.dtype(dtype).kind == "f":
        return (array / 7 - 300).astype(dtype)
    limits = np.iinfo(dtype)
    return (array % (int(limits.max) - int(limits.min) + 1) + int(limits.min)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("TZCYX", SHAPE),
        ("ZYX", (5, 7, 9)),
        ("CYX", (3, 7, 9)),
        ("TYX", (2, 7, 9)),
        ("YX", (7, 9)),
        ("CZYX", (2, 3, 7, 9)),
    ],
)
def test_round_trips_are_exact(dtype, axes, shape):
    array = value_coded(dtype, shape)
    back = to_image(to_imageplus(Image(array, axes), "cells"))
    assert sorted(back.axes) == sorted(axes)
    assert back.dtype == dtype
    np.testing.assert_array_equal(move(back.array(), back.axes, axes), array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_imagej_finds_every_pixel_where_it_belongs(dtype):
    array = value_coded(dtype)
    imp = to_imageplus(Image(array, "TZCYX"), "cells")
    assert list(imp.getDimensions()) == [9, 7, 2, 4, 3]
    for t, z, c, y, x in [(0, 0, 0, 0, 0), (2, 3, 1, 6, 8), (1, 2, 0, 3, 5), (0, 3, 1, 2, 4)]:
        processor = imp.getStack().getProcessor(imp.getStackIndex(c + 1, z + 1, t + 1))
        value = imp.getCalibration().getCValue(float(processor.getf(x, y)))
        assert value == array[t, z, c, y, x]


def test_wide_types_become_float32_and_others_are_refused():
    assert to_imageplus(Image(np.full((4, 4), 0.5), "YX"), "a").getBitDepth() == 32
    with pytest.raises(InputError, match=r"no images of type uint32; it has uint8, uint16, int16, float32"):
        to_imageplus(Image(np.zeros((4, 4), np.uint32), "YX"), "a")
    with pytest.raises(InputError, match="samples"):
        to_imageplus(Image(np.zeros((2, 4, 4), np.uint8), "SYX"), "a")


def test_calibration_display_and_names_survive():
    ramp = np.arange(256, dtype=np.uint8)
    magenta, green = np.stack([ramp, 0 * ramp, ramp]), np.stack([0 * ramp, ramp, 0 * ramp])
    ranges = ((1.0, 90.0), (3.0, 99.0))
    origin = {"X": 1.5, "Y": -2.0}
    metadata = Metadata(("nuclei", "actin"), 2.5, origin, (magenta, green), ranges, "color", "some notes")
    size_um = {"Z": 0.3, "Y": 0.1, "X": 0.11}
    imp = to_imageplus(Image(value_coded("uint16"), "TZCYX", size_um, metadata), "cells")
    calibration = imp.getCalibration()
    assert str(calibration.getUnit()) in {"um", "\u00b5m"}
    assert (calibration.pixelDepth, calibration.frameInterval) == (0.3, 2.5)
    assert str(imp.getStack().getSliceLabel(4)) == "actin"
    found = to_image(imp)
    assert found.pixel_size_um == pytest.approx(size_um)
    assert found.metadata.origin_um == pytest.approx(origin)
    assert found.metadata.channel_names == ("nuclei", "actin")
    assert found.metadata.frame_interval_s == 2.5
    assert found.metadata.display_ranges == ranges
    assert found.metadata.display_mode == "color"
    assert found.metadata.notes == "some notes"
    for given, kept in zip(metadata.luts, found.metadata.luts, strict=True):
        np.testing.assert_array_equal(given, kept)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_one_channel_keeps_its_table_and_range(dtype):
    green = np.stack([np.zeros(256), np.arange(256), np.zeros(256)]).astype(np.uint8)
    image = Image(value_coded(dtype, (3, 7, 9)), "ZYX", metadata=Metadata(luts=(green,), display_ranges=((2.0, 60.0),)))
    found = to_image(to_imageplus(image, "cells")).metadata
    np.testing.assert_array_equal(found.luts[0], green)
    assert found.display_ranges[0] == pytest.approx((2, 60))


def test_units_that_are_no_lengths_are_unknown():
    imp = to_imageplus(Image(value_coded("uint8", (7, 9)), "YX"), "cells")
    assert to_image(imp).pixel_size_um == {}
    imp.getCalibration().setUnit("nm")
    imp.getCalibration().pixelWidth = imp.getCalibration().pixelHeight = 65
    assert to_image(imp).pixel_size_um == pytest.approx({"Y": 0.065, "X": 0.065})


def test_a_signed_file_of_imagej_is_signed(tmp_path):
    import tifffile

    array = value_coded("int16", (7, 9))
    tifffile.imwrite(tmp_path / "signed.tif", array, imagej=True)
    imp = java.load("ij.IJ").openImage(str(tmp_path / "signed.tif"))
    np.testing.assert_array_equal(to_image(imp).array(), array)


def test_virtual_stacks_are_read_plane_by_plane(tmp_path):
    import tifffile

    array = packages.picture((6, 20, 30))
    folder = tmp_path / "planes"
    folder.mkdir()
    for i, plane in enumerate(array):
        tifffile.imwrite(folder / f"{i}.tif", plane)
    imp = java.load("ij.plugin.FolderOpener").open(str(folder), "virtual")
    assert imp.getStack().isVirtual()
    image = to_image(imp)
    read = []
    plane = type(image.pixels).plane

    class Watched(type(image.pixels)):
        def plane(self, t, z, c):
            read.append(t + z)
            return plane(self, t, z, c)

    pixels = Watched(**vars(image.pixels))
    np.testing.assert_array_equal(pixels[(slice(2, 4), slice(5, 9), slice(0, 30))], array[2:4, 5:9])
    assert read == [2, 3]
    np.testing.assert_array_equal(image.array(), array)


def test_what_the_user_does_later_changes_no_copy():
    imp = to_imageplus(Image(value_coded("uint16", (7, 9)), "YX"), "cells")
    image = to_image(imp)
    before = image.array().copy()
    imp.getProcessor().set(0)
    np.testing.assert_array_equal(image.array(), before)


def test_a_selection_is_cut_to_the_image():
    imp = to_imageplus(Image(value_coded("uint16", (2, 7, 9)), "ZYX", {"Z": 1, "Y": 0.5, "X": 0.5}), "cells")
    assert selection(imp) is None
    imp.setRoi(3, 2, 40, 3)
    region = selection(imp)
    assert region == {"Y": slice(2, 5), "X": slice(3, 9)}
    cropped = to_image(imp, region=region)
    np.testing.assert_array_equal(cropped.array(), value_coded("uint16", (2, 7, 9))[:, 2:5, 3:])
    assert cropped.metadata.origin_um == {"Y": 1.0, "X": 1.5}


def test_colours_are_refused_with_advice():
    IJ = java.load("ij.IJ")
    rgb = IJ.createImage("rgb", "RGB ramp", 8, 8, 1)
    with pytest.raises(FileFormatError, match="Split Channels"):
        to_image(rgb)
    few = IJ.createImage("few colours", "RGB noise", 32, 32, 1)
    java.load("ij.process.ImageConverter")(few).convertRGBtoIndexedColor(64)
    with pytest.raises(FileFormatError, match="Lookup Tables > Grays"):
        to_image(few)
    labels = _with_table("3-3-2 rgb")
    assert labels.getType() == java.load("ij.ImagePlus").GRAY8  # ImageJ does not say that these are colours
    with pytest.raises(FileFormatError, match="Lookup Tables > Grays"):
        to_image(labels)


def _with_table(name):
    imp = to_imageplus(Image(value_coded("uint8", (7, 9)), "YX"), "cells")
    table = java.load("ij.plugin.LutLoader").getLut(name)
    imp.getProcessor().setLut(java.load("ij.process.LUT")(table, 0.0, 255.0))
    return java.load("ij.ImagePlus")("cells", imp.getProcessor())


@pytest.mark.parametrize("name", ["grays", "fire", "ice", "spectrum", "green", "red/green"])
def test_a_coloured_table_over_intensities_is_no_palette(name):
    np.testing.assert_array_equal(to_image(_with_table(name)).array(), value_coded("uint8", (7, 9)))


def test_display_runs_over_the_values():
    values = np.concatenate([np.linspace(10, 20, 5000), [1e6]])
    low, high = display_range(values)
    assert 10 <= low < 10.2
    assert 19 < high < 21
    assert display_range(np.zeros(5)) == (0, 1)
