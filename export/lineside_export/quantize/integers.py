"""int8 arithmetic by onnxruntime's quantizers: which types, whose ranges, one scale or many, and in which layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from lineside_export.quantize import layers, ranges, weights
from lineside_export.quantize.layers import LAYERS
from lineside_export.quantize.partial import ENOUGH, Judged, Ways, partly
from lineside_export.quantize.source import Source

# Convolutions whose scales are found when the model runs have no fast code in onnxruntime: they take 3 to 15 times as
# long as in float32 (github.com/microsoft/onnxruntime/issues/12854).
_DYNAMIC = ("MatMul", "Gemm", "LSTM")
# So many dB more are not worth two to four times the bytes.
_HARDLY = 1.0


class Static(NamedTuple):
    """A kind of static quantization: int8 or uint8 activations; weights with one scale, or one a channel."""

    signed: bool = False
    per_channel: bool = False


class Calibrated(NamedTuple):
    """A quantized graph, and how its ranges were found."""

    judged: Judged
    calibration: str


def dynamic(source: Source) -> Judged | None:
    """Store weights as int8; activations get their scale when the model runs, convolutions stay float32.

    None if there is nothing to do. Raises what the quantizer does.
    """
    if not source.operators & set(_DYNAMIC):
        return None

    def quantizer(prepared: str, result: str) -> None:
        quantize_dynamic(
            prepared,
            result,
            weight_type=QuantType.QInt8,
            reduce_range=not source.kernels.full_range,
            op_types_to_quantize=list(_DYNAMIC),
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )

    return _stored(source, source.quantized(quantizer))


def static(source: Source, kind: Static) -> Calibrated:
    """Store weights and activations as int8, with scales from the source's rows, as QDQ.

    The ranges are found in whichever way leaves the most signal in the outputs. If that is not enough, the noisiest
    layers stay float32. Raises what the quantizer does.
    """
    found, failures = [], []
    for name in ranges.CALIBRATIONS:
        try:
            found.append((_judged(source, kind, name, ()), name))
        except Exception as error:  # the histograms of some activations have no entropy
            failures.append(error)
    if not found:
        raise failures[0]
    whole, name = max(found, key=lambda each: each[0].snr)

    def without(left_out: Sequence[str]) -> Judged:
        return _judged(source, kind, name, left_out) if left_out else whole

    return Calibrated(
        partly(source.layers, Ways(without, lambda layer: _alone(source, kind, name, layer))), name
    )


def _judged(source: Source, kind: Static, calibration: str, left_out: Sequence[str]) -> Judged:
    """Quantize all but some layers."""
    graph = _quantized(source, kind, calibration, left_out)
    return _stored(source, graph)._replace(left_out=tuple(left_out))


def _stored(source: Source, graph: onnx.ModelProto) -> Judged:
    """Store the weights of what stays float32 in as few bits as leave enough signal, else as clearly as they can."""
    found = []
    for store in (weights.int8, weights.float16, lambda graph: graph):
        stored = store(graph)
        found.append(Judged(stored, source.signal(stored)))
        if found[-1].snr >= ENOUGH or not layers.weights(graph):
            break
    clearest = max(each.snr for each in found)
    return next(each for each in found if each.snr >= clearest - _HARDLY)


def _alone(source: Source, kind: Static, calibration: str, layer: str) -> float:
    """Return the outputs' signal-to-noise ratio if one layer alone computes with int8."""
    others = [name for name in source.layers if name != layer]
    return source.signal(_quantized(source, kind, calibration, others), few=True)


def _quantized(source: Source, kind: Static, calibration: str, left_out: Sequence[str]) -> onnx.ModelProto:
    def quantizer(prepared: onnx.ModelProto) -> onnx.ModelProto:
        work = QDQQuantizer(
            prepared,
            per_channel=kind.per_channel,
            reduce_range=not source.kernels.full_range,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if kind.signed else QuantType.QUInt8,
            tensors_range=source.ranges(calibration),
            nodes_to_quantize=[],
            nodes_to_exclude=list(left_out),
            op_types_to_quantize=list(LAYERS),
            # Shape inference does not see through ai.onnx.ml; what comes out of it, a layer takes as float32.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        work.quantize_model()
        graph: onnx.ModelProto = work.model.model
        return graph

    return _before_output_types(source.rewritten(quantizer))


def _before_output_types(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Call a graph of opset 21 one of opset 20, which it is as well: 21 only added types that are not in it.

    From 21 on onnxruntime states the type of each QuantizeLinear that it moves past a Reshape or the like, and then
    refuses int8: github.com/microsoft/onnxruntime/issues/25526, pull request 28144 (1.32).
    """
    changed = any(node.op_type == "GroupNormalization" for node in graph.graph.node)
    for entry in graph.opset_import:
        if entry.domain == "" and entry.version == 21 and not changed:
            entry.version = 20
    return graph
