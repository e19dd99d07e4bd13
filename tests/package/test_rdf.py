"""rdf.yaml of both formats: sizes, halos, results, and what is refused."""

import copy
from fractions import Fraction

import packages
import pytest
import yaml

from carezoo.errors import ManifestError, UnsupportedError
from carezoo.intensity import Cast
from carezoo.package import rdf
from carezoo.package.manifest import OutputAxis, Result
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.tiling import AxisRule


def space(letter, size, **more):
    return {"type": "space", "id": letter, "size": size, **more}


def ref(letter, offset=0, tensor="raw"):
    return {"tensor_id": tensor, "axis_id": letter, "offset": offset}


CHANNEL = {"type": "channel", "channel_names": ["signal"]}


def manifest_05(axes_in, axes_out, **changes):
    """Return the parsed manifest of a one-in, one-out model of format 0.5."""
    content = {
        "format_version": "0.5.4",
        "type": "model",
        "name": "Some model",
        "inputs": [{"id": "raw", "axes": axes_in, "data": {"type": "float32"}}],
        "outputs": [{"id": "out", "axes": axes_out, "data": {"type": "float32"}}],
        "weights": {"onnx": {"source": "weights.onnx", "opset_version": 17}},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = content
        for key in parents:
            place = place[int(key) if key.isdigit() else key]
        place[last] = value
    return rdf.parse(yaml.safe_dump(content, sort_keys=False).encode())


def manifest_04(axes, shape_in, shape_out, halo=None, **changes):
    """Return the parsed manifest of a one-in, one-out model of format 0.4."""
    output = {"name": "out", "axes": axes, "shape": shape_out, **({"halo": halo} if halo else {})}
    content = {
        "format_version": "0.4.10",
        "name": "Some model",
        "inputs": [{"name": "raw", "axes": axes, "shape": shape_in}],
        "outputs": [{**output, **changes}],
        "weights": {"onnx": {"source": "weights.onnx"}},
    }
    return rdf.parse(yaml.safe_dump(content, sort_keys=False).encode())


def test_free_sizes_with_a_halo_are_tiled_on_the_step_grid():
    size = {"min": 64, "step": 16}
    out = [CHANNEL, space("y", ref("y"), halo=20), space("x", ref("x"), halo=16)]
    found = manifest_05([CHANNEL, space("y", size), space("x", size)], out)
    assert found.input.rules == {"Y": AxisRule(64, 16, 32), "X": AxisRule(64, 16, 16)}
    assert found.outputs[0].sizes == {"Y": OutputAxis(), "X": OutputAxis()}
    assert found.input.axes == "CYX"
    assert found.spatial_axes == "YX"


def test_an_output_halo_becomes_an_input_halo_through_the_factor():
    size = {"min": 32, "step": 4}
    up = [{"type": "batch"}, CHANNEL, space("y", ref("y"), scale=0.5, halo=8), space("x", ref("x"), scale=0.25, halo=6)]
    found = manifest_05([{"type": "batch"}, CHANNEL, space("y", size), space("x", size)], up)
    assert found.outputs[0].sizes == {"Y": OutputAxis(Fraction(2)), "X": OutputAxis(Fraction(4))}
    assert (found.input.rules["Y"].halo, found.input.rules["X"].halo) == (4, 4)


def test_the_largest_halo_of_all_outputs_counts():
    size = {"min": 32, "step": 8}
    outputs = [
        {"id": name, "axes": [CHANNEL, space("y", ref("y"), halo=halo), space("x", ref("x"), halo=8)]}
        for name, halo in (("mu", 8), ("sigma", 16))
    ]
    found = manifest_05([CHANNEL, space("y", size), space("x", size)], [], outputs=outputs)
    assert found.input.rules["Y"].halo == 16
    assert found.results == (Result("mean", 0, (0,), "none"), Result("sigma", 1, (0,), "none"))


def test_scales_in_floating_point_give_the_fraction_that_was_meant():
    axes_in = [CHANNEL, space("z", {"min": 5, "step": 5}, scale=2.0), space("y", 8), space("x", 8)]
    axes_out = [CHANNEL, space("z", ref("z"), scale=2.0 / 10.2), space("y", ref("y")), space("x", ref("x"))]
    assert manifest_05(axes_in, axes_out).outputs[0].sizes["Z"] == OutputAxis(Fraction(51, 5))


def test_pixel_sizes_are_micrometres():
    axes_in = [CHANNEL, space("y", 8, scale=0.1, unit="micrometer"), space("x", 8, scale=100.0, unit="nanometer")]
    axes_out = [
        CHANNEL,
        space("y", ref("y"), scale=0.1, unit="micrometer"),
        space("x", ref("x"), scale=100.0, unit="nanometer"),
    ]
    assert manifest_05(axes_in, axes_out).input.pixel_size_um == pytest.approx({"Y": 0.1, "X": 0.1})


def test_a_border_that_the_network_cuts_off_is_part_of_the_halo():
    size = {"min": 32, "step": 4}
    out = [CHANNEL, space("y", ref("y", -12), halo=4), space("x", ref("x", -12))]
    found = manifest_05([CHANNEL, space("y", size), space("x", size)], out)
    assert found.outputs[0].sizes["Y"] == OutputAxis(Fraction(1), -12)
    assert (found.input.rules["Y"].halo, found.input.rules["X"].halo) == (12, 8)


def test_an_axis_without_halo_is_tiled_only_if_the_manifest_says_so():
    size = {"min": 32, "step": 4}
    axes_in = [CHANNEL, space("y", size, concatenable=True), space("x", size)]
    found = manifest_05(axes_in, [CHANNEL, space("y", ref("y")), space("x", ref("x"))])
    assert found.input.rules == {"Y": AxisRule(32, 4, 0, True), "X": AxisRule(32, 4, 0, False)}
    assert found.remarks == ("axis x has no halo: images are restored in one piece along it",)


def test_one_size_only_is_tiled_and_remarked_where_no_halo_is_given():
    found = manifest_05(
        [CHANNEL, space("y", 64), space("x", 64)], [CHANNEL, space("y", ref("y"), halo=8), space("x", 64)]
    )
    assert found.input.rules == {"Y": AxisRule(64, 0, 8), "X": AxisRule(64, 0, 0)}
    assert len(found.remarks) == 1
    assert "axis x has the fixed size 64" in found.remarks[0]


@pytest.mark.parametrize(("halo", "offset"), [(32, 0), (40, 0), (20, -24)])
def test_one_size_only_of_which_the_halo_leaves_nothing_is_refused(halo, offset):
    """Tiles that write nothing never cover an image: planning them would not end."""
    out = [CHANNEL, space("y", ref("y", offset), halo=halo), space("x", 64)]
    with pytest.raises(ManifestError, match=r"axes\[1\]: axis y has the fixed size 64.*give a smaller halo"):
        manifest_05([CHANNEL, space("y", 64), space("x", 64)], out)
    smaller = [CHANNEL, space("y", ref("y"), halo=31), space("x", 64)]
    assert manifest_05([CHANNEL, space("y", 64), space("x", 64)], smaller).input.rules["Y"] == AxisRule(64, 0, 31)


@pytest.mark.parametrize("z_out", [None, 1])
def test_an_axis_the_output_lacks_is_projected_and_never_tiled(z_out):
    axes_in = [CHANNEL, space("z", {"min": 4, "step": 1}, concatenable=True), space("y", 8), space("x", 8)]
    kept = [space("z", z_out)] if z_out else []
    found = manifest_05(axes_in, [CHANNEL, *kept, space("y", ref("y")), space("x", ref("x"))])
    assert "Z" not in found.outputs[0].sizes
    assert not found.input.rules["Z"].is_tileable


def test_sizes_tied_to_each_other_become_one_fixed_size():
    size = {"min": 20, "step": 8}
    axes_in = [CHANNEL, space("y", size), space("x", ref("y"))]
    found = manifest_05(axes_in, [CHANNEL, space("y", ref("y"), halo=8), space("x", ref("y"), halo=8)])
    assert found.input.rules == {"Y": AxisRule(36, 0, 8), "X": AxisRule(36, 0, 8)}
    assert found.outputs[0].sizes["X"] == OutputAxis()


def test_fixed_sizes_twice_as_large_are_a_factor_of_two():
    found = manifest_05([CHANNEL, space("y", 64), space("x", 64)], [CHANNEL, space("y", 128), space("x", 60)])
    assert found.outputs[0].sizes == {"Y": OutputAxis(Fraction(2)), "X": OutputAxis(Fraction(1), -4)}


def test_whole_numbers_stay_whole_without_an_explicit_type():
    """The format's own rule: preprocessing ends in the type of the data unless it says otherwise."""
    axes = [CHANNEL, space("y", 8), space("x", 8)]
    out = [CHANNEL, space("y", ref("y")), space("x", ref("x"))]
    steps = [{"id": "scale_range", "kwargs": {"axes": ["y", "x"]}}]
    plain = {"id": "raw", "axes": axes, "data": {"type": "uint16"}, "preprocessing": steps}
    explicit = {**plain, "preprocessing": [*steps, {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]}
    assert manifest_05(axes, out, inputs=[plain]).input.preprocessing[-1] == Cast("uint16")
    assert manifest_05(axes, out, inputs=[explicit]).input.preprocessing[-1] == Cast("float32")


def test_format_04_with_scale_and_offset():
    shape_out = {"reference_tensor": "raw", "scale": [1, 2, 0.5, 1], "offset": [0, 0, 0, -4]}
    found = manifest_04("bcyx", {"min": [1, 2, 16, 15], "step": [0, 0, 8, 1]}, shape_out, halo=[0, 0, 4, 0])
    assert found.input.rules == {"Y": AxisRule(16, 8, 8), "X": AxisRule(15, 1, 4)}
    assert found.outputs[0].sizes == {"Y": OutputAxis(Fraction(1, 2)), "X": OutputAxis(Fraction(1), -8)}
    assert len(found.outputs[0].channels) == 4


def test_format_04_axes_that_are_new_in_the_output_have_length_one_or_are_refused():
    shape_out = {"reference_tensor": "raw", "scale": [1, None, 1, 1], "offset": [0, 1.0, 0, 0]}
    found = manifest_04("bcyx", [1, 1, 16, 16], shape_out)
    assert len(found.outputs[0].channels) == 2


@pytest.mark.parametrize(
    ("out", "cause"),
    [
        ([CHANNEL, space("y", ref("y", 2)), space("x", ref("x"))], "off 1 times the input"),
        ([CHANNEL, space("y", ref("y", -3)), space("x", ref("x"))], "same number of pixels on both sides"),
        ([CHANNEL, space("y", ref("x")), space("x", ref("x"))], "follows from input axis x"),
        ([CHANNEL, space("z", 5), space("y", ref("y")), space("x", ref("x"))], "axis z that the input does not have"),
        ([CHANNEL, space("y", 64), space("x", ref("x"))], "fixed .64. although the input size is free"),
        ([{"type": "index", "size": 3}, space("y", ref("y")), space("x", ref("x"))], "index axis"),
        ([CHANNEL, space("y", {"min": 1, "max": 9}), space("x", ref("x"))], "depends on the data"),
        ([CHANNEL, space("u", ref("y")), space("x", ref("x"))], "axis 'u'"),
    ],
)
def test_outputs_that_do_not_follow_from_the_input_are_refused(out, cause):
    size = {"min": 32, "step": 4}
    with pytest.raises(UnsupportedError, match=cause):
        manifest_05([CHANNEL, space("y", size), space("x", size)], out)


AXES = [CHANNEL, space("y", 32), space("x", 32)]
OUT = [CHANNEL, space("y", ref("y")), space("x", ref("x"))]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"format_version": "0.3.6"}, "carezoo reads 0.4 and 0.5"),
        ({"format_version": "0.6.0"}, "carezoo reads 0.4 and 0.5"),
        ({"type": "dataset"}, "dataset; carezoo runs models"),
        ({"weights": {"torchscript": {"source": "a.pt"}, "pytorch_state_dict": {}}}, "torchscript, pytorch_state_dict"),
        ({"weights__onnx__source": "https://example.org/weights.onnx"}, "Download the whole package"),
        ({"inputs": [{"id": "a", "axes": AXES}, {"id": "b", "axes": AXES}]}, r"2 inputs \(a, b\)"),
        ({"config": {"carezoo": {"schema": 99}}}, "pip install -U carezoo"),
    ],
)
def test_models_that_cannot_be_run_are_refused_with_the_reason(changes, cause):
    with pytest.raises(UnsupportedError, match=cause):
        manifest_05(AXES, OUT, **changes)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"format_version": "new"}, r"rdf\.yaml\.format_version: expected a version"),
        ({"format_version": "0.5\u00b2"}, r"rdf\.yaml\.format_version: expected a version"),
        ({"format_version": "0." + "5" * 5000}, r"rdf\.yaml\.format_version: expected a version"),
        ({"weights": None}, r"rdf\.yaml: key 'weights' is missing"),
        ({"weights__onnx__source": None}, r"rdf\.yaml\.weights\.onnx: key 'source' is missing"),
        (
            {"weights__onnx__opset_version": "new"},
            r"weights\.onnx\.opset_version: expected a whole number, found 'new'",
        ),
        ({"weights__onnx__sha256": "abc"}, "is not a sha256"),
        ({"inputs": []}, r"inputs: no input tensor"),
        ({"outputs": []}, r"outputs: no output tensor"),
        ({"outputs__0__id": "raw"}, "two tensors are called 'raw'"),
        (
            {"inputs__0__axes__1__size": 0},
            r"inputs\[0\]\.axes\[1\]\.size: expected a whole number of at least 1, found 0",
        ),
        ({"inputs__0__axes__1__size": {"min": 8}}, r"inputs\[0\]\.axes\[1\]\.size: key 'step' is missing; found min"),
        ({"inputs__0__axes__1__id": "x"}, "name one axis twice"),
        ({"inputs__0__axes__1__type": "angle"}, r"axes\[1\]\.type: expected one of"),
        ({"inputs__0__axes__1__scale": -1}, r"axes\[1\]\.scale: expected a number above 0"),
        ({"inputs__0__axes__0__channel_names": []}, "without channels"),
        ({"outputs__0__axes__1__size__tensor_id": "other"}, "refers to axis y of tensor 'other'"),
        ({"outputs__0__axes__1__unit": "micrometer"}, "its unit is micrometer, that of the axis it refers to None"),
        ({"outputs__0__axes__1__halo": -2}, r"axes\[1\]\.halo: expected a whole number of at least 0"),
        ({"name": None}, "key 'name' is missing"),
        ({"config": {"carezoo": {"schema": 1}}}, r"config\.carezoo: key 'files' is missing; found schema"),
    ],
)
def test_errors_name_the_path_to_the_key(changes, where):
    with pytest.raises(ManifestError, match=where):
        manifest_05(copy.deepcopy(AXES), copy.deepcopy(OUT), **changes)


@pytest.mark.parametrize(
    ("axes", "shape_in", "shape_out", "where"),
    [
        ("bcyx", [1, 1, 16], [1, 1, 16, 16], r"shape: expected 4 numbers, one for each of the axes bcyx"),
        ("bcyy", [1, 1, 16, 16], [1, 1, 16, 16], "each at most once"),
        ("bcyx", [1, 1, 0, 16], [1, 1, 16, 16], "axis y may be empty"),
        ("bcyx", {"min": [1, 1, 16, 16]}, [1, 1, 16, 16], r"inputs\[0\]\.shape: key 'step' is missing"),
        (
            "bcyx",
            [1, 1, 16, 16],
            {"reference_tensor": "raw", "scale": [1, 1, 1, 1], "offset": [0, 0, 0.3, 0]},
            r"shape\.offset: expected multiples of 0\.5",
        ),
        ("bcyx", [1, 1, 16, 16], {"reference_tensor": "raw", "scale": [1, 1], "offset": [0, 0]}, "with 4 numbers"),
        ("bcyx", [1, 4097, 16, 16], [1, 1, 16, 16], r"inputs\[0\]\.shape: too many channels; expected at most 4096"),
        ("bcyx", [1, 1, 16, 16], [1, 4097, 16, 16], r"outputs\[0\]\.shape: too many channels"),
        (
            "bcyx",
            [1, 2, 16, 16],
            {"reference_tensor": "raw", "scale": [1, 1e308, 1, 1], "offset": [0, 0, 0, 0]},
            r"outputs\[0\]\.shape: too many channels",
        ),
    ],
)
def test_errors_of_format_04_name_the_path_to_the_key(axes, shape_in, shape_out, where):
    with pytest.raises(ManifestError, match=where):
        manifest_04(axes, shape_in, shape_out)


def test_models_without_an_id_get_the_collections_name_or_their_own():
    nickname = {"bioimageio": {"nickname": "jolly-otter"}}
    assert manifest_05(AXES, OUT, config=nickname).id == "jolly-otter"
    assert manifest_05(AXES, OUT).reference == "some-model 0.0.0"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return {name: open_package(write_package(build(), folder / name)) for name, build in packages.DRAFTS.items()}


def test_our_packages_say_what_every_channel_means(own):
    assert own["ensemble_2d"].manifest.results == (
        Result("mean", 0, (0,), "affine", (0,)),
        Result("scale", 0, (1,), "gain", (0,)),
        Result("disagreement", 0, (2,), "none", (0,)),
    )
    assert own["two_channels_2d"].manifest.results == (Result("mean", 0, (0, 1), "affine", (0, 1)),)
    assert own["fixed_2d"].manifest.results[0].undo == "affine"
    assert own["fixed_2d"].manifest.outputs[0].postprocessing == ()


def test_our_packages_give_the_true_minimum_the_format_a_useful_one(own):
    manifest = own["denoise_2d"].manifest
    assert manifest.input.rules["Y"] == AxisRule(2, 2, 6)
    assert manifest.rdf["inputs"][0]["axes"][2]["size"] == {"min": 14, "step": 2}
    assert manifest.rdf["outputs"][0]["axes"][2]["halo"] == 6


def test_our_packages_have_exact_factors_and_a_projected_axis_one_size_for_other_readers(own):
    assert own["upsample_3d"].manifest.outputs[0].sizes["Z"] == OutputAxis(Fraction(5, 2))
    projected = own["project_3d"].manifest
    assert projected.outputs[0].axes == "BCYX"
    assert projected.input.rules["Z"] == AxisRule(1, 1, 0, is_tileable=False)
    assert projected.rdf["inputs"][0]["axes"][2]["size"] == 9


def _changed(package, change):
    content = copy.deepcopy(dict(package.manifest.rdf))
    change(content, content["config"]["carezoo"])
    return yaml.safe_dump(content).encode()


@pytest.mark.parametrize(
    ("name", "change", "where"),
    [
        ("denoise_2d", lambda _, own: own.update(task="dream"), r"carezoo\.task: expected one of denoise"),
        ("denoise_2d", lambda _, own: own["axes"].pop("y"), r"carezoo\.axes: key 'y' is missing; found x"),
        ("denoise_2d", lambda _, own: own["axes"]["y"].update(halo=5), "multiples of step 2"),
        ("denoise_2d", lambda _, own: own["axes"]["y"].update(step=4, min=4, halo=4), "do not include those"),
        ("denoise_2d", lambda _, own: own.update(channels=[]), "0 meanings for 1 output channel"),
        ("denoise_2d", lambda _, own: own["channels"][0].update(kind="mode"), r"channels\[0\]\.kind: expected one of"),
        ("denoise_2d", lambda _, own: own["channels"][0].update(of=3), r"channels\[0\]\.of: expected an input channel"),
        ("denoise_2d", lambda _, own: own["channels"][0].update(kind="scale"), "no channel of kind mean"),
        ("denoise_2d", lambda _, own: own["intensity"].update(undo="maybe"), r"intensity\.undo: expected one of"),
        ("denoise_2d", lambda _, own: own["intensity"].update(undo="in_rdf"), "found 0 and 0"),
        ("denoise_2d", lambda _, own: own.update(bytes_per_pixel=-1), r"bytes_per_pixel: expected a number above 0"),
        ("denoise_2d", lambda _, own: own.update(input_channels=["a", "b"]), "1 names, one for each input channel"),
        ("ensemble_2d", lambda _, own: own.update(members={"n": 2}), r"members: key 'output' is missing"),
        ("upsample_3d", lambda _, own: own.update(factors={"z": "3"}), "z is 3, but the output axis gives 5/2"),
        ("upsample_3d", lambda _, own: own.update(factors={"z": "five"}), "expected a fraction such as 51/5"),
        ("upsample_3d", lambda _, own: own.update(factors={"z": "1/0"}), "expected a fraction such as 51/5"),
        ("upsample_3d", lambda _, own: own.update(factors={"z": "1e9999"}), "expected a fraction such as 51/5"),
        ("upsample_3d", lambda _, own: own.update(factors={"z": "9" * 4000}), "expected a fraction such as 51/5"),
        ("project_3d", lambda _, own: own.update(factors={"z": "2"}), "axes z are not axes of the output"),
        (
            "fixed_2d",
            lambda rdf, _: rdf["outputs"][0]["postprocessing"][0]["kwargs"].update(offset=[0.0, 0.0]),
            "the inverse of the preprocessing is 1300 and 100",
        ),
    ],
)
def test_contradictions_in_our_packages_are_refused(own, name, change, where):
    with pytest.raises(ManifestError, match=where):
        rdf.parse(_changed(own[name], change))
