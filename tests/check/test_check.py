"""A package that does what it says passes; each way of not doing so is found, and named."""

import dataclasses
import importlib.util
import io

import numpy as np
import onnx
import packages
import pytest

from carezoo.check.halo import measure_halo
from carezoo.check.run import check
from carezoo.errors import CheckError, MissingExtraError
from carezoo.package.read import open_package
from carezoo.package.write import write_package
from carezoo.runtime.session import Session
from carezoo.tiling import AxisRule


def checked(draft, tmp_path):
    return check(open_package(write_package(draft, tmp_path / "model.zip")))


def failed(report):
    return {finding.name: finding.detail for finding in report.findings if not finding.passed}


def with_weights(draft, change):
    """Return the draft with `change` applied to its ONNX model."""
    model = onnx.load_from_string(draft.files["weights.onnx"])
    change(model)
    return dataclasses.replace(draft, files={**draft.files, "weights.onnx": model.SerializeToString()})


@pytest.mark.parametrize("name", packages.DRAFTS)
def test_our_packages_pass_without_a_single_hint(tmp_path, name):
    report = checked(packages.DRAFTS[name](), tmp_path)
    assert failed(report) == {}
    names = [finding.name for finding in report.findings]
    assert names[:5] == ["files", "graph", "portable", "test tensor restored", "sizes"]
    assert any(name.startswith("halo") for name in names)
    assert report.passed


@pytest.mark.parametrize("name", packages.FOREIGN)
def test_packages_made_elsewhere_pass_with_hints(tmp_path, name):
    report = check(open_package(packages.FOREIGN[name](tmp_path / "model")))
    assert report.passed
    assert {finding.severity for finding in report.findings if not finding.passed} == {"warning"}
    assert any(finding.name.startswith("test tensor") for finding in report.findings)


@pytest.mark.parametrize(
    ("name", "reach"),
    [
        ("denoise_2d", {"Y": 5, "X": 5}),
        ("denoise_3d", {"Z": 3, "Y": 5, "X": 5}),
        ("upsample_3d", {"Z": 1, "Y": 1, "X": 1}),
        ("project_3d", {"Y": 2, "X": 2}),
        ("foreign_04_valid", {"Y": 3, "X": 3}),
        ("foreign_05_fixed", {"Y": 5, "X": 5}),
    ],
)
def test_the_measured_halo_is_the_one_of_the_architecture(tmp_path, name, reach):
    """Kernel 3: 1 behind, 2 below and 1 above one pooling by 2, which adds the misaligned pixel."""
    if name in packages.DRAFTS:
        package = open_package(write_package(packages.DRAFTS[name](), tmp_path / "model"))
    else:
        package = open_package(packages.FOREIGN[name](tmp_path / "model"))
    session = Session(package.read_weights(), provider="cpu")
    assert measure_halo(session, package.manifest, np.random.default_rng(3)) == reach


def test_a_halo_one_step_short_is_found_twice(tmp_path):
    short = {letter: AxisRule(2, 2, 4) for letter in "YX"}
    report = checked(packages.denoise_2d(rules=short), tmp_path)
    assert not report.passed
    assert set(failed(report)) == {"tiles", "halo y", "halo x"}
    assert "pixels reach 5, the manifest declares 4" in failed(report)["halo y"]


def test_a_test_tensor_that_is_not_reproduced_is_found(tmp_path):
    draft = packages.denoise_2d()
    wrong = np.load(io.BytesIO(draft.files["test_output.npy"])) + 0.1
    report = checked(
        dataclasses.replace(draft, files={**draft.files, "test_output.npy": packages.npy(wrong)}), tmp_path
    )
    assert "1536 of 1536 values differ" in failed(report)["test tensor restored"]
    with pytest.raises(CheckError, match=r"test-2d 1\.0\.0 does not do what it says\. test tensor restored"):
        report.raise_if_failed()


def test_a_test_tensor_of_nan_is_found(tmp_path):
    """bioimageio.core passes these: NaN is never farther away than the tolerance."""
    draft = packages.denoise_2d()
    nothing = packages.npy(np.full((1, 1, 32, 48), np.nan, np.float32))
    report = checked(dataclasses.replace(draft, files={**draft.files, "test_output.npy": nothing}), tmp_path)
    assert "values differ" in failed(report)["test tensor restored"]


def _nan_where_the_input_is_negative(model):
    """Everywhere else the output stays what it was."""
    make, last = onnx.helper.make_node, model.graph.node[-1]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero"))
    nodes = [make("Log", ["source"], ["log"]), make("Mul", ["log", "zero"], ["nan"])]
    nodes += [make("Max", ["nan", "zero"], ["nothing"]), make("Add", [last.input[0], "nothing"], ["spoiled"])]
    last.input[0] = "spoiled"
    for node in nodes:
        model.graph.node.insert(len(model.graph.node) - 1, node)


def test_a_network_that_gives_nan_is_found(tmp_path):
    report = checked(with_weights(packages.denoise_2d(), _nan_where_the_input_is_negative), tmp_path)
    assert "values differ; largest difference 1" in failed(report)["test tensor restored"]
    assert "holds NaN or infinite values" in failed(report)["sizes"]


def _four_planes_for_two(model):
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.tolist() == [1, 1, 5, 1, 1]:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.where(values == 5, 4, values), tensor.name))


def test_an_output_of_another_size_than_the_manifest_says_is_found(tmp_path):
    report = checked(with_weights(packages.upsample_3d(), _four_planes_for_two), tmp_path)
    assert "restored of an input 2x1x1 has shape (1, 1, 4, 1, 1), not (1, 1, 5, 1, 1)" in failed(report)["sizes"]
    assert "shape (1, 1, 16, 24, 32), the package holds (1, 1, 20, 24, 32)" in failed(report)["test tensor restored"]
    assert "tiles" not in [finding.name for finding in report.findings]


def _swap_outputs(model):
    first, second = model.graph.output[0], model.graph.output[1]
    kept = [onnx.ValueInfoProto.FromString(info.SerializeToString()) for info in (second, first)]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def _rename_input(model):
    for node in model.graph.node:
        node.input[:] = ["image" if name == "source" else name for name in node.input]
    model.graph.input[0].name = "image"


@pytest.mark.parametrize(
    ("build", "change", "cause"),
    [
        (packages.denoise_2d, _rename_input, "tensor 'source' is called 'image'"),
        (packages.ensemble_2d, _swap_outputs, "tensor 'restored' is called 'members'"),
        (lambda: packages.ensemble_2d(n_members=None), None, r"unlisted outputs ['members']"),
        (lambda: packages.denoise_2d(n_members=2), None, "names ['members']"),
        (lambda: packages.denoise_2d(opset=16), None, "the manifest says opset 16, the graph is 17"),
    ],
)
def test_a_graph_that_is_not_the_described_one_is_found(tmp_path, build, change, cause):
    draft = build() if change is None else with_weights(build(), change)
    assert cause in failed(checked(draft, tmp_path))["graph"]


def test_a_graph_with_another_number_of_channels_is_found(tmp_path):
    draft, other = packages.denoise_2d(), packages.probabilistic_2d()
    draft = dataclasses.replace(draft, files={**draft.files, "weights.onnx": other.files["weights.onnx"]})
    assert "restored has channels nuclei, but 2 in the graph" in failed(checked(draft, tmp_path))["graph"]


def test_a_graph_that_cannot_be_loaded_ends_the_check(tmp_path):
    draft = packages.denoise_2d()
    broken = dataclasses.replace(draft, files={**draft.files, "weights.onnx": b"no graph at all"})
    report = checked(broken, tmp_path)
    assert [finding.name for finding in report.findings] == ["files", "graph"]
    assert "not an ONNX file" in failed(report)["graph"]


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda model: model.metadata_props.add(key="stack_trace", value="x"), "notes of its exporter (stack_trace)"),
        (lambda model: setattr(model, "ir_version", 10), "IR version 10: Fiji reads up to 8"),
        (lambda model: setattr(model.opset_import[0], "version", 18), "opset 18: Fiji runs 15 to 17"),
    ],
)
def test_what_other_readers_stumble_over_is_a_warning(tmp_path, change, hint):
    draft = with_weights(dataclasses.replace(packages.project_3d(), opset=17), change)
    report = checked(dataclasses.replace(draft, opset=18 if "opset" in hint else 17), tmp_path)
    assert hint in " ".join(finding.detail for finding in report.findings if finding.name == "portable")
    assert report.passed or set(failed(report)) - {"portable"}


def test_progress_names_every_check_before_it_starts(tmp_path):
    told = []
    package = open_package(write_package(packages.denoise_2d(), tmp_path / "model.zip"))
    check(package, progress=told.append)
    assert told == ["files", "graph", "test tensors", "sizes", "tiles", "halo"]


def test_a_check_says_the_same_every_time(tmp_path):
    package = open_package(write_package(packages.probabilistic_2d(), tmp_path / "model.zip"))
    assert check(package) == check(package)


def test_a_file_changed_after_opening_is_found(tmp_path):
    package = open_package(write_package(packages.denoise_2d(), tmp_path / "model"))
    (tmp_path / "model" / "README.md").write_text("other words")
    assert "README.md is not the file" in failed(check(package))["files"]


def test_without_bioimageio_the_pip_line_is_told(tmp_path, monkeypatch):
    package = open_package(write_package(packages.denoise_2d(), tmp_path / "model.zip"))
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name.startswith("bioimageio") else found(name)
    )
    with pytest.raises(MissingExtraError, match=r'pip install "carezoo\[bioimageio\]"'):
        check(package, bioimageio=True)
