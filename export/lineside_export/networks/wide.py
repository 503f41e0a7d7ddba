"""Networks that compute in float16, in float32: few processors compute quickly in less, and all weights stay.

Weights of float16 are numbers of float32, too, so that storing them as float16 again loses nothing.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from lineside_export.networks.naming import graphs


def is_narrow(model: onnx.ModelProto) -> bool:
    """Tell whether a network holds float16 numbers."""
    inside = [each for graph in graphs(model.graph) for each in graph.initializer]
    return any(each.data_type == TensorProto.FLOAT16 for each in inside)


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that computes in float32, with the same weights."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for graph in graphs(copy.graph):
        for tensor in graph.initializer:
            _widen(tensor)
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    _widen(attribute.t)
                elif attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT16:
                    attribute.i = TensorProto.FLOAT
    return copy


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
        )
