"""Ensembles: the graph against the algebra of mixtures, members of every task, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
import torch
from graphs import Pointwise, check_graph_equals_torch, evaluated, normal, packed, restored, session, unet

from carezoo.errors import RecipeError
from carezoo.train.export import to_onnx
from carezoo.train.networks.ensemble import Ensemble
from carezoo.train.networks.isotropic import IsotropicNetwork
from carezoo.train.networks.projection import ProjectionNetwork, Surface
from carezoo.train.networks.upsampling import Upsampling
from carezoo.uncertainty.laplace import Laplace
from carezoo.uncertainty.mixture import Mixture


def members(n_members=3, axes="YX", n=1, *, probabilistic=True):
    return [unet(axes, n, probabilistic=probabilistic, seed=seed) for seed in range(n_members)]


def mixture(outputs):
    """Return the mixture of the listed members' outputs, each BC... with means before scales."""
    means, scales = zip(*(np.split(each, 2, axis=1) for each in outputs), strict=True)
    return Mixture(Laplace(np.stack(means), np.stack(scales)))


@pytest.mark.parametrize(("n_members", "n"), [(2, 1), (5, 2)])
def test_the_first_output_is_the_mixture_of_the_members(n_members, n):
    each, source = members(n_members, n=n), 3 * normal(2, n, 12, 8)
    restored, all_members = session(Ensemble(each)).run(source)
    expected = mixture([evaluated(member, source) for member in each])
    np.testing.assert_allclose(restored[:, :n], expected.mean, atol=1e-5)
    np.testing.assert_allclose(restored[:, n : 2 * n], expected.scale, rtol=1e-4)
    np.testing.assert_allclose(restored[:, 2 * n :], expected.disagreement(), atol=1e-4)
    assert np.ptp(restored[:, 2 * n :]) > 0.1
    stacked = np.concatenate([expected.members.mean, expected.members.scale])
    np.testing.assert_allclose(all_members, np.concatenate(list(stacked), axis=1), atol=1e-5)


def fixed(mean, scale):
    """Return a member that says the same everywhere."""
    return Pointwise("YX", lambda x: torch.cat([x * 0 + mean, x * 0 + scale], dim=1), kinds=("mean", "scale"))


def disagreement(*each):
    return evaluated(Ensemble([fixed(*parameters) for parameters in each]), normal(1, 1, 2, 2))[0][0, 2]


def test_disagreement_is_0_for_equal_members_1_for_disjoint_ones_and_near_dense_integration():
    np.testing.assert_allclose(disagreement((0.3, 0.02), (0.3, 0.02), (0.3, 0.02)), 0, atol=1e-5)
    np.testing.assert_allclose(disagreement((0.0, 0.001), (1.0, 0.001), (-1.0, 0.001)), 1, atol=1e-4)
    rng = np.random.default_rng(0)
    for spread in (3.0, 1000.0):
        for _ in range(10):
            means, scales = rng.normal(0, 0.03, 4), 0.005 * spread ** rng.random(4)
            exact = Mixture(Laplace(means[:, np.newaxis], scales[:, np.newaxis])).exact_disagreement()
            found = disagreement(*zip(means.tolist(), scales.tolist(), strict=True))
            np.testing.assert_allclose(found, exact[0], atol=0.005)


def test_the_scale_keeps_its_digits_where_means_are_large():
    restored = evaluated(Ensemble([fixed(1000.0, 0.01), fixed(1000.25, 0.01)]), normal(1, 1, 2, 2))[0]
    np.testing.assert_allclose(restored[0, 1], np.sqrt(0.01**2 + 0.125**2 / 2), rtol=1e-4)


def test_calibrated_members_are_wider_before_they_are_mixed():
    each, source = members(2, n=2), normal(1, 2, 4, 4)
    plain = evaluated(Ensemble(each), source)[1]
    for member in each:
        member.calibration.fill_(2.0)
    network = Ensemble(each)
    restored, all_members = evaluated(network, source)
    np.testing.assert_allclose(all_members[:, :4], plain[:, :4])
    np.testing.assert_allclose(all_members[:, 4:], 2 * plain[:, 4:], rtol=1e-6)
    one, two = all_members[:, [0, 1, 4, 5]], all_members[:, [2, 3, 6, 7]]
    np.testing.assert_allclose(restored[:, 2:4], mixture([one, two]).scale, rtol=1e-5)
    np.testing.assert_allclose(restored[:, 4:], mixture([one, two]).disagreement(), atol=1e-4)
    check_graph_equals_torch(network, [(1, 2, 4, 6)])


def test_members_without_scale_give_their_mean_and_no_disagreement():
    each, source = members(3, n=2, probabilistic=False), normal(1, 2, 4, 4)
    network = Ensemble(each)
    assert [channel.kind for channel in network.outputs] == ["mean", "mean"]
    restored, all_members = session(network).run(source)
    np.testing.assert_allclose(restored, np.mean([evaluated(member, source) for member in each], axis=0), atol=1e-6)
    assert all_members.shape == (1, 6, 4, 4)


TASKS = {
    "isotropic": lambda each: (each, lambda network: IsotropicNetwork(network, Fraction(51, 5))),
    "upsampling": lambda each: (each, lambda network: Upsampling(network, Fraction(5, 2))),
}


@pytest.mark.parametrize("task", TASKS)
def test_members_of_a_task_are_mixed_behind_what_they_share(task):
    each = members(2, "YX" if task == "isotropic" else "ZYX")
    networks, assemble = TASKS[task](each)
    network, source = Ensemble(networks, assemble), normal(1, 1, 3, 4, 4)
    restored, _ = evaluated(network, source)
    expected = mixture([evaluated(assemble(member), source) for member in each])
    np.testing.assert_allclose(restored[:, :1], expected.mean, atol=1e-6)
    np.testing.assert_allclose(restored[:, 1:2], expected.scale, rtol=1e-5)
    np.testing.assert_allclose(restored[:, 2:], expected.disagreement(), atol=1e-4)
    assert network.geometry == assemble(each[0]).geometry
    check_graph_equals_torch(network, [(1, 1, 1, 2, 4), (2, 1, 5, 4, 2)])


def test_projections_are_mixed_as_images():
    each = [
        ProjectionNetwork(Surface(1, depth=1, n_filters=2), unet("YX", probabilistic=True, seed=s)) for s in range(2)
    ]
    network = Ensemble(each)
    assert network.geometry == each[0].geometry
    check_graph_equals_torch(network, [(1, 1, 1, 2, 4), (2, 1, 5, 4, 8)])


def test_interpolation_is_computed_once():
    each = members(3, "ZYX")
    graph = onnx.load_from_string(to_onnx(Ensemble(each, lambda network: Upsampling(network, Fraction(5, 2))))).graph
    assert [node.op_type for node in graph.node].count("Range") == 1
    names = {each.name for each in graph.initializer}
    assert {f"network.network.members.{i}.encoder.0.first.weight" for i in range(3)} <= names


def test_a_package_of_an_ensemble_restores_three_results(tmp_path):
    package = packed(Ensemble(members(3)), "denoise", (1, 32, 48), tmp_path)
    pixels = (1000 * np.random.default_rng(1).random((61, 45))).astype(np.uint16)
    whole, tiled = (restored(package, pixels, "YX", tile=tile) for tile in ("whole", 24))
    assert set(tiled.images) == {"mean", "scale", "disagreement"}
    for name, image in tiled.images.items():
        np.testing.assert_allclose(image.array(), whole.images[name].array(), rtol=1e-4, atol=2e-3, err_msg=name)
    found = tiled.images["disagreement"].array()
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.ptp(found) > 0.01


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (unet("YX"), r"member 2 has another architecture than member 1: scale\.bias has shape none instead of \(1,\)"),
        (unet("YX", depth=2, probabilistic=True), r"member 2 .* \(\d+ differences\)"),
        (fixed(0.0, 1.0), "member 2 has another architecture"),
    ],
)
def test_members_that_differ_are_refused(other, complaint):
    with pytest.raises(RecipeError, match=complaint):
        Ensemble([unet("YX", probabilistic=True), other])


def test_one_member_is_no_ensemble():
    with pytest.raises(RecipeError, match="at least two members; found 1"):
        Ensemble(members(1))
