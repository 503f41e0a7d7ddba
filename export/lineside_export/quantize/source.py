"""What the methods start from, prepared once for all of them."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization.shape_inference import quant_pre_process

from lineside_export.convert import INPUT
from lineside_export.convert.sklearn import set_opsets
from lineside_export.quantize.devices import Kernels
from lineside_export.quantize.layers import weights

# So many rows show the range of every activation; onnxruntime's histograms keep all that they give.
_MOST_ROWS = 512
_FLOAT_RESULT = frozenset({"Imputer", "Normalizer", "Scaler"})


class Source:
    """A float32 graph, rows (n, features) float32 to calibrate with, and the kernels that may be used."""

    def __init__(self, graph: onnx.ModelProto, rows: NDArray[np.float32], kernels: Kernels) -> None:
        self.graph = graph
        self.rows = rows[:: max(1, -(-len(rows) // _MOST_ROWS))]
        self.kernels = kernels

    @cached_property
    def has_layers(self) -> bool:
        """Whether there is anything to quantize."""
        return bool(weights(self.graph))

    @cached_property
    def _prepared(self) -> onnx.ModelProto:
        """The graph with its shapes inferred and constants folded, if onnxruntime can.

        Not symbolically: that knows no ai.onnx.ml, and when it fails it leaves a file in the current folder.
        """
        with tempfile.TemporaryDirectory(prefix="lineside-") as folder, quiet():
            source, prepared = (str(Path(folder) / name) for name in ("source.onnx", "prepared.onnx"))
            onnx.save(self.graph, source)
            try:
                quant_pre_process(source, prepared, skip_symbolic_shape=True)
            except Exception:  # it raises bare Exception; the graph as it is will do
                return _with_flat_biases(_with_types(onnx.load(source)))
            return _with_flat_biases(_with_types(onnx.load(prepared)))

    @cached_property
    def answers(self) -> list[NDArray[Any]]:
        """The graph's outputs for the rows."""
        return answers(self.graph, self.rows)

    def quantized(self, quantizer: Callable[[str, str], None]) -> onnx.ModelProto:
        """Return what a quantizer writes into its second file of the prepared graph in its first one.

        Files, because the object that the quantizers are given, they change. Raises what the quantizer does.
        """
        with tempfile.TemporaryDirectory(prefix="lineside-") as folder, quiet():
            prepared, result = (str(Path(folder) / name) for name in ("prepared.onnx", "result.onnx"))
            onnx.save(self._prepared, prepared)
            quantizer(prepared, result)
            graph = onnx.load(result)
        set_opsets(graph)
        return graph


def _with_types(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Say that what the ai.onnx.ml preprocessing gives is float32: shape inference stops there without it."""
    known = {each.name for each in graph.graph.value_info} | {each.name for each in graph.graph.output}
    for node in graph.graph.node:
        if node.domain == "ai.onnx.ml" and node.op_type in _FLOAT_RESULT and node.output[0] not in known:
            graph.graph.value_info.append(
                onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)
            )
    return onnx.shape_inference.infer_shapes(graph)


def _with_flat_biases(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Give the biases of Gemms one dimension: with two, onnxruntime's per-channel quantizer fails (1.32)."""
    uses = Counter(name for node in graph.graph.node for name in node.input)
    biases = {node.input[2] for node in graph.graph.node if node.op_type == "Gemm" and len(node.input) > 2}
    for each in graph.graph.initializer:
        if each.name in biases and uses[each.name] == 1 and len(each.dims) == 2 and each.dims[0] == 1:
            del each.dims[0]
    return graph


def answers(graph: onnx.ModelProto, rows: NDArray[np.float32]) -> list[NDArray[Any]]:
    """Return a graph's outputs for rows (n, features)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: list[NDArray[Any]] = session.run(None, {INPUT: rows})
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the quantizers' advice to themselves: what they do is judged by what comes out. Some of it they print."""
    onnxruntime.set_default_logger_severity(4)
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
        onnxruntime.set_default_logger_severity(2)
