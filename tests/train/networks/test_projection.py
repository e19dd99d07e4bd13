"""Projection: what the first part may do to a stack, how far both parts reach, and that they train as one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from graphs import check_graph_equals_torch, normal, packed, restored, session, unet

from carezoo.check.halo import measure_halo
from carezoo.errors import AxesError, RecipeError
from carezoo.tiling import AxisRule
from carezoo.train.losses import mae
from carezoo.train.networks.projection import ProjectionNetwork, Surface
from carezoo.train.networks.unet import UNet


def small(n=1, *, depth=2, probabilistic=False, seed=0):
    torch.manual_seed(seed)
    return ProjectionNetwork(Surface(n, depth=depth, n_filters=4), unet("YX", n, probabilistic=probabilistic)).eval()


def test_the_default_network_has_as_many_parameters_as_csbdeeps():
    network = UNet("YX", 1, 1, depth=2, kernel=3, n_first=32, is_residual=True)
    surface = Surface(1)
    assert sum(p.numel() for p in surface.parameters()) == 14_329
    assert sum(p.numel() for p in ProjectionNetwork(surface, network).parameters()) == 346_970


def test_the_projection_is_a_convex_combination_of_planes():
    surface, source = Surface(2), torch.from_numpy(normal(1, 2, 5, 16, 32))
    with torch.inference_mode():
        weights, plane = surface.weights(source), surface(source)
    assert weights.shape == (1, 1, 5, 16, 32)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(1, 1, 16, 32))
    assert plane.shape == (1, 2, 16, 32)
    assert torch.all(plane >= source.amin(dim=2) - 1e-6)
    assert torch.all(plane <= source.amax(dim=2) + 1e-6)
    torch.testing.assert_close(plane, (weights * source).sum(dim=2))
    assert weights.std() > 1e-4  # not an average


def test_planes_that_are_all_the_same_come_out_as_one_of_them():
    plane = torch.from_numpy(normal(1, 1, 1, 16, 16))
    with torch.inference_mode():
        torch.testing.assert_close(Surface(1)(plane.expand(-1, -1, 7, -1, -1)), plane[:, :, 0], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("n_convolutions", [1, 2])
def test_levels_halve_and_double_y_and_x_alone(n_convolutions):
    surface, sizes = Surface(1, depth=3, n_convolutions=n_convolutions), []
    for convolution in surface.convolutions:
        convolution.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[2:])))
    with torch.inference_mode():
        surface(torch.zeros(1, 1, 3, 16, 24))
    shrunk = [(3, 16 // 2**level, 24 // 2**level) for level in (0, 1, 2, 3, 2, 1, 0)]
    assert sizes == [size for size in shrunk for _ in range(n_convolutions)] + [(3, 16, 24)]


def test_the_graph_equals_torch_for_any_number_of_planes():
    check_graph_equals_torch(small(2, probabilistic=True), [*((1, 2, n, 4, 8) for n in range(1, 8)), (2, 2, 3, 12, 4)])


def test_both_parts_are_trained_by_one_loss():
    network = small(probabilistic=False).train()
    mae(network(torch.randn(2, 1, 5, 8, 8)), torch.randn(2, 1, 8, 8)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def reach(depth, kernel, surface_depth=4):
    """Follow a pixel at a tile border back through every layer of both parts, in one dimension."""
    radius, left = kernel // 2, 0

    def through(left, levels, per_level, radius):
        """Return the first pixel seen: up (in reverse order, the decoder), bottom, down (the encoder)."""
        for _ in range(levels):
            left = (left - per_level * radius) // 2  # convolutions of the level, then nearest upsampling
        left -= per_level * radius
        for _ in range(levels):
            left = 2 * left - per_level * radius  # pooling, then the convolutions of the finer level
        return left

    left = through(left, depth, 2, radius)
    return -through(left - 1, surface_depth, 1, 1)


# U-Net depth, kernel; exact reach of both parts; the rule's halo.
HALOS = [(2, 3, 79, 80), (2, 5, 95, 96), (3, 3, 95, 96), (3, 5, 143, 144)]


@pytest.mark.parametrize(("depth", "kernel", "exact", "halo"), HALOS)
def test_the_reaches_of_both_parts_add(depth, kernel, exact, halo):
    network = UNet("YX", 1, 1, depth=depth, kernel=kernel, n_first=1, is_residual=True)
    geometry = ProjectionNetwork(Surface(1), network).geometry
    assert reach(depth, kernel) == exact
    assert geometry.rules == {
        "Z": AxisRule(1, 1, 0, is_tileable=False), "Y": AxisRule(16, 16, halo), "X": AxisRule(16, 16, halo)
    }  # fmt: skip
    assert geometry.projected == "Z"


def test_a_deeper_second_part_sets_the_step():
    network = ProjectionNetwork(Surface(1, depth=2, n_filters=2), unet("YX", depth=3))
    assert network.geometry.rules["Y"] == AxisRule(8, 8, 64)  # 48 of the U-Net and 11 of the surface


def test_the_measured_halo_is_within_the_computed_one(tmp_path):
    network = small()
    package = packed(network, "project", (1, 5, 52, 64), tmp_path)
    measured = measure_halo(session(network), package.manifest, np.random.default_rng(2))
    assert set(measured) == {"Y", "X"}
    for letter, halo in measured.items():
        assert 8 < halo <= network.geometry.rules[letter].halo


def test_tiled_equals_whole_and_z_is_neither_tiled_nor_needed_in_steps(tmp_path):
    package = packed(small(), "project", (1, 5, 52, 64), tmp_path)
    for n_planes in (2, 7):
        pixels = (1000 * np.random.default_rng(n_planes).random((n_planes, 97, 109))).astype(np.uint16)
        whole, tiled = (restored(package, pixels, "ZYX", tile=tile) for tile in ("whole", 60))
        assert tiled.report.provenance.n_tiles > 4
        assert tiled.report.provenance.tile[0] == n_planes
        assert tiled.mean.shape == (97, 109)
        np.testing.assert_allclose(tiled.mean, whole.mean, rtol=1e-5, atol=1e-2)


def test_an_image_without_z_cannot_be_projected(tmp_path):
    package = packed(small(), "project", (1, 5, 52, 64), tmp_path)
    with pytest.raises(AxesError, match=r"works along ZYX.*Z is missing"):
        restored(package, np.ones((32, 32), np.uint16), "YX")


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(RecipeError, match="a 2D network, found one for ZYX"):
        ProjectionNetwork(Surface(1), unet("ZYX"))
    with pytest.raises(RecipeError, match=r"odd sides, found \(3, 2, 3\)"):
        Surface(1, kernel=(3, 2, 3))
