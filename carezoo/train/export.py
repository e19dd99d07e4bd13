"""From torch to ONNX, and back for fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from carezoo.errors import RecipeError
from carezoo.package.draft import INPUT_NAME
from carezoo.package.read import Package
from carezoo.train.networks.graph import Graph, import_onnx
from carezoo.train.networks.network import Network


def to_onnx(network: Network) -> bytes:
    """Return `network` as an ONNX file: opset 17, IR 8, free batch and spatial sizes.

    The same weights give the same bytes. Every number of the network is stored once, under the name of its parameter.
    """
    geometry = network.geometry
    graph = Graph(network.named_parameters())
    source = graph.input(INPUT_NAME, ["batch", network.n_in, *geometry.axes.lower()])
    written = network.write_graph(graph, source)
    outputs = written if isinstance(written, tuple) else (written,)
    sizes = [f"{letter.lower()}_out" for letter in geometry.output_axes]
    for name, value, n_channels in zip(network.output_names, outputs, network.n_channels, strict=True):
        graph.output(name, value, ["batch", n_channels, *sizes])
    return graph.to_bytes()


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
    onnx = import_onnx()
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
            + "; ".join(_format_list(what, names) for what, names in _complaints(missing, further, other))
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


def _format_list(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what} {', '.join(names[:3])}{more}"
