"""Formats beside TIFF: makers' formats through the bioio readers, Zarr, arrays and pictures."""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import os
import re
import struct
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from carezoo import axes as axes_
from carezoo import files
from carezoo.errors import AxesError, FileFormatError, MissingExtraError
from carezoo.files import formats, readers

ARRAY = (np.arange(2 * 3 * 2 * 40 * 50) % 4099).astype(np.uint16).reshape(2, 3, 2, 40, 50)  # TZCYX

needs_readers = [
    pytest.mark.slow,  # bioio alone takes many seconds to import
    pytest.mark.skipif(importlib.util.find_spec("bioio") is None, reason='needs bioio: pip install "carezoo[formats]"'),
    # of bioio's dependencies; a user sees none of them
    pytest.mark.filterwarnings("ignore"),
]


def reads_like_the_array(image):
    order = axes_.move(ARRAY, "TZCYX", image.axes)
    assert (image.shape, image.dtype) == (order.shape, np.uint16)
    np.testing.assert_array_equal(image.array(), order)
    np.testing.assert_array_equal(image.pixels[1, :, 1:3, 5, 7:30], order[1, :, 1:3, 5, 7:30])


class TestReaders:
    pytestmark = needs_readers

    @pytest.fixture(scope="class", autouse=True)
    def _import_readers(self):
        """Importing zarr sets environment variables; they go again."""
        before = dict(os.environ)
        for name in ("bioio_czi", "bioio_lif", "bioio_nd2", "zarr"):
            pytest.importorskip(name, reason=f"needs {name}")
        with contextlib.suppress(ImportError):  # which bioio asks for files of unknown formats
            importlib.import_module("bioio_ome_zarr")
        yield
        os.environ.clear()
        os.environ.update(before)

    def test_czi(self, tmp_path):
        czi = pytest.importorskip("pylibCZIrw.czi", reason="needs pylibCZIrw, which writes the file")
        with czi.create_czi(str(tmp_path / "a.czi")) as file:
            for t, z, c in np.ndindex(2, 3, 2):
                file.write(ARRAY[t, z, c][..., np.newaxis], plane={"T": t, "Z": z, "C": c})
            names = {0: "DAPI", 1: "GFP"}
            file.write_metadata("a", channel_names=names, scale_x=1e-7, scale_y=1e-7, scale_z=3e-7)
        image = files.open_image(tmp_path / "a.czi")
        reads_like_the_array(image)
        assert image.axes == "TCZYX"
        assert image.pixel_size_um == pytest.approx({"Z": 0.3, "Y": 0.1, "X": 0.1})
        assert image.metadata.channel_names == ("DAPI", "GFP")

    def test_lif(self, tmp_path):
        (tmp_path / "a.lif").write_bytes(lif(ARRAY))
        image = files.open_image(tmp_path / "a.lif")
        reads_like_the_array(image)
        assert image.pixel_size_um == pytest.approx({"Z": 0.3, "Y": 0.1, "X": 0.1})
        assert image.metadata.channel_names == ("Green", "Red")
        with pytest.raises(FileFormatError, match="has no scene 3; it has"):
            files.open_image(tmp_path / "a.lif", scene=3)
        with pytest.raises(AxesError, match="name 4 dimension"):
            files.open_image(tmp_path / "a.lif", "TZYX")
        assert files.open_image(tmp_path / "a.lif", "TCZYX", scene=0).axes == "TCZYX"

    def test_series_of_lif(self, tmp_path):
        (tmp_path / "a.lif").write_bytes(lif(ARRAY, ARRAY + 1, ARRAY[:1]))
        assert [each.label for each in files.choose_scenes(tmp_path / "a.lif", "all")] == [
            "Series001", "Series002", "Series003",
        ]  # fmt: skip
        reads_like_the_array(files.open_image(tmp_path / "a.lif", scene="Series001"))
        assert int(files.open_image(tmp_path / "a.lif", scene=1).pixels[0, 0, 0, 0, 1]) == int(ARRAY[0, 0, 0, 0, 1]) + 1
        assert "T" not in files.open_image(tmp_path / "a.lif", scene="Series003").axes

    def test_scenes_and_tiles_of_czi(self, tmp_path, monkeypatch):
        """A mosaic is one image, of which only the tiles are decoded that a region touches."""
        czi = pytest.importorskip("pylibCZIrw.czi", reason="needs pylibCZIrw, which writes the file")
        plane = np.ascontiguousarray(np.tile(ARRAY[0, 0, 0], (2, 3)))
        with czi.create_czi(str(tmp_path / "a.czi")) as file:
            for scene in range(2):
                for y, x in np.ndindex(2, 3):
                    tile = plane[40 * y : 40 * y + 40, 50 * x : 50 * x + 50, np.newaxis] + np.uint16(scene)
                    place = (1000 * scene + 50 * x, 40 * y)
                    file.write(np.ascontiguousarray(tile), location=place, scene=scene)
            file.write_metadata("a", scale_x=1e-7, scale_y=1e-7)
        with czi.edit_czi(str(tmp_path / "a.czi")) as file, file.edit_session() as metadata:
            scenes = "".join(f'<Scene Index="{i}" Name="p{i}"/>' for i in range(2))
            named = f"<Dimensions><S><Scenes>{scenes}</Scenes></S></Dimensions><SizeX>"
            metadata.set_xml(metadata.get_xml().replace("<SizeX>", named, 1))
        assert [scene.label for scene in files.choose_scenes(tmp_path / "a.czi", "all")] == ["p0", "p1"]
        sizes = []

        def count(*where):
            found = original(*where)
            sizes.append(found.nbytes)
            return found

        original = formats._read_region
        monkeypatch.setattr(formats, "_read_region", count)
        for scene in range(2):
            image = files.open_image(tmp_path / "a.czi", scene=scene)
            np.testing.assert_array_equal(image.array(), plane + np.uint16(scene))
            sizes.clear()
            again = files.open_image(tmp_path / "a.czi", scene=scene)
            np.testing.assert_array_equal(again.pixels[10:30, 60:90], plane[10:30, 60:90] + np.uint16(scene))
            assert sum(sizes) == 40 * 50 * 2

    @pytest.mark.parametrize("suffix", [".czi", ".lif", ".nd2"])
    def test_damaged_file_names_reader_and_cure(self, tmp_path, suffix):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"\x00" * 5000)
        with pytest.raises(FileFormatError, match=rf"cannot be read by bioio-{suffix[1:]} .*save it as OME-TIFF"):
            files.open_image(path)

    def test_unknown_format_names_what_is_known(self, tmp_path):
        (tmp_path / "a.xyz").write_bytes(b"\x00" * 100)
        with pytest.raises(FileFormatError, match=r"a\.xyz has a format carezoo does not know.*carezoo\[formats\]"):
            files.open_image(tmp_path / "a.xyz")


def test_missing_readers_name_the_pip_line(tmp_path, monkeypatch):
    original = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.startswith("bioio"):
            raise ImportError(name)
        return original(name, *arguments, **options)

    for name in [name for name in sys.modules if name.startswith("bioio")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "bioio", None)
    monkeypatch.setattr(builtins, "__import__", refuse)
    (tmp_path / "a.nd2").touch()
    with pytest.raises(
        MissingExtraError, match=r'bioio is needed to read ND2 files .*pip install "carezoo\[formats\]"'
    ):
        files.open_image(tmp_path / "a.nd2")
    (tmp_path / "a.xyz").touch()
    with pytest.raises(FileFormatError, match=r"does not know.*carezoo\[formats\]"):
        files.open_image(tmp_path / "a.xyz")


@pytest.mark.parametrize("kind", [AttributeError, TypeError])
@pytest.mark.parametrize("module", ["bioio_odd", "odd"])
def test_what_a_reader_stumbles_over_is_the_file(tmp_path, monkeypatch, kind, module):
    prepare_reader(tmp_path, monkeypatch, module, kind)
    with pytest.raises(FileFormatError, match=r"a\.odd cannot be read by bioio-odd \(no such part\).*save it as OME"):
        files.open_image(tmp_path / "a.odd")


@pytest.mark.parametrize(("module", "kind"), [("bioio", TypeError), ("bioio_odd", NameError), ("odd", ImportError)])
def test_what_does_not_fit_together_is_no_damage(tmp_path, monkeypatch, module, kind):
    prepare_reader(tmp_path, monkeypatch, module, kind)
    with pytest.raises(kind, match="no such part"):
        files.open_image(tmp_path / "a.odd")


def prepare_reader(folder, monkeypatch, module, kind):
    """Make a.odd, and a reader for it in whose `module` an error of type `kind` is raised."""
    (folder / "a.odd").touch()
    raising = f"raise {kind.__name__}('no such part')"
    for name, function, body in [
        ("odd", "read(path)", "pass"),
        ("bioio_odd", "Reader(path)", "import odd; odd.read(path)"),
        ("bioio", "BioImage(path, reader)", "reader(path)"),
    ]:
        made = ModuleType(name)
        exec(f"def {function}: {raising if name == module else body}", vars(made))
        monkeypatch.setitem(sys.modules, name, made)
    monkeypatch.setitem(formats.FORMATS, ".odd", formats._bioio("odd", "odd"))


def lif(*arrays):
    """Return the bytes of a Leica LIF file: XML, then one block of memory a series, each behind its own header."""
    series = "".join(describe_series(array, number) for number, array in enumerate(arrays, 1))
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="a.lif" Visibility="1" CopyOption="1"><Data>'
        '<Experiment Path="a.lif"/></Data><Memory Size="0" MemoryBlockID="MemBlock_0"/><Children>'
        f"{series}</Children></Element></LMSDataContainerHeader>"
    )

    def text(content):
        return struct.pack("<BI", 0x2A, len(content)) + content.encode("utf-16-le")

    def block(content):
        return struct.pack("<II", 0x70, len(content)) + content

    def memory(number, data):
        return block(struct.pack("<BQ", 0x2A, len(data)) + text(f"MemBlock_{number}")) + data

    data = [b"", *(array.tobytes() for array in arrays)]
    return block(text(xml)) + b"".join(memory(number, each) for number, each in enumerate(data))


def describe_series(array, number):
    n_t, n_z, n_c, n_y, n_x = array.shape
    pixel = array.itemsize
    strides = {"X": pixel, "Y": n_x * pixel, "C": n_y * n_x * pixel}
    strides["Z"] = n_c * strides["C"]
    strides["T"] = n_z * strides["Z"]
    channels = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" '
        f'Max="65535" Unit="" LUTName="{name}" IsLUTInverted="0" BytesInc="{c * strides["C"]}" BitInc="0"/>'
        for c, name in enumerate(["Green", "Red"])
    )
    dimensions = "".join(
        f'<DimensionDescription DimID="{number}" NumberOfElements="{n}" Origin="0" Length="{step * (n - 1)}" '
        f'Unit="{unit}" BitInc="0" BytesInc="{strides[letter]}"/>'
        for number, letter, n, step, unit in [
            (1, "X", n_x, 1e-7, "m"),
            (2, "Y", n_y, 1e-7, "m"),
            (3, "Z", n_z, 3e-7, "m"),
            (4, "T", n_t, 2.0, "s"),
        ]
    )
    return (
        f'<Element Name="Series{number:03}" Visibility="1" CopyOption="1"><Data><Image><ImageDescription>'
        f"<Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{array.nbytes}" MemoryBlockID="MemBlock_{number}"/><Children/></Element>'
    )


@pytest.mark.parametrize(
    ("interval", "unit", "seconds"),
    [(timedelta(milliseconds=2500), None, 2.5), (None, None, None), (2.5, None, None)],
)
def test_the_time_between_frames_of_makers_is_kept(interval, unit, seconds):
    """Nothing at hand writes the times of CZI and ND2 planes; this is how their readers return them."""
    opened = SimpleNamespace(time_interval=interval, dimension_properties=SimpleNamespace(T=SimpleNamespace(unit=unit)))
    assert readers._frame_interval_s(opened) == seconds


def test_the_table_of_the_documentation_is_that_of_the_code():
    rows = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf8").splitlines()
    table = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("| ")][2:]
    told = {
        suffix: (re.match(r"\w+", name)[0], needs)
        for name, suffixes, needs, _ in table
        for suffix in re.findall(r"\.\w+", suffixes)
    }
    known = {suffix: (each.name, "`formats`" if each.packages else "") for suffix, each in formats.FORMATS.items()}
    assert told == known | dict.fromkeys((*formats.TIFF_SUFFIXES, ".ome"), ("TIFF", ""))
