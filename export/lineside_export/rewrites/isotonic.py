"""IsotonicRegression: straight lines between its thresholds.

In float64: two thresholds may be as close as two readings, and the line between them as steep.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from lineside_export.rewrites.front import Front
from lineside_export.rewrites.graph import Graph
from lineside_export.schema import Schema

# What a scaler in front may be off by where a reading is the first or the last of training: float64's rounding, and
# far less than from one float32 to the next.
_MARGIN = 1e-13


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write an IsotonicRegression; where it would raise for a reading out of bounds the answer is not a number."""
    del schema
    graph.kind = np.dtype(np.float64)
    places = np.asarray(model.X_thresholds_, np.float64)
    values = np.asarray(model.y_thresholds_, np.float64)
    x = front.write(graph, graph.enter(source))
    low, high = graph.constant(np.array(places[0])), graph.constant(np.array(places[-1]))
    inside = graph.add("Min", graph.add("Max", x, low), high)
    if len(places) == 1:  # one value for all
        found = graph.add("Add", graph.add("Sub", inside, inside), graph.constant(np.array(values[0])))
    else:
        found = _between(graph, inside, places, values)
    if model.out_of_bounds != "clip":
        margin = _MARGIN * np.abs(places[[0, -1]]).max()
        below = graph.add("Less", x, graph.constant(np.array(places[0] - margin)))
        outside = graph.add(
            "Or", below, graph.add("Greater", x, graph.constant(np.array(places[-1] + margin)))
        )
        found = graph.add("Where", outside, graph.constant(np.array(np.nan)), found)
    graph.give_values(found, 1)
    return True


def _between(graph: Graph, x: str, places: Any, values: Any) -> str:
    reached = graph.add("GreaterOrEqual", x, graph.constant(places[1:-1]))
    ones = graph.add("Cast", reached, to=onnx.TensorProto.INT64)
    piece = graph.add("ReduceSum", ones, graph.constant(np.array([1])), keepdims=1)
    slopes = np.diff(values) / np.diff(places)
    left, slope, start = (
        graph.add("Gather", graph.constant(each), piece) for each in (places[:-1], slopes, values[:-1])
    )
    return graph.add("Add", graph.add("Mul", graph.add("Sub", x, left), slope), start)
