"""The ways to write a model that are tried, and which of them came to something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from lineside_contract.errors import LinesideError
from lineside_export.narrow import narrowed
from lineside_export.networks.modern import is_quantized
from lineside_export.quantize import blocks, layers, weights
from lineside_export.quantize.devices import kernels
from lineside_export.quantize.integers import Static, dynamic, static
from lineside_export.quantize.partial import Judged, Ways, partly
from lineside_export.quantize.source import Source


class Written(NamedTuple):
    """A graph written another way, with what there is to say about it."""

    graph: onnx.ModelProto
    note: str = ""


class NotOffered(Exception):
    """A way to write a model that would not do on the device; the reason says why."""


Method: TypeAlias = Callable[[Source], Written]

ORIGINAL = "float32"
# The trees of a model by Lineside's own writer: the same answers in fewer bytes.
COMPACT = "compact"
# Other families as a few matrix products: the same answers in less time.
REWRITTEN = "rewritten"
# Trees whose leaves are rounded to 256 different numbers, if that is asked for.
LEAVES = "compact-leaves256"
EXACT = (ORIGINAL, COMPACT, REWRITTEN)


# Outputs with less signal than this, in dB, are not the model's any more: what the metric says of them is luck.
LEAST_SIGNAL = 20.0


def _dynamic(source: Source) -> Written:
    found = dynamic(source)
    if found is None:
        return Written(source.graph)
    return _clear(found, [decibels(found.snr), source.kernels.caution])


def _int8_weights(source: Source) -> Written:
    sizes = {weight.name: weight.values.size for weight in layers.weights(source.graph, shared=True)}
    if not sizes:
        return Written(source.graph)

    def without(left_out: Sequence[str]) -> Judged:
        graph = weights.int8(source.graph, left_out)
        return Judged(graph, source.signal(graph), tuple(left_out))

    def alone(name: str) -> float:
        return source.signal(weights.int8(source.graph, sizes.keys() - {name}), few=True)

    found = partly(sizes, Ways(without, alone))
    notes = [f"{len(found.left_out)} of {len(sizes)} weights as float16"] if found.left_out else []
    return Written(found.graph, "; ".join(notes))


def _clear(found: Judged, notes: list[str]) -> Written:
    note = "; ".join(filter(None, notes))
    if found.snr < LEAST_SIGNAL:
        raise NotOffered(f"too noisy: {note}, where at least {LEAST_SIGNAL:.0f} dB are asked for")
    return Written(found.graph, note)


def decibels(snr: float) -> str:
    """Say a signal-to-noise ratio; with a digit more where it would look like the least that is asked for."""
    if np.isinf(snr):
        return "no noise"
    return f"{snr:.{1 if abs(snr - LEAST_SIGNAL) < 1 else 0}f} dB"


def _static(kind: Static) -> Method:
    def method(source: Source) -> Written:
        if not source.operators & set(layers.LAYERS):
            return Written(source.graph)
        if kind.signed and not source.kernels.signed:
            raise NotOffered(
                "not tried: int8 activations are for ARM, and x86 does as well with uint8; see --device"
            )
        found, calibration = static(source, kind)
        left_out = (
            f"{len(found.left_out)} of {len(source.layers)} layers in float32" if found.left_out else ""
        )
        notes = [f"{calibration} ranges, {decibels(found.snr)}", left_out, source.kernels.caution]
        return _clear(found, notes)

    return method


# A new way to write a model is one line here: a function of the float32 graph, calibration rows and kernels.
METHODS: dict[str, Method] = {
    "int8-weights": _int8_weights,
    "float16-weights": lambda source: Written(weights.float16(source.graph)),
    "int4-weights": lambda source: Written(blocks.int4(source.graph)),
    "int8-dynamic": _dynamic,
    "int8-static": _static(Static()),
    "int8-static-pc": _static(Static(per_channel=True)),
    "int8-s8s8": _static(Static(signed=True)),
    "int8-s8s8-pc": _static(Static(signed=True, per_channel=True)),
}
# These compute in float32: what a device answers does not depend on how its processor multiplies integers.
FLOAT_ARITHMETIC = (*EXACT, LEAVES, "int8-weights", "float16-weights")
_NARROW = frozenset(
    {
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.INT8,
        onnx.TensorProto.UINT8,
        onnx.TensorProto.INT4,
        onnx.TensorProto.UINT4,
    }
)


QUANTIZED = "not tried: the model is quantized already"
NOTHING = "changes nothing: the graph has no layer that it can store in fewer bits"


class Variant(NamedTuple):
    """A model written one way; `model` is None if nothing came of it, and `reason` says why; else it notes how."""

    name: str
    model: bytes | None
    reason: str = ""
    failed: bool = False


def variants(graph: onnx.ModelProto, calibration: NDArray[np.float32], device: str = "auto") -> list[Variant]:
    """Write a float32 graph in every inexact way for a device. A method that fails is reported, not raised.

    calibration: rows (n, features). device: a key of devices.DEVICES.
    """
    if is_quantized(graph):
        return [Variant(name, None, QUANTIZED) for name in METHODS]
    source = Source(graph, calibration, kernels(device))
    return [_attempt(name, method, source) for name, method in METHODS.items()]


def _attempt(name: str, method: Method, source: Source) -> Variant:
    try:
        written = method(source)
    except LinesideError:
        raise
    except NotOffered as reason:
        return Variant(name, None, str(reason))
    except Exception as error:  # onnxruntime's quantizers raise anything
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Variant(name, None, f"failed: {text}", failed=True)
    if _narrow(written.graph) <= _narrow(source.graph):
        return Variant(name, None, NOTHING)
    return Variant(name, narrowed(written.graph).SerializeToString(), written.note)


def _narrow(graph: onnx.ModelProto) -> int:
    """Count the numbers that a graph stores in fewer bits than float32's."""
    return sum(prod(each.dims) for each in graph.graph.initializer if each.data_type in _NARROW)
