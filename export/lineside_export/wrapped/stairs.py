"""Several isotonic regressions, each of its own column, at once: straight lines between their thresholds.

In float64, as one alone is: two thresholds may be as close as two readings, and the line between them as steep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from lineside_export.wrapped.writer import Writer


def stairs(writer: Writer, regressions: Sequence[Any], columns: str) -> str:
    """Return what each IsotonicRegression that clips makes of its column, (n, regressions)."""
    graph = writer.graph
    before, graph.kind = graph.kind, np.dtype(np.float64)
    try:
        return _stairs(writer, regressions, columns)
    finally:
        graph.kind = before


def _stairs(writer: Writer, regressions: Sequence[Any], columns: str) -> str:
    graph = writer.graph
    places = [np.asarray(each.X_thresholds_, np.float64) for each in regressions]
    values = [np.asarray(each.y_thresholds_, np.float64) for each in regressions]
    low, high = (graph.constant(np.array([each[end] for each in places])) for end in (0, -1))
    inside = graph.add("Min", graph.add("Max", graph.enter(columns), low), high)
    pieces = max(1, *(len(each) - 1 for each in places))
    # Of a regression with fewer pieces the others begin where no reading is.
    begins = _padded([each[1:-1] for each in places], max(1, pieces - 1), np.inf)
    last = graph.constant(np.array([2]))
    reached = graph.add("GreaterOrEqual", graph.add("Unsqueeze", inside, last), graph.constant(begins))
    counted = graph.add("ReduceSum", writer.number(reached, TensorProto.INT64), last, keepdims=0)
    piece = graph.add("Add", counted, graph.constant(np.arange(len(places)) * pieces))
    slopes = [np.diff(value) / np.diff(place) for value, place in zip(values, places, strict=True)]
    starts = [value[: max(1, len(value) - 1)] for value in values]
    left, slope, start = (
        graph.add("Gather", graph.constant(_padded(each, pieces, 0.0).ravel()), piece)
        for each in ([place[: max(1, len(place) - 1)] for place in places], slopes, starts)
    )
    lines = graph.add("Add", graph.add("Mul", graph.add("Sub", inside, left), slope), start)
    return graph.leave(lines)


def _padded(rows: Sequence[NDArray[Any]], width: int, filler: float) -> NDArray[np.float64]:
    found = np.full((len(rows), width), filler)
    for row, each in zip(found, rows, strict=True):
        row[: len(each)] = each
    return found
