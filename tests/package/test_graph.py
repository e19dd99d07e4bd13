"""Facts of ONNX files, read without the onnx package."""

import onnx
import packages
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from carezoo.errors import ManifestError
from carezoo.package.graph import GraphFacts, read_facts


@pytest.fixture(scope="module")
def weights():
    return packages.denoise_2d().files["weights.onnx"]


def test_versions_and_producer(weights):
    assert read_facts(weights) == GraphFacts(8, 17, "tests", (), (), ())


def test_notes_of_the_exporter_are_found_wherever_they_are(weights):
    model = onnx.load_from_string(weights)
    model.metadata_props.add(key="in model", value="1")
    model.graph.metadata_props.add(key="in graph", value="2")
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File /home/someone/train.py")
    model.graph.node[1].doc_string = "made on my machine"
    found = read_facts(model.SerializeToString()).metadata
    assert found == ("doc_string", "in graph", "in model", "pkg.torch.onnx.stack_trace")


def test_external_files_are_found_in_branches_and_attributes(weights):
    inner = helper.make_tensor("hidden", TensorProto.FLOAT, [1], b"\0\0\0\0", raw=True)
    inner.ClearField("raw_data")
    inner.data_location = TensorProto.EXTERNAL
    inner.external_data.add(key="location", value="elsewhere.bin")
    branch = helper.make_graph([], "branch", [], [], [inner])
    model = onnx.load_from_string(packages.external(weights, "weights.data")[0])
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
    model.graph.node.append(helper.make_node("Constant", [], ["z"], value=inner))
    assert read_facts(model.SerializeToString()).external_files == ("elsewhere.bin", "weights.data")


def test_operator_sets_besides_the_standard_are_named(weights):
    model = onnx.load_from_string(weights)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node[0].domain = "my.own"
    assert read_facts(model.SerializeToString()).domains == ("com.microsoft", "my.own")


@pytest.mark.parametrize("content", [b"", b"\x08\x08", b"not an onnx file", b"\xff" * 20, b"\x3a\xff\xff\xff\x0f"])
def test_other_files_are_refused(content):
    with pytest.raises(ManifestError, match=r"weights\.onnx is not an ONNX file"):
        read_facts(content)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_files_end_in_facts_or_a_manifest_error(weights, data):
    content = bytearray(weights)
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    outcome = "facts"
    try:
        read_facts(bytes(content))
    except ManifestError as error:
        outcome = str(error)
    assert outcome == "facts" or "is not an ONNX file" in outcome
