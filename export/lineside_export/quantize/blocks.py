"""Weights in four bits, in blocks with a scale each, computed with as they are by MatMulNBits.

The operator is onnxruntime's own (github.com/microsoft/onnxruntime, docs/ContribOperators.md, com.microsoft.
MatMulNBits); onnxruntime's own writer of it needs packages that nothing else here does. Weights are rounded to
nearest: Frantar et al., "GPTQ", ICLR 2023, call that RTN, and compare with it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from lineside_export.quantize.layers import Weight, rewritten, weights

# Smaller matrices save little, and every one costs some accuracy.
LEAST_WEIGHTS = 4096
_BLOCK = 32
_DOMAIN = "com.microsoft"
_ZERO = 8  # what stands for 0 among 0 to 15
_FLOAT32 = 1  # accuracy_level: activations are not rounded


class Packed(NamedTuple):
    """A matrix (K, N) in blocks: uint8 (N, blocks, _BLOCK / 2), two weights a byte, and float32 (N * blocks)."""

    steps: NDArray[np.uint8]
    scales: NDArray[np.float32]


def int4(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Store the weights of large MatMuls and Gemms in 4 bits."""
    large = {weight.name: weight for weight in weights(graph) if _fits(weight)}
    if not large:
        return graph
    tensors = [tensor for weight in large.values() for tensor in _tensors(weight)]
    nodes: list[NodeProto] = []
    for node in graph.graph.node:
        weight = large.get(node.input[1]) if len(node.input) > 1 else None
        nodes.extend([node] if weight is None else _layer(node, weight))
    result = rewritten(graph, large.keys(), tensors, nodes)
    if not any(entry.domain == _DOMAIN for entry in result.opset_import):
        result.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return result


def pack(matrix: NDArray[np.float32]) -> Packed:
    """Round a matrix of shape (K, N). In each block the weight farthest from zero is met exactly."""
    inputs, outputs = matrix.shape
    blocks = -(-inputs // _BLOCK)
    padded = np.zeros((outputs, blocks * _BLOCK), np.float32)
    padded[:, :inputs] = matrix.T
    cut = padded.reshape(outputs, blocks, _BLOCK)
    farthest = np.take_along_axis(cut, np.abs(cut).argmax(axis=2)[..., None], axis=2)
    scales = farthest / -_ZERO  # the range is -8 to 7: the farthest takes the longer side
    steps = np.rint(cut / np.where(scales != 0, scales, 1)) + _ZERO
    steps = np.clip(steps, 0, 2 * _ZERO - 1).astype(np.uint8)
    return Packed(steps[..., 0::2] | steps[..., 1::2] << 4, scales.astype(np.float32).ravel())


def _fits(weight: Weight) -> bool:
    return weight.values.ndim == 2 and weight.values.size >= LEAST_WEIGHTS and all(map(_plain, weight.nodes))


def _plain(node: NodeProto) -> bool:
    """Tell whether a layer is a product with its weight, and at most a bias."""
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return node.op_type == "MatMul" or (
        node.op_type == "Gemm"
        and (given.get("alpha", 1), given.get("beta", 1), given.get("transA", 0)) == (1, 1, 0)
    )


def _layer(node: NodeProto, weight: Weight) -> list[NodeProto]:
    inputs, outputs = _matrix(weight).shape
    steps, scales = _names(weight)
    biased = node.op_type == "Gemm" and len(node.input) == 3
    product = f"{node.output[0]}_product" if biased else node.output[0]
    layer = helper.make_node(
        "MatMulNBits",
        [node.input[0], steps, scales],
        [product],
        domain=_DOMAIN,
        K=inputs,
        N=outputs,
        bits=4,
        block_size=_BLOCK,
        accuracy_level=_FLOAT32,
    )
    return [layer, helper.make_node("Add", [product, node.input[2]], [node.output[0]])] if biased else [layer]


def _tensors(weight: Weight) -> list[TensorProto]:
    packed = pack(_matrix(weight))
    steps, scales = _names(weight)
    return [numpy_helper.from_array(packed.steps, steps), numpy_helper.from_array(packed.scales, scales)]


def _matrix(weight: Weight) -> NDArray[np.float32]:
    """Return a weight as (inputs, outputs)."""
    return weight.values.T if weight.axis == 0 else weight.values


def _names(weight: Weight) -> tuple[str, str]:
    return f"{weight.name}_int4", f"{weight.name}_scale"
