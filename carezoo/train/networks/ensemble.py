"""Ensembles: independently trained members as one graph, with their mixture and how much they disagree.

Shape suffixes: M members, K nodes of the quadrature, S all spatial axes; BC as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from carezoo.errors import RecipeError
from carezoo.package.draft import OUTPUT_NAME
from carezoo.package.section import MEMBERS_OUTPUT
from carezoo.train.networks.graph import Graph, Value
from carezoo.train.networks.network import Kind, Network, OutputChannel
from carezoo.uncertainty.mixture import quadrature

_TINY = 1e-30
"""Keeps the logarithm of a density that has underflown finite."""


class Ensemble(Network):
    """Members of one task as one network, with two outputs.

    The first, `restored`, has for every target channel the mean of the mixture of all members, then the scale of the
    Laplace distribution with its variance, then the members' disagreement D (see `carezoo.uncertainty.mixture`).
    Members without scales give their mean alone: without widths nothing tells a disagreement from a difference that
    does not matter.
    The second, `members`, holds all means, member by member, then all scales.

    Parameters
    ----------
    members
        At least two, of one architecture.
    assemble
        Makes the network of the task from one that computes all members, so that what surrounds the networks (such as
        an interpolation) is computed once.

    Raises
    ------
    RecipeError
        If the members differ in architecture, or there are fewer than two.
    """

    output_names = (OUTPUT_NAME, MEMBERS_OUTPUT)

    def __init__(
        self,
        members: Sequence[Network],
        assemble: Callable[[Network], Network] = lambda network: network,
    ) -> None:
        super().__init__()
        self.network = assemble(MemberNetworks(members))
        self.geometry = self.network.geometry
        self.n_in = self.network.n_in
        self.n_members = len(members)
        n_targets, has_scale = members[0].n_means, members[0].n_means < len(members[0].outputs)
        kinds: tuple[Kind, ...] = ("mean", "scale", "disagreement") if has_scale else ("mean",)
        self.outputs = tuple(OutputChannel(kind, target) for kind in kinds for target in range(n_targets))
        self.is_stack = len(self.geometry.output_axes) == 3
        self.mixing = Mixing(self.n_members) if has_scale else Averaging(self.n_members)

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixture of all members, and the members."""
        members = self.network(source)
        if not self.is_stack:
            return self.mixing(members), members
        # Plane by plane: the quadrature needs as much memory for a plane as a network does.
        return torch.stack([self.mixing(members[:, :, z]) for z in range(members.shape[2])], dim=2), members

    def write_graph(self, graph: Graph, source: Value) -> tuple[Value, Value]:
        """Write what `forward` computes."""
        members: Value = self.network.write_graph(graph, source)
        if not self.is_stack:
            return self.mixing.write_graph(graph, members), members
        planes_ZBCYX = graph.loop(members.size(2), lambda z: self.mixing.write_graph(graph, members.select(2, z)))
        return planes_ZBCYX.permute(1, 2, 0, 3, 4), members

    @property
    def n_channels(self) -> tuple[int, ...]:
        """Channels of the mixture, and of the members."""
        return len(self.outputs), len(self.network.outputs)


class MemberNetworks(Network):
    """Several networks on one input, one after the other; all their means, then all their scales.

    Raises
    ------
    RecipeError
        If there are fewer than two, or they differ.
    """

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        _check_alike(members)
        self.members = nn.ModuleList(members)
        self.geometry = members[0].geometry
        self.n_in = members[0].n_in
        n_means = members[0].n_means
        self.outputs = members[0].outputs[:n_means] * len(members) + members[0].outputs[n_means:] * len(members)

    def forward(self, source: Tensor) -> Tensor:
        """Return the outputs of all members as channels: all means, member by member, then all scales."""
        n_means = len(self.outputs[: self.n_means]) // len(self.members)
        outputs = [member(source) for member in self.members]
        if self.n_means == len(self.outputs):
            return torch.cat(outputs, dim=1)
        return torch.cat([each[:, :n_means] for each in outputs] + [each[:, n_means:] for each in outputs], dim=1)

    def write_graph(self, graph: Graph, source: Value) -> Value:
        """Write what `forward` computes."""
        n_means = len(self.outputs[: self.n_means]) // len(self.members)
        members: Iterable[Any] = self.members
        outputs: list[Value] = [member.write_graph(graph, source) for member in members]
        if self.n_means == len(self.outputs):
            return graph.cat(outputs, 1)
        means, scales = zip(*(each.split([n_means, n_means], 1) for each in outputs), strict=True)
        return graph.cat([*means, *scales], 1)


class Averaging(nn.Module):
    """The mean of members that give no scale."""

    def __init__(self, n_members: int) -> None:
        super().__init__()
        self.n_members = n_members

    def forward(self, members: Tensor) -> Tensor:
        """Return the average over members (BCYX)."""
        return torch.stack(members.chunk(self.n_members, dim=1)).mean(dim=0)

    def write_graph(self, graph: Graph, members: Value) -> Value:
        """Write what `forward` computes."""
        return graph.stack(members.chunk(self.n_members, 1)).mean(0)


class Mixing(nn.Module):
    """Mean, scale and disagreement of a mixture of Laplace distributions, by the formulas of `uncertainty.mixture`."""

    def __init__(self, n_members: int) -> None:
        super().__init__()
        self.n_members = n_members
        self.most_joint = n_members * math.log(n_members)
        for name, values in zip(("nodes", "node_weights"), quadrature(), strict=True):
            self.register_buffer(name, torch.from_numpy(values).float().reshape(-1, 1, 1, 1, 1), persistent=False)
        self.nodes: Tensor
        self.node_weights: Tensor

    def forward(self, members: Tensor) -> Tensor:
        """Return mean, scale and disagreement of each target as channels.

        Parameters
        ----------
        members
            BCYX: all means, member by member, then all scales.
        """
        means_MBCYX, scales_MBCYX = (torch.stack(each.chunk(self.n_members, dim=1)) for each in members.chunk(2, dim=1))
        mean = means_MBCYX.mean(dim=0)
        # Centred: the difference of mean square and squared mean would cancel in float32.
        variance = (2 * scales_MBCYX.square() + (means_MBCYX - mean).square()).mean(dim=0)
        return torch.cat([mean, (variance / 2).sqrt(), self._disagreement(means_MBCYX, scales_MBCYX)], dim=1)

    def write_graph(self, graph: Graph, members: Value) -> Value:
        """Write what `forward` computes."""
        means_MBCYX, scales_MBCYX = (graph.stack(each.chunk(self.n_members, 1)) for each in members.chunk(2, 1))
        mean = means_MBCYX.mean(0)
        apart = means_MBCYX - mean
        variance = (2 * (scales_MBCYX * scales_MBCYX) + apart * apart).mean(0)
        disagreement = self._write_disagreement(graph, means_MBCYX, scales_MBCYX)
        return graph.cat([mean, (variance / 2).sqrt(), disagreement], 1)

    def _disagreement(self, means: Tensor, scales: Tensor) -> Tensor:
        scales, order = scales.sort(dim=0, descending=True)
        mean, scale = means.gather(0, order).unbind(), scales.unbind()
        joints = [self._joint(mean[:n], scale[:n]) for n in range(2, self.n_members + 1)]
        return (1 - sum(joints[1:], joints[0]) / self.most_joint).clamp(0, 1)

    def _write_disagreement(self, graph: Graph, means: Value, scales: Value) -> Value:
        scales, order = scales.sort_descending(self.n_members)
        mean, scale = means.gather(0, order).unbind(self.n_members), scales.unbind(self.n_members)
        joints = [self._write_joint(graph, mean[:n], scale[:n]) for n in range(2, self.n_members + 1)]
        return (1 - sum(joints[1:], joints[0]) / self.most_joint).clamp(0, 1)

    def _joint(self, means: Sequence[Tensor], scales: Sequence[Tensor]) -> Tensor:
        """Return what the last member has in common with the wider ones: (1 + q) ln(1 + q) - q ln q, averaged."""
        (*wider_means, mean), (*wider_scales, scale) = means, scales
        q_KBCYX = torch.full_like(self.nodes, _TINY)
        for wider_mean, wider_scale in zip(wider_means, wider_scales, strict=True):
            ratio, distance = scale / wider_scale, (mean - wider_mean) / wider_scale
            q_KBCYX = q_KBCYX + (ratio.log() + self.nodes.abs() - (distance + ratio * self.nodes).abs()).exp()
        gained_KBCYX = (1 + q_KBCYX) * (1 + q_KBCYX).log() - q_KBCYX * q_KBCYX.log()
        return (self.node_weights * gained_KBCYX).sum(dim=0)

    def _write_joint(self, graph: Graph, means: Sequence[Value], scales: Sequence[Value]) -> Value:
        nodes, node_weights = (graph.constant(each.cpu().numpy()) for each in (self.nodes, self.node_weights))
        (*wider_means, mean), (*wider_scales, scale) = means, scales
        q_KBCYX = graph.constant(np.array(_TINY, np.float32))
        for wider_mean, wider_scale in zip(wider_means, wider_scales, strict=True):
            ratio, distance = scale / wider_scale, (mean - wider_mean) / wider_scale
            q_KBCYX = q_KBCYX + (ratio.log() + nodes.abs() - (distance + ratio * nodes).abs()).exp()
        gained_KBCYX = (1 + q_KBCYX) * (1 + q_KBCYX).log() - q_KBCYX * q_KBCYX.log()
        return (node_weights * gained_KBCYX).sum(0)


def _check_alike(members: Sequence[Network]) -> None:
    if len(members) < 2:
        raise RecipeError(f"an ensemble has at least two members; found {len(members)}")
    first = {name: tuple(p.shape) for name, p in members[0].named_parameters()}
    for number, member in enumerate(members[1:], start=2):
        shapes = {name: tuple(p.shape) for name, p in member.named_parameters()}
        other = sorted(name for name in first.keys() | shapes.keys() if first.get(name) != shapes.get(name))
        if other:
            name = other[0]
            raise RecipeError(
                f"member {number} has another architecture than member 1: {name} has shape "
                f"{shapes.get(name, 'none')} instead of {first.get(name, 'none')} ({len(other)} differences). All "
                "members of an ensemble are trained with one recipe"
            )
        if member.outputs != members[0].outputs or member.geometry != members[0].geometry:
            raise RecipeError(f"member {number} restores other channels or sizes than member 1")
