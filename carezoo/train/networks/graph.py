"""ONNX graphs, written node by node: what `write_graph` of a network is to ONNX as `forward` is to torch.

What values can do has the names that it has in torch (`chunk`, `permute`, `clamp`), so that both methods of a network
can be compared line by line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from carezoo.errors import MissingExtraError

OPSET = 17
IR_VERSION = 8

Dtype = type[np.float32] | type[np.int64] | type[np.bool_]
Operand: TypeAlias = "Value | float"

_BEFORE_FIRST = np.iinfo(np.int64).min
"""Where a slice ends that runs backwards up to the first element."""


def _elementwise(operator: str) -> Callable[[Value], Value]:
    return lambda value: value.graph.node(operator, value)


@dataclass(eq=False)
class Value:
    """A tensor that the graph will compute. Whatever is done with it writes nodes; numbers take its type."""

    graph: Graph
    name: str
    dtype: Dtype = np.float32

    def __add__(self, other: Operand) -> Value:
        return self._with("Add", other)

    def __sub__(self, other: Operand) -> Value:
        return self._with("Sub", other)

    def __mul__(self, other: Operand) -> Value:
        return self._with("Mul", other)

    def __truediv__(self, other: Operand) -> Value:
        return self._with("Div", other)

    def __floordiv__(self, other: Operand) -> Value:
        """Of integers, none below 0: ONNX rounds towards 0."""
        return self._with("Div", other)

    def __radd__(self, other: float) -> Value:
        return self._operand(other) + self

    def __rsub__(self, other: float) -> Value:
        return self._operand(other) - self

    def __rmul__(self, other: float) -> Value:
        return self._operand(other) * self

    def __neg__(self) -> Value:
        return self.graph.node("Neg", self)

    def __le__(self, other: Operand) -> Value:
        return self.graph.node("LessOrEqual", self, self._operand(other), dtype=np.bool_)

    abs = _elementwise("Abs")
    exp = _elementwise("Exp")
    log = _elementwise("Log")
    relu = _elementwise("Relu")
    softplus = _elementwise("Softplus")
    sqrt = _elementwise("Sqrt")

    def softmax(self, dim: int) -> Value:
        """Return shares that add up to 1 along `dim`."""
        return self.graph.node("Softmax", self, axis=dim)

    def to_float(self) -> Value:
        """Return integers as float32."""
        return self.graph.node("Cast", self, dtype=np.float32, to=1)

    def clamp(self, smallest: Operand | None = None, largest: Operand | None = None) -> Value:
        """Return the values, or the bounds for those beyond."""
        bounds = [None if bound is None else self._operand(bound) for bound in (smallest, largest)]
        return self.graph.node("Clip", self, *bounds)

    def max(self) -> Value:
        """Return the largest of all elements."""
        return self.graph.node("ReduceMax", self, keepdims=0)

    def mean(self, dim: int) -> Value:
        """Return the averages along `dim`."""
        return self.graph.node("ReduceMean", self, axes=[dim], keepdims=0)

    def sum(self, dim: int) -> Value:
        """Return the sums along `dim`."""
        return self.graph.node("ReduceSum", self, self.graph.constant([dim]), keepdims=0)

    def size(self, dim: int) -> Value:
        """Return the number of elements along `dim`, a scalar."""
        return self.graph.node("Shape", self, dtype=np.int64).select(0, dim)

    def select(self, dim: int, index: Value | int) -> Value:
        """Return the elements at `index` along `dim`; without that dimension where `index` is a scalar."""
        position = index if isinstance(index, Value) else self.graph.constant(index)
        return self.graph.node("Gather", self, position, axis=dim)

    def narrow(self, dim: int, start: Value, length: Value) -> Value:
        """Return `length` elements from `start` on along `dim`."""
        ends = [each.unsqueeze(0) for each in (start, start + length)]
        return self.graph.node("Slice", self, *ends, self.graph.constant([dim]))

    def flip(self, dim: int) -> Value:
        """Return the elements along `dim` in reverse order."""
        start, end, dims, step = (self.graph.constant([number]) for number in (-1, _BEFORE_FIRST, dim, -1))
        return self.graph.node("Slice", self, start, end, dims, step)

    def chunk(self, n: int, dim: int) -> list[Value]:
        """Return `n` parts of equal size along `dim`."""
        return self.graph.nodes("Split", self, n=n, axis=dim)

    def split(self, sizes: Sequence[int], dim: int) -> list[Value]:
        """Return parts of these sizes along `dim`."""
        return self.graph.nodes("Split", self, self.graph.constant(sizes), n=len(sizes), axis=dim)

    def unbind(self, n: int) -> list[Value]:
        """Return the `n` elements along the first dimension."""
        return [self.select(0, i) for i in range(n)]

    def unsqueeze(self, *dims: int) -> Value:
        """Return the value with dimensions of size 1 at these places of the result."""
        return self.graph.node("Unsqueeze", self, self.graph.constant(dims))

    def permute(self, *dims: int) -> Value:
        """Return the value with its dimensions in this order."""
        return self.graph.node("Transpose", self, perm=dims)

    def max_pool(self, sides: Sequence[int]) -> Value:
        """Return the maximum of every block with these sides."""
        return self.graph.node("MaxPool", self, kernel_shape=sides, strides=sides)

    def mean_pool(self, sides: Sequence[int]) -> Value:
        """Return the mean of every block with these sides."""
        return self.graph.node("AveragePool", self, kernel_shape=sides, strides=sides)

    def upsample(self, factors: Sequence[int]) -> Value:
        """Return every pixel so many times along each spatial dimension (nearest interpolation)."""
        scales = self.graph.constant(np.array([1, 1, *factors], np.float32))
        how: dict[str, Any] = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.graph.node("Resize", self, None, scales, mode="nearest", **how)

    def sort_descending(self, n: int) -> tuple[Value, Value]:
        """Return the `n` elements along the first dimension, the largest first, and where they were (for `gather`)."""
        values, order = self.graph.nodes("TopK", self, self.graph.constant([n]), n=2, axis=0)
        order.dtype = np.int64
        return values, order

    def gather(self, dim: int, index: Value) -> Value:
        """Return the elements at `index` along `dim`, another one for each place of the other dimensions."""
        return self.graph.node("GatherElements", self, index, axis=dim)

    def _with(self, operator: str, other: Operand) -> Value:
        return self.graph.node(operator, self, self._operand(other))

    def _operand(self, operand: Operand) -> Value:
        return operand if isinstance(operand, Value) else self.graph.constant(np.array(operand, self.dtype))


@dataclass(frozen=True)
class _Node:
    operator: str
    inputs: Sequence[Value | None]
    outputs: Sequence[Value]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class _Body:
    """What is computed once, or in each pass of a loop."""

    inputs: list[Value] = field(default_factory=list)
    nodes: list[_Node] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    constants: dict[tuple[str, tuple[int, ...], bytes], Value] = field(default_factory=dict)


class Graph:
    """A graph that grows by what is asked of it and of its values.

    Parameters
    ----------
    parameters
        All of the network, by name. Each is stored once under its name, however often it is used.
    """

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        self._times: Counter[str] = Counter()
        self._stored: dict[Tensor, Value] = {parameter: self._value(name) for name, parameter in parameters}
        self._shapes: dict[Value, Sequence[str | int]] = {}
        self._bodies = [_Body()]

    def input(self, name: str, shape: Sequence[str | int]) -> Value:
        """Return the input of that name; sizes that have a name are free."""
        value = self._value(name)
        self._shapes[value] = shape
        self._bodies[0].inputs.append(value)
        return value

    def output(self, name: str, value: Value, shape: Sequence[str | int]) -> None:
        """Make `value`, which a node computes, an output of that name."""
        value.name = name
        self._shapes[value] = shape
        self._bodies[0].outputs.append(value)

    def constant(self, number: int | Sequence[int] | NDArray[Any]) -> Value:
        """Return a constant, int64 unless it is an array of another type."""
        array = number if isinstance(number, np.ndarray) else np.array(number, np.int64)
        key = array.dtype.str, array.shape, array.tobytes()
        constants = self._bodies[-1].constants
        if key not in constants:
            constants[key] = self.node("Constant", dtype=array.dtype.type, value=array)
        return constants[key]

    def conv(self, layer: nn.Module, features: Value) -> Value:
        """Convolve `features` as `layer` does."""
        assert isinstance(layer, nn.Conv2d | nn.Conv3d)
        assert layer.bias is not None
        assert not isinstance(layer.padding, str)
        weight = self._stored[layer.weight]
        return self.node(
            "Conv",
            features,
            weight,
            self._stored[layer.bias],
            name=weight.name.removesuffix(".weight"),
            kernel_shape=layer.kernel_size,
            pads=[*layer.padding, *layer.padding],
        )

    def cat(self, values: Sequence[Value], dim: int) -> Value:
        """Return `values` one behind the other."""
        return self.node("Concat", *values, axis=dim)

    def stack(self, values: Sequence[Value]) -> Value:
        """Return `values` along a new first dimension."""
        return self.cat([value.unsqueeze(0) for value in values], 0)

    def arange(self, n: Value) -> Value:
        """Return the integers from 0 up to `n`, which is left out."""
        return self.node("Range", self.constant(0), n, self.constant(1))

    def maximum(self, one: Value, other: Value) -> Value:
        """Return the larger of both, element by element."""
        return self.node("Max", one, other)

    def where(self, condition: Value, yes: Value, no: Value) -> Value:
        """Return `yes` where `condition` holds, `no` elsewhere."""
        return self.node("Where", condition, yes, no, dtype=yes.dtype)

    def loop(self, n: Value, body: Callable[[Value], Value]) -> Value:
        """Return what `body` makes of the numbers from 0 up to `n`, stacked along a new first dimension.

        One pass runs after the other: memory holds the intermediate values of one pass alone.
        """
        index, condition = self._value("index", np.int64), self._value("condition", np.bool_)
        self._shapes |= {index: (), condition: ()}
        self._bodies.append(_Body([index, condition]))
        result = body(index)
        self._bodies[-1].outputs.extend([self.node("Identity", condition), result])
        written = self._bodies.pop()
        return self.node("Loop", n, self.constant(np.array(True)), dtype=result.dtype, body=written)

    def node(
        self,
        operator: str,
        *inputs: Value | None,
        name: str = "",
        dtype: Dtype | None = None,
        **attributes: Any,
    ) -> Value:
        """Write a node with one output, of the type of the first input unless `dtype` says otherwise."""
        return self.nodes(operator, *inputs, name=name, dtype=dtype, **attributes)[0]

    def nodes(
        self,
        operator: str,
        *inputs: Value | None,
        n: int = 1,
        name: str = "",
        dtype: Dtype | None = None,
        **attributes: Any,
    ) -> list[Value]:
        """Write a node with `n` outputs. An input that is None is left out."""
        of_first = inputs[0].dtype if inputs and inputs[0] else np.float32
        outputs = [self._value(name or operator.lower(), dtype or of_first) for _ in range(n)]
        self._bodies[-1].nodes.append(_Node(operator, inputs, outputs, attributes))
        return outputs

    def to_bytes(self) -> bytes:
        """Return the ONNX file. The same calls give the same bytes."""
        onnx = import_onnx()
        stored = [onnx.numpy_helper.from_array(_array(each), value.name) for each, value in self._stored.items()]
        graph = self._proto(self._bodies[0], "carezoo", stored)
        opsets = [onnx.helper.make_opsetid("", OPSET)]
        model = onnx.helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets)
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))

    def _value(self, name: str, dtype: Dtype = np.float32) -> Value:
        """Return a new value of that name, numbered from the second on."""
        self._times[name] += 1
        return Value(self, name if self._times[name] == 1 else f"{name}_{self._times[name]}", dtype)

    def _proto(self, body: _Body, name: str, stored: Sequence[Any] = ()) -> Any:
        helper = import_onnx().helper
        nodes = []
        for node in body.nodes:
            inputs, outputs = ([each.name if each else "" for each in values] for values in (node.inputs, node.outputs))
            attributes = {key: self._attribute(value) for key, value in node.attributes.items()}
            nodes.append(helper.make_node(node.operator, inputs, outputs, name=outputs[0], **attributes))
        inputs, outputs = ([self._info(each) for each in values] for values in (body.inputs, body.outputs))
        return helper.make_graph(nodes, name, inputs, outputs, stored)

    def _attribute(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return import_onnx().numpy_helper.from_array(value)
        return self._proto(value, "loop") if isinstance(value, _Body) else value

    def _info(self, value: Value) -> Any:
        helper = import_onnx().helper
        number_format = helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
        return helper.make_tensor_value_info(value.name, number_format, self._shapes.get(value))


def import_onnx() -> Any:
    """Return the package onnx.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError.of("onnx", "train", "to write and read ONNX files") from error
    return onnx


def _array(parameter: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.ascontiguousarray(parameter.detach().cpu().numpy())
    return array
