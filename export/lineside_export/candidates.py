"""The ways to write a model that are tried, and which of them came to something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from lineside_contract.errors import LinesideError
from lineside_export import quantize

Method: TypeAlias = Callable[[onnx.ModelProto, NDArray[np.float32]], onnx.ModelProto]

ORIGINAL = "float32"
# The trees of a model by Lineside's own writer: the same answers in fewer bytes.
COMPACT = "compact"
EXACT = (ORIGINAL, COMPACT)
# A new way to write a model is one line here: a function of the float32 graph and the calibration rows.
METHODS: dict[str, Method] = {"int8-dynamic": quantize.dynamic, "int8-static": quantize.static}


class Variant(NamedTuple):
    """A model written one way; `model` is None, and `reason` says why, if nothing came of it."""

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
    if _operations(changed) == _operations(graph) or not _quantized(changed):
        return Variant(name, None, "changes nothing: the graph has no layer that it can store as int8")
    return Variant(name, changed.SerializeToString())


def _operations(graph: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in graph.graph.node)


def _quantized(graph: onnx.ModelProto) -> bool:
    return any("Quantize" in node.op_type or "Integer" in node.op_type for node in graph.graph.node)
