"""Arrays of other libraries are taken as images, or refused in words."""

import copy
import multiprocessing
import pickle

import numpy as np
import packages
import pytest

import carezoo
from carezoo.errors import AxesError, InputError
from carezoo.files import to_image
from carezoo.image import Image
from carezoo.package.write import write_package

PIXELS = np.random.default_rng(0).poisson(20, (24, 32)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return carezoo.load(write_package(packages.denoise_2d(), tmp_path_factory.mktemp("model") / "model.zip"))


def test_a_used_model_can_be_pickled_and_copied(model):
    expected = model.restore(PIXELS, "YX").mean
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        assert other._sessions == {}
        assert other.package.path == model.package.path
        np.testing.assert_array_equal(other.restore(PIXELS, "YX").mean, expected)
    assert len(model._sessions) == 1


def test_a_used_model_goes_to_another_process(model):
    expected = model.restore(PIXELS, "YX")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(model.restore, (PIXELS, "YX"))
    np.testing.assert_array_equal(found.mean, expected.mean)


def test_tensors_of_torch_are_taken(model, tmp_path):
    torch = pytest.importorskip("torch")
    expected = model.restore(PIXELS, "YX").mean
    for tensor in (torch.from_numpy(PIXELS), torch.from_numpy(PIXELS).float().requires_grad_()):
        np.testing.assert_array_equal(model.restore(tensor, "YX").mean, expected)
        np.testing.assert_array_equal(model.restore(tensor).mean, expected)
        carezoo.write_image(tmp_path / "tensor.tif", tensor, axes="YX")
        np.testing.assert_array_equal(carezoo.open_image(tmp_path / "tensor.tif").array(), PIXELS)
    with pytest.raises(InputError, match=r"found torch\.Tensor, which cannot be converted: .*to_dense"):
        model.restore(torch.from_numpy(PIXELS).to_sparse(), "YX")
    with pytest.raises(AxesError, match=r"3 dimensions \(1, 24, 32\).*axes='TYX'"):
        model.restore(torch.from_numpy(PIXELS)[None])


def labelled(**changes):
    xarray = pytest.importorskip("xarray")
    values = {
        "dims": ("time", "channel", "y", "x"),
        "coords": {
            "time": ("time", [0.0, 0.5], {"units": "min"}),
            "channel": ["DAPI"],
            "y": ("y", 5 + 0.1 * np.arange(24), {"units": "um"}),
            "x": ("x", 100.0 * np.arange(32), {"units": "nm"}),
        },
    }
    return xarray.DataArray(np.stack([PIXELS[None]] * 2), **{**values, **changes})


def test_dimensions_of_xarray_are_axes_and_coordinates_sizes(model, tmp_path):
    image = to_image(labelled(name="cell"))
    assert (image.axes, image.name) == ("TCYX", "cell")
    assert image.pixel_size_um == {"Y": pytest.approx(0.1), "X": pytest.approx(0.1)}
    assert image.metadata.origin_um["Y"] == pytest.approx(5)
    assert image.metadata.frame_interval_s == 30
    assert image.metadata.channel_names == ("DAPI",)
    restored = model.restore(labelled())
    assert restored.images["mean"].axes == "TCYX"
    np.testing.assert_allclose(restored.mean[1, 0], model.restore(PIXELS, "YX").mean, rtol=1e-5)
    carezoo.write_image(tmp_path / "cell.tif", labelled())
    assert carezoo.open_image(tmp_path / "cell.tif").pixel_size_um["X"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("dims", "axes"),
    [(("s", "t", "z", "y"), "STZY"), (("band", "z", "row", "col"), "CZYX"), (("T", "C", "Y", "X"), "TCYX")],
)
def test_names_of_dimensions(dims, axes):
    assert to_image(labelled(dims=dims, coords={})).axes == axes


def test_coordinates_without_units_or_steps_give_no_sizes():
    positions = np.arange(32.0)
    for x in (("x", positions), ("x", positions**2, {"units": "um"}), ("x", -positions, {"units": "um"})):
        assert to_image(labelled(coords={"x": x})).pixel_size_um == {}


def test_unknown_dimensions_are_refused_unless_axes_are_given(model):
    with pytest.raises(AxesError, match=r"dimensions a, b, y, x: expected names such as .* found a, b; rename them"):
        to_image(labelled(dims=("a", "b", "y", "x"), coords={}))
    with pytest.raises(AxesError, match="each axis once; rename"):
        to_image(labelled(dims=("t", "frame", "y", "x"), coords={}))
    assert to_image(labelled(dims=("a", "b", "y", "x"), coords={}), "TCYX").axes == "TCYX"
    unnamed = labelled()[0, 0].drop_vars(["time", "channel", "y", "x"]).rename(y="dim_0", x="dim_1")
    np.testing.assert_array_equal(model.restore(unnamed).mean, model.restore(PIXELS).mean)


def test_a_data_set_of_several_arrays_is_refused():
    with pytest.raises(InputError, match=r"found xarray.*Dataset; choose one of its variables \(cell\)"):
        to_image(labelled(name="cell").to_dataset())


@pytest.mark.parametrize("values", [None, object(), {"a": 1}, [["a"]], b"abc", np.array([None, 1])])
def test_what_is_no_array_of_numbers_is_refused_in_words(model, values):
    with pytest.raises(InputError, match=r"expected an image: a path, .* or an array of numbers .* found"):
        model.restore(values, "YX")


def test_axes_of_arrays_must_be_known():
    with pytest.raises(AxesError, match=r"2 dimensions \(24, 32\): say what they are"):
        to_image(PIXELS)
    image = Image(PIXELS, "YX")
    assert to_image(image) is image
    assert to_image(PIXELS.tolist(), "YX").shape == (24, 32)
