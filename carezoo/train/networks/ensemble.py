"""Ensembles: independently trained members as one graph, with their mixture and how much they disagree.

Shape suffixes: M members, K nodes of the quadrature, S all spatial axes; BC as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from carezoo.errors import RecipeError
from carezoo.package.draft import OUTPUT_NAME
from carezoo.train.networks.network import Kind, Network, OutputChannel
from carezoo.train.networks.scripting import Scripted
from carezoo.uncertainty.mixture import quadrature

MEMBERS_NAME = "members"
"""The second output of an ensemble's graph. Readers of the format overlook it, because it is the last."""

_TINY = 1e-30
"""Keeps the logarithm of a density that has underflown finite."""


class Ensemble(Scripted):
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

    output_names = (OUTPUT_NAME, MEMBERS_NAME)

    def __init__(
        self,
        members: Sequence[Network],
        assemble: Callable[[Network], Network] = lambda network: network,
    ) -> None:
        super().__init__()
        self.network = assemble(Members(members))
        self.geometry = self.network.geometry
        self.n_in = self.network.n_in
        self.n_members = len(members)
        n_targets, has_scale = members[0].n_means, members[0].n_means < len(members[0].outputs)
        kinds: tuple[Kind, ...] = ("mean", "scale", "disagreement") if has_scale else ("mean",)
        self.outputs = tuple(OutputChannel(kind, target) for kind in kinds for target in range(n_targets))
        n_spatial = len(self.geometry.rules) - len(self.geometry.projected)
        self.is_stack = n_spatial == 3
        self.mixing = (Mixing if has_scale else Averaging)(self.n_members, n_targets, n_spatial)

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixture of all members, and the members."""
        members = self.network(source)
        if not self.is_stack:
            return self.mixing(members), members
        planes: list[Tensor] = []  # one by one: the quadrature needs as much memory for a plane as a network does
        for z in range(members.shape[2]):
            planes.append(self.mixing(members[:, :, z : z + 1]))
        return torch.cat(planes, dim=2), members


class Members(Network):
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


class Averaging(nn.Module):
    """The mean of members that give no scale."""

    def __init__(self, n_members: int, n_targets: int, n_spatial: int) -> None:
        super().__init__()
        self.n_members = n_members
        self.register_buffer("example", torch.ones(1, n_members * n_targets, *[4] * n_spatial), persistent=False)

    def forward(self, members: Tensor) -> Tensor:
        """Return the average over members (BCS)."""
        return torch.stack(members.chunk(self.n_members, dim=1)).mean(dim=0)


class Mixing(nn.Module):
    """Mean, scale and disagreement of a mixture of Laplace distributions, by the formulas of `uncertainty.mixture`."""

    def __init__(self, n_members: int, n_targets: int, n_spatial: int) -> None:
        super().__init__()
        self.n_members = n_members
        self.register_buffer("example", torch.ones(1, 2 * n_members * n_targets, *[4] * n_spatial), persistent=False)
        for name, values in zip(("nodes", "node_weights"), quadrature(), strict=True):
            column = torch.from_numpy(values).float().reshape(-1, *[1] * (2 + n_spatial))
            self.register_buffer(name, column, persistent=False)
        self.nodes: Tensor
        self.node_weights: Tensor

    def forward(self, members: Tensor) -> Tensor:
        """Return mean, scale and disagreement of each target as channels.

        Parameters
        ----------
        members
            BCS: all means, member by member, then all scales.
        """
        means_MBCS, scales_MBCS = (torch.stack(each.chunk(self.n_members, dim=1)) for each in members.chunk(2, dim=1))
        mean = means_MBCS.mean(dim=0)
        # Centred: the difference of mean square and squared mean would cancel in float32.
        variance = (2 * scales_MBCS.square() + (means_MBCS - mean).square()).mean(dim=0)
        return torch.cat([mean, (variance / 2).sqrt(), self._disagreement(means_MBCS, scales_MBCS)], dim=1)

    def _disagreement(self, means: Tensor, scales: Tensor) -> Tensor:
        scales, order = scales.sort(dim=0, descending=True)
        means = means.gather(0, order)
        joint = torch.zeros_like(means[0])
        for k in range(1, self.n_members):
            joint = joint + self._joint(means, scales, k)
        return (1 - joint / (self.n_members * math.log(self.n_members))).clamp(0, 1)

    def _joint(self, means: Tensor, scales: Tensor, k: int) -> Tensor:
        """Return what member k has in common with the wider ones before it: (1 + q) ln(1 + q) - q ln q, averaged."""
        q_KBCS = torch.full_like(self.nodes, _TINY)
        for j in range(k):
            ratio, distance = scales[k] / scales[j], (means[k] - means[j]) / scales[j]
            q_KBCS = q_KBCS + (ratio.log() + self.nodes.abs() - (distance + ratio * self.nodes).abs()).exp()
        gained_KBCS = (1 + q_KBCS) * (1 + q_KBCS).log() - q_KBCS * q_KBCS.log()
        return (self.node_weights * gained_KBCS).sum(dim=0)


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
