"""Zarr folders as bioformats2raw, plate exporters and plain zarr write them."""

import json

import numpy as np
import packages
import pytest

import carezoo
from carezoo import axes as axes_
from carezoo import files
from carezoo.errors import AxesError, FileFormatError
from carezoo.files.listing import is_folder
from carezoo.package.write import write_package

zarr = pytest.importorskip("zarr", reason='needs zarr: pip install "carezoo[formats]"')

ARRAY = (np.arange(2 * 3 * 2 * 40 * 50) % 4099).astype(np.uint16).reshape(2, 3, 2, 40, 50)  # TZCYX
STORED = np.ascontiguousarray(axes_.move(ARRAY, "TZCYX", "TCZYX"))
UNITS = [("t", "time", "millisecond"), ("c", "channel", None), *((axis, "space", "nanometer") for axis in "zyx")]


def axes_of(version):
    """Return the axes as a version of OME-NGFF notes them."""
    named = [{"name": name, "type": kind} | ({"unit": unit} if unit else {}) for name, kind, unit in UNITS]
    return {"0.2": None, "0.3": [name for name, *_ in UNITS]}.get(version, named)


def write_ome(group, pixels, version="0.4", name=""):
    """Write one image at two resolutions."""
    scale = {"type": "scale", "scale": [2500.0, 1.0, 300.0, 100.0, 100.0]}
    shift = {"type": "translation", "translation": [0.0, 0.0, 0.0, 7000.0, 0.0]}
    multiscale = {"version": version, "datasets": [{"path": "0"}, {"path": "1"}]} | ({"name": name} if name else {})
    if axes_of(version):
        multiscale["axes"] = axes_of(version)
    if version >= "0.4":
        multiscale["datasets"][0]["coordinateTransformations"] = [scale, shift]
    fields = {"multiscales": [multiscale], "omero": {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}}
    group.attrs.update({"ome": fields} if version >= "0.5" else fields)
    group.create_array("0", data=pixels, chunks=(1, 1, 2, 16, 16))
    group.create_array("1", data=pixels[..., ::2, ::2], chunks=(1, 1, 2, 16, 16))


def root(path, version="0.4"):
    return zarr.open_group(str(path), mode="w", zarr_format=3 if version >= "0.5" else 2)


@pytest.mark.parametrize("version", ["0.2", "0.3", "0.4", "0.5"])
def test_an_image_of_any_version(tmp_path, version):
    write_ome(root(tmp_path / "a.zarr", version), STORED, version)
    image = files.open_image(tmp_path / "a.zarr")
    assert (image.axes, image.dtype) == ("TCZYX", np.uint16)
    np.testing.assert_array_equal(image.array(), STORED)
    np.testing.assert_array_equal(image.pixels[1, :, 1:3, 5, 7:30], STORED[1, :, 1:3, 5, 7:30])
    assert image.metadata.channel_names == ("DAPI", "GFP")
    if version >= "0.4":
        assert image.pixel_size_um == pytest.approx({"Z": 0.3, "Y": 0.1, "X": 0.1})
        assert image.metadata.origin_um == pytest.approx({"Y": 7.0})
        assert image.metadata.frame_interval_s == pytest.approx(2.5)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("is_listed", [False, True])
def test_series_of_bioformats2raw(tmp_path, version, is_listed):
    path = tmp_path / "slide.zarr"
    group = root(path, version)
    layout = {"bioformats2raw.layout": 3}
    group.attrs.update({"ome": layout} if version >= "0.5" else layout)
    for number in (0, 1, 10):
        write_ome(group.create_group(str(number)), STORED + number, version)
    series = {"series": ["1", "0", "10"] if is_listed else ["0", "1", "10"]}
    ome = group.create_group("OME")
    if is_listed:
        ome.attrs.update({"ome": series} if version >= "0.5" else series)
        names = "".join(f"<Image ID='Image:{i}' Name='{name}'/>" for i, name in enumerate(["label", "macro", "scan"]))
        xml = f"<OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06'>{names}</OME>"
        (path / "OME" / "METADATA.ome.xml").write_text(xml)
    found = [scene.label for scene in files.choose_scenes(path, "all")]
    assert found == (["label", "macro", "scan"] if is_listed else ["0", "1", "10"])
    for number, offset in enumerate((1, 0, 10) if is_listed else (0, 1, 10)):
        np.testing.assert_array_equal(files.open_image(path, scene=number).array(), STORED + offset)


def write_plate(path, version="0.4"):
    group = root(path, version)
    wells = ["A/1", "B/12"]

    def note(node, fields):
        node.attrs.update({"ome": fields} if version >= "0.5" else fields)

    note(group, {"plate": {"wells": [{"path": well} for well in [*wells, "C/3"]]}, "bioformats2raw.layout": 3})
    for i, well in enumerate(wells):
        node = group.create_group(well)
        note(node, {"well": {"images": [{"path": "0"}, {"path": "1"}]}})
        for field in range(2):
            write_ome(node.create_group(str(field)), STORED + 2 * i + field, version)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_fields_of_a_plate(tmp_path, version):
    path = write_plate(tmp_path / "plate.zarr", version)
    found = [scene.label for scene in files.choose_scenes(path, "all")]
    assert found == ["A-1-0", "A-1-1", "B-12-0", "B-12-1"]  # C/3 was not acquired
    np.testing.assert_array_equal(files.open_image(path, scene="B/12/0").array(), STORED + 2)
    with pytest.raises(FileFormatError, match=r"has no scene 'B/12'; it has A/1/0, A/1/1, B/12/0"):
        files.open_image(path, scene="B/12")
    for inside in ("B/12", "B/12/1"):  # a well or a field named by itself
        assert not is_folder(path / inside)
    np.testing.assert_array_equal(files.open_image(path / "B" / "12", scene=1).array(), STORED + 3)
    np.testing.assert_array_equal(files.open_image(path / "B" / "12" / "1").array(), STORED + 3)


def test_results_of_a_plate_are_named_by_well_and_field(tmp_path):
    path = tmp_path / "plate.zarr"
    group = root(path)
    group.attrs.update({"plate": {"wells": [{"path": "A/1"}]}})
    well = group.create_group("A/1")
    well.attrs.update({"well": {"images": [{"path": "0"}, {"path": "1"}]}})
    for field in range(2):
        write_ome(well.create_group(str(field)), STORED[:1, :1, :1] + field)
    model = carezoo.load(write_package(packages.denoise_2d(), tmp_path / "one.zip"))
    model.restore_file(path, tmp_path / "out", scene="all")
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        "plate_A-1-0_restored.tif", "plate_A-1-1_restored.tif",
    ]  # fmt: skip


@pytest.mark.parametrize("version", [2, 3])
def test_plain_arrays_need_axes_unless_they_name_them(tmp_path, version):
    zarr.save_array(str(tmp_path / "a.zarr"), STORED[0, 0], zarr_format=version)
    with pytest.raises(AxesError, match=r"does not say what its axes mean: shape 3 x 40 x 50.*ZYX, TYX"):
        files.open_image(tmp_path / "a.zarr")
    image = files.open_image(tmp_path / "a.zarr", "ZYX")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.array(), STORED[0, 0])
    zarr.save_array(str(tmp_path / "b.zarr"), STORED[0, 0, 0], zarr_format=version)
    assert files.open_image(tmp_path / "b.zarr").axes == "YX"
    named = zarr.open_array(str(tmp_path / "c.zarr"), mode="w", shape=(3, 40, 50), dtype=">u2", zarr_format=2)
    named[:] = STORED[0, 0]
    named.attrs["_ARRAY_DIMENSIONS"] = ["depth", "y", "x"]
    image = files.open_image(tmp_path / "c.zarr")
    assert (image.axes, image.dtype) == ("ZYX", np.dtype("=u2"))
    np.testing.assert_array_equal(image.array(), STORED[0, 0])


def test_arrays_of_a_plain_group_are_scenes(tmp_path):
    group = root(tmp_path / "a.zarr")
    for name in ("raw", "clean"):
        group.create_array(name, data=STORED[0, 0, 0] + len(name))
    assert [scene.label for scene in files.choose_scenes(tmp_path / "a.zarr", "all")] == ["clean", "raw"]
    np.testing.assert_array_equal(files.open_image(tmp_path / "a.zarr", scene="raw").array(), STORED[0, 0, 0] + 3)


def test_what_is_no_image_is_refused(tmp_path):
    root(tmp_path / "empty.zarr")
    with pytest.raises(FileFormatError, match="holds no image: neither its metadata list one"):
        files.open_image(tmp_path / "empty.zarr")
    (tmp_path / "no.zarr").mkdir()
    with pytest.raises(FileFormatError, match="cannot be read by zarr"):
        files.open_image(tmp_path / "no.zarr")
    root(tmp_path / "damaged.zarr")
    (tmp_path / "damaged.zarr" / ".zattrs").write_text(json.dumps({"multiscales": [{"datasets": [{"path": "7"}]}]}))
    with pytest.raises(FileFormatError, match="cannot be read by zarr"):
        files.open_image(tmp_path / "damaged.zarr")
