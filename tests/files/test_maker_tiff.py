"""TIFF of microscope makers: LSM, STK and SVS, written here byte by byte where nobody else writes them."""

import struct

import numpy as np
import pytest
import tifffile

from carezoo import files
from carezoo.files.listing import images_in

STACK = (np.arange(4 * 24 * 20) % 251).astype(np.uint16).reshape(4, 24, 20)


def write_lsm(path, scan_type=0, interval=0.0):
    """Write planes, each followed by a thumbnail, and the structure that Zeiss calls CZ_LSMINFO."""
    sizes = {"X": 20, "Y": 24, "Z": 1, "Time": 1, "Channels": 1} | {"Z" if scan_type == 0 else "Time": len(STACK)}
    layout = np.dtype(tifffile.TIFF.CZ_LSMINFO)
    info = np.zeros(1, layout)
    info["MagicNumber"], info["StructureSize"], info["ScanType"] = 67127628, layout.itemsize, scan_type
    for axis, size in sizes.items():
        info[f"Dimension{axis}"] = size
    info["VoxelSizeX"], info["VoxelSizeY"], info["VoxelSizeZ"] = 1e-7, 1e-7, 3e-7
    info["TimeIntervall"] = interval
    tag = (34412, "B", layout.itemsize, info.tobytes(), True)
    with tifffile.TiffWriter(path, byteorder="<") as writer:
        for number, plane in enumerate(STACK):
            tags = [tag] if number == 0 else []
            writer.write(plane, metadata=None, contiguous=False, extratags=tags)
            writer.write(plane[::4, ::4], metadata=None, contiguous=False, subfiletype=1)
    return path


@pytest.mark.parametrize(("scan_type", "axes", "interval"), [(0, "ZYX", None), (3, "TYX", 2.5)])
def test_lsm(tmp_path, scan_type, axes, interval):
    image = files.open_image(write_lsm(tmp_path / "a.lsm", scan_type, interval or 0))
    assert image.axes == axes
    np.testing.assert_array_equal(image.array(), STACK)
    expected = {"Y": 0.1, "X": 0.1} | ({"Z": 0.3} if axes == "ZYX" else {})
    assert image.pixel_size_um == pytest.approx(expected)
    assert image.metadata.frame_interval_s == interval
    assert [scene.label for scene in files.choose_scenes(tmp_path / "a.lsm", "all")] == [""]  # no thumbnails


def write_stk(path, z_step=0.0, ms=0, unit="um"):
    """Write the first page, the other planes behind it, and the tags UIC1 (calibration) and UIC2 (planes)."""
    n = len(STACK)
    planes = [[round(1000 * z_step), 1000, 2459000, 1000 + ms * i, 2459000, 0] for i in range(n)]
    marks = [0x11223344, 0x22334455, 0x33445566]  # places of the values, known when the file is written
    uic1 = [4, marks[0], 5, marks[1], 6, marks[2]]
    tags = [
        (33628, "I", 6, uic1, True),
        (33629, 5, 3 * n, np.ravel(planes).tolist(), True),
    ]
    tifffile.imwrite(path, STACK[0], byteorder="<", metadata=None, extratags=tags, rowsperstrip=24)
    data = bytearray(path.read_bytes())
    for tag, kind, written, count in ((33628, 4, 6, 3), (33629, 5, 3 * n, n)):  # they count entries, not numbers
        data[:] = data.replace(struct.pack("<HHI", tag, kind, written), struct.pack("<HHI", tag, kind, count))
    with tifffile.TiffFile(path) as tif:
        first = tif.pages.first.dataoffsets[0]
    assert first + STACK[0].nbytes == len(data)
    data += STACK[1:].tobytes()
    for mark, value in zip(marks, [(65, 1000), (65, 1000), None], strict=True):
        place = len(data)
        text = unit.encode() + b"\0"
        data += struct.pack("<2I", *value) if value else struct.pack("<I", len(text)) + text
        data[:] = data.replace(struct.pack("<I", mark), struct.pack("<I", place))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("z_step", "ms", "axes", "size_um", "interval"),
    [(0.25, 0, "ZYX", {"Z": 0.25, "Y": 0.065, "X": 0.065}, None), (0.0, 500, "TYX", {"Y": 0.065, "X": 0.065}, 0.5)],
)
def test_stk(tmp_path, z_step, ms, axes, size_um, interval):
    image = files.open_image(write_stk(tmp_path / "a.stk", z_step, ms))
    assert image.axes == axes
    np.testing.assert_array_equal(image.array(), STACK)
    assert image.pixel_size_um == pytest.approx(size_um)
    assert image.metadata.frame_interval_s == interval
    assert files.open_image(write_stk(tmp_path / "b.stk", 0.25, unit="pixel")).pixel_size_um == {}


@pytest.mark.parametrize("mpp", ["0.2525", None])
def test_svs(tmp_path, mpp):
    tile = np.stack([STACK[0].astype(np.uint8)] * 3, axis=-1)
    words = "Aperio Image Library v11.2.1 \r\n20x24 [0,0 20x24] (16x16) |AppMag = 40" + (f"|MPP = {mpp}" if mpp else "")
    with tifffile.TiffWriter(tmp_path / "a.svs") as writer:
        writer.write(tile, photometric="rgb", tile=(16, 16), description=words, metadata=None)
        writer.write(tile[::2, ::2], photometric="rgb", description=words, metadata=None)  # thumbnail
    image = files.open_image(tmp_path / "a.svs")
    assert image.axes == "YXC"
    np.testing.assert_array_equal(image.array(), tile)
    assert image.pixel_size_um == ({"Y": 0.2525, "X": 0.2525} if mpp else {})
    assert len(files.choose_scenes(tmp_path / "a.svs", "all")) == 1


def test_they_count_in_folders(tmp_path):
    write_lsm(tmp_path / "a.lsm")
    write_stk(tmp_path / "b.stk")
    assert [path.name for path in images_in(tmp_path)] == ["a.lsm", "b.stk"]
