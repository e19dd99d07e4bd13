"""From torch to ONNX, and back for fine-tuning."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from carezoo.errors import MissingExtraError, RecipeError
from carezoo.package.draft import INPUT_NAME
from carezoo.package.read import Package
from carezoo.train.networks.network import Network
from carezoo.train.networks.scripting import exportable

OPSET = 17


def to_onnx(network: Network) -> bytes:
    """Return `network` as an ONNX file: opset 17, IR 8, free batch and spatial sizes.

    The same weights give the same bytes. Every number of the network is stored once, under the name of its parameter.
    """
    axes = network.geometry.axes
    free = {0: "batch", **{i: letter.lower() for i, letter in enumerate(axes, start=2)}}
    kept = [letter for letter in axes if letter not in network.geometry.projected]
    free_out = {0: "batch", **{i: f"{letter.lower()}_out" for i, letter in enumerate(kept, start=2)}}
    sizes = [rule.accepted(2 * rule.step) for rule in network.geometry.rules.values()]
    network.cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    exported = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that is kept up to date writes IR 10, external data and paths of the exporting machine.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        torch.onnx.export(
            exportable(network.eval()),
            (torch.zeros(1, network.n_in, *sizes),),
            exported,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=list(network.output_names),
            dynamic_axes={INPUT_NAME: free, **dict.fromkeys(network.output_names, free_out)},
        )
    return _cleaned(exported.getvalue(), [name for name, _ in network.named_parameters()])


def load_weights(network: Network, package: Package, number: int = 1) -> None:
    """Give `network` the weights of a package that carezoo made, to fine-tune it.

    Parameters
    ----------
    network
        With weights alone: what a task puts around them does not count.
    package
        Of the same task.
    number
        Of the member (from 1) that is to be trained: it starts from the member of that number, where the package holds
        an ensemble.

    Raises
    ------
    RecipeError
        If the package holds another network, or was not made by carezoo.
    """
    onnx = _import_onnx()
    graph = onnx.load_from_string(package.read_weights()).graph
    stored = {each.name: np.array(onnx.numpy_helper.to_array(each)) for each in graph.initializer}
    wanted = dict(network.named_parameters())
    first = next(iter(wanted))
    prefixes = sorted(name.removesuffix(first) for name in stored if f".{name}".endswith(f".{first}")) or [""]
    prefix = prefixes[(number - 1) % len(prefixes)]
    found = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
    missing = [name for name in wanted if name not in found]
    further = [name for name in found if name not in wanted and _is_parameter(name)]
    other = [
        f"{name} {found[name].shape} instead of {tuple(p.shape)}"
        for name, p in wanted.items()
        if name in found and found[name].shape != tuple(p.shape)
    ]
    if missing or other or further:
        raise RecipeError(
            f"{package.manifest.reference} holds another network than the recipe describes: "
            + "; ".join(_listed(what, names) for what, names in _complaints(missing, further, other))
            + ". Make task, network, patches.size and the channels of the recipe those of the package (its recipe.yaml)"
        )
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(torch.from_numpy(found[name]))


def _is_parameter(name: str) -> bool:
    return name.endswith((".weight", ".bias"))


def _complaints(missing: list[str], further: list[str], other: list[str]) -> list[tuple[str, list[str]]]:
    named = [("it lacks", missing), ("it has also", further), ("it has", other)]
    return [(what, names) for what, names in named if names]


def _listed(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what} {', '.join(names[:3])}{more}"


def _cleaned(exported: bytes, parameters: Sequence[str]) -> bytes:
    """Return the file without traces of the exporter, and with every parameter under its own name."""
    onnx = _import_onnx()
    model = onnx.load_from_string(exported)
    for name in ("doc_string", "producer_name", "producer_version", "metadata_props"):
        model.ClearField(name)
    _remove_notes(model.graph)
    model.graph.name = "carezoo"
    _separate_equal_parameters(model, parameters)
    kept = {*parameters, *(each.name for each in (*model.graph.input, *model.graph.output))}
    _rename(model.graph, {name: name for name in kept})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _remove_notes(graph: Any) -> None:
    """Remove texts and metadata from a graph, its nodes, and the graphs inside them (loops)."""
    graph.ClearField("doc_string")
    for node in graph.node:
        for name in ("doc_string", "metadata_props"):
            node.ClearField(name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _remove_notes(attribute.g)


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Number all values but those in `names`, in the order in which they appear.

    The exporter names them after modules, as its tracer happens to see them: the same network would not give the same
    bytes twice. A graph inside a node (a loop) sees the values of the graph around it.
    """
    graph.ClearField("value_info")
    for each in (*graph.input, *graph.initializer):
        each.name = _renamed(each.name, names)
    for node in graph.node:
        node.input[:] = [_renamed(name, names) for name in node.input]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                attribute.g.name = "loop"
                _rename(attribute.g, names)
        node.output[:] = [_renamed(name, names) for name in node.output]
        node.name = f"make_{node.output[0]}"
    for each in graph.output:
        each.name = _renamed(each.name, names)


def _renamed(name: str, names: dict[str, str]) -> str:
    if not name:  # an input that is left out
        return name
    return names.setdefault(name, f"value{len(names)}")


def _separate_equal_parameters(model: Any, parameters: Sequence[str]) -> None:
    """Undo what the exporter does to parameters with equal values: all but one become the output of an Identity."""
    stored = {each.name: each for each in model.graph.initializer}
    aliases = [
        node
        for node in model.graph.node
        if node.op_type == "Identity" and node.input[0] in stored and node.output[0] in parameters
    ]
    for node in aliases:
        copy = model.graph.initializer.add()
        copy.CopyFrom(stored[node.input[0]])
        copy.name = node.output[0]
        model.graph.node.remove(node)


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError.of("onnx", "train", "to write and read ONNX files") from error
    return onnx
