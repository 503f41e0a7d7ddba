"""Back from a transformed target to the target itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from lineside_contract.errors import InputError
from lineside_export.convert.additions.functions import write_function
from lineside_export.wrapped.writer import Writer

Undo = Callable[[Writer, str], str]


def inverse(transformer: Any) -> Undo:
    """Return what writes a fitted transformer's inverse. Raises InputError if it is none that is known."""
    known = _INVERSES.get(type(transformer).__name__)
    if known is None:
        raise InputError(
            f"A target that {type(transformer).__name__} transformed has no way back in ONNX.",
            hint="Use StandardScaler, MinMaxScaler, PowerTransformer, or func=np.log1p, inverse_func=np.expm1.",
        )
    return partial(known, transformer)


def _function(step: Any, writer: Writer, name: str) -> str:
    return name if step.inverse_func is None else write_function(step.inverse_func, writer.graph, name)


def _scaled(step: Any, writer: Writer, name: str) -> str:
    ones = np.ones(step.n_features_in_)
    scale = ones if getattr(step, "scale_", None) is None else step.scale_
    middle = getattr(step, "mean_", getattr(step, "center_", None))
    return _affine(writer, name, scale, 0 * ones if middle is None else middle)


def _ranged(step: Any, writer: Writer, name: str) -> str:
    return _affine(writer, name, 1 / step.scale_, -step.min_ / step.scale_)


def _affine(writer: Writer, name: str, scale: Any, offset: Any) -> str:
    scaled = writer.graph.add("Mul", name, writer.graph.constant(np.asarray(scale, np.float64)))
    return writer.graph.add("Add", scaled, writer.graph.constant(np.asarray(offset, np.float64)))


def _power(step: Any, writer: Writer, name: str) -> str:
    """Box and Cox 1964; Yeo and Johnson, "A new family of power transformations", Biometrika 2000."""
    if step.standardize:
        name = _scaled(step._scaler, writer, name)
    curve = _box_cox if step.method == "box-cox" else _yeo_johnson
    parts = [
        curve(writer, writer.column(name, index), float(power)) for index, power in enumerate(step.lambdas_)
    ]
    return writer.beside(parts, len(parts)).name


def _box_cox(writer: Writer, name: str, power: float) -> str:
    return (
        writer.graph.add("Exp", name) if power == 0 else _root(writer, _line(writer, name, power, 1), power)
    )


def _yeo_johnson(writer: Writer, name: str, power: float) -> str:
    graph, zero = writer.graph, writer.graph.constant(np.zeros(1))
    above, below = graph.add("Max", name, zero), graph.add("Min", name, zero)
    high = graph.add("Exp", above) if power == 0 else _root(writer, _line(writer, above, power, 1), power)
    if power == 2:
        low = graph.add("Exp", writer.times(below, -1))
    else:
        low = _root(writer, _line(writer, below, power - 2, 1), 2 - power)
    # Each half is 1 on the other side.
    return graph.add("Sub", high, low)


def _line(writer: Writer, name: str, slope: float, offset: float) -> str:
    return writer.graph.add(
        "Add", writer.times(name, slope), writer.graph.constant(np.array([float(offset)]))
    )


def _root(writer: Writer, name: str, power: float) -> str:
    return writer.graph.add("Pow", name, writer.graph.constant(np.array([1 / power])))


_INVERSES: dict[str, Callable[[Any, Writer, str], str]] = {
    "FunctionTransformer": _function,
    "StandardScaler": _scaled,
    "RobustScaler": _scaled,
    "MaxAbsScaler": _scaled,
    "MinMaxScaler": _ranged,
    "PowerTransformer": _power,
}
