"""int8 arithmetic by onnxruntime's quantizers: which types, whose ranges, one scale or many, and in which layers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from lineside_export.quantize import ranges, weights
from lineside_export.quantize.layers import LAYERS
from lineside_export.quantize.noise import share, signal_to_noise
from lineside_export.quantize.source import Source, answers

# Convolutions whose scales are found when the model runs have no fast code in onnxruntime: they take 3 to 15 times as
# long as in float32 (github.com/microsoft/onnxruntime/issues/12854).
_DYNAMIC = ("MatMul", "Gemm", "LSTM")
# Layers are left out until the outputs are this much stronger than the noise, in dB.
ENOUGH = 25.0
# So many rows show how much noise one layer makes.
_PROBING_ROWS = 64
_MOST_TRIES = 6


class Static(NamedTuple):
    """A kind of static quantization: int8 or uint8 activations; weights with one scale, or one a channel."""

    signed: bool = False
    per_channel: bool = False


class Calibrated(NamedTuple):
    """A quantized graph, how its ranges were found, its outputs' signal-to-noise ratio in dB, and what is float32."""

    graph: onnx.ModelProto
    calibration: str
    snr: float
    left_out: tuple[str, ...] = ()


def dynamic(source: Source) -> onnx.ModelProto:
    """Store weights as int8; activations get their scale when the model runs, convolutions stay float32.

    Raises what the quantizer does.
    """
    if not source.operators & set(_DYNAMIC):
        return source.graph

    def quantizer(prepared: str, result: str) -> None:
        quantize_dynamic(
            prepared,
            result,
            weight_type=QuantType.QInt8,
            reduce_range=not source.kernels.full_range,
            op_types_to_quantize=list(_DYNAMIC),
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )

    return weights.int8(source.quantized(quantizer))


def static(source: Source, kind: Static) -> Calibrated:
    """Store weights and activations as int8, with scales from the source's rows, as QDQ.

    The ranges are found in whichever way leaves the most signal in the outputs. If that is not ENOUGH, the layers
    that make the most noise for the bytes that they save stay float32: partial quantization, as in section 6.1 of Wu
    et al. (see ranges). Weights of what stays float32 are stored as int8. Raises what the quantizer does.
    """
    found, failures = [], []
    for name in ranges.CALIBRATIONS:
        try:
            found.append(_judged(source, kind, name, ()))
        except Exception as error:  # the histograms of some activations have no entropy
            failures.append(error)
    if not found:
        raise failures[0]
    best = max(found, key=lambda each: each.snr)
    return best if best.snr >= ENOUGH else _partly(source, kind, best)


def _judged(source: Source, kind: Static, calibration: str, left_out: Collection[str]) -> Calibrated:
    graph = weights.int8(_quantized(source, kind, calibration, left_out))
    snr = signal_to_noise(source.answers, answers(graph, source.rows))
    return Calibrated(graph, calibration, snr, tuple(left_out))


def _quantized(source: Source, kind: Static, calibration: str, left_out: Collection[str]) -> onnx.ModelProto:
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

    return source.rewritten(quantizer)


def _partly(source: Source, kind: Static, whole: Calibrated) -> Calibrated:
    """Return the graph with the noisiest layers left out, or as it is if that does not help."""
    layers = source.layers
    if len(layers) < 2:
        return whole
    noise = {name: _noise_of(source, kind, whole.calibration, name) for name in layers}
    order = sorted(layers, key=lambda name: noise[name] / layers[name], reverse=True)
    kept, count = sum(noise.values()), 0
    while kept > share(ENOUGH) and count < len(order) - 1:
        kept -= noise[order[count]]
        count += 1
    best = whole
    # Noise does not quite add up: some layers more, until it is enough.
    for more in range(max(1, count), min(len(order), max(1, count) + _MOST_TRIES)):
        tried = _judged(source, kind, whole.calibration, order[:more])
        best = max(best, tried, key=lambda each: each.snr)
        if best.snr >= ENOUGH:
            break
    return best


def _noise_of(source: Source, kind: Static, calibration: str, layer: str) -> float:
    """Return what share of the outputs' power is noise if one layer alone computes with int8."""
    others = [name for name in source.layers if name != layer]
    graph = _quantized(source, kind, calibration, others)
    rows = source.rows[:_PROBING_ROWS]
    expected: list[Any] = [each[: len(rows)] for each in source.answers]
    return share(signal_to_noise(expected, answers(graph, rows)))
