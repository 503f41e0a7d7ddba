"""Encoders of categories that are numbers: scikit-learn itself is asked for each, and a table looks it up."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lineside_export.rewrites.graph import Graph
from lineside_export.unwritable import Unwritable

_UNKNOWN = 0.5


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a OneHotEncoder, OrdinalEncoder or TargetEncoder of numbers; texts raise Unwritable.

    Where the encoder raises for an unknown category, the answer is not a number.
    """
    if any(known.dtype.kind not in "fiub" for known in step.categories_):
        raise Unwritable(f"{type(step).__name__} knows texts, which are no readings here")
    categories = [np.asarray(known, np.float64) for known in step.categories_]
    common = np.array([known[0] for known in categories])
    found = []
    for feature, known in enumerate(categories):
        table = _asked(step, common, feature, known)
        unknown = _asked(step, common, feature, np.array([_other(known)]))
        column = graph.add("Gather", source, graph.constant(np.array([feature])), axis=1)
        found.append(_looked_up(graph, column, known, np.concatenate([unknown, table])))
    return graph.add("Concat", *found, axis=1) if len(found) > 1 else found[0]


def _other(known: NDArray[np.float64]) -> float:
    """Return a number that is no category."""
    there = known[~np.isnan(known)]
    return float(there.max(initial=0) + _UNKNOWN) if len(there) else 0.0


def _asked(
    step: Any, common: NDArray[np.float64], feature: int, values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the encoder's own columns (values, columns of the feature) for values of one feature."""
    rows = np.tile(common, (len(values), 1))
    rows[:, feature] = values
    columns = _columns(step, feature)
    try:
        found = step.transform(rows)
    except ValueError:  # an unknown category
        return np.full((len(values), columns.stop - columns.start), np.nan)
    found = found.toarray() if hasattr(found, "toarray") else np.asarray(found)
    return np.asarray(found[:, columns], np.float64)


def _columns(step: Any, feature: int) -> slice:
    widths = getattr(step, "_n_features_outs", None)
    if widths is None:
        classes = len(step.classes_) if getattr(step, "target_type_", "") == "multiclass" else 1
        widths = [classes] * len(step.categories_)
    start = int(sum(widths[:feature]))
    return slice(start, start + int(widths[feature]))


def _looked_up(graph: Graph, column: str, known: NDArray[np.float64], table: NDArray[np.float64]) -> str:
    """Return the row of the table, whose first is for what is not known."""
    ones = table[1:] == 1
    if not table[0].any() and (ones == (table[1:] != 0)).all() and (ones.sum(axis=0) == 1).all():
        # Each column is one category: a table would be as large as their square.
        return graph.add("Cast", _equal(graph, column, known[ones.argmax(axis=0)]), to=onnx.TensorProto.FLOAT)
    places = graph.add("Cast", _equal(graph, column, known), to=onnx.TensorProto.INT64)
    places = graph.add("Mul", places, graph.constant(np.arange(1, len(known) + 1)))
    place = graph.add("ReduceSum", places, graph.constant(np.array([1])), keepdims=0)
    return graph.add("Gather", graph.constant(table), place)


def _equal(graph: Graph, column: str, known: NDArray[np.float64]) -> str:
    """Return whether a reading (n, 1) is each of the categories, which NaN may be; bool (n, categories)."""
    here = graph.add("Equal", column, graph.constant(known))
    if not np.isnan(known).any():
        return here
    marked = graph.constant(np.isnan(known))
    return graph.add("Or", here, graph.add("And", graph.add("IsNaN", column), marked))
