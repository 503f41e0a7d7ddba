"""What the methods start from, prepared once for all of them."""

from __future__ import annotations

import logging
import tempfile
import time
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
from onnxruntime.quantization.quant_utils import add_infer_metadata
from onnxruntime.quantization.shape_inference import quant_pre_process

from lineside_export.convert import INPUT
from lineside_export.quantize import ranges
from lineside_export.quantize.devices import Kernels
from lineside_export.quantize.layers import LAYERS, weights
from lineside_export.quantize.noise import signal_to_noise

# So many rows show the range of every activation; onnxruntime's histograms keep all that they give, and every way to
# quantize runs them some times.
_MOST_ROWS = 512
_FEWEST_ROWS = 32
# To see how much noise one part of a graph makes.
_FEW_ROWS = 64
_MOST_BYTES = 1 << 26
_MOST_SECONDS = 1.0
_FLOAT_RESULT = frozenset({"Imputer", "Normalizer", "Scaler"})


class Source:
    """A float32 graph, rows (n, features) float32 to calibrate with, and the kernels that may be used."""

    def __init__(self, graph: onnx.ModelProto, rows: NDArray[np.float32], kernels: Kernels) -> None:
        self.graph = graph
        self.kernels = kernels
        self._given = rows
        self._ranges: dict[str, Any] = {}

    @cached_property
    def operators(self) -> set[str]:
        """The operators that have a weight."""
        return {node.op_type for weight in weights(self._prepared) for node in weight.nodes}

    @cached_property
    def layers(self) -> dict[str, int]:
        """The nodes that can be quantized, by name, with how many weights each has; at least 1."""
        sizes = {node.name: weight.values.size for weight in weights(self._prepared) for node in weight.nodes}
        return {
            node.name: sizes.get(node.name, 1) for node in self._prepared.graph.node if node.op_type in LAYERS
        }

    @cached_property
    def rows(self) -> NDArray[np.float32]:
        """Rows to calibrate with, evenly spread: fewer of a network that takes long or has large activations."""
        few = self._given[:: max(1, -(-len(self._given) // _FEWEST_ROWS))]
        size, seconds = _cost(self._prepared, few)
        most = min(_MOST_ROWS, _MOST_BYTES // max(size, 1), int(_MOST_SECONDS / max(seconds, 1e-9)))
        return self._given[:: max(1, -(-len(self._given) // max(_FEWEST_ROWS, most)))]

    def ranges(self, calibration: str) -> Any:
        """Return the ranges of the activations, found once. Raises what onnxruntime does."""
        if calibration not in self._ranges:
            with quiet():
                self._ranges[calibration] = ranges.find(self._prepared, self.rows, calibration)
        return self._ranges[calibration]

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
                prepared = source
            graph = _with_names(_with_flat_biases(_with_types(onnx.load(prepared))))
            add_infer_metadata(graph)
            return graph

    @cached_property
    def answers(self) -> list[NDArray[Any]]:
        """The graph's outputs for the rows."""
        return answers(self.graph, self.rows)

    def signal(self, graph: onnx.ModelProto, *, few: bool = False) -> float:
        """Return the signal-to-noise ratio in dB of another graph's answers to the rows, or to few of them."""
        rows = self.rows[:_FEW_ROWS] if few else self.rows
        return signal_to_noise([each[: len(rows)] for each in self.answers], answers(graph, rows))

    def quantized(self, quantizer: Callable[[str, str], None]) -> onnx.ModelProto:
        """Return what a quantizer writes into its second file of the prepared graph in its first one.

        Files, because the object that the quantizers are given, they change. Raises what the quantizer does.
        """
        with tempfile.TemporaryDirectory(prefix="lineside-") as folder, quiet():
            prepared, result = (str(Path(folder) / name) for name in ("prepared.onnx", "result.onnx"))
            onnx.save(self._prepared, prepared)
            quantizer(prepared, result)
            graph = onnx.load(result)
        return self._with_opsets(graph)

    def rewritten(self, quantizer: Callable[[onnx.ModelProto], onnx.ModelProto]) -> onnx.ModelProto:
        """Return what a quantizer makes of a copy of the prepared graph. Raises what the quantizer does."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self._prepared)
        with quiet():
            return self._with_opsets(quantizer(copy))

    def _with_opsets(self, graph: onnx.ModelProto) -> onnx.ModelProto:
        """State each opset once that the graph uses: the quantizers repeat some and leave others out."""
        every = [*self.graph.opset_import, *graph.opset_import]
        used = {node.domain for node in graph.graph.node} | {""}
        stated = {each.domain: each.version for each in every if each.domain in used}
        del graph.opset_import[:]
        graph.opset_import.extend(onnx.helper.make_opsetid(*entry) for entry in stated.items())
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


def _with_names(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Give every node a name of its own: by names layers are left out."""
    taken: set[str] = set()
    for index, node in enumerate(graph.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type.lower()}_{index}_{node.output[0]}"
        taken.add(node.name)
    return graph


def _cost(graph: onnx.ModelProto, rows: NDArray[np.float32]) -> tuple[int, float]:
    """Return the bytes of the activations around a graph's layers, and the seconds that it takes, for one row."""
    seen = onnx.ModelProto()
    seen.CopyFrom(graph)
    stored = {each.name for each in seen.graph.initializer} | {each.name for each in seen.graph.output}
    around = {
        name
        for node in seen.graph.node
        if node.op_type in LAYERS
        for name in (*node.input, *node.output)
        if name and name not in stored
    }
    seen.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(around))
    found = answers(seen, rows)
    start = time.perf_counter()
    answers(graph, rows)
    return sum(each.nbytes for each in found) // len(rows), (time.perf_counter() - start) / len(rows)


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
