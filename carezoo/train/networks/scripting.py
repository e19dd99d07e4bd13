"""What `torch.onnx` needs of graphs that loop over slices: a script of the loop around a trace of the network.

A trace records one pass and would freeze the number of slices; a script keeps loops, but only knows a part of Python.
So the networks stay plain Python and are traced, and only the few lines around them are written in that part.
"""

from __future__ import annotations

import copy
import warnings

import torch
from torch import nn

from carezoo.train.networks.network import Network


class Scripted(Network):
    """A network whose `forward` is valid TorchScript, around a Network called `network` that need not be."""

    __jit_unused_properties__ = ["n_means"]  # noqa: RUF012 - torch's own protocol


def exportable(network: Network) -> nn.Module:
    """Return a module that computes what `network` computes, with the same parameters under the same names.

    For networks without loops that is `network` itself.
    """
    if not isinstance(network, Scripted):
        return network
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return torch.jit.script(_traced_inside(network))


def _traced_inside(network: Scripted) -> Scripted:
    """Return a copy whose innermost network is a trace; parameters are shared, not copied."""
    inner = network.get_submodule("network")
    outer = copy.copy(network)
    modules = dict(network._modules)
    if isinstance(inner, Scripted):
        modules["network"] = _traced_inside(inner)
    elif isinstance(inner, Network):
        sizes = [rule.accepted(2 * rule.step) for rule in inner.geometry.rules.values()]
        example = torch.zeros(1, inner.n_in, *sizes, device=next(inner.parameters()).device)
        modules["network"] = torch.jit.trace(inner, example)
    outer.__dict__.update(_modules=modules, __annotations__={})
    for name in ("geometry", "outputs"):  # of types that TorchScript does not know, and not asked by `forward`
        del outer.__dict__[name]
    return outer
