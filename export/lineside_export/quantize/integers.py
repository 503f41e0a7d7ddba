"""int8 by onnxruntime's quantizers, with what they need and do not do themselves."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from lineside_export.convert import INPUT
from lineside_export.convert.sklearn import set_opsets
from lineside_export.quantize.layers import LAYERS

_CALIBRATION_BATCH = 256
_FLOAT_RESULT = frozenset({"Imputer", "Normalizer", "Scaler"})
# Shape inference does not see through ai.onnx.ml; what comes out of it, a layer takes as float32.
_EXTRA = {"DefaultTensorType": onnx.TensorProto.FLOAT}


def dynamic(graph: onnx.ModelProto, calibration: NDArray[np.float32]) -> onnx.ModelProto:
    """Store weights as int8; activations get their scale when the model runs. Raises what the quantizer does."""
    del calibration  # the other quantizers' argument
    with _files(graph) as (source, result):
        # Without reduce_range, x86 processors without VNNI overflow where ARM does not.
        quantize_dynamic(
            source,
            result,
            weight_type=QuantType.QInt8,
            reduce_range=True,
            op_types_to_quantize=list(LAYERS),
            extra_options=_EXTRA,
        )
        return _read(result)


def static(graph: onnx.ModelProto, calibration: NDArray[np.float32]) -> onnx.ModelProto:
    """Store weights and activations as int8, with scales from calibration rows (n, features), as QDQ."""
    with _files(graph) as (source, result):
        quantize_static(
            source,
            result,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
            op_types_to_quantize=list(LAYERS),
            extra_options=_EXTRA,
        )
        return _read(result)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    def __init__(self, rows: NDArray[np.float32]) -> None:
        starts = range(0, len(rows), _CALIBRATION_BATCH)
        self._batches = iter([{INPUT: rows[at : at + _CALIBRATION_BATCH]} for at in starts])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


@contextmanager
def _files(graph: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Give the quantizers a prepared graph in a file: the object that they are given, they change."""
    with tempfile.TemporaryDirectory(prefix="lineside-") as folder, _quiet():
        source, prepared, result = (
            str(Path(folder) / name) for name in ("source.onnx", "prepared.onnx", "result.onnx")
        )
        onnx.save(graph, source)
        yield _prepare(source, prepared), result


def _prepare(source: str, prepared: str) -> str:
    """Infer shapes and fold constants, if onnxruntime can.

    Not symbolically: that knows no ai.onnx.ml, and when it fails it leaves a file in the current folder.
    """
    try:
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
    except Exception:  # it raises bare Exception; the graph as it is will do
        return _with_types(source)
    return _with_types(prepared)


def _with_types(path: str) -> str:
    """Say that what the ai.onnx.ml preprocessing gives is float32: shape inference stops there without it."""
    graph = onnx.load(path)
    known = {each.name for each in graph.graph.value_info} | {each.name for each in graph.graph.output}
    for node in graph.graph.node:
        if node.domain == "ai.onnx.ml" and node.op_type in _FLOAT_RESULT and node.output[0] not in known:
            graph.graph.value_info.append(
                onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)
            )
    onnx.save(onnx.shape_inference.infer_shapes(graph), path)
    return path


def _read(path: str) -> onnx.ModelProto:
    graph = onnx.load(path)
    set_opsets(graph)
    return graph


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizers' advice to themselves: what they do is judged by what comes out."""
    onnxruntime.set_default_logger_severity(4)
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        onnxruntime.set_default_logger_severity(2)
