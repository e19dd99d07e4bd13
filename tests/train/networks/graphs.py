"""Small networks with random weights, their graphs, and packages around them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import packages
import torch

from carezoo.image import Image
from carezoo.package.draft import Draft
from carezoo.package.manifest import ChannelMeaning
from carezoo.package.read import Package, open_package
from carezoo.package.write import write_package
from carezoo.runtime.restore import restore
from carezoo.runtime.session import Session
from carezoo.settings import Settings
from carezoo.train.export import to_onnx
from carezoo.train.networks.network import Geometry, Network, OutputChannel
from carezoo.train.networks.unet import UNet


def unet(axes: str = "YX", n: int = 1, *, depth: int = 1, kernel: int = 3, probabilistic: bool = False, seed: int = 0):
    """Return a small U-Net with random weights, biases too."""
    torch.manual_seed(seed)
    network = UNet(
        axes, n, n, depth=depth, kernel=kernel, n_first=4, is_residual=True, is_probabilistic=probabilistic
    ).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.1, 0.1)
    return network


class Pointwise(Network):
    """A network that computes `function`; sizes along its first axis are multiples of `step`.

    A graph takes functions that are arithmetic alone.
    """

    def __init__(self, axes, function, *, step: int = 1, n: int = 1, kinds=("mean",)) -> None:
        super().__init__()
        first = packages.AxisRule(step, step)
        self.geometry = Geometry({letter: first if letter == axes[0] else packages.AxisRule() for letter in axes})
        self.outputs = tuple(OutputChannel(kind, target) for kind in kinds for target in range(n))
        self.n_in = n
        self.function = function

    def forward(self, source):
        return self.function(source)

    def write_graph(self, graph, source):
        return self.function(source)


def session(network: Network) -> Session:
    """Return the exported graph, loaded."""
    return Session(to_onnx(network), provider="cpu", n_threads=1)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Return standard normal numbers, float32."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def evaluated(network: Network, source: np.ndarray):
    """Return what torch computes, as one array or a tuple of them."""
    with torch.inference_mode():
        result = network.eval()(torch.from_numpy(source))
    return tuple(each.numpy() for each in result) if isinstance(result, tuple) else result.numpy()


def check_graph_equals_torch(network: Network, shapes) -> None:
    """Compare the graph in ONNX Runtime with torch, all outputs."""
    graph = session(network)
    for seed, shape in enumerate(shapes):
        source = normal(*shape, seed=seed)
        expected = evaluated(network, source)
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = graph.run(source)
        assert [each.shape for each in found] == [each.shape for each in expected], shape
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=3e-6, err_msg=str(shape))


def draft(network: Network, task: str, raw_shape, **changes) -> Draft:
    """Return the draft of a package around `network`; `raw_shape` is that of the test input, without batch."""
    raw = np.stack([packages.picture(tuple(raw_shape[1:]), seed=i) for i in range(raw_shape[0])])[np.newaxis]
    geometry = network.geometry
    meanings = [
        ChannelMeaning(c.kind, None if c.kind == "disagreement" else c.target, f"{c.kind} {c.target}")
        for c in network.outputs
    ]
    made = packages._draft(
        "task",
        to_onnx(network),
        raw,
        geometry.rules,
        meanings,
        task=task,
        axes=geometry.axes,
        output_axes="".join(letter for letter in geometry.axes if letter not in geometry.projected),
        factors=geometry.factors,
        input_channels=tuple(f"channel {i}" for i in range(network.n_in)),
        pixel_size_um={"Z": 2.0, "Y": 0.1, "X": 0.1},
        n_members=getattr(network, "n_members", None),
    )
    return replace(made, **changes)


def packed(network: Network, task: str, raw_shape, folder: Path) -> Package:
    """Write a package around `network` and open it."""
    return open_package(write_package(draft(network, task, raw_shape), folder / "package"))


def restored(package: Package, pixels: np.ndarray, axes: str, **settings):
    """Restore an array with a package on the CPU."""
    image = Image(pixels, axes, {"Z": 2.0, "Y": 0.1, "X": 0.1}, name="image")
    return restore(image, package, Settings(provider="cpu", n_threads=1, **settings))
