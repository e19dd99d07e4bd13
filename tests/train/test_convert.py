"""Conversion of CSBDeep's model folders: what is found, what is refused, what is written.

Their numbers: test_csbdeep_goldens.
"""

import json
import shutil
import zipfile
from fractions import Fraction
from pathlib import Path

import csbdeep_folders
import h5py
import judging
import numpy as np
import pytest
import torch

from carezoo.errors import CheckError, ConversionError, InputError
from carezoo.files import write_image
from carezoo.image import Image
from carezoo.package.manifest import IntensityUse
from carezoo.package.read import open_package
from carezoo.runtime.restore import restore
from carezoo.settings import Settings
from carezoo.train.convert import folder, network, run
from carezoo.train.convert.folder import Choices
from carezoo.train.pack import draft_tools

GOLDEN = Path(__file__).parents[1] / "golden" / "csbdeep"


@pytest.fixture
def model(tmp_path):
    return csbdeep_folders.write(tmp_path / "My model (2D)", csbdeep_folders.unet_shapes())


@pytest.fixture
def _measured_quickly(monkeypatch):
    monkeypatch.setattr(draft_tools, "bytes_per_pixel", lambda *_: 1000)


def _load(path, task=None, factor=None):
    found = folder.find(path, Choices(task=task, factor=factor))
    return network.load(found.config, found.weights, found.task, factor or Fraction(1))


def _assert_refused(path, target, match, **choices):
    with pytest.raises(ConversionError, match=match):
        run.convert(path, target, Choices(**choices))
    assert not target.exists()
    assert list(target.parent.glob(".carezoo*")) == []


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"axes": "TYXC"}, "axes is 'TYXC'; expected YXC or ZYXC"),
        ({"axes": ["Y", "X"]}, "expected YXC or ZYXC"),
        ({"unet_last_activation": "sigmoid"}, "sigmoid.*expected linear or relu"),
        ({"unet_kern_size": 4}, "unet_kern_size is 4; expected odd"),
        ({"unet_n_depth": 0}, "unet_n_depth is 0; expected a whole number from 1"),
        ({"unet_n_depth": 10**6}, "expected a whole number from 1 to 10"),
        ({"unet_n_first": True}, "unet_n_first is True"),
        ({"probabilistic": "no"}, "probabilistic is 'no'; expected true or false"),
        ({"n_channel_out": 2}, "unet_residual is True; expected false"),
        ({"n2v_patch_shape": [64, 64]}, "Noise2Void.*CARE, IsotropicCARE, UpsamplingCARE, ProjectionCARE"),
        ({"n_rays": 32}, "StarDist"),
        ({"proj_axis": "Z"}, "proj_axis"),
        ({"axes": "ZYXC", "proj_axis": "Z", "proj_pool": [2, 2, 2], "proj_kern": [3, 3, 3]}, "proj_pool is"),
    ],
)
def test_configurations_that_are_refused(tmp_path, changes, match):
    path = csbdeep_folders.write(tmp_path / "model", csbdeep_folders.unet_shapes(), **changes)
    _assert_refused(path, tmp_path / "out.zip", match)


@pytest.mark.parametrize(
    ("text", "match"), [("{", "not a CSBDeep config"), ("[1]", "found list"), ("{}", "axes is missing")]
)
def test_files_that_are_no_configuration(model, tmp_path, text, match):
    (model / "config.json").write_text(text)
    _assert_refused(model, tmp_path / "out.zip", match)


@pytest.mark.parametrize("kept", [0, 100, 3000, -1])
def test_a_truncated_file_of_weights(model, tmp_path, kept):
    path = model / "weights_best.h5"
    content = path.read_bytes()
    path.write_bytes(content[:kept])
    _assert_refused(model, tmp_path / "out.zip", "weights_best.h5 (is damaged or was not copied completely|is empty)")


def test_a_file_of_weights_that_is_something_else(model, tmp_path):
    (model / "weights_best.h5").write_text("<html>404</html>")
    _assert_refused(model, tmp_path / "out.zip", "no HDF5 file")


def test_damage_inside_a_file_of_weights(model, tmp_path):
    """Whatever byte is wrong: a conversion error, or numbers that could be read."""
    path = model / "weights_best.h5"
    content, rng = path.read_bytes(), np.random.default_rng(0)
    n_refused = 0
    for place in rng.integers(8, min(len(content), 4000), 60):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            _load(model)
        except ConversionError:
            n_refused += 1
    assert n_refused > 5


def test_weights_of_another_network(model, tmp_path):
    other = csbdeep_folders.write(tmp_path / "other", csbdeep_folders.unet_shapes(depth=2))
    shutil.copy(other / "weights_best.h5", model)
    _assert_refused(model, tmp_path / "out.zip", "holds 11 convolutions, but the network of config.json has 7")
    other = csbdeep_folders.write(tmp_path / "other", csbdeep_folders.unet_shapes(kernel=5))
    shutil.copy(other / "weights_best.h5", model)
    _assert_refused(model, tmp_path / "out.zip", r"layer conv2d_0 has a kernel of shape \(5, 5, 1, 2\).*\(3, 3, 1, 2\)")


def _with_layer(model, change):
    """Change the first layer's group in the file of weights."""
    with h5py.File(model / "weights_best.h5", "a") as file:
        change(file["conv2d_0"])


def _link_outside(group):
    del group["conv2d_0/kernel"]
    group["conv2d_0/kernel"] = h5py.ExternalLink("/etc/passwd", "/kernel")


def _soft_link(group):
    del group["conv2d_0/kernel"]
    group["conv2d_0/kernel"] = h5py.SoftLink("/conv2d_1/conv2d_1/kernel")


def _virtual(group):
    del group["conv2d_0/kernel"]
    layout = h5py.VirtualLayout((3, 3, 1, 2), "f4")
    layout[...] = h5py.VirtualSource("other.h5", "kernel", (3, 3, 1, 2))
    group.create_virtual_dataset("conv2d_0/kernel", layout)


def _external(group):
    del group["conv2d_0/kernel"]
    group.create_dataset("conv2d_0/kernel", (3, 3, 1, 2), "f4", external=[("/etc/passwd", 0, 72)])


def _empty(group):
    del group["conv2d_0/kernel"]
    group.create_dataset("conv2d_0/kernel", (3, 3, 1, 2), "f4", chunks=(1, 1, 1, 1), fillvalue=1.0)


def _text(group):
    del group["conv2d_0/kernel"]
    group["conv2d_0/kernel"] = np.full((3, 3, 1, 2), b"x")


def _nan(group):
    group["conv2d_0/kernel"][0] = np.nan


def _batch_norm(group):
    group.attrs["weight_names"] = ["conv2d_0/gamma", "conv2d_0/beta"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_link_outside, "missing or a link"),
        (_soft_link, "missing or a link"),
        (_virtual, "lies in another file"),
        (_external, "lies in another file"),
        (_empty, "expected 18 plain floating-point numbers"),
        (_text, "expected 18 plain floating-point numbers"),
        (_nan, "NaN or infinite weights"),
        (_batch_norm, "gamma, conv2d_0/beta.*without normalization layers"),
    ],
)
def test_weights_that_lead_elsewhere_or_are_no_weights(model, tmp_path, change, match):
    _with_layer(model, change)
    _assert_refused(model, tmp_path / "out.zip", match)


def test_places_that_are_no_model_folder(model, tmp_path):
    target = tmp_path / "out.zip"
    saved = tmp_path / "TF_SavedModel.zip"
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("saved_model.pb", b"")
    _assert_refused(saved, target, "TensorFlow's exported graph.*config.json and weights_best.h5")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("config.json", "{}")
    _assert_refused(tmp_path / "model.zip", target, "Unpack the zip first")
    _assert_refused(tmp_path / "nowhere", target, "no such folder")
    _assert_refused(tmp_path, target, r"no config.json.*inside: My model \(2D\)")
    (model / "weights_best.h5").rename(model / "weights_best.txt")
    _assert_refused(model, target, "has no weights: expected weights_best.h5.*it holds config.json, weights_best.txt")


def test_which_weights_are_taken(model):
    for name in ("weights_last.h5", "weights_now.h5"):
        shutil.copy(model / "weights_best.h5", model / name)
    assert folder.find(model, Choices()).weights.name == "weights_best.h5"
    assert folder.find(model, Choices(weights="weights_last.h5")).weights.name == "weights_last.h5"
    (model / "weights_best.h5").unlink()
    (model / "weights_last.h5").touch()
    assert folder.find(model, Choices()).weights.name == "weights_last.h5"
    with pytest.raises(ConversionError, match=r"no such file; it holds config\.json, weights_last\.h5"):
        folder.find(model, Choices(weights="weights_best.h5"))


def test_which_class_it_was(model, tmp_path):
    assert (folder.find(model, Choices()).task, folder.find(model, Choices()).is_certain) == ("denoise", False)
    with_factor = folder.find(model, Choices(factor=Fraction(2)))
    assert (with_factor.task, with_factor.class_name, with_factor.is_certain) == ("isotropic", "IsotropicCARE", True)
    assert folder.find(model, Choices(task="isotropic")).task == "isotropic"
    with zipfile.ZipFile(model / "TF_SavedModel.zip", "w") as archive:
        archive.writestr("meta.json", json.dumps({"type": "IsotropicCARE"}))
    assert (folder.find(model, Choices()).task, folder.find(model, Choices()).is_certain) == ("isotropic", True)
    assert folder.find(GOLDEN / "upsampling", Choices(factor=Fraction(2))).task == "upsample"
    assert folder.find(GOLDEN / "projection", Choices()).is_certain
    with pytest.raises(ConversionError, match=r"asked for upsample.*denoise or isotropic"):
        folder.find(model, Choices(task="upsample"))
    with pytest.raises(ConversionError, match="has no factor"):
        folder.find(GOLDEN / "projection", Choices(factor=Fraction(2)))


def test_interpolation_needs_a_factor(model, tmp_path):
    _assert_refused(model, tmp_path / "out.zip", "get their factor at prediction.*--factor", task="isotropic")


def _transposed(path, order, target):
    """Write the weights in `path` with the sides of every kernel in another order."""
    with h5py.File(path) as file:
        names = [name for name in file.attrs["layer_names"] if len(file[name].attrs["weight_names"])]
        kernels, biases = zip(
            *((file[name][name]["kernel"][()], file[name][name]["bias"][()]) for name in names), strict=True
        )
    n = len(order)
    csbdeep_folders.write_weights(target, [kernel.transpose(*order, n, n + 1) for kernel in kernels], biases)


@pytest.mark.parametrize(
    ("written", "order"),
    [("XYC", (1, 0)), ("XYZC", (2, 1, 0)), ("YXZC", (1, 2, 0))],
)
def test_axes_in_another_order(tmp_path, written, order):
    """A network along XY has its kernels turned; the package sees YX."""
    axes, n_dim = {2: "YXC", 3: "ZYXC"}[len(order)], len(order)
    plain = csbdeep_folders.write(tmp_path / "a", csbdeep_folders.unet_shapes(n_dim=n_dim), axes=axes)
    turned = csbdeep_folders.write(tmp_path / "b", csbdeep_folders.unet_shapes(n_dim=n_dim), axes=written)
    _transposed(plain / "weights_best.h5", order, turned / "weights_best.h5")
    source = torch.rand(1, 1, *(4, 6, 8)[-n_dim:], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found, untouched = (_load(path)(source) for path in (plain, turned, plain))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(untouched, expected)
    assert turned != plain
    assert (turned / "weights_best.h5").read_bytes() != (plain / "weights_best.h5").read_bytes()


def test_isotropic_slices_are_never_turned(tmp_path):
    """CSBDeep puts Z last in every slice, whatever order the configuration names."""
    shapes = csbdeep_folders.unet_shapes()
    yx, xy = (csbdeep_folders.write(tmp_path / axes, shapes, axes=axes) for axes in ("YXC", "XYC"))
    first, second = (_load(path, "isotropic", Fraction(2)) for path in (yx, xy))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_whole_keras_model_lies_one_group_deeper(model):
    expected = list(_load(model).parameters())
    path = model / "weights_best.h5"
    with h5py.File(path) as file, h5py.File(model / "new.h5", "w") as new:
        file.copy(file, new, name="model_weights")
    (model / "new.h5").replace(path)
    for one, other in zip(_load(model).parameters(), expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.usefixtures("_measured_quickly")
def test_a_conversion_from_start_to_end(model, tmp_path):
    """A zip that passed every check (they run inside), says what it is, and is the same when made again."""
    sample = Image(np.random.default_rng(0).poisson(50, (2, 64, 80)).astype(np.uint16), "TYX", {"Y": 0.1, "X": 0.1})
    write_image(tmp_path / "mine.tif", sample)
    choices = Choices(sample=tmp_path / "mine.tif", sample_license="CC0-1.0", pixel_size_um={"Y": 0.1, "X": 0.1})
    package = open_package(run.convert(model, tmp_path / "out.zip", choices))
    manifest = package.manifest
    assert (manifest.id, manifest.version, manifest.input.channels) == ("my-model-2d", "0.1.0", ("signal",))
    assert manifest.input.pixel_size_um == pytest.approx({"Y": 0.1, "X": 0.1})
    assert manifest.carezoo.intensity == IntensityUse("own", "input_range")
    assert manifest.carezoo.converted["class"] == "CARE"
    assert {"README.md", "cover.png", "csbdeep_config.json", "sample_input.tif"} <= set(package.names())
    card = zipfile.ZipFile(tmp_path / "out.zip").read("README.md").decode()
    assert "mine.tif, (CC0-1.0)" in card
    assert "was not measured by the conversion" in card
    again = run.convert(model, tmp_path / "again.zip", choices)
    assert again.read_bytes() == (tmp_path / "out.zip").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        run.convert(model, tmp_path / "out.zip", choices)


@pytest.mark.usefixtures("_measured_quickly")
def test_an_isotropic_conversion_makes_planes(model, tmp_path):
    package = open_package(run.convert(model, tmp_path / "out", Choices(factor=Fraction(5, 2))))
    image = Image(np.random.default_rng(0).poisson(50, (7, 12, 10)).astype(np.uint16), "ZYX", {"Z": 0.5, "Y": 0.2})
    restored = restore(image, package, Settings(provider="cpu")).images["mean"]
    assert restored.shape == (17, 12, 10)
    assert restored.pixel_size_um["Z"] == pytest.approx(0.2)


@pytest.mark.slow
@pytest.mark.usefixtures("_measured_quickly")
def test_bioimageio_takes_what_was_converted(model, tmp_path):
    """The two whose graphs are more than a U-Net."""
    asked = {model: Choices(factor=Fraction(5, 2)), GOLDEN / "projection_probabilistic": Choices()}
    paths = [run.convert(path, tmp_path / f"{path.name}.zip", choices) for path, choices in asked.items()]
    assert judging.verdicts(paths, tmp_path) == {str(path): ("ModelDescr", "passed", ()) for path in paths}


@pytest.mark.usefixtures("_measured_quickly")
def test_nothing_is_written_when_a_check_fails(model, tmp_path, monkeypatch):
    class Failed:
        def raise_if_failed(self):
            raise CheckError("does not do what it says")

    monkeypatch.setattr(run, "check", lambda _: Failed())
    (tmp_path / "results").mkdir()
    with pytest.raises(CheckError):
        run.convert(model, tmp_path / "results" / "out.zip")
    assert list((tmp_path / "results").iterdir()) == []


def test_samples_and_channels_that_do_not_fit(model, tmp_path):
    write_image(tmp_path / "two.tif", Image(np.zeros((2, 16, 16), np.uint8), "CYX"))
    _assert_refused(
        model, tmp_path / "out.zip", r"two.tif: expected axes YX and 1 channel\(s\)", sample=tmp_path / "two.tif"
    )
    _assert_refused(
        model, tmp_path / "out.zip", r"channels: expected 1 different name\(s\), found a, b", channels=("a", "b")
    )
