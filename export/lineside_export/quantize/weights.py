"""Weights in fewer bits in the file only: onnxruntime makes them float32 again while it loads the model.

The graph says how: Cast, and for int8 a Mul with a scale for each output channel. Both have constant inputs, so
onnxruntime computes them once and forgets them; the model then runs as the float32 one does. A Cast is exact and a
product rounded as IEEE 754 says, so every processor has the same weights. The usual DequantizeLinear would be kept
and computed at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from lineside_export.quantize.layers import Weight, rewritten, weights

# Two nodes with their names: a smaller weight would grow.
_NODE_BYTES = 160
_LARGEST_INT8 = 127


class _Stored(NamedTuple):
    """What stands in the file instead of a weight, and the nodes that make the weight of it."""

    tensors: list[TensorProto]
    nodes: list[NodeProto]


def int8(graph: onnx.ModelProto, but: Collection[str] = ()) -> onnx.ModelProto:
    """Store the layers' weights as int8 with a float32 scale for each output channel, symmetric about zero.

    Those named in `but` are stored as float16.
    """
    return _stored(graph, lambda weight: _as_float16(weight) if weight.name in but else _as_int8(weight))


def float16(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Store the layers' weights as float16, those that it can hold."""
    return _stored(graph, _as_float16)


def _stored(graph: onnx.ModelProto, how: Callable[[Weight], _Stored | None]) -> onnx.ModelProto:
    """Return the graph with the weights that `how` stores, made before anything else."""
    found = {
        weight.name: stored for weight in weights(graph, shared=True) if (stored := how(weight)) is not None
    }
    tensors = [each for one in found.values() for each in one.tensors]
    nodes = [each for one in found.values() for each in one.nodes]
    return rewritten(graph, found.keys(), tensors, [*nodes, *graph.graph.node])


def _as_int8(weight: Weight) -> _Stored | None:
    others = tuple(axis for axis in range(weight.values.ndim) if axis != weight.axis)
    scale = np.abs(weight.values).max(axis=others, keepdims=True) / np.float32(_LARGEST_INT8)
    if _saves(weight, 3, scale.nbytes) <= 0:
        return None
    steps = np.rint(weight.values / np.where(scale > 0, scale, 1)).astype(np.int8)
    narrow, scales, cast = (f"{weight.name}_{what}" for what in ("int8", "scale", "cast"))
    return _Stored(
        _tensors({narrow: steps, scales: scale}),
        [
            helper.make_node("Cast", [narrow], [cast], to=TensorProto.FLOAT),
            helper.make_node("Mul", [cast, scales], [weight.name]),
        ],
    )


def _as_float16(weight: Weight) -> _Stored | None:
    if _saves(weight, 2, 0) <= 0 or np.abs(weight.values).max() > np.finfo(np.float16).max:
        return None
    narrow = f"{weight.name}_float16"
    return _Stored(
        _tensors({narrow: weight.values.astype(np.float16)}),
        [helper.make_node("Cast", [narrow], [weight.name], to=TensorProto.FLOAT)],
    )


def _saves(weight: Weight, bytes_each: int, more: int) -> int:
    return bytes_each * weight.values.size - more - _NODE_BYTES


def _tensors(arrays: dict[str, NDArray[Any]]) -> list[TensorProto]:
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]
