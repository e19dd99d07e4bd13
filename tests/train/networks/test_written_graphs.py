"""Graphs of every task: what they compute at any size, what the file says, and that nothing but carezoo wrote it."""

from __future__ import annotations

import ast
import itertools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from graphs import check_graph_equals_torch, normal
from hypothesis import given, settings
from hypothesis import strategies as st

import carezoo
from carezoo.package.graph import read_facts
from carezoo.package.read import open_package
from carezoo.runtime.session import Session
from carezoo.train import calibrate, networks
from carezoo.train.export import load_weights, to_onnx
from carezoo.train.networks.ensemble import Ensemble
from carezoo.train.networks.isotropic import IsotropicNetwork
from carezoo.train.networks.projection import ProjectionNetwork, Surface
from carezoo.train.networks.unet import UNet
from carezoo.train.networks.upsampling import Upsampling
from carezoo.train.recipe import Recipe

PACKAGES = Path(carezoo.__file__).parents[1] / "zoo" / "packages"
TASKS = ("denoise YX", "denoise ZYX", "upsample", "isotropic", "project")


@dataclass(frozen=True)
class Choice:
    """A network of a task, as a recipe (or CSBDeep's configuration) can ask for it."""

    task: str
    n_in: int = 1
    n_out: int = 1
    depth: int = 1
    probabilistic: bool = True
    n_members: int = 1
    factor: Fraction = Fraction(5, 2)
    merge: str = "arithmetic"
    relu_last: bool = False
    pooling: str = "max"

    def core(self, seed):
        torch.manual_seed(seed)
        axes = "ZYX" if self.task in {"denoise ZYX", "upsample"} else "YX"
        network = UNet(
            axes, self.n_in, self.n_out, depth=self.depth, kernel=3, n_first=2, is_residual=self.n_in == self.n_out,
            is_probabilistic=self.probabilistic,
        )  # fmt: skip
        network.is_relu_last, network.pooling = self.relu_last, self.pooling
        network.calibration.fill_(1.25)
        for parameter in network.parameters():
            if parameter.ndim == 1:
                torch.nn.init.uniform_(parameter, -0.1, 0.1)
        return (
            ProjectionNetwork(Surface(self.n_in, depth=2, n_filters=2), network) if self.task == "project" else network
        )

    def around(self, core):
        if self.task == "upsample":
            return Upsampling(core, self.factor)
        return IsotropicNetwork(core, self.factor, self.merge) if self.task == "isotropic" else core

    def network(self):
        cores = [self.core(seed) for seed in range(self.n_members)]
        return (self.around(cores[0]) if len(cores) == 1 else Ensemble(cores, self.around)).eval()


def choices(task):
    return st.builds(
        Choice,
        st.just(task),
        n_in=st.integers(1, 2),
        n_out=st.integers(1, 2),
        depth=st.integers(1, 3),
        probabilistic=st.booleans(),
        n_members=st.integers(1, 3),
        factor=st.sampled_from([Fraction(1), Fraction(3, 2), Fraction(51, 5)]),
        merge=st.sampled_from(["arithmetic", "geometric"]),
        relu_last=st.booleans(),
        pooling=st.sampled_from(["max", "mean"]),
    )


def shapes(network):
    """Return shapes of sources that `network` accepts, the smallest one among them."""
    sizes = [st.integers(1, 3).map(lambda n, rule=rule: rule.round_up(n * rule.step)) for rule in network.geometry.rules.values()]  # fmt: skip  # noqa: E501
    return st.tuples(st.integers(1, 2), st.just(network.n_in), *sizes)


@pytest.mark.parametrize("task", TASKS)
@settings(deadline=None, max_examples=12, derandomize=True)
@given(data=st.data())
def test_the_graph_of_any_network_equals_torch_at_any_size(task, data):
    network = data.draw(choices(task)).network()
    check_graph_equals_torch(network, [data.draw(shapes(network)) for _ in range(2)])


EVERY = [
    Choice(task, probabilistic=probabilistic, n_members=n)
    for task, probabilistic, n in itertools.product(TASKS, (False, True), (1, 2))
]


def all_graphs(graph):
    """Yield a graph and the graphs inside its nodes."""
    yield graph
    for attribute in (attribute for node in graph.node for attribute in node.attribute if attribute.HasField("g")):
        yield from all_graphs(attribute.g)


@pytest.mark.parametrize("choice", EVERY, ids=str)
def test_the_file_is_what_the_design_says(choice):
    network = choice.network()
    weights = to_onnx(network)
    facts = read_facts(weights)
    assert (facts.ir_version, facts.opset, facts.producer) == (8, 17, "")
    assert (facts.metadata, facts.domains, facts.external_files) == ((), (), ())

    graph = onnx.load_from_string(weights).graph
    shapes = {
        tensor.name: [dim.dim_param or dim.dim_value for dim in tensor.type.tensor_type.shape.dim]
        for tensor in (*graph.input, *graph.output)
    }
    assert shapes.pop("source") == ["batch", 1, *network.geometry.axes.lower()]
    free = [f"{letter.lower()}_out" for letter in network.geometry.output_axes]
    n_first = {(False, 1): 1, (False, 2): 1, (True, 1): 2, (True, 2): 3}[choice.probabilistic, choice.n_members]
    expected = {"restored": ["batch", n_first, *free]}
    if choice.n_members > 1:
        expected["members"] = ["batch", choice.n_members * (1 + choice.probabilistic), *free]
    assert shapes == expected

    parameters = dict(network.named_parameters())
    assert [each.name for each in graph.initializer] == list(parameters)
    for each in graph.initializer:
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(each), parameters[each.name].detach().numpy())
    assert not any(inner.initializer for inner in list(all_graphs(graph))[1:])
    names = [name for each in all_graphs(graph) for node in each.node for name in node.output]
    assert len(names) == len({*names, *parameters, "source"}) - len(parameters) - 1
    first = next(node for each in all_graphs(graph) for node in each.node if node.op_type == "Conv")
    assert f"{first.output[0]}.weight" == first.input[1] in parameters


@pytest.mark.parametrize("choice", EVERY, ids=str)
def test_equal_weights_give_equal_bytes_whatever_their_layout(choice):
    network, other = choice.network(), choice.network().train()
    for parameter in other.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.transpose(0, 1).contiguous().transpose(0, 1)
    assert to_onnx(other) == to_onnx(network)
    with torch.no_grad():
        next(other.parameters())[0] += 1e-6
    assert to_onnx(other) != to_onnx(network)


def test_memory_of_a_loop_is_that_of_one_slice():
    """Values of a pass stay inside the loop: the graph around it holds the stacked result alone."""
    graph = onnx.load_from_string(to_onnx(Choice("isotropic", n_members=2).network())).graph
    outside = {node.op_type for node in graph.node}
    assert "Conv" not in outside
    assert "Exp" not in outside
    assert sum(node.op_type == "Loop" for node in graph.node) == 3


NEWEST = [
    "denoise-nuclei-3d-1.0.0",
    "denoise-nuclei-confocal-2d-1.2.0",
    "denoise-nuclei-confocal-2d-ensemble-1.2.0",
    "isotropic-brain-2ch-1.0.0",
    "isotropic-nuclei-1.0.0",
    "project-epithelium-1.2.0",
    "restore-tubules-2d-1.1.0",
    "upsample-nuclei-3d-1.0.0",
]


@pytest.mark.parametrize("name", NEWEST)
def test_the_networks_of_shipped_packages_compute_what_their_graphs_do(name):
    """Those were written by torch's exporters, from the same weights."""
    package = open_package(PACKAGES / f"{name}.zip")
    recipe = Recipe.from_dict(yaml.safe_load(package.read_bytes("recipe.yaml")))
    own = yaml.safe_load(package.read_bytes("rdf.yaml"))["config"]["carezoo"]
    cores = [networks.core(recipe) for _ in range((own.get("members") or {"n": 1})["n"])]
    for number, core in enumerate(cores, start=1):
        load_weights(core, package, number)
    calibrate.set_factor(cores, own["calibration"]["factor"])
    ours, theirs = (
        Session(weights, provider="cpu", n_threads=1)
        for weights in (to_onnx(networks.build_packed(recipe, cores)), package.read_weights())
    )
    for seed, n in enumerate((1, 13)):
        sizes = [rule.round_up(n + i) for i, rule in enumerate(package.manifest.input.rules.values())]
        source = normal(1, len(recipe.data.channels), *sizes, seed=seed)
        for found, expected in zip(ours.run(source), theirs.run(source), strict=True):
            # Up to rounding, also that of the calibration factor in rdf.yaml.
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_no_source_file_uses_an_exporter_of_torch():
    used = {
        (path.name, name)
        for path in Path(carezoo.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in _names(node)
        if name.startswith(("torch.jit", "torch.onnx", "torch.export"))
    }
    assert not used


def _names(node):
    """Return the dotted names that a node of the syntax tree imports or uses."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [ast.unparse(node)] if isinstance(node, ast.Attribute) else []
