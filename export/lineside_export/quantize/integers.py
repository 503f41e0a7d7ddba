"""int8 arithmetic by onnxruntime's quantizers: which types, whose ranges, one scale or many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from lineside_export.convert import INPUT
from lineside_export.quantize.layers import LAYERS
from lineside_export.quantize.source import Source, answers

# Shape inference does not see through ai.onnx.ml; what comes out of it, a layer takes as float32.
_EXTRA = {"DefaultTensorType": onnx.TensorProto.FLOAT, "CalibPercentile": 99.9}
# How the range of an activation is found. Entropy and percentile cut off what is rarely reached: Wu et al., "Integer
# Quantization for Deep Learning Inference", 2020, section 4.2 (arxiv.org/abs/2004.09602).
CALIBRATIONS = {
    "min-max": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


class Static(NamedTuple):
    """A kind of static quantization: int8 or uint8 activations; weights with one scale, or one a channel."""

    signed: bool = False
    per_channel: bool = False


class Calibrated(NamedTuple):
    """A quantized graph, how its ranges were found, and its outputs' signal-to-noise ratio in dB."""

    graph: onnx.ModelProto
    calibration: str
    snr: float


def dynamic(source: Source) -> onnx.ModelProto:
    """Store weights as int8; activations get their scale when the model runs. Raises what the quantizer does."""
    if not source.has_layers:
        return source.graph

    def quantizer(prepared: str, result: str) -> None:
        quantize_dynamic(
            prepared,
            result,
            weight_type=QuantType.QInt8,
            reduce_range=not source.kernels.full_range,
            op_types_to_quantize=list(LAYERS),
            extra_options=_EXTRA,
        )

    return source.quantized(quantizer)


def static(source: Source, kind: Static) -> Calibrated:
    """Store weights and activations as int8, with scales from the source's rows, as QDQ.

    The ranges are found in whichever way leaves the most signal in the outputs. Raises what the quantizer does.
    """
    found, failures = [], []
    for name in CALIBRATIONS:
        try:
            graph = _quantized(source, kind, name)
            snr = signal_to_noise(source.answers, answers(graph, source.rows))
            found.append(Calibrated(graph, name, snr))
        except Exception as error:  # the histograms of some activations have no entropy
            failures.append(error)
    if not found:
        raise failures[0]
    return max(found, key=lambda each: each.snr)


def _quantized(source: Source, kind: Static, calibration: str) -> onnx.ModelProto:
    def quantizer(prepared: str, result: str) -> None:
        quantize_static(
            prepared,
            result,
            _Reader(source.rows),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8 if kind.signed else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=kind.per_channel,
            reduce_range=not source.kernels.full_range,
            op_types_to_quantize=list(LAYERS),
            calibrate_method=CALIBRATIONS[calibration],
            extra_options=_EXTRA,
        )

    return source.quantized(quantizer)


def signal_to_noise(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> float:
    """Return in dB how strong a graph's float32 outputs are against another's differences from them.

    That is the least over the outputs of 10 log10(sum of squares of the output less its mean / of the differences);
    infinite if there is no difference.
    """
    ratios = [
        _decibel(np.sum((want - want.mean(axis=0)) ** 2), np.sum((got - want) ** 2))
        for want, got in zip(expected, found, strict=True)
        if want.dtype == np.float32
    ]
    return min(ratios, default=math.inf)


def _decibel(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Gives all rows at once: the histograms fail on batches of different sizes."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self._batches = iter([{INPUT: rows}])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)
