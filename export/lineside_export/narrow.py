"""Constants in the narrowest type that holds them exactly: fewer bytes in the file, and not one other number.

Readings that are counts, votes of zeros and ones, coefficients of a float32 model in a float64 graph: a Cast
makes the wide type of them again. Its input is constant, so onnxruntime computes it once, while it loads the
model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

# The narrowest first; of equally narrow ones any will do.
_TYPES = tuple(np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "float16", "int32", "float32"))
_WIDE = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64)
# A Cast with its names is half of that; what saves no more is not worth a node.
_LEAST_SAVED = 200


def narrowed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with the same constants in fewer bytes; the same object if there are none to save."""
    casts: list[NodeProto] = []
    tensors: list[TensorProto] = []
    for number, tensor in enumerate(model.graph.initializer):
        kept = _narrow(tensor, f"lineside_narrow_{number}")
        if kept is not None:
            casts.append(helper.make_node("Cast", [kept.name], [tensor.name], to=tensor.data_type))
        tensors.append(tensor if kept is None else kept)
    if not casts:
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.initializer[:], result.graph.node[:]
    result.graph.initializer.extend(tensors)
    result.graph.node.extend([*casts, *model.graph.node])
    return result


def _narrow(tensor: TensorProto, name: str) -> TensorProto | None:
    """Return a tensor in a narrower type that is worth it; None if there is none."""
    if tensor.data_type not in _WIDE:
        return None
    values = numpy_helper.to_array(tensor)
    for kind in _TYPES:
        if values.nbytes - values.size * kind.itemsize > _LEAST_SAVED and _holds(kind, values):
            return numpy_helper.from_array(values.astype(kind), name)
    return None


def _holds(kind: np.dtype[Any], values: NDArray[Any]) -> bool:
    """Tell whether a type has every one of these numbers, bit for bit: -0.0 is no integer."""
    with np.errstate(all="ignore"):
        back = values.astype(kind).astype(values.dtype)
    return back.tobytes() == values.tobytes()
