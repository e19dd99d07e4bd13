"""Networks as ONNX graphs: the same numbers, the same bytes, the halo that was computed."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from carezoo import tiling
from carezoo.check.halo import measure_halo
from carezoo.errors import ParityError, RecipeError, TrainError
from carezoo.package.manifest import InputTensor, Manifest, OutputAxis, OutputTensor, Weights
from carezoo.runtime.session import Session
from carezoo.train.export import load_weights, to_onnx
from carezoo.train.networks.ensemble import Ensemble
from carezoo.train.networks.unet import UNet
from carezoo.train.pack import measure
from carezoo.train.pack import measure as measure_


def unet(axes, depth, kernel, n_first=4, channels=1, *, probabilistic=False, seed=0):
    """Return a network with random weights, none of them zero."""
    torch.manual_seed(seed)
    network = UNet(
        axes, channels, channels, depth=depth, kernel=kernel, n_first=n_first, is_residual=True,
        is_probabilistic=probabilistic,
    )  # fmt: skip
    for parameter in network.parameters():
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, -0.05, 0.05)
    return network


@pytest.mark.parametrize(("axes", "probabilistic", "channels"), [("YX", False, 1), ("YX", True, 2), ("ZYX", True, 1)])
def test_the_graph_equals_the_network(axes, probabilistic, channels):
    network = unet(axes, 2, 3, channels=channels, probabilistic=probabilistic)
    parity = measure.measure_parity(network, to_onnx(network), np.random.default_rng(1))
    assert parity.max_difference < 1e-5
    assert parity.sizes[0] == (4,) * len(axes)
    assert len(set(parity.sizes)) > 2


def test_another_network_is_not_the_graph():
    weights = to_onnx(unet("YX", 1, 3, seed=0))
    with pytest.raises(ParityError, match=r"differs from the network by .* expected at most 1e-04"):
        measure.measure_parity(unet("YX", 1, 3, seed=1), weights, np.random.default_rng(1))
    with pytest.raises(ParityError, match="torch gives"):
        measure.measure_parity(unet("YX", 1, 3, probabilistic=True), weights, np.random.default_rng(1))


def test_parameters_that_are_equal_are_stored_each_under_its_name():
    network = UNet("YX", 1, 1, depth=2, kernel=3, n_first=4, is_residual=True)  # all biases zero
    stored = [each.name for each in onnx.load_from_string(to_onnx(network)).graph.initializer]
    assert stored == [name for name, _ in network.named_parameters()]


@pytest.fixture
def package():
    """Return a stand-in for an opened package, of which only weights and name are read."""
    return lambda network: SimpleNamespace(
        read_weights=lambda: to_onnx(network), manifest=SimpleNamespace(reference="cells 1.0.0")
    )


def test_fine_tuning_starts_from_the_numbers_in_the_onnx_file(package):
    first, second = unet("YX", 2, 3, seed=1, probabilistic=True), unet("YX", 2, 3, seed=2, probabilistic=True)
    load_weights(second, package(first))
    for name, parameter in first.named_parameters():
        assert torch.equal(dict(second.named_parameters())[name], parameter), name


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (("YX", 2, 3, 8), r"it has encoder\.0\.first\.weight \(4, 1, 3, 3\) instead of \(8, 1"),
        (("YX", 2, 3, 4, 1, True), r"it lacks scale\.weight, scale\.bias"),
        (("YX", 1, 3), r"it has also encoder\.1\.first\.weight.* and \d more"),
        (("ZYX", 2, 3), r"instead of \(4, 1, 3, 3, 3\)"),
    ],
)
def test_weights_of_another_architecture_are_refused_and_none_is_taken(package, other, complaint):
    probabilistic = len(other) > 5
    network = unet(*other[:5], probabilistic=probabilistic, seed=3)
    before = [p.clone() for p in network.parameters()]
    with pytest.raises(RecipeError, match=rf"cells 1\.0\.0 holds another network.*{complaint}"):
        load_weights(network, package(unet("YX", 2, 3)))
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def run_tiled(session, image, tile, rules):
    """Assemble the network's output from tiles planned by `rules`, on images of accepted size."""
    plan = tiling.plan(image.shape[2:], [*tile, *[None] * (len(rules) - 1)], rules)
    whole = None
    for piece in plan:
        out = session.run(np.ascontiguousarray(image[(..., *piece.read)]))[0]
        whole = np.full((*out.shape[:2], *image.shape[2:]), np.nan, np.float32) if whole is None else whole
        whole[(..., *piece.write)] = out[(..., *piece.crop)]
    assert plan.n_tiles > 1
    return whole


# How far pixels reach across a border on the grid: interval arithmetic through every layer, by kernel and depth.
REACH = {3: (8, 22, 46, 94), 5: (16, 40, 92, 188), 7: (24, 62, 138, 282)}
CASES = [("YX", depth, kernel) for kernel in REACH for depth in (1, 2, 3, 4)] + [("ZYX", 1, 5), ("ZYX", 2, 3)]


def farthest_reaching(axes, depth, kernel):
    """Return a network whose kernels see nothing but their two outermost pixels along the first axis."""
    network = UNet(axes, 1, 1, depth=depth, kernel=kernel, n_first=1, is_residual=False)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
            if parameter.ndim > 1 and parameter.shape[2] > 1:
                middle = (kernel // 2,) * (len(axes) - 1)
                for tap in (0, -1):
                    parameter[(slice(None), slice(None), tap, *middle)] = 1 / parameter.shape[1]
            elif parameter.ndim > 1:
                parameter += 1
    return network


@pytest.mark.parametrize(("axes", "depth", "kernel"), CASES)
def test_the_computed_halo_is_enough_and_one_step_less_is_not(axes, depth, kernel):
    network = farthest_reaching(axes, depth, kernel)
    session, rules = Session(to_onnx(network), provider="cpu", n_threads=1), list(network.geometry.rules.values())
    rule, others = rules[0], rules[1:]
    needed = -(-REACH[kernel][depth - 1] // rule.step) * rule.step
    assert needed <= rule.halo < REACH[kernel][depth - 1] + max(rule.step, kernel)

    tile = tiling.smallest_tile(rule)
    image = np.zeros((1, 1, 2 * tile, *(other.min_size for other in others)), np.float32)
    image[:, :, tile:] = np.random.default_rng(0).uniform(0.5, 1, image[:, :, tile:].shape)
    expected = session.run(image)[0]
    assert (
        int(np.flatnonzero(expected.any(axis=(0, 1, *range(3, expected.ndim))))[0]) == tile - REACH[kernel][depth - 1]
    )
    tiled = run_tiled(session, image, [tile], rules)
    np.testing.assert_allclose(tiled, expected, rtol=1e-5, atol=1e-5 * expected.max())

    short = dataclasses.replace(rule, halo=needed - rule.step)
    wrong = run_tiled(session, image, [tile], [short, *others])
    # The first tile ends where the image begins to be bright, and does not know it.
    assert np.abs(wrong - expected)[:, :, :tile].max() > 0.05


@pytest.mark.parametrize(("axes", "depth", "kernel"), [("YX", 1, 7), ("YX", 2, 5), ("YX", 3, 3), ("ZYX", 2, 3)])
def test_the_halo_measured_on_a_random_graph_is_at_most_the_computed_one(axes, depth, kernel):
    network = unet(axes, depth, kernel, n_first=8)
    rules, layout = network.geometry.rules, "BC" + axes
    sizes = {letter: OutputAxis(Fraction(1)) for letter in axes}
    manifest = Manifest(
        id="cells", name="cells", version="1.0.0", description="",
        input=InputTensor("source", layout, ("signal",), rules),
        outputs=(OutputTensor("restored", layout, ("signal",), sizes),),
        results=(), weights=Weights("weights.onnx"), hashes={},
    )  # fmt: skip
    measured = measure_halo(Session(to_onnx(network), provider="cpu"), manifest, np.random.default_rng(2))
    assert set(measured) == set(axes)
    for letter, halo in measured.items():
        assert 0.6 * rules[letter].halo < halo <= rules[letter].halo


def test_memory_for_each_pixel_is_measured():
    network = unet("YX", 1, 3, n_first=16)
    measured = measure_.bytes_per_pixel(to_onnx(network), 1, list(network.geometry.rules.values()))
    # The last concatenation alone reads and writes 2 * 2 * n_first float32 numbers for each pixel.
    assert 4 * 16 * 4 <= measured <= 3 * (4 * 16 * 4)


def test_a_graph_that_does_not_run_is_told():
    with pytest.raises(TrainError, match=r"memory of the network.*ManifestError"):
        measure_.bytes_per_pixel(b"no graph", 1, [tiling.AxisRule(2, 2)] * 2)


@pytest.fixture
def _coarse(monkeypatch):
    class Coarse(Session):
        """A session that pretends to be fast: its numbers have 8 bits, as in bfloat16."""

        def __init__(self, weights, provider, precision="exact"):
            super().__init__(weights, provider="cpu")
            if precision == "fast":
                self.choice = dataclasses.replace(self.choice, provider=provider, precision="fast", dtype="bfloat16")

        def run(self, x):
            exact = super().run(x)
            return [torch.from_numpy(y).bfloat16().float().numpy() if self.precision == "fast" else y for y in exact]

    monkeypatch.setattr(measure, "Session", Coarse)


@pytest.mark.usefixtures("_coarse")
def test_fast_is_compared_with_exact():
    source = np.random.default_rng(0).random((1, 1, 32, 32), dtype=np.float32)
    found = measure.measure_fast(to_onnx(unet("YX", 1, 3)), source)
    assert (found["provider"], found["dtype"]) == ("openvino", "bfloat16")
    assert 1e-4 < found["rms_difference"] < found["max_difference"] < 0.05


@pytest.mark.usefixtures("_coarse")
def test_fast_is_told_for_each_channel_of_an_ensemble():
    members = [unet("YX", 1, 3, probabilistic=True, seed=seed) for seed in range(2)]
    source = np.random.default_rng(0).random((1, 1, 32, 32), dtype=np.float32)
    found = measure.measure_fast(to_onnx(Ensemble(members)), source, ["mean", "scale", "disagreement"])
    worst = {name: each["max_difference"] for name, each in found["channels"].items()}
    assert list(worst) == ["mean", "scale", "disagreement"]
    assert max(worst.values()) == found["max_difference"]
    assert len(set(worst.values())) == 3


def test_fast_is_measured_or_the_reason_told():
    source = np.random.default_rng(0).random((1, 1, 32, 32), dtype=np.float32)
    found = measure.measure_fast(to_onnx(unet("YX", 1, 3)), source)
    assert found.get("unmeasured") or found["rms_difference"] <= found["max_difference"] < 0.05
