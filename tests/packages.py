"""Tiny real packages for tests, made without torch: every graph is a few operators with fixed random weights.

Drafts, as a trainer would hand them over (`write_package(draft, path)` writes one):

==================  ====================================================================================================
denoise_2d          BCYX, one channel, U-Net of depth 1, kernel 3: step 2, halo 6
probabilistic_2d    the same with two output channels, mean and scale
fixed_2d            probabilistic, normalized by constants of the training set, undone by the package itself
two_channels_2d     two channels in and out, normalized each on its own
ensemble_2d         mean, scale and disagreement of two members, and the unlisted last output `members`
denoise_3d          BCZYX, U-Net of depth 1 that pools in Y and X only: step 1, 2, 2
upsample_3d         BCZYX, five planes out for two in (linear interpolation in the graph, then a convolution)
project_3d          ZYX in, YX out: softmax over Z, then a convolution; Z neither tiled nor padded
==================  ====================================================================================================

Packages made elsewhere (each writes a folder and returns it):

==================  ====================================================================================================
foreign_04          0.4: {min, step}, implicit output shape with halo, zero mean and unit variance, scale_linear, clip
foreign_04_valid    0.4: a network that cuts off 3 pixels per side (offset -3)
foreign_04_fixed    0.4: one size only, fixed mean and std, no halo
foreign_05          0.5: percentile normalization, halo
foreign_05_fixed    0.5: one size only, with halo
foreign_05_valid    0.5: a network that cuts off 3 pixels per side, and halo
foreign_05_two      0.5: two outputs
foreign_05_data     0.5: weights in an external file
==================  ====================================================================================================
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from carezoo.package.draft import Author, Citation, Constants, Draft, Percentiles
from carezoo.package.manifest import ChannelMeaning, Record
from carezoo.tiling import AxisRule

OPSET, IR = 17, 8

MEAN = ChannelMeaning("mean", 0, "nuclei")
SCALE = ChannelMeaning("scale", 0, "nuclei scale")
DISAGREEMENT = ChannelMeaning("disagreement", 0, "nuclei disagreement")


class Graph:
    """An ONNX graph under construction: every method adds an operator and returns the name of its result."""

    def __init__(self, seed: int, axes: str, n_in: int, *, sizes: Sequence[int | str] | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.n_spatial = len(axes) - 2
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        dims = sizes or ["batch", n_in, *(letter.lower() for letter in axes[2:])]
        self.input = helper.make_tensor_value_info("source", TensorProto.FLOAT, dims)

    def constant(self, values: Any, dtype: type = np.float32) -> str:
        name = f"constant{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(
        self,
        x: str,
        n_in: int,
        n_out: int,
        *,
        kernel: Sequence[int] | None = None,
        gain: float = 1.0,
        valid: bool = False,
    ) -> str:
        shape = tuple(kernel or (3,) * self.n_spatial)
        weights = self.rng.normal(0, gain / np.sqrt(n_in * np.prod(shape)), (n_out, n_in, *shape))
        pads = [0 if valid else size // 2 for size in shape] * 2
        return self.op("Conv", x, self.constant(weights), kernel_shape=shape, pads=pads)

    def unet(self, x: str, n_in: int, n_out: int, pool: Sequence[int], *, gain: float = 0.2) -> str:
        """One level down and up again, and a last convolution; every convolution has kernel 3."""
        top = self.op("Relu", self.conv(x, n_in, 4))
        down = self.op("MaxPool", top, kernel_shape=pool, strides=pool)
        low = self.op("Relu", self.conv(down, 4, 4))
        scales = self.constant([1, 1, *pool])
        up = self.op(
            "Resize", low, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )
        return self.conv(self.op("Concat", up, top, axis=1), 8, n_out, gain=gain)

    def bytes(self, outputs: Mapping[str, str], shapes: Mapping[str, Sequence[int | str]]) -> bytes:
        """Return the file; `outputs` maps the public name to the internal one."""
        named = [helper.make_node("Identity", [inner], [outer]) for outer, inner in outputs.items()]
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs]
        graph = helper.make_graph([*self.nodes, *named], "net", [self.input], infos, self.weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="tests"
        )
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString(deterministic=True)


def picture(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint16]:
    """Return bright blobs on a dark background with photon noise, axes (Z)YX."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.arange(size, dtype=np.float32) for size in shape), indexing="ij")
    clean = np.full(shape, 100.0, np.float32)
    for _ in range(max(3, int(np.prod(shape)) // 600)):
        distance = sum((axis - rng.uniform(0, size)) ** 2 for axis, size in zip(grid, shape, strict=True))
        clean += rng.uniform(200, 1500) * np.exp(-distance / (2 * rng.uniform(2, 5) ** 2))
    return rng.poisson(clean).astype(np.uint16)


def npy(array: NDArray[Any]) -> bytes:
    """Return the .npy file of an array."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def run(weights: bytes, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Run a graph as plainly as ONNX Runtime allows."""
    import onnxruntime

    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def by_percentiles(raw: NDArray[Any], low: float = 2.0, high: float = 99.8, eps: float = 1e-6) -> NDArray[np.float32]:
    """Normalize each channel of a BC(Z)YX tensor by its own percentiles."""
    axes = tuple(range(2, raw.ndim))
    bottom, top = np.percentile(raw.astype(np.float64), [low, high], axis=axes, keepdims=True)
    return ((raw - bottom) / (top - bottom + eps)).astype(np.float32)


def _draft(
    identifier: str,
    weights: bytes,
    raw: NDArray[np.uint16],
    needs: Mapping[str, AxisRule],
    meanings: Sequence[ChannelMeaning],
    **changes: Any,
) -> Draft:
    axes = "ZYX"[-(raw.ndim - 2) :]
    draft = Draft(
        id=identifier,
        name=f"Test model {identifier}",
        version="1.0.0",
        description="A network with random weights, for tests.",
        authors=(Author("Jane Doe", "Example Institute"),),
        cite=(
            Citation("Weigert et al., Content-aware image restoration, Nat. Methods 2018", "10.1038/s41592-018-0216-7"),
        ),
        license="BSD-3-Clause",
        timestamp=datetime(2026, 1, 15, 12, tzinfo=UTC),
        task="denoise",
        axes=axes,
        output_axes=axes,
        rules=needs,
        input_channels=("nuclei",),
        output_channels=tuple(meanings),
        normalization=Percentiles(),
        files={},
        pixel_size_um={"Y": 0.1, "X": 0.1},
        tags=("care", "denoising", "image-restoration", "fluorescence-light-microscopy", "2d"),
        bytes_per_pixel=200,
        record=Record(parity={"torch": 0.0, "sizes": [[32, 48]]}, fast={"unmeasured": "made for tests"}),
    )
    draft = replace(draft, **changes)
    return replace(draft, files={**_files(weights, raw, draft), **draft.files})


def _files(weights: bytes, raw: NDArray[np.uint16], draft: Draft) -> dict[str, bytes]:
    how = draft.normalization
    if isinstance(how, Percentiles):
        restored = run(weights, by_percentiles(raw, how.low, how.high, how.eps))[0]
    else:
        column = (-1,) + (1,) * (raw.ndim - 2)
        low, high = (np.reshape(values, column) for values in (how.low, how.high))
        restored = run(weights, ((raw - low) / (high - low)).astype(np.float32))[0]
        gain = [
            how.high[m.of] - how.low[m.of] if m.of is not None and m.kind != "disagreement" else 1
            for m in draft.output_channels
        ]
        offset = [how.low[m.of] if m.kind == "mean" else 0 for m in draft.output_channels]
        restored = (restored * np.reshape(gain, column) + np.reshape(offset, column)).astype(np.float32)
    return {
        "weights.onnx": weights,
        "test_input.npy": npy(raw),
        "test_output.npy": npy(restored),
        "README.md": b"# Test model\n\n## Validation\n\nNone: the weights are random.\n",
    }


RULES_2D = {letter: AxisRule(min_size=2, step=2, halo=6) for letter in "YX"}


def denoise_2d(seed: int = 0, **changes: Any) -> Draft:
    """Denoise BCYX."""
    graph = Graph(seed, "BCYX", 1)
    restored = graph.op("Add", "source", graph.unet("source", 1, 1, (2, 2)))
    weights = graph.bytes({"restored": restored}, {"restored": ["batch", 1, "y_out", "x_out"]})
    return _draft("test-2d", weights, picture((32, 48))[None, None], RULES_2D, [MEAN], **changes)


def _mean_and_scale(graph: Graph) -> tuple[str, str]:
    mean = graph.op("Add", "source", graph.unet("source", 1, 1, (2, 2)))
    width = graph.op("Add", graph.op("Softplus", graph.unet("source", 1, 1, (2, 2))), graph.constant([0.001]))
    return mean, width


def probabilistic_2d(seed: int = 0, **changes: Any) -> Draft:
    """Denoise BCYX, with mean and scale."""
    graph = Graph(seed, "BCYX", 1)
    restored = graph.op("Concat", *_mean_and_scale(graph), axis=1)
    weights = graph.bytes({"restored": restored}, {"restored": ["batch", 2, "y_out", "x_out"]})
    return _draft("test-2d-scale", weights, picture((32, 48))[None, None], RULES_2D, [MEAN, SCALE], **changes)


def fixed_2d(seed: int = 0, **changes: Any) -> Draft:
    """Denoise BCYX with mean and scale, normalized by constants."""
    how = Constants((100.0,), (1400.0,))
    return probabilistic_2d(seed, **{"id": "test-2d-fixed", "normalization": how, **changes})


def two_channels_2d(seed: int = 0, **changes: Any) -> Draft:
    """Denoise two channels jointly."""
    graph = Graph(seed, "BCYX", 2)
    restored = graph.op("Add", "source", graph.unet("source", 2, 2, (2, 2)))
    weights = graph.bytes({"restored": restored}, {"restored": ["batch", 2, "y_out", "x_out"]})
    raw = np.stack([picture((32, 48)), 3 * picture((32, 48), seed=1)])[None]
    meanings = [MEAN, ChannelMeaning("mean", 1, "membranes")]
    return _draft(
        "test-2d-channels", weights, raw, RULES_2D, meanings, **{"input_channels": ("nuclei", "membranes"), **changes}
    )


def ensemble_2d(seed: int = 0, **changes: Any) -> Draft:
    """Two members with mean and scale; their disagreement here is a stand-in that stays in [0, 1]."""
    graph = Graph(seed, "BCYX", 1)
    (mean0, width0), (mean1, width1) = _mean_and_scale(graph), _mean_and_scale(graph)
    half = graph.constant([0.5])
    mean = graph.op("Mul", graph.op("Add", mean0, mean1), half)
    width = graph.op("Mul", graph.op("Add", width0, width1), half)
    apart = graph.op("Abs", graph.op("Sub", mean0, mean1))
    disagreement = graph.op("Div", apart, graph.op("Add", apart, width))
    outputs = {
        "restored": graph.op("Concat", mean, width, disagreement, axis=1),
        "members": graph.op("Concat", mean0, mean1, width0, width1, axis=1),
    }
    shapes = {"restored": ["batch", 3, "y_out", "x_out"], "members": ["batch", 4, "y_out", "x_out"]}
    raw = picture((32, 48))[None, None]
    meanings = [MEAN, SCALE, DISAGREEMENT]
    return _draft(
        "test-2d-ensemble", graph.bytes(outputs, shapes), raw, RULES_2D, meanings, **{"n_members": 2, **changes}
    )


def denoise_3d(seed: int = 0, **changes: Any) -> Draft:
    """Denoise BCZYX, pooled in Y and X only."""
    graph = Graph(seed, "BCZYX", 1)
    restored = graph.op("Add", "source", graph.unet("source", 1, 1, (1, 2, 2)))
    weights = graph.bytes({"restored": restored}, {"restored": ["batch", 1, "z_out", "y_out", "x_out"]})
    rules = {"Z": AxisRule(1, 1, 3), "Y": AxisRule(2, 2, 6), "X": AxisRule(2, 2, 6)}
    sizes = {"Z": 0.5, "Y": 0.1, "X": 0.1}
    raw = picture((10, 24, 32))[None, None]
    return _draft("test-3d", weights, raw, rules, [MEAN], **{"pixel_size_um": sizes, **changes})


def upsample_3d(seed: int = 0, **changes: Any) -> Draft:
    """Interpolate Z linearly to 5/2 times the planes, then convolve."""
    graph = Graph(seed, "BCZYX", 1)
    shape = graph.op("Shape", "source")
    up = graph.op(
        "Div",
        graph.op("Mul", shape, graph.constant([1, 1, 5, 1, 1], np.int64)),
        graph.constant([1, 1, 2, 1, 1], np.int64),
    )
    dense = graph.op("Resize", "source", "", "", up, mode="linear", coordinate_transformation_mode="half_pixel")
    restored = graph.op("Add", dense, graph.conv(dense, 1, 1, gain=0.2))
    weights = graph.bytes({"restored": restored}, {"restored": ["batch", 1, "z_out", "y_out", "x_out"]})
    rules = {"Z": AxisRule(2, 2, 2), "Y": AxisRule(1, 1, 1), "X": AxisRule(1, 1, 1)}
    given = {"task": "upsample", "factors": {"Z": Fraction(5, 2)}, "pixel_size_um": {"Z": 1.0, "Y": 0.2, "X": 0.2}}
    return _draft("test-upsample", weights, picture((8, 24, 32))[None, None], rules, [MEAN], **{**given, **changes})


def project_3d(seed: int = 0, **changes: Any) -> Draft:
    """Project ZYX to YX: planes weighted by a softmax over Z, then a convolution."""
    graph = Graph(seed, "BCZYX", 1)
    weight = graph.op("Softmax", graph.conv("source", 1, 1, gain=4.0), axis=2)
    plane = graph.op("ReduceSum", graph.op("Mul", "source", weight), graph.constant([2], np.int64), keepdims=0)
    restored = graph.op("Add", plane, graph.conv(plane, 1, 1, kernel=(3, 3), gain=0.2))
    weights = graph.bytes({"restored": restored}, {"restored": ["batch", 1, "y_out", "x_out"]})
    rules = {"Z": AxisRule(1, 1, 0, is_tileable=False), "Y": AxisRule(1, 1, 2), "X": AxisRule(1, 1, 2)}
    given = {"task": "project", "output_axes": "YX", "pixel_size_um": {"Z": 0.5, "Y": 0.2, "X": 0.2}}
    return _draft("test-project", weights, picture((9, 24, 32))[None, None], rules, [MEAN], **{**given, **changes})


DRAFTS: dict[str, Callable[..., Draft]] = {
    "denoise_2d": denoise_2d,
    "probabilistic_2d": probabilistic_2d,
    "fixed_2d": fixed_2d,
    "two_channels_2d": two_channels_2d,
    "ensemble_2d": ensemble_2d,
    "denoise_3d": denoise_3d,
    "upsample_3d": upsample_3d,
    "project_3d": project_3d,
}
"""All builders of drafts by name."""


def write_foreign(folder: Path, rdf: Mapping[str, Any], files: Mapping[str, bytes]) -> Path:
    """Write a package as others do: rdf.yaml and files in a folder."""
    folder.mkdir(parents=True)
    (folder / "rdf.yaml").write_text(yaml.safe_dump(dict(rdf), sort_keys=False), "utf-8")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def sha256(content: bytes) -> str:
    """Return the hash as manifests write it."""
    return hashlib.sha256(content).hexdigest()


def _rdf(version: str, **parts: Any) -> dict[str, Any]:
    documentation = {"documentation": "README.md", "timestamp": "2024-01-15T12:00:00+00:00", "license": "MIT"}
    if version.startswith("0.4"):
        documentation["test_inputs"] = ["test_input.npy"]
        documentation["test_outputs"] = [f"test_{output['name']}.npy" for output in parts["outputs"]]
    return {
        "format_version": version,
        "type": "model",
        "id": "affable-shark",
        "name": "Model from elsewhere",
        "description": "A network with random weights, for tests.",
        "authors": [{"name": "Jane Doe"}],
        "cite": [{"text": "Nobody 2020", "url": "https://example.org"}],
        **documentation,
        **parts,
    }


def _foreign_files(weights: bytes, raw: NDArray[Any], restored: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    tests = {f"test_{name}.npy": npy(array) for name, array in restored.items()}
    return {"weights.onnx": weights, "test_input.npy": npy(raw), "README.md": b"# Model\n\n## Validation\n", **tests}


def _plain_graph(seed: int, *, sizes: Sequence[int | str] | None = None) -> bytes:
    graph = Graph(seed, "BCYX", 1, sizes=sizes)
    out = graph.op("Add", "source", graph.unet("source", 1, 1, (2, 2)))
    return graph.bytes({"out": out}, {"out": ["batch", 1, "y_out", "x_out"]})


def _valid_graph(seed: int) -> bytes:
    graph = Graph(seed, "BCYX", 1)
    value = "source"
    for _ in range(3):
        value = graph.conv(value, 1, 1, valid=True)
    return graph.bytes({"out": value}, {"out": ["batch", 1, "y_out", "x_out"]})


def _standardized(raw: NDArray[Any]) -> NDArray[np.float32]:
    values = raw.astype(np.float64)
    return ((values - values.mean()) / (values.std() + 1e-6)).astype(np.float32)


def foreign_04(folder: Path) -> Path:
    """Format 0.4 with free sizes."""
    weights, raw = _plain_graph(1), picture((64, 80)).astype(np.float32)[None, None]
    restored = np.clip(run(weights, (2.0 * _standardized(raw) + 1.0).astype(np.float32))[0], -1.0, 5.0)
    rdf = _rdf(
        "0.4.9",
        inputs=[
            {
                "name": "raw",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {"min": [1, 1, 32, 32], "step": [0, 0, 16, 16]},
                "preprocessing": [
                    {"name": "zero_mean_unit_variance", "kwargs": {"mode": "per_sample", "axes": "cyx"}},
                    {"name": "scale_linear", "kwargs": {"gain": 2.0, "offset": 1.0}},
                ],
            }
        ],
        outputs=[
            {
                "name": "out",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {"reference_tensor": "raw", "scale": [1, 1, 1, 1], "offset": [0, 0, 0, 0]},
                "halo": [0, 0, 8, 8],
                "postprocessing": [{"name": "clip", "kwargs": {"min": -1.0, "max": 5.0}}],
            }
        ],
        weights={"onnx": {"source": "weights.onnx", "sha256": sha256(weights), "opset_version": OPSET}},
    )
    return write_foreign(folder, rdf, _foreign_files(weights, raw, {"out": restored}))


def foreign_04_valid(folder: Path) -> Path:
    """Format 0.4, a network without padding."""
    weights, raw = _valid_graph(2), picture((40, 48)).astype(np.float32)[None, None]
    rdf = _rdf(
        "0.4.9",
        inputs=[
            {
                "name": "raw",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {"min": [1, 1, 16, 16], "step": [0, 0, 1, 1]},
            }
        ],
        outputs=[
            {
                "name": "out",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {"reference_tensor": "raw", "scale": [1, 1, 1, 1], "offset": [0, 0, -3, -3]},
            }
        ],
        weights={"onnx": {"source": "weights.onnx", "sha256": sha256(weights), "opset_version": OPSET}},
    )
    return write_foreign(folder, rdf, _foreign_files(weights, raw, {"out": run(weights, raw)[0]}))


def foreign_04_fixed(folder: Path) -> Path:
    """Format 0.4, one size only, hashes nowhere."""
    weights, raw = _plain_graph(3, sizes=[1, 1, 32, 32]), picture((32, 32)).astype(np.float32)[None, None]
    normalized = ((raw - 300.0) / (250.0 + 1e-6)).astype(np.float32)
    rdf = _rdf(
        "0.4.9",
        inputs=[
            {
                "name": "raw",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": [1, 1, 32, 32],
                "preprocessing": [
                    {
                        "name": "zero_mean_unit_variance",
                        "kwargs": {"mode": "fixed", "axes": "yx", "mean": [300.0], "std": [250.0]},
                    }
                ],
            }
        ],
        outputs=[{"name": "out", "axes": "bcyx", "data_type": "float32", "shape": [1, 1, 32, 32]}],
        weights={"onnx": {"source": "weights.onnx", "opset_version": OPSET}},
    )
    return write_foreign(folder, rdf, _foreign_files(weights, raw, {"out": run(weights, normalized)[0]}))


def _axes_05(
    y: Any, x: Any, *, halo: int = 0, is_input: bool = True, channels: Sequence[str] = ("signal",)
) -> list[dict[str, Any]]:
    space: list[dict[str, Any]] = [{"type": "space", "id": "y", "size": y}, {"type": "space", "id": "x", "size": x}]
    for axis in space:
        axis |= {"concatenable": True} if is_input and isinstance(axis["size"], dict) else {}
        axis |= {"halo": halo} if halo else {}
    return [{"type": "batch"}, {"type": "channel", "channel_names": list(channels)}, *space]


def _follows(letter: str, offset: int = 0) -> dict[str, Any]:
    return {"tensor_id": "raw", "axis_id": letter, "offset": offset}


def _input_05(axes: list[dict[str, Any]], preprocessing: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    return {
        "id": "raw",
        "axes": axes,
        "test_tensor": {"source": "test_input.npy"},
        "data": {"type": "float32"},
        "preprocessing": list(preprocessing),
    }


def _output_05(name: str, axes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": name, "axes": axes, "test_tensor": {"source": f"test_{name}.npy"}, "data": {"type": "float32"}}


def _onnx_05(weights: bytes) -> dict[str, Any]:
    return {"onnx": {"source": "weights.onnx", "sha256": sha256(weights), "opset_version": OPSET}}


PERCENTILES_05 = {"id": "scale_range", "kwargs": {"axes": ["y", "x"], "min_percentile": 1.0, "max_percentile": 99.0}}


def foreign_05(folder: Path) -> Path:
    """Format 0.5 with percentiles."""
    weights, raw = _plain_graph(4), picture((64, 80)).astype(np.float32)[None, None]
    size = {"min": 32, "step": 16}
    rdf = _rdf(
        "0.5.3",
        inputs=[_input_05(_axes_05(size, size), [PERCENTILES_05])],
        outputs=[_output_05("out", _axes_05(_follows("y"), _follows("x"), halo=8, is_input=False))],
        weights=_onnx_05(weights),
    )
    return write_foreign(
        folder, rdf, _foreign_files(weights, raw, {"out": run(weights, by_percentiles(raw, 1, 99))[0]})
    )


def foreign_05_fixed(folder: Path) -> Path:
    """Format 0.5, one size only."""
    weights, raw = _plain_graph(5, sizes=[1, 1, 32, 32]), picture((32, 32)).astype(np.float32)[None, None]
    rdf = _rdf(
        "0.5.3",
        inputs=[_input_05([{"type": "batch", "size": 1}, *_axes_05(32, 32)[1:]], [PERCENTILES_05])],
        outputs=[_output_05("out", _axes_05(_follows("y"), _follows("x"), halo=6, is_input=False))],
        weights=_onnx_05(weights),
    )
    return write_foreign(
        folder, rdf, _foreign_files(weights, raw, {"out": run(weights, by_percentiles(raw, 1, 99))[0]})
    )


def foreign_05_valid(folder: Path) -> Path:
    """Format 0.5, a network without padding, and a halo on top."""
    weights, raw = _valid_graph(6), picture((40, 48)).astype(np.float32)[None, None]
    size = {"min": 16, "step": 1}
    rdf = _rdf(
        "0.5.3",
        inputs=[_input_05(_axes_05(size, size))],
        outputs=[_output_05("out", _axes_05(_follows("y", -6), _follows("x", -6), halo=2, is_input=False))],
        weights=_onnx_05(weights),
    )
    return write_foreign(folder, rdf, _foreign_files(weights, raw, {"out": run(weights, raw)[0]}))


def foreign_05_two(folder: Path) -> Path:
    """Format 0.5 with two outputs."""
    graph = Graph(7, "BCYX", 1)
    outputs = {
        "mu": graph.op("Add", "source", graph.unet("source", 1, 1, (2, 2))),
        "sigma": graph.op("Softplus", "source"),
    }
    shape = ["batch", 1, "y_out", "x_out"]
    weights = graph.bytes(outputs, {"mu": shape, "sigma": shape})
    raw = picture((64, 80)).astype(np.float32)[None, None]
    mu, sigma = run(weights, by_percentiles(raw, 1, 99))
    size = {"min": 32, "step": 16}
    axes = _axes_05(_follows("y"), _follows("x"), halo=8, is_input=False)
    rdf = _rdf(
        "0.5.3",
        inputs=[_input_05(_axes_05(size, size), [PERCENTILES_05])],
        outputs=[_output_05("mu", axes), _output_05("sigma", axes)],
        weights=_onnx_05(weights),
    )
    return write_foreign(folder, rdf, _foreign_files(weights, raw, {"mu": mu, "sigma": sigma}))


def foreign_05_data(folder: Path) -> Path:
    """Format 0.5 with the weights in a second file."""
    weights = _plain_graph(4)
    raw = picture((64, 80)).astype(np.float32)[None, None]
    restored = run(weights, by_percentiles(raw, 1, 99))[0]
    outer, data = external(weights, "weights.data")
    size = {"min": 32, "step": 16}
    rdf = _rdf(
        "0.5.6",
        inputs=[_input_05(_axes_05(size, size), [PERCENTILES_05])],
        outputs=[_output_05("out", _axes_05(_follows("y"), _follows("x"), halo=8, is_input=False))],
        weights={
            "onnx": {**_onnx_05(outer)["onnx"], "external_data": {"source": "weights.data", "sha256": sha256(data)}}
        },
    )
    return write_foreign(folder, rdf, {**_foreign_files(outer, raw, {"out": restored}), "weights.data": data})


def external(weights: bytes, location: str) -> tuple[bytes, bytes]:
    """Return the graph with its numbers moved to a second file, and that file."""
    model = onnx.load_from_string(weights)
    data = b""
    for tensor in model.graph.initializer:
        if len(tensor.dims) < 4:  # ONNX Runtime infers shapes from small tensors and wants them in the graph
            continue
        for key, value in (("location", location), ("offset", len(data)), ("length", len(tensor.raw_data))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        data += tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    return model.SerializeToString(deterministic=True), data


FOREIGN: dict[str, Callable[[Path], Path]] = {
    "foreign_04": foreign_04,
    "foreign_04_valid": foreign_04_valid,
    "foreign_04_fixed": foreign_04_fixed,
    "foreign_05": foreign_05,
    "foreign_05_fixed": foreign_05_fixed,
    "foreign_05_valid": foreign_05_valid,
    "foreign_05_two": foreign_05_two,
    "foreign_05_data": foreign_05_data,
}
"""All builders of packages made elsewhere, by name."""
