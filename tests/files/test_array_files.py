"""HDF5, MRC, NPY, PNG and JPEG: arrays and pictures, written here by the libraries that others use."""

import json
import pickle

import imagecodecs
import numpy as np
import packages
import pytest

import carezoo
from carezoo import files
from carezoo.errors import AxesError, DataError, FileFormatError, InputError
from carezoo.files.listing import images_in
from carezoo.package.write import write_package
from carezoo.pairs import find
from carezoo.pairs.section import FileSet, PairAxes
from carezoo.train.sections import Data

STACK = (np.arange(3 * 24 * 20) % 251).astype(np.uint16).reshape(3, 24, 20)


def shows(image, expected, axes):
    assert (image.axes, image.shape, image.dtype) == (axes, expected.shape, expected.dtype)
    np.testing.assert_array_equal(image.array(), expected)
    region = (slice(1, 2),) * (expected.ndim - 1) + (slice(3, 9),) if "C" not in axes else (slice(1, 2),) * 3
    np.testing.assert_array_equal(image.pixels[region], expected[region])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image)).array(), expected)


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "int16", "float32", "float64", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path, dtype, order):
    stored = np.asarray(STACK, dtype, order=order)
    np.save(tmp_path / "a.npy", stored)
    with pytest.raises(AxesError, match=r"a\.npy does not say what its axes mean: shape 3 x 24 x 20.*ZYX, TYX"):
        files.open_image(tmp_path / "a.npy")
    shows(files.open_image(tmp_path / "a.npy", "TYX"), stored.astype(stored.dtype.newbyteorder("=")), "TYX")
    np.save(tmp_path / "b.npy", stored[0])
    assert files.open_image(tmp_path / "b.npy").axes == "YX"


def test_npy_that_is_no_image(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="cannot be read by carezoo"):  # no pickle is opened
        files.open_image(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.zeros((4, 5), complex))
    with pytest.raises(InputError, match="pixels of type complex128"):
        files.open_image(tmp_path / "b.npy")


@pytest.fixture
def h5(tmp_path):
    h5py = pytest.importorskip("h5py", reason='needs h5py: pip install "carezoo[formats]"')
    with h5py.File(tmp_path / "cell.h5", "w") as file:
        raw = file.create_dataset("t0/raw", data=STACK, chunks=(1, 16, 16), compression="gzip")
        raw.attrs["element_size_um"] = (0.3, 0.1, 0.1)
        clean = file.create_dataset("clean", data=STACK[..., np.newaxis].astype(">u2"))
        clean.attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in "zyxc"]})
        labelled = file.create_dataset("labelled", data=STACK)
        for dimension, label in zip(labelled.dims, ("time", "y", "x"), strict=True):
            dimension.label = label
        file["counts"] = np.arange(5)
        file["words"] = "text"
    return tmp_path / "cell.h5"


def test_datasets_of_hdf5_are_scenes(h5):
    assert [scene.label for scene in files.choose_scenes(h5, "all")] == ["clean", "labelled", "t0-raw"]
    image = files.open_image(f"{h5}:/t0/raw", "ZYX")
    shows(image, STACK, "ZYX")
    assert image.pixel_size_um == {"Z": 0.3, "Y": 0.1, "X": 0.1}
    shows(files.open_image(h5, "ZYX", scene="t0/raw"), STACK, "ZYX")
    image = files.open_image(f"{h5}:/clean")
    assert (image.axes, image.dtype) == ("ZYXC", np.uint16)
    np.testing.assert_array_equal(image.array()[..., 0], STACK)
    shows(files.open_image(f"{h5}:/labelled"), STACK, "TYX")
    with pytest.raises(FileFormatError, match=r"has no scene 'raw'; it has clean, labelled, t0/raw"):
        files.open_image(f"{h5}:/raw")
    with pytest.raises(InputError, match="does not exist"):
        files.open_image(f"{h5.parent}/other.h5:/raw")


def test_hdf5_without_images_or_damaged(tmp_path):
    h5py = pytest.importorskip("h5py", reason='needs h5py: pip install "carezoo[formats]"')
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["counts"] = np.arange(5)
    with pytest.raises(FileFormatError, match="holds no dataset of two dimensions"):
        files.open_image(tmp_path / "a.hdf5")
    (tmp_path / "b.h5").write_bytes(bytes(3000))
    with pytest.raises(FileFormatError, match="cannot be read by h5py"):
        files.open_image(tmp_path / "b.h5")


def test_a_dataset_is_restored_beside_its_file(h5):
    model = carezoo.load(write_package(packages.denoise_2d(), h5.parent / "one.zip"))
    result = model.restore_file(f"{h5}:/labelled")
    assert result == h5.parent / "cell_labelled_restored.tif"
    assert model.restore_file(f"{h5}:/labelled") == result  # finished before


def test_datasets_are_pairs_of_recipes(h5):
    for source, target in ((f"{h5.name}:/labelled", f"{h5.name}:/labelled"), (f"{h5.name}:/none", f"{h5.name}:/clean")):
        data = Data(sets=(FileSet(source=(source,), target=(target,)),), folder=str(h5.parent))
        if "none" in source:
            with pytest.raises(DataError, match="has no scene 'none'"):
                find.find_pairs(data, PairAxes("YX"))
        else:
            (pair,) = find.find_pairs(data, PairAxes("YX"))
            np.testing.assert_array_equal(pair.source.array(), STACK)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32"])
def test_mrc(tmp_path, dtype):
    mrcfile = pytest.importorskip("mrcfile", reason='needs mrcfile: pip install "carezoo[formats]"')
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(np.asarray(STACK % 100, dtype))
        file.set_volume()
        file.voxel_size = (1000, 1000, 3000)  # Å, x first
    image = files.open_image(tmp_path / "a.mrc")
    shows(image, np.asarray(STACK % 100, dtype), "ZYX")
    assert image.pixel_size_um == pytest.approx({"Z": 0.3, "Y": 0.1, "X": 0.1})
    with mrcfile.new(tmp_path / "b.mrcs") as file:
        file.set_data(STACK)
        file.set_image_stack()
    with pytest.raises(AxesError, match="does not say what its axes mean"):
        files.open_image(tmp_path / "b.mrcs")
    assert files.open_image(tmp_path / "b.mrcs", "TYX").pixel_size_um == {}
    (tmp_path / "c.mrc").write_bytes(bytes(5000))
    with pytest.raises(FileFormatError, match="cannot be read by mrcfile"):
        files.open_image(tmp_path / "c.mrc")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [(), (3,), (2,), (4,)])
def test_png(tmp_path, dtype, samples):
    stored = (np.arange(24 * 20 * max(sum(samples), 1)) * 37).astype(dtype).reshape(24, 20, *samples)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(stored))
    image = files.open_image(tmp_path / "a.png")
    n_colours = {(): 0, (2,): 0, (3,): 3, (4,): 3}[samples]
    expected = stored[..., :n_colours] if n_colours else stored[..., 0] if samples else stored
    assert expected.ndim == 2 + bool(n_colours)
    shows(image, expected, "YXC" if n_colours else "YX")  # without transparency


def test_jpeg(tmp_path):
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg8_encode((STACK[0] % 200).astype(np.uint8), level=100))
    image = files.open_image(tmp_path / "a.jpg")
    assert (image.axes, image.shape, image.dtype) == ("YX", (24, 20), np.uint8)
    (tmp_path / "b.png").write_bytes(b"\x89PNG" + bytes(100))
    with pytest.raises(FileFormatError, match="cannot be read by carezoo"):
        files.open_image(tmp_path / "b.png")


def test_pictures_count_in_a_folder_that_holds_nothing_else(tmp_path):
    for name in ("a.png", "b.jpg", "c.npy", "d.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in images_in(tmp_path)] == ["a.png", "b.jpg", "c.npy"]
    files.write_image(tmp_path / "a_restored.tif", STACK[0], {"carezoo": {"run": {}}}, axes="YX")
    assert [path.name for path in images_in(tmp_path)] == ["a.png", "b.jpg", "c.npy"]
    files.write_image(tmp_path / "e.tif", STACK[0], axes="YX")
    assert [path.name for path in images_in(tmp_path)] == ["e.tif"]
