"""What `torch.onnx` needs of graphs that loop over slices: a script of the loop around a trace of the network.

A trace records one pass and would freeze the number of slices; a script keeps loops, but only knows a part of Python.
So the networks stay plain Python and are traced, and only the few lines around them are written in that part.
"""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn

from carezoo.train.networks.network import Network


class Scripted(Network):
    """A network whose own `forward` is valid TorchScript; that of the modules inside it need not be.

    Those that are no networks bring a buffer `example`, an input they can be traced with.
    """

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
    """Return a copy whose inner modules are traces or scripts; parameters are shared, not copied."""
    outer = copy.copy(network)
    inner = {name: _inner(module) for name, module in network.named_children()}
    outer.__dict__.update(_modules=inner, __annotations__={"training": bool})
    for name in ("geometry", "outputs"):  # of types that TorchScript does not know, and not asked by `forward`
        del outer.__dict__[name]
    return outer


def _inner(module: nn.Module) -> nn.Module:
    if isinstance(module, Scripted):
        return _traced_inside(module)
    traced: nn.Module = torch.jit.trace(module, _example(module))  # type: ignore[no-untyped-call]
    return traced


def _example(module: nn.Module) -> Tensor:
    """Return an input for `module`: a Network says what it takes, other modules bring one."""
    if not isinstance(module, Network):
        example: Tensor = module.get_buffer("example")
        return example
    sizes = [rule.accepted(2 * rule.step) for rule in module.geometry.rules.values()]
    return torch.zeros(1, module.n_in, *sizes)
