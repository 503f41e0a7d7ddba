"""What marks and fills missing readings."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from lineside_export.rewrites.graph import Graph
from lineside_export.unwritable import Unwritable


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a SimpleImputer, with or without indicators, or a MissingIndicator."""
    if type(step).__name__ == "MissingIndicator":
        return indicators(step, graph, marked_missing(step, graph, source))
    missing = marked_missing(step, graph, source)
    try:
        statistics = np.asarray(step.statistics_, np.float64)
    except (TypeError, ValueError) as error:
        raise Unwritable("SimpleImputer fills in something that is no number") from error
    filled = graph.add("Where", missing, graph.constant(statistics), source)
    if not step.keep_empty_features and np.isnan(statistics).any():
        there = np.flatnonzero(~np.isnan(statistics))
        filled = graph.add("Gather", filled, graph.constant(there), axis=1)
    if not step.add_indicator:
        return filled
    return graph.add("Concat", filled, indicators(step.indicator_, graph, missing), axis=1)


def marked_missing(step: Any, graph: Graph, source: str) -> str:
    """Return where the readings are what an imputer takes for missing, bool (n, features)."""
    marker = step.missing_values
    if marker is None or not isinstance(marker, int | float | np.number):
        raise Unwritable(f"{type(step).__name__} looks for {marker!r}, which no reading is")
    if np.isnan(marker):
        return graph.add("IsNaN", source)
    return graph.add("Equal", source, graph.constant(np.array(float(marker))))


def indicators(step: Any, graph: Graph, missing: str) -> str:
    """Return a MissingIndicator's columns, one where a reading is missing."""
    marked = graph.add("Cast", missing, to=onnx.TensorProto.FLOAT)
    if len(step.features_) == step.n_features_in_:
        return marked
    return graph.add("Gather", marked, graph.constant(step.features_.astype(np.int64)), axis=1)
