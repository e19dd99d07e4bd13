"""Images in several files, and files whose metadata do not fit their pixels."""

import logging
import os
import pickle
import time

import numpy as np
import packages
import pytest
import tifffile

import carezoo
from carezoo import files
from carezoo.errors import AxesError, FileFormatError, InputError
from carezoo.files import atomic
from carezoo.files.listing import collect_images, images_in
from carezoo.image import Image, Metadata
from carezoo.package.write import write_package
from carezoo.runtime.batch import Job, restore_files

NS = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
STACK = (np.arange(4 * 24 * 20) % 251).astype(np.uint16).reshape(4, 24, 20)


def ome_xml(tiff_data, sizes="SizeX='20' SizeY='24' SizeZ='4' SizeC='1' SizeT='1'", more="", uuid=""):
    identity = f" UUID='{uuid}'" if uuid else ""
    return (
        f"<?xml version='1.0' encoding='UTF-8'?><OME xmlns='{NS}'{identity}><Image ID='Image:0'><Pixels ID='Pixels:0' "
        f"DimensionOrder='XYZCT' Type='uint16' {sizes} {more}><Channel ID='Channel:0:0' SamplesPerPixel='1'/>"
        f"{tiff_data}</Pixels></Image></OME>"
    ).encode()


def tiff_data(names):
    return "".join(
        f"<TiffData IFD='0' FirstZ='{z}' PlaneCount='1'><UUID FileName='{name}'>urn:uuid:{z}</UUID></TiffData>"
        for z, name in enumerate(names)
    )


def write_set(folder, is_companion=False):
    """Write a stack as one file a plane, with the metadata in each of them or in a file of their own."""
    folder.mkdir(exist_ok=True)
    names = [f"s{z}.ome.tif" for z in range(4)]
    if is_companion:
        (folder / "s.companion.ome").write_bytes(ome_xml(tiff_data(names)))
    for z, name in enumerate(names):
        text = ome_xml(tiff_data(names), uuid=f"urn:uuid:{z}")
        if is_companion:
            text = f"<OME xmlns='{NS}' UUID='urn:uuid:{z}'><BinaryOnly MetadataFile='s.companion.ome'/></OME>".encode()
        tifffile.imwrite(folder / name, STACK[z], description=text, metadata=None)
    return folder


@pytest.mark.parametrize("is_companion", [False, True])
def test_a_set_in_a_folder_is_one_image(tmp_path, is_companion):
    folder = write_set(tmp_path / "set", is_companion)
    files.write_image(folder / "alone.tif", Image(STACK[0], "YX"))
    assert [path.name for path in images_in(folder)] == ["alone.tif", "s0.ome.tif"]
    named = [folder / "s2.ome.tif", folder / "s0.ome.tif", folder / "alone.tif"]
    assert collect_images(named) == [named[0], named[2]]
    masters = ["s.companion.ome"] if is_companion else []
    for name in ["s0.ome.tif", "s3.ome.tif", *masters]:
        image = files.open_image(folder / name)
        assert np.array_equal(image.array(), STACK)
        assert np.array_equal(pickle.loads(pickle.dumps(image)).array(), STACK)


@pytest.mark.parametrize("is_companion", [False, True])
def test_a_set_is_finished_until_any_of_its_files_changes(tmp_path, is_companion):
    model = carezoo.load(write_package(packages.denoise_2d(), tmp_path / "one.zip"))
    folder = write_set(tmp_path / "set", is_companion)
    result = model.restore_file(folder / "s0.ome.tif", tmp_path / "out")
    written = result.stat().st_mtime_ns
    assert model.restore_file(folder / "s0.ome.tif", tmp_path / "out").stat().st_mtime_ns == written
    with tifffile.TiffFile(folder / "s2.ome.tif") as tif:
        other = tif.pages.first.description
    tifffile.imwrite(folder / "s2.ome.tif", 3 * STACK[2], description=other.encode(), metadata=None)
    with pytest.raises(InputError, match="exists and was made before the image changed"):
        model.restore_file(folder / "s0.ome.tif", tmp_path / "out")
    if is_companion:
        assert model.restore_file(folder / "s.companion.ome", tmp_path / "out").name == "s_restored.ome.tif"


def test_what_a_set_lacks_is_named(tmp_path):
    folder = write_set(tmp_path / "set", is_companion=True)
    (folder / "s.companion.ome").rename(tmp_path / "s.companion.ome")
    with pytest.raises(FileFormatError, match=r"metadata lie in s\.companion\.ome, which is not beside it"):
        files.open_image(folder / "s0.ome.tif")
    with pytest.raises(FileFormatError, match=r"none of the 4 file\(s\) it lists \(s0\.ome\.tif, .*whole set into one"):
        files.open_image(tmp_path / "s.companion.ome")


IMAGEJ = "ImageJ=1.53t\nimages=6\nslices=6\nhyperstack=true\n"
SHAPED = '{"shape": [6, 24, 20]}'


@pytest.mark.parametrize(
    ("description", "listed"),
    [
        (IMAGEJ, r"6 planes \(1 channels, 6 slices, 1 frames\), the file holds 4 of 24 x 20"),
        (ome_xml("").decode(), r"4 planes of 24 x 20 pixels, the file holds 4 of 24 x 20"),
        (
            ome_xml("<TiffData/>", sizes="SizeX='64' SizeY='64' SizeZ='4' SizeC='1' SizeT='1'").decode(),
            r"4 planes of 64 x 64 pixels, the file holds 4 of 24 x 20",
        ),
    ],
)
def test_planes_that_are_whole_are_read_when_axes_are_given(tmp_path, description, listed, caplog):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for plane in STACK:
            writer.write(plane, description=description.encode(), metadata=None, compression="zlib", contiguous=False)
            description = ""
    with pytest.raises(FileFormatError, match=f"{listed} pixels.*--axes"):
        files.open_image(path)
    with caplog.at_level(logging.WARNING, "carezoo"):
        image = files.open_image(path, "TYX")
    assert (image.axes, image.shape) == ("TYX", STACK.shape)
    assert np.array_equal(image.array(), STACK)
    assert np.array_equal(pickle.loads(pickle.dumps(image)).array(), STACK)
    assert any("read one by one as TYX" in message for message in caplog.messages)
    with_lengths = files.open_image(path, "T2C2YX")
    assert np.array_equal(with_lengths.array(), STACK.reshape(2, 2, 24, 20))


def test_a_file_that_lost_pages_is_read_as_far_as_it_goes_when_axes_are_given(tmp_path):
    path = tmp_path / "a.ome.tif"
    text = ome_xml("<TiffData/>", sizes="SizeX='20' SizeY='24' SizeZ='9' SizeC='1' SizeT='1'")
    with tifffile.TiffWriter(path) as writer:
        for z, plane in enumerate(STACK):
            writer.write(plane, description=text if z == 0 else None, metadata=None, contiguous=False)
    image = files.open_image(path)
    with pytest.raises(FileFormatError, match="metadata list 9 planes, 4 are there"):
        image.array()
    assert np.array_equal(image.crop({"Z": slice(0, 4)}).array(), STACK)
    assert np.array_equal(files.open_image(path, "ZYX").array(), STACK)


def test_lengths_in_axes(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, metadata=None, photometric="minisblack")
    assert files.open_image(path, "T2CYX").sizes == {"T": 2, "C": 2, "Y": 24, "X": 20}
    with pytest.raises(AxesError, match=r"the lengths give 6 planes, a\.tif holds 4"):
        files.open_image(path, "T3C2YX")


@pytest.mark.parametrize("size", ["1e-12", "-3", "0", "nan", "inf", "1e300", "abc", ""])
@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
def test_an_odd_pixel_size_is_ignored(tmp_path, size, suffix):
    path = tmp_path / "a.tif"
    more = f"PhysicalSizeX='{size}' PhysicalSizeY='{size}' TimeIncrement='{size}'"
    tifffile.imwrite(
        path, STACK, description=ome_xml("<TiffData/>", more=more), metadata=None, photometric="minisblack"
    )
    image = files.open_image(path)
    files.write_image(tmp_path / f"b{suffix}", image)
    again = files.open_image(tmp_path / f"b{suffix}")
    assert np.array_equal(again.array(), STACK)
    assert not set(again.pixel_size_um) & set("YX")


@pytest.mark.parametrize("more", ["<Channel ID='a' Color='red'/>", "<Plane PositionX='nan' PositionXUnit='µm'/>"])
def test_odd_metadata_never_keep_pixels_from_being_read(tmp_path, more):
    text = ome_xml("<TiffData/>").replace(b"<Channel ID='Channel:0:0' SamplesPerPixel='1'/>", more.encode())
    tifffile.imwrite(tmp_path / "a.tif", STACK, description=text, metadata=None, photometric="minisblack")
    assert np.array_equal(files.open_image(tmp_path / "a.tif").array(), STACK)


def test_odd_numbers_of_python_are_not_written(tmp_path, caplog):
    odd = Metadata((), float("nan"), {"Z": float("inf")}, (), ((0.0, float("inf")),))
    files.write_image(tmp_path / "a.tif", Image(STACK, "TYX", {"X": 1e-12, "Y": 0.1}, odd))
    assert files.open_image(tmp_path / "a.tif").metadata.frame_interval_s is None
    assert sum("cannot be, and is ignored" in message for message in caplog.messages) == 4


def test_a_crop_of_a_large_file_neither_reads_nor_hashes_it(tmp_path):
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, shape=(64, 8192, 8192), dtype=np.uint16, bigtiff=True, metadata=None)  # 8 GiB, sparse
    model = carezoo.load(write_package(packages.denoise_2d(), tmp_path / "one.zip"))
    job = Job(models={None: model.package}, axes="TYX", crop={"T": slice(3, 4), "Y": slice(0, 64), "X": slice(0, 64)})
    list(restore_files([path], job))  # loads what is loaded once
    os.utime(path, ns=(0, 0))
    start = time.process_time()
    (outcome,) = restore_files([path], job)
    assert "made before the image changed" in str(outcome.error)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("n", [1, 3, 16, 17, 100])
def test_sixteen_pieces_of_all_files_identify_a_large_image(tmp_path, monkeypatch, n):
    monkeypatch.setattr(atomic, "MOST_HASHED_BYTES", 2**20)
    size = max(2**21 // n, 2**14) + 1
    for number in range(n):
        (tmp_path / f"{number:03}").write_bytes(bytes(size))
    read = []
    original = atomic.Path.open

    def counted(path, mode):
        read.append(path)
        return original(path, mode)

    monkeypatch.setattr(atomic.Path, "open", counted)
    found = atomic.identify([tmp_path])
    assert 0 < len(read) <= 16
    assert atomic.identify([tmp_path]) == found
    with original(tmp_path / f"{n - 1:03}", "ab") as file:
        file.write(b"x")
    assert atomic.identify([tmp_path]) != found


def test_what_identifies_a_large_file(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(2**21))
    whole = atomic.identify([path])
    assert whole == {"sha256": atomic.hash_file(path)[0]}
    monkeypatch.setattr(atomic, "MOST_HASHED_BYTES", 2**20)
    parts = atomic.identify([path])
    assert set(parts) == {"sha256_of_parts"}
    assert atomic.identify([path]) == parts
    with path.open("r+b") as file:
        file.write(b"x")
    assert atomic.identify([path]) != parts
