"""The weights of a graph that are worth storing in fewer bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto

# The operators that gain by integer arithmetic. Everything else either stays as it is or becomes larger and slower,
# quantized.
LAYERS = ("Conv", "MatMul", "Gemm")
# Which inputs of an operator are its weights: what can be stored in fewer bits.
_WEIGHTS = {
    **dict.fromkeys((*LAYERS, "ConvTranspose"), (1,)),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), (1, 2)),
}
# The axis of a weight's output channels, or of a recurrent layer's gates; elsewhere it is the last.
_AXES = {"Conv": 0, "ConvTranspose": 1, "GRU": 1, "LSTM": 1, "RNN": 1}


class Weight(NamedTuple):
    """A float32 initializer that layers use as their weight.

    axis: of its output channels. nodes: the layers that use it. values: float32.
    """

    name: str
    axis: int
    nodes: tuple[NodeProto, ...]
    values: NDArray[np.float32]


def weights(graph: onnx.ModelProto, *, shared: bool = False) -> list[Weight]:
    """Return the finite float32 weights of a graph's layers, in the order of its initializers.

    shared: also those that something besides layers reads, for who only stores them in another way.
    """
    uses: dict[str, list[NodeProto]] = {}
    for node in graph.graph.node:
        if node.domain == "":
            for at in _WEIGHTS.get(node.op_type, ()):
                if at < len(node.input):
                    uses.setdefault(node.input[at], []).append(node)
    consumed = Counter(name for node in graph.graph.node for name in node.input)
    found = []
    for initializer in graph.graph.initializer:
        nodes = uses.get(initializer.name, [])
        axes = {_axis(node, len(initializer.dims)) for node in nodes}
        # What layers read the other way round as well stays as it is.
        alone = consumed[initializer.name] == len(nodes)
        if len(axes) != 1 or not (alone or shared) or len(initializer.dims) < 2:
            continue
        values = onnx.numpy_helper.to_array(initializer)
        if values.dtype == np.float32 and np.isfinite(values).all():
            found.append(Weight(initializer.name, axes.pop(), tuple(nodes), values))
    return found


def rewritten(
    graph: onnx.ModelProto, gone: Collection[str], tensors: Sequence[TensorProto], nodes: Sequence[NodeProto]
) -> onnx.ModelProto:
    """Return a copy of a graph with these nodes, without the initializers that are gone, and with new ones."""
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    kept = [each for each in graph.graph.initializer if each.name not in gone]
    del result.graph.initializer[:], result.graph.node[:]
    result.graph.initializer.extend([*kept, *tensors])
    result.graph.node.extend(nodes)
    return result


def _axis(node: NodeProto, dimensions: int) -> int:
    if node.op_type in _AXES:
        return _AXES[node.op_type]
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return dimensions - 2 if transposed else dimensions - 1
