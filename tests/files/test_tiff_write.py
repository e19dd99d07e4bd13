"""TIFF files written region by region: pixels and metadata come back, and only whole files appear."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carezoo import axes as axes_
from carezoo import files
from carezoo.errors import FileFormatError, InputError, RestoreError
from carezoo.files import tiff_write
from carezoo.image import Image, Metadata

CROPS = Path(__file__).parents[1] / "images"

LENGTHS = {"S": 2, "T": 3, "C": 2, "Z": 4, "Y": 7, "X": 9}
IMAGEJ_DTYPES = ["uint8", "uint16", "int16", "float32"]
OTHER_DTYPES = ["int8", "uint32", "int32", "uint64", "int64", "float16", "float64"]


def values(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    low = -100 if np.dtype(dtype).kind in "if" else 0
    return rng.integers(low, 100, shape).astype(dtype)


def whole(image):
    return image.pixels[(slice(None),) * len(image.shape)]


@st.composite
def axes_strings(draw, letters):
    chosen = [*draw(st.lists(st.sampled_from(letters), unique=True)), "Y", "X"]
    return "".join(draw(st.permutations(chosen)))


def comes_back(path, axes, dtype, singletons=()):
    shape = tuple(1 if letter in singletons else LENGTHS[letter] for letter in axes)
    array = values(shape, dtype)
    files.write_image(path, Image(array, axes))
    found = files.open_image(path)
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(axes_.move(whole(found), found.axes, axes), array)
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    axes=axes_strings("TCZ"),
    dtype=st.sampled_from(IMAGEJ_DTYPES),
    suffix=st.sampled_from([".tif", ".ome.tif", ".TIF", ".ome.tiff"]),
    singletons=st.sets(st.sampled_from("TCZYX")),
)
def test_axes_in_any_order_come_back(tmp_path, axes, dtype, suffix, singletons):
    found = comes_back(tmp_path / f"a{suffix}", axes, dtype, singletons)
    in_order = [letter for letter in found.axes if found.sizes[letter] > 1]
    assert in_order == [letter for letter in "TZCYX" if letter in in_order]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(axes=axes_strings("STCZ"), dtype=st.sampled_from([*IMAGEJ_DTYPES, *OTHER_DTYPES]))
def test_what_imagej_has_no_place_for_comes_back_from_plain_tiff(tmp_path, axes, dtype):
    path = tmp_path / "a.tif"
    comes_back(path, axes, dtype)
    with tifffile.TiffFile(path) as tif:
        assert tif.is_imagej == (dtype in IMAGEJ_DTYPES and "S" not in axes)


def test_width_of_three_or_four_is_no_colour(tmp_path):
    for width in (3, 4):
        for name in ("a.tif", "a.ome.tif"):
            array = values((2, 5, width), "uint8")
            files.write_image(tmp_path / name, Image(array, "ZYX"))
            np.testing.assert_array_equal(whole(files.open_image(tmp_path / name)), array)


# Metadata


def described(n_channels=2):
    rng = np.random.default_rng(5)
    return Metadata(
        channel_names=("nuclei µ", "actin & <tubulin>")[:n_channels],
        frame_interval_s=2.5,
        origin_um={"X": 5.0, "Y": -3.25, "Z": 1.5},
        luts=tuple(rng.integers(0, 256, (n_channels, 3, 256), np.uint8)),
        display_ranges=((1.0, 90.5), (-3.0, 100.0))[:n_channels],
        display_mode="composite" if n_channels > 1 else None,
        notes="first line\nsecond: µm {braces} & <tags>",
    )


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_metadata_come_back(tmp_path, name, dtype):
    axes = "TZCYX"
    size_um = {"Z": 0.3, "Y": 0.12, "X": 0.1}
    source = Image(values([LENGTHS[a] for a in axes], dtype), axes, size_um, described())
    files.write_image(tmp_path / name, source, {"model": "µ", "tiles": [1, 2]})
    found = files.open_image(tmp_path / name)
    assert found.pixel_size_um == pytest.approx(size_um)
    expected, metadata = source.metadata, found.metadata
    assert metadata.channel_names == expected.channel_names
    assert metadata.frame_interval_s == pytest.approx(2.5)
    assert metadata.origin_um == pytest.approx(expected.origin_um)
    assert metadata.display_ranges == expected.display_ranges
    assert metadata.display_mode == "composite"
    np.testing.assert_array_equal(metadata.luts, expected.luts)
    assert metadata.notes.startswith(expected.notes + "\n")
    assert files.read_notes(tmp_path / name) == {"model": "µ", "tiles": [1, 2]}


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_one_channel_keeps_its_colours_and_range(tmp_path, name):
    source = Image(values((4, 7, 9), "uint16"), "ZYX", {}, described(1))
    files.write_image(tmp_path / name, source)
    found = files.open_image(tmp_path / name).metadata
    np.testing.assert_array_equal(found.luts, source.metadata.luts)
    assert found.display_ranges == ((1.0, 90.5),)
    with tifffile.TiffFile(tmp_path / name) as tif:
        colormap = tif.pages.first.colormap
    if name == "a.tif":  # where ImageJ looks for the colours of a single channel
        np.testing.assert_array_equal(colormap >> 8, source.metadata.luts[0])


def test_characters_xml_cannot_hold_become_blanks(tmp_path):
    path = tmp_path / "a.ome.tif"
    metadata = Metadata(notes="one\x00two\x1fthree\ufffe <&> µ")
    files.write_image(path, Image(values((7, 9), "uint8"), "YX", metadata=metadata))
    assert files.open_image(path).metadata.notes == "one two three  <&> µ"


def test_real_imagej_files_keep_everything_through_both_carriers(tmp_path):
    for path in sorted(CROPS.glob("*_imagej.tif")):
        source = files.open_image(path)
        for name in ("a.tif", "a.ome.tif"):
            files.write_image(tmp_path / name, source)
            found = files.open_image(tmp_path / name)
            assert found.pixel_size_um == pytest.approx(dict(source.pixel_size_um), rel=1e-6)
            assert found.metadata.origin_um == pytest.approx(dict(source.metadata.origin_um), rel=1e-6)
            np.testing.assert_array_equal(found.metadata.luts, source.metadata.luts)
            expected_mode = source.metadata.display_mode
            if expected_mode is None and source.sizes.get("C", 1) > 1 and name == "a.tif":
                expected_mode = "composite"  # as Bio-Formats shows channels nobody said anything about
            assert found.metadata.display_mode == expected_mode
            for field in ("channel_names", "frame_interval_s", "display_ranges"):
                assert getattr(found.metadata, field) == getattr(source.metadata, field), (path.name, name, field)
            assert found.metadata.notes.strip() == source.metadata.notes.strip()
            np.testing.assert_array_equal(axes_.move(whole(found), found.axes, source.axes), whole(source))


def test_what_is_said_for_each_channel_goes_when_their_number_changes(tmp_path):
    like = Image(values((2, 7, 9), "uint16"), "CYX", {"Y": 0.1, "X": 0.1}, described())
    path = tmp_path / "a.tif"
    with files.create_image(path, shape=(3, 7, 9), axes="CYX", dtype="float32", like=like) as target:
        target[:, :, :] = np.zeros((3, 7, 9), np.float32)
    found = files.open_image(path).metadata
    assert (found.channel_names, found.luts, found.display_ranges) == ((), (), ())
    assert found.notes == like.metadata.notes


def test_metadata_for_other_channels_drops_only_what_does_not_fit():
    two = described()
    assert two.for_channels(2) == two
    one = two.for_channels(1)
    assert (one.channel_names, one.luts, one.display_ranges, one.display_mode) == ((), (), (), None)
    assert (one.notes, one.origin_um, one.frame_interval_s) == (two.notes, two.origin_um, two.frame_interval_s)


def test_own_pixel_size_and_metadata_take_the_place_of_those_lent(tmp_path):
    like = Image(values((7, 9), "uint16"), "YX", {"Y": 0.1, "X": 0.1}, described(1))
    metadata = dataclasses.replace(like.metadata, display_ranges=((7.0, 8.0),))
    path = tmp_path / "a.tif"
    with files.create_image(
        path,
        shape=(7, 9),
        axes="YX",
        dtype="float32",
        like=like,
        pixel_size_um={"Y": 0.5, "X": 0.5},
        metadata=metadata,
    ) as target:
        target[:, :] = np.zeros((7, 9), np.float32)
    found = files.open_image(path)
    assert found.pixel_size_um == pytest.approx({"Y": 0.5, "X": 0.5})
    assert found.metadata.display_ranges == ((7.0, 8.0),)


def test_restored_twice_a_file_keeps_both_notes_and_the_last_speaks(tmp_path):
    first, second = tmp_path / "first.tif", tmp_path / "second.ome.tif"
    files.write_image(first, Image(values((7, 9), "uint16"), "YX", metadata=Metadata(notes="by hand")), {"run": 1})
    files.write_image(second, files.open_image(first), {"run": 2})
    assert files.read_notes(second) == {"run": 2}
    notes = files.open_image(second).metadata.notes
    assert notes.index("by hand") < notes.index('{"run": 1}') < notes.index('{"run": 2}')


def test_files_without_notes_say_none(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values((7, 9), "uint8"))
    assert files.read_notes(path) is None
    assert files.read_notes(CROPS / "nuclei_zyx_imagej.tif") is None
    (tmp_path / "a.csv").write_text("x")
    assert files.read_notes(tmp_path / "a.csv") is None
    with pytest.raises(InputError, match="does not exist"):
        files.read_notes(tmp_path / "b.tif")


# Regions


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["a.tif", "a.ome.tif"]), axes=axes_strings("TCZ"))
def test_tiles_in_any_order_make_the_image(tmp_path, data, name, axes):
    shape = tuple(LENGTHS[letter] for letter in axes)
    array = values(shape, "uint16")
    cuts = [sorted({0, n, *data.draw(st.lists(st.integers(1, n - 1), max_size=2))}) for n in shape]
    tiles = list(itertools.product(*([slice(a, b) for a, b in itertools.pairwise(cut)] for cut in cuts)))
    with files.create_image(tmp_path / name, shape=shape, axes=axes, dtype="uint16") as target:
        for tile in data.draw(st.permutations(tiles)):
            as_integers = tuple(part.start if part.stop - part.start == 1 else part for part in tile)
            target[as_integers] = array[as_integers]
    found = files.open_image(tmp_path / name)
    np.testing.assert_array_equal(axes_.move(whole(found), found.axes, axes), array)


def test_threads_write_different_regions(tmp_path):
    array = values((16, 64, 64), "uint16")
    path = tmp_path / "a.tif"
    with files.create_image(path, shape=array.shape, axes="ZYX", dtype="uint16") as target:

        def write(columns):
            for z in range(16):
                target[z, :, columns] = array[z, :, columns]

        threads = [threading.Thread(target=write, args=(slice(x, x + 16),)) for x in range(0, 64, 16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    np.testing.assert_array_equal(whole(files.open_image(path)), array)


def write_ones(path, shape, *regions, then=None):
    """Write ones to `regions`, and raise `then` before the end."""
    with files.create_image(path, shape=shape, axes="ZYX"[-len(shape) :], dtype="uint8") as target:
        for region in regions:
            target[region] = np.ones(shape, np.uint8)[region]
        if then is not None:
            raise then


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_missing_pixels_leave_no_file(tmp_path, name):
    regions = [np.s_[:, :, 0:8], np.s_[0:2, :, 8], np.s_[3, :, 8]]
    with pytest.raises(RestoreError, match=r"1 of 4 plane.*of plane \(2,\), 56 of 63 pixels were written\. No file"):
        write_ones(tmp_path / name, (4, 7, 9), *regions)
    assert not list(tmp_path.iterdir())
    write_ones(tmp_path / name, (4, 7, 9), *regions, np.s_[2, :, 8])
    assert (whole(files.open_image(tmp_path / name)) == 1).all()


def test_a_pixel_written_twice_does_not_stand_for_one_that_is_missing(tmp_path):
    with pytest.raises(RestoreError, match="some of them twice"):
        write_ones(tmp_path / "a.tif", (7, 9), np.s_[0:6, :], np.s_[5, :])
    assert not list(tmp_path.iterdir())


def test_values_that_do_not_fit_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match=r"has shape \(7, 9\), values have \(7, 8\)"),
        files.create_image(tmp_path / "a.tif", shape=(7, 9), axes="YX", dtype="uint8") as target,
    ):
        target[:, :] = np.ones((7, 8), np.uint8)
    with (
        pytest.raises(TypeError, match="pixels of type uint8; convert the uint16 values"),
        files.create_image(tmp_path / "a.tif", shape=(7, 9), axes="YX", dtype="uint8") as target,
    ):
        target[:, :] = np.ones((7, 9), np.uint16)
    with (
        pytest.raises(IndexError, match="outside a dimension of length 7"),
        files.create_image(tmp_path / "a.tif", shape=(7, 9), axes="YX", dtype="uint8") as target,
    ):
        target[7, :] = np.ones(9, np.uint8)
    assert not list(tmp_path.iterdir())


# Carriers, and what they refuse


def test_large_files_choose_a_carrier_that_can_count_that_far(tmp_path, monkeypatch):
    """Above 4 GiB ImageJ's own trick is one page for all planes; the limit is lowered here to keep files small."""
    array = values((5, 32, 32), "uint16")
    monkeypatch.setattr(tiff_write, "_MOST_CLASSIC_BYTES", 8000)
    for name, axes in [("a.tif", "ZYX"), ("a.ome.tif", "ZYX"), ("plain.tif", "SYX")]:
        files.write_image(tmp_path / name, Image(array, axes))
        np.testing.assert_array_equal(whole(files.open_image(tmp_path / name)), array)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert (tif.is_imagej, tif.is_bigtiff, len(tif.pages)) == (True, False, 1)
    for name in ("a.ome.tif", "plain.tif"):
        with tifffile.TiffFile(tmp_path / name) as tif:
            assert tif.is_bigtiff
    monkeypatch.setattr(tiff_write, "_MOST_CLASSIC_BYTES", 2000)
    files.write_image(tmp_path / "plane.tif", Image(array[0], "YX"))
    with tifffile.TiffFile(tmp_path / "plane.tif") as tif:
        assert (tif.is_imagej, tif.is_bigtiff) == (False, True)


@pytest.mark.parametrize(
    ("name", "axes", "dtype", "message"),
    [
        ("a.png", "YX", "uint8", r"expected a name in \.tif or \.ome\.tif, found '\.png'"),
        ("a.ome.tif", "SYX", "uint8", "OME-TIFF has no place for axes SYX"),
        ("a.ome.tif", "ZYX", "int64", "pixels of type int64"),
        ("a.tif", "ZYX", "bool", "convert them to uint8"),
        ("a.tif", "ZYX", "complex64", "pixels of type complex64"),
    ],
)
def test_what_no_carrier_holds_is_told_before_anything_is_written(tmp_path, name, axes, dtype, message):
    shape = (2, 7, 9)[-len(axes) :]
    with (
        pytest.raises(FileFormatError, match=message),
        files.create_image(tmp_path / name, shape=shape, axes=axes, dtype=dtype),
    ):
        pytest.fail("the block was entered")
    assert not list(tmp_path.iterdir())


def test_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10 * 2**20))
    with (
        pytest.raises(InputError, match=r"it needs 0\.25 GiB, the disk has 10\.0 MiB left"),
        files.create_image(tmp_path / "a.tif", shape=(64, 1024, 1024), axes="ZYX", dtype="float32"),
    ):
        pytest.fail("the block was entered")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("boom")])
def test_interrupted_writing_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.tif"
    old = values((7, 9), "uint8")
    files.write_image(path, Image(old, "YX"))
    with pytest.raises(type(error)):
        write_ones(path, (7, 9), np.s_[0:3, :], then=error)
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(whole(files.open_image(path)), old)


def test_a_file_that_reads_differently_is_not_kept(tmp_path, monkeypatch):
    original = tiff_write.open_tiff
    monkeypatch.setattr(
        tiff_write,
        "open_tiff",
        lambda *arguments: dataclasses.replace(original(*arguments), pixels=np.zeros((7, 8), np.uint8)),
    )
    with pytest.raises(RestoreError, match="the file just written reads as"):
        files.write_image(tmp_path / "a.tif", Image(values((7, 9), "uint8"), "YX"))
    assert not list(tmp_path.iterdir())
