"""CARE's networks and prediction give CSBDeep's numbers for CSBDeep's weights (recorded: tests/golden/csbdeep)."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from carezoo.image import Image
from carezoo.intensity import ScaleRange, measure
from carezoo.tiling import plan
from carezoo.train.networks.unet import UNet

GOLDEN = Path(__file__).parents[1] / "golden" / "csbdeep"
CASES = [
    "care2d",
    "care2d_keras2",
    "care2d_d3k3",
    "care2d_two_channels",
    "care2d_1to2",
    "care2d_probabilistic",
    "care3d",
    "care3d_probabilistic",
]


def _convolutions(path):
    """Return kernel and bias of every convolution in the order in which Keras made the layers."""
    found = []
    with h5py.File(path) as file:
        root = file.get("model_weights", file)
        for layer in root.attrs["layer_names"]:
            group = root[layer]
            arrays = [np.asarray(group[name]) for name in group.attrs["weight_names"]]
            found += [tuple(arrays[i : i + 2]) for i in range(0, len(arrays), 2)]
    return found


def _network(case):
    config = json.loads((GOLDEN / case / "config.json").read_text())
    network = UNet(
        {2: "YX", 3: "ZYX"}[config["n_dim"]],
        config["n_channel_in"],
        config["n_channel_out"],
        depth=config["unet_n_depth"],
        kernel=config["unet_kern_size"],
        n_first=config["unet_n_first"],
        is_residual=config["unet_residual"],
        is_probabilistic=config["probabilistic"],
    )
    pairs = [*network.encoder, network.bottom, *reversed(network.decoder)]
    ours = [layer for pair in pairs for layer in (pair.first, pair.second)] + [network.mean]
    ours += [network.scale] if network.scale is not None else []
    theirs = _convolutions(GOLDEN / case / "weights_best.h5")
    assert len(ours) == len(theirs)
    with torch.no_grad():
        for layer, (kernel, bias) in zip(ours, theirs, strict=True):
            spatial = range(kernel.ndim - 2)
            layer.weight.copy_(torch.from_numpy(kernel.transpose(kernel.ndim - 1, kernel.ndim - 2, *spatial).copy()))
            layer.bias.copy_(torch.from_numpy(bias))
    return network.eval()


@pytest.mark.parametrize("case", CASES)
def test_the_bare_network(case):
    golden = np.load(GOLDEN / case / "golden.npz")
    source = np.moveaxis(golden["network_in"], -1, 1)
    with torch.no_grad():
        output = _network(case)(torch.from_numpy(source.copy())).numpy()
    np.testing.assert_allclose(np.moveaxis(output, 1, -1), golden["network_out"], atol=1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if case != "care2d_1to2"])
def test_a_whole_prediction_on_odd_sizes(case):
    """Percentiles, padding and undoing by the runtime's own pieces, the network by torch."""
    golden = np.load(GOLDEN / case / "golden.npz")
    network, image = _network(case), Image(golden["image"], str(golden["axes"]))
    channels = image.array() if "C" in image.axes else image.array()[np.newaxis]
    low, high = map(float, golden["percentiles"])
    normalization = measure([ScaleRange(low, high)], [lambda c=channel: [c] for channel in channels])
    normalized, shape = normalization.apply(channels), channels.shape[1:]
    axes = plan(shape, [None] * len(shape), list(network.geometry.rules.values())).axes
    for dimension, axis in enumerate(axes, start=1):
        normalized = np.take(normalized, axis.source_index(slice(0, axis.padded)), axis=dimension)
    with torch.no_grad():
        output = network(torch.from_numpy(normalized[np.newaxis].copy())).numpy()[0]
    inside = tuple(slice(axis.pad_before, axis.pad_before + axis.size) for axis in axes)
    output, n = output[(slice(None), *inside)], len(channels)
    tolerance = 1e-4 * float(np.max(golden["high"] - golden["low"]))
    mean = normalization.undo(output[:n], range(n), is_scale=False)
    np.testing.assert_allclose(mean.reshape(image.shape), golden["predict_mean"], atol=tolerance)
    if "predict_scale" in golden:
        scale = normalization.undo(output[n:], range(n), is_scale=True)
        np.testing.assert_allclose(scale.reshape(image.shape), golden["predict_scale"], atol=tolerance)
