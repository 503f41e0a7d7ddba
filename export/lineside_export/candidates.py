"""The ways to write a model that are tried, and which of them came to something."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from lineside_contract.errors import LinesideError
from lineside_export.quantize import blocks, integers, weights

Method: TypeAlias = Callable[[onnx.ModelProto, NDArray[np.float32]], onnx.ModelProto]

ORIGINAL = "float32"
# The trees of a model by Lineside's own writer: the same answers in fewer bytes.
COMPACT = "compact"
# Other families as a few matrix products: the same answers in less time.
REWRITTEN = "rewritten"
EXACT = (ORIGINAL, COMPACT, REWRITTEN)
# A new way to write a model is one line here: a function of the float32 graph and the calibration rows.
METHODS: dict[str, Method] = {
    "int8-weights": lambda graph, _: weights.int8(graph),
    "float16-weights": lambda graph, _: weights.float16(graph),
    "int4-weights": lambda graph, _: blocks.int4(graph),
    "int8-dynamic": integers.dynamic,
    "int8-static": integers.static,
}
# These compute in float32: what a device answers does not depend on how its processor multiplies integers.
FLOAT_ARITHMETIC = (*EXACT, "int8-weights", "float16-weights")
_NARROW = frozenset(
    {
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.INT8,
        onnx.TensorProto.UINT8,
        onnx.TensorProto.INT4,
        onnx.TensorProto.UINT4,
    }
)


NOTHING = "changes nothing: the graph has no layer that it can store in fewer bits"


class Variant(NamedTuple):
    """A model written one way; `model` is None if nothing came of it, and `reason` says why; else it notes how."""

    name: str
    model: bytes | None
    reason: str = ""
    failed: bool = False


def variants(graph: onnx.ModelProto, calibration: NDArray[np.float32]) -> list[Variant]:
    """Write a float32 graph in every inexact way. A method that fails is reported, not raised."""
    return [_attempt(name, method, graph, calibration) for name, method in METHODS.items()]


def _attempt(name: str, method: Method, graph: onnx.ModelProto, calibration: NDArray[np.float32]) -> Variant:
    try:
        changed = method(graph, calibration)
    except LinesideError:
        raise
    except Exception as error:  # onnxruntime's quantizers raise anything
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Variant(name, None, f"failed: {text}", failed=True)
    if _narrow(changed) <= _narrow(graph):
        return Variant(name, None, NOTHING)
    return Variant(name, changed.SerializeToString())


def _narrow(graph: onnx.ModelProto) -> int:
    """Count the numbers that a graph stores in fewer bits than float32's."""
    return sum(prod(each.dims) for each in graph.graph.initializer if each.data_type in _NARROW)
