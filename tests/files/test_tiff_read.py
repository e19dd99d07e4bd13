"""TIFF files of many makers, read lazily: pixels equal tifffile's own reading, metadata are what ImageJ wrote."""

from __future__ import annotations

import pickle
import struct
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carezoo import files
from carezoo.errors import AxesError, FileFormatError, InputError
from carezoo.files.stored_pixels import PlanePixels
from carezoo.files.tiff_pages import EncodedPages, RawPages

CROPS = Path(__file__).parents[1] / "images"


def stack(shape, dtype="uint16", seed=0):
    rng = np.random.default_rng(seed)
    # Smooth enough that lossless codecs have something to do, and different in every plane.
    return (rng.integers(0, 50, shape) + np.arange(np.prod(shape)).reshape(shape) % 97).astype(dtype)


def whole(image):
    return image.pixels[(slice(None),) * len(image.shape)]


# What ImageJ 1.53t itself wrote: axes, shape, dtype, pixel size, metadata


def test_stack_saved_by_imagej():
    image = files.open_image(CROPS / "nuclei_zyx_imagej.tif")
    assert (image.axes, image.shape, image.dtype, image.name) == (
        "ZYX",
        (8, 48, 48),
        np.uint16,
        "nuclei_zyx_imagej.tif",
    )
    assert image.pixel_size_um == pytest.approx({"Z": 0.29, "Y": 0.26, "X": 0.26}, rel=1e-6)
    assert image.metadata.origin_um == pytest.approx({"X": -2.6, "Y": -5.2, "Z": -0.58}, rel=1e-6)
    assert image.metadata.display_ranges == ((2000.0, 40000.0),)
    assert image.metadata.notes == "Nuclei of the Allen cell collection\nObjective = 63x"
    (lut,) = image.metadata.luts
    np.testing.assert_array_equal(lut, [np.zeros(256), np.arange(256), np.zeros(256)])
    np.testing.assert_array_equal(whole(image), tifffile.imread(CROPS / "nuclei_zyx_imagej.tif"))


def test_composite_saved_by_imagej():
    image = files.open_image(CROPS / "hela_cyx_imagej.tif")
    assert (image.axes, image.shape) == ("CYX", (3, 64, 64))
    assert image.pixel_size_um == pytest.approx({"Y": 0.0515, "X": 0.0515}, rel=1e-4)  # written in nm
    assert image.metadata.channel_names == ("actin", "tubulin", "DNA")
    assert image.metadata.display_ranges == ((100.0, 1500.0), (200.0, 2500.0), (0.0, 4095.0))
    assert image.metadata.display_mode == "composite"
    assert [lut[:, 255].tolist() for lut in image.metadata.luts] == [[255, 0, 0], [0, 255, 0], [255, 255, 255]]


def test_time_lapse_saved_by_imagej_as_palette_with_interval_in_minutes():
    image = files.open_image(CROPS / "photons_tyx_imagej.tif")
    assert (image.axes, image.shape, image.dtype) == ("TYX", (5, 64, 64), np.uint8)
    assert image.metadata.frame_interval_s == pytest.approx(30.0)
    assert image.metadata.luts[0].shape == (3, 256)
    assert len(np.unique(image.metadata.luts[0][0])) > 100  # Fire, not grey and not empty
    np.testing.assert_array_equal(whole(image), tifffile.imread(CROPS / "photons_tyx_imagej.tif"))


def test_signed_pixels_lose_the_offset_imagej_stores_them_with():
    path = CROPS / "brain_zcyx_signed_imagej.tif"
    image = files.open_image(path)
    stored = tifffile.imread(path)
    assert (image.axes, image.dtype, stored.dtype) == ("ZCYX", np.int16, np.uint16)
    np.testing.assert_array_equal(whole(image).astype(int), stored.astype(int) - 32768)
    assert image.pixels[3, 1, 39, 39] == int(stored[3, 1, 39, 39]) - 32768
    assert image.metadata.display_ranges == ((-2880.0, -1865.0),) * 2


def test_colour_samples_become_channels_and_say_so(caplog):
    image = files.open_image(CROPS / "hela_rgb_imagej.tif")
    assert (image.axes, image.shape) == ("YXC", (64, 64, 3))
    assert "colour image" in caplog.text
    np.testing.assert_array_equal(whole(image), tifffile.imread(CROPS / "hela_rgb_imagej.tif"))


def test_spacing_of_one_is_left_out_by_imagej_but_not_by_others(tmp_path):
    path = tmp_path / "a.tif"
    arguments = {"imagej": True, "resolution": (10, 10)}
    tifffile.imwrite(path, stack((4, 8, 8)), metadata={"axes": "ZYX", "unit": "um"}, **arguments)
    assert files.open_image(path).pixel_size_um == pytest.approx({"Y": 0.1, "X": 0.1})
    tifffile.imwrite(path, stack((4, 8, 8)), metadata={"axes": "ZYX", "unit": "um", "ImageJ": "1.53t"}, **arguments)
    assert files.open_image(path).pixel_size_um == pytest.approx({"Z": 1.0, "Y": 0.1, "X": 0.1})


# Every way of storing pixels

STORED = {
    "contiguous": {},
    "big endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
    "strips": {"rowsperstrip": 7, "compression": "zlib"},
    "uncompressed strips": {"rowsperstrip": 7},
    "lzw with predictor": {"compression": "lzw", "predictor": True},
    "deflate": {"compression": "zlib"},
    "zstd big endian": {"compression": "zstd", "byteorder": ">"},
    "jpeg 2000": {"compression": "jpeg2000"},
    "tiles": {"tile": (16, 32)},
    "zstd tiles": {"tile": (16, 32), "compression": "zstd", "predictor": True},
    "jpeg 2000 tiles": {"tile": (32, 16), "compression": "jpeg2000"},
}


@st.composite
def regions(draw, shape):
    key = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        key.append(draw(st.one_of(st.just(start), st.integers(start + 1, n).map(lambda s, a=start: slice(a, s)))))
    return tuple(key)


@pytest.mark.parametrize("storage", STORED)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_region_of_any_storage_equals_the_array(tmp_path, storage, data):
    array = stack((2, 3, 37, 51))
    path = tmp_path / "a.ome.tif"
    if not path.exists():
        tifffile.imwrite(path, array, ome=True, metadata={"axes": "TCYX"}, **STORED[storage])
    image = files.open_image(path)
    assert image.axes == "TCYX"
    key = data.draw(regions(array.shape))
    found = image.pixels[key]
    assert isinstance(found, np.ndarray | np.generic)
    assert np.asarray(found).dtype == np.uint16
    np.testing.assert_array_equal(found, array[key])


@pytest.mark.parametrize(
    ("planar", "axes", "shape"), [("contig", "YXC", (40, 50, 3)), ("separate", "CYX", (3, 40, 50))]
)
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (16, 16)}, {"compression": "lzw"}])
def test_colour_stored_interleaved_or_separately(tmp_path, planar, axes, shape, options):
    array = stack(shape, "uint8")
    path = tmp_path / "rgb.tif"
    tifffile.imwrite(path, array, photometric="rgb", planarconfig=planar, metadata=None, **options)
    image = files.open_image(path)
    assert (image.axes, image.shape) == (axes, shape)
    np.testing.assert_array_equal(image.pixels[1:3, 2:30, 1:3], array[1:3, 2:30, 1:3])


def test_pages_between_which_other_things_lie(tmp_path):
    array = stack((5, 20, 30), "float32")
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for number, plane in enumerate(array):
            writer.write(plane, metadata=None, description=f"plane {number} " + "x" * number * 100)
    image = files.open_image(path, "ZYX")
    assert isinstance(image.pixels, PlanePixels)
    assert isinstance(image.pixels.pages, RawPages)
    np.testing.assert_array_equal(image.pixels[1:5, 3:9, 7], array[1:5, 3:9, 7])


def test_uncompressed_rows_are_read_alone(tmp_path):
    """Rows outside the region may lie beyond the end of the file: nobody reads them."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack((1000, 64)), metadata=None)
    image = files.open_image(path)
    expected = whole(image)[:10]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 64 * 2 * 500)
    np.testing.assert_array_equal(image.pixels[0:10, :], expected)
    with pytest.raises(FileFormatError, match="shorter than when it was opened"):
        image.pixels[:, :]


def test_only_the_tiles_of_the_region_are_decoded(tmp_path, monkeypatch):
    path = tmp_path / "mosaic.tif"
    tifffile.imwrite(path, stack((512, 512)), tile=(64, 64), compression="zlib", metadata=None)
    image = files.open_image(path)
    decoded = []
    monkeypatch.setattr(
        EncodedPages,
        "_decode_segment",
        lambda self, page, place, index, original=EncodedPages._decode_segment: (
            decoded.append(index) or original(self, page, place, index)
        ),
    )
    image.pixels[124:134, 188:194]
    assert sorted(decoded) == [10, 11, 18, 19]  # of 8 x 8 tiles: rows 1 and 2, columns 2 and 3
    image.pixels[126:130, 190:193]
    assert len(decoded) == 4  # the second time from memory


@pytest.mark.parametrize("key", [np.s_[::2, :], np.s_[5:5, :], np.s_[8, :], np.s_[0:3], np.s_[0, 0, 0]])
def test_regions_that_are_none(tmp_path, key):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack((8, 9)), metadata=None)
    with pytest.raises(IndexError):
        files.open_image(path).pixels[key if isinstance(key, tuple) else (key,)]


def test_threads_and_other_processes_read_the_same_pixels(tmp_path):
    array = stack((16, 40, 40))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "ZYX"}, compression="zlib")
    pixels = files.open_image(path).pixels
    wrong = []

    def read(seed):
        rng = np.random.default_rng(seed)
        for _ in range(40):
            z, y = int(rng.integers(16)), int(rng.integers(39))
            if not np.array_equal(pixels[z, y : y + 1, :], array[z, y : y + 1]):
                wrong.append((z, y))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(pixels))[3:5, 2, :], array[3:5, 2])


# Axes


def test_file_of_one_plane_needs_no_axes(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack((20, 30)), metadata=None)
    assert files.open_image(path).axes == "YX"


@pytest.mark.parametrize("metadata", [None, {}])
def test_plain_stack_says_which_axes_it_could_have(tmp_path, metadata):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack((5, 20, 30)), metadata=metadata, photometric="minisblack")
    with pytest.raises(AxesError, match=r"5 x 20 x 30.*--axes.*ZYX, TYX, CYX"):
        files.open_image(path)
    assert files.open_image(path, "tyx").axes == "TYX"


def test_axes_the_user_gives_win_and_may_count_singletons_or_not(tmp_path):
    array = stack((1, 5, 1, 20, 30))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "TZCYX", "spacing": 0.5, "unit": "um"})
    assert files.open_image(path).axes == "ZYX"
    for axes, shape in {
        "TYX": (5, 20, 30),
        "TZYX": (1, 5, 20, 30),
        "TZCYX": (1, 5, 1, 20, 30),
        "ZCYX": (5, 1, 20, 30),
    }.items():
        image = files.open_image(path, axes)
        assert (image.axes, image.shape) == (axes, shape)
        np.testing.assert_array_equal(whole(image).ravel(), array.ravel())
    with pytest.raises(AxesError, match="name 2 dimension"):
        files.open_image(path, "YX")


# OME


def ome_series(path):
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number, shape in enumerate([(3, 16, 20), (2, 4, 24, 28)]):
            writer.write(
                stack(shape, seed=number),
                metadata={
                    "axes": "CZYX"[-len(shape) :],
                    "Name": f"field {number}",
                    "Description": f"notes {number}",
                    "PhysicalSizeX": 100.0 + number,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 0.2,
                    "PhysicalSizeZ": 0.5,
                },
            )


def test_ome_scenes_by_number_and_name(tmp_path):
    path = tmp_path / "many.ome.tif"
    ome_series(path)
    first, second, named = (files.open_image(path, scene=scene) for scene in (None, 1, "field 1"))
    assert (first.axes, first.shape, second.axes, second.shape) == ("ZYX", (3, 16, 20), "CZYX", (2, 4, 24, 28))
    assert first.pixel_size_um == pytest.approx({"Z": 0.5, "Y": 0.2, "X": 0.1})
    assert second.pixel_size_um["X"] == pytest.approx(0.101)
    assert (first.metadata.notes, second.metadata.notes) == ("notes 0", "notes 1")
    np.testing.assert_array_equal(whole(named), stack((2, 4, 24, 28), seed=1))
    with pytest.raises(FileFormatError, match="no scene 'field 7'; it has field 0, field 1"):
        files.open_image(path, scene="field 7")


def test_ome_planes_in_several_files(tmp_path):
    array = stack((2, 3, 16, 20))
    (tmp_path / "set.companion.txt").write_text("unrelated")
    uuids = ["urn:uuid:00000000-0000-0000-0000-00000000000" + str(t) for t in range(2)]
    data = "".join(
        f'<TiffData FirstT="{t}" FirstZ="0" FirstC="0" IFD="0" PlaneCount="3">'
        f'<UUID FileName="t{t}.ome.tif">{uuids[t]}</UUID></TiffData>'
        for t in range(2)
    )
    for t in range(2):
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuids[t]}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="20" SizeY="16" '
            f'SizeZ="3" SizeC="1" SizeT="2"><Channel ID="Channel:0:0" SamplesPerPixel="1" Name="GFP"/>{data}'
            "</Pixels></Image></OME>"
        )
        with tifffile.TiffWriter(tmp_path / f"t{t}.ome.tif") as writer:
            for z in range(3):
                writer.write(array[t, z], description=xml if z == 0 else None, metadata=None, photometric="minisblack")
    image = files.open_image(tmp_path / "t0.ome.tif")
    assert image.axes == "TZYX"
    np.testing.assert_array_equal(whole(image), array)
    (tmp_path / "t1.ome.tif").unlink()
    lacking = files.open_image(tmp_path / "t0.ome.tif")
    np.testing.assert_array_equal(lacking.pixels[0, :, :, :], array[0])
    with pytest.raises(FileFormatError, match=r"t1\.ome\.tif is missing: the set lacks plane 3.*--crop"):
        lacking.pixels[1, 0, :, :]


# What is not an image, or not all of one


def test_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "cells_01.tif").touch()
    with pytest.raises(InputError, match=r"does not exist.*has cells_01.tif"):
        files.open_image(tmp_path / "cell_01.tif")
    with pytest.raises(InputError, match="Neither does the folder"):
        files.open_image(tmp_path / "nowhere" / "a.tif")


def test_folder_is_not_an_image(tmp_path):
    with pytest.raises(InputError, match=r"is a folder; expected an image file"):
        files.open_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a tiff at all"])
def test_name_alone_makes_no_tiff(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="is not a TIFF file although it is called one"):
        files.open_image(path)


def test_palette_of_arbitrary_colours_is_refused_and_a_ramp_is_not(tmp_path):
    path = tmp_path / "a.tif"
    rng = np.random.default_rng(0)
    options = {"photometric": "palette", "metadata": None}
    tifffile.imwrite(path, stack((8, 8), "uint8"), colormap=rng.integers(0, 65535, (3, 256), np.uint16), **options)
    with pytest.raises(FileFormatError, match="indexed colour"):
        files.open_image(path)
    ramp = np.zeros((3, 256), np.uint16)
    ramp[1] = np.arange(256) * 257
    tifffile.imwrite(path, stack((8, 8), "uint8"), colormap=ramp, **options)
    assert files.open_image(path).dtype == np.uint8


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
def test_what_is_shown_white_to_black_is_written_so(tmp_path, dtype, suffix):
    path = tmp_path / f"a{suffix}"
    tifffile.imwrite(path, stack((2, 8, 9), dtype), photometric="miniswhite", metadata={"axes": "ZYX"})
    image = files.open_image(path)
    np.testing.assert_array_equal(whole(image), stack((2, 8, 9), dtype))
    files.write_image(tmp_path / f"b{suffix}", replace(image, pixels=image.array()))
    for each in (image, files.open_image(tmp_path / f"b{suffix}")):
        (lut,) = each.metadata.luts
        np.testing.assert_array_equal(lut, np.tile(np.arange(255, -1, -1), (3, 1)))


def truncated_kinds(path):
    array = stack((4, 12, 10))
    yield "imagej", {"imagej": True, "metadata": {"axes": "ZYX"}}, array
    yield "imagej compressed", {"imagej": True, "metadata": {"axes": "ZYX"}, "compression": "zlib"}, array
    yield "ome", {"ome": True, "metadata": {"axes": "ZYX"}}, array
    yield "ome compressed", {"ome": True, "metadata": {"axes": "ZYX"}, "compression": "lzw", "tile": (16, 16)}, array
    yield "shaped", {"metadata": {"axes": "ZYX"}}, array
    yield "plain", {"metadata": None}, array
    yield "plain compressed", {"metadata": None, "compression": "zlib"}, array


@pytest.mark.parametrize("kind", range(7))
def test_cut_off_anywhere_a_file_is_refused_or_whole(tmp_path, kind):
    """A copy that stopped never passes as a smaller image."""
    path, cut = tmp_path / "a.tif", tmp_path / "cut.tif"
    _, options, array = list(truncated_kinds(path))[kind]
    tifffile.imwrite(path, array, photometric="minisblack", **options)
    content = path.read_bytes()
    n_refused = 0
    for n_bytes in [*range(8, len(content), 13), len(content) - 1]:
        cut.write_bytes(content[:n_bytes])
        try:
            found = whole(files.open_image(cut, "ZYX"))
        except (FileFormatError, AxesError):
            n_refused += 1
            continue
        np.testing.assert_array_equal(found, array, err_msg=f"cut to {n_bytes} of {len(content)} bytes")
    assert n_refused > len(content) // 13 / 2


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncation_is_told_when_the_file_is_opened(tmp_path, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack((64, 64)), metadata=None, compression=compression)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 20)
    with pytest.raises(FileFormatError, match=r"is truncated: its pixels end at byte \d+, the file has \d+"):
        files.open_image(path)


def test_a_number_that_damage_makes_two_is_damage_and_no_bug(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack((64, 64)), metadata=None)
    with tifffile.TiffFile(path) as tif:
        n_rows = tif.pages[0].tags["ImageLength"]
    with path.open("r+b") as file:
        file.seek(n_rows.offset + 2)
        file.write(struct.pack("<HI", 3, 2))  # two numbers of 16 bit
    with pytest.raises(TypeError):
        tifffile.imread(path)
    with pytest.raises(FileFormatError, match=r"a\.tif cannot be read as TIFF \(TypeError: .*It is damaged"):
        files.open_image(path)


def test_damaged_compressed_plane_names_itself(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack((3, 64, 64)), imagej=True, metadata={"axes": "ZYX"}, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[1].dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 40)
    image = files.open_image(path)
    image.pixels[0, :, :]
    with pytest.raises(FileFormatError, match="plane 1 cannot be decoded"):
        image.pixels[1, :, :]


def test_resolution_of_a_plain_file_is_a_pixel_size_only_if_it_can_be_one(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack((8, 8)), metadata=None, resolution=(1e5, 5e4), resolutionunit="CENTIMETER")
    assert files.open_image(path).pixel_size_um == pytest.approx({"X": 0.1, "Y": 0.2})
    tifffile.imwrite(path, stack((8, 8)), metadata=None, resolution=(300, 300), resolutionunit="INCH")
    assert files.open_image(path).pixel_size_um == {}
