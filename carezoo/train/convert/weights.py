"""Weights that Keras wrote: kernels and biases of convolutions out of an HDF5 file, as data and nothing else.

Keras 2 and 3 write two layouts of the same: a group for every layer, and attributes that say in which order. Nothing
in the file is followed out of it, built or called, and no array is read before its shape is known to be wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carezoo.errors import ConversionError, MissingExtraError

Shape = tuple[int, ...]
Float = NDArray[np.float32]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read(path: Path, wanted: Sequence[Shape]) -> list[tuple[Float, Float]]:
    """Return kernel and bias of every convolution, in the order of the network.

    Parameters
    ----------
    path
        ``weights_best.h5`` or the like; or a whole Keras model, whose weights lie one group deeper.
    wanted
        Shapes of the kernels that are expected, as Keras has them: sides, input channels, output channels.

    Raises
    ------
    ConversionError
        If the file is damaged, no file of weights, or holds the weights of another network.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError.of("h5py", "train", "to read weights written by Keras") from error
    _check_signature(path)
    try:
        with h5py.File(path, "r") as file:
            layers = _layers(file, h5py, path)
            _check_shapes(layers, wanted, path)
            return [(_array(kernel, path), _array(bias, path)) for _, kernel, bias in layers]
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise ConversionError(f"{path} is damaged or was not copied completely ({error}). Copy it again") from None


def _check_signature(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(_SIGNATURE))
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror or error}") from None
    if start != _SIGNATURE:
        what = "is empty" if not start else "is no HDF5 file"
        raise ConversionError(f"{path} {what}; expected weights written by Keras. Copy it again")


def _layers(file: Any, h5py: Any, path: Path) -> list[tuple[str, Any, Any]]:
    """Return name, kernel and bias (not read yet) of every convolution."""
    root = _inside(file, "model_weights", h5py, path) if "model_weights" in file else file
    if "layer_names" not in root.attrs:
        raise ConversionError(
            f"{path}: no attribute layer_names; expected weights as CSBDeep 0.8.2 and older save them (weights_best.h5)"
        )
    found = []
    for layer in _names(root, "layer_names"):
        group = _inside(root, layer, h5py, path)
        names = _names(group, "weight_names")
        for i in range(0, len(names), 2):
            pair = names[i : i + 2]
            if [name.split("/")[-1].removesuffix(":0") for name in pair] != ["kernel", "bias"]:
                raise ConversionError(
                    f"{path}: layer {layer} holds {', '.join(pair)}; CARE's networks consist of convolutions "
                    "with kernel and bias, without normalization layers"
                )
            kernel, bias = (_inside(group, name, h5py, path) for name in pair)
            found.append((pair[0].rpartition("/")[0], kernel, bias))
    return found


def _names(group: Any, attribute: str) -> list[str]:
    return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]


def _inside(group: Any, name: str, h5py: Any, path: Path) -> Any:
    """Return a member of `group`, but none that lies in another file or under another name."""
    for part in name.split("/"):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise ConversionError(f"{path}: {name} is missing or a link. Keras did not finish writing this file")
        group = group[part]
    if isinstance(group, h5py.Dataset) and (group.is_virtual or group.external):
        raise ConversionError(f"{path}: {name} lies in another file. Keras writes no such files")
    return group


def _check_shapes(layers: Sequence[tuple[str, Any, Any]], wanted: Sequence[Shape], path: Path) -> None:
    if len(layers) != len(wanted):
        raise ConversionError(
            f"{path} holds {len(layers)} convolutions, but the network of config.json has {len(wanted)}. Do "
            "both files belong to one model?"
        )
    for (name, kernel, bias), shape in zip(layers, wanted, strict=True):
        if kernel.shape != shape or bias.shape != shape[-1:]:
            raise ConversionError(
                f"{path}: layer {name} has a kernel of shape {kernel.shape} and {bias.shape[0] if bias.shape else 0} "
                f"biases, but config.json describes {shape}. Do both files belong to one model?"
            )
        for data in (kernel, bias):
            n_bytes = data.id.get_storage_size()
            if data.dtype.kind != "f" or n_bytes < data.size * data.dtype.itemsize:
                raise ConversionError(
                    f"{path}: layer {name} is stored as {data.dtype} in {n_bytes} bytes; expected {data.size} plain "
                    "floating-point numbers, as Keras writes them"
                )


def _array(data: Any, path: Path) -> Float:
    values = np.asarray(data[()], np.float32)
    if not np.isfinite(values).all():
        raise ConversionError(f"{path}: {data.name} holds NaN or infinite weights. Take those of an earlier epoch")
    return values
