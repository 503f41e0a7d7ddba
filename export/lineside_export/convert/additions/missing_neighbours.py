"""KNNImputer: a missing reading is the mean of those of the nearest rows of training that have it.

In float64: of two rows that are about as near, the one that scikit-learn takes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from lineside_export.convert.additions.missing import indicators, marked_missing
from lineside_export.rewrites.graph import Graph
from lineside_export.unwritable import Unwritable

# More than any squared distance of float32: what has nothing in common with a row is this far.
_FAR = 1e300


class _Rows(NamedTuple):
    """Rows of readings: zero where missing, and one where there; names of tensors (n, features)."""

    values: str
    there: str


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a KNNImputer. Raises Unwritable for distances or weights of the user's own."""
    if step.metric != "nan_euclidean" or step.weights not in ("uniform", "distance"):
        raise Unwritable("KNNImputer has distances or weights of the user's own")
    missing = marked_missing(step, graph, source)
    graph.kind = np.dtype(np.float64)
    wide = graph.enter(source)
    training = np.asarray(step._fit_X, np.float64)
    squares = _squares(graph, wide, missing, np.where(step._mask_fit_X, np.nan, training))
    columns = []
    for feature in np.flatnonzero(step._valid_mask):
        at = graph.constant(np.array([feature]))
        imputed = _imputed(step, graph, squares, int(feature))
        here = graph.add("Gather", missing, at, axis=1)
        columns.append(graph.add("Where", here, imputed, graph.add("Gather", wide, at, axis=1)))
    filled = graph.leave(graph.add("Concat", *columns, axis=1))
    if not step.add_indicator:
        return filled
    return graph.add("Concat", filled, indicators(step.indicator_, graph, missing), axis=1)


def _squares(graph: Graph, rows: str, missing: str, training: NDArray[np.float64]) -> str:
    """Return the mean squared difference of what both rows have, (n, rows of training)."""
    known = ~np.isnan(training)
    middle = np.where(known.any(axis=0), np.nanmean(np.where(known.any(axis=0), training, 0), axis=0), 0)
    training = np.where(known, training - middle, 0)
    zero = graph.constant(np.array(0.0))
    centred = graph.add("Sub", rows, graph.constant(middle))
    values = graph.add("Where", missing, zero, centred)
    there = graph.add("Cast", graph.add("Not", missing), to=onnx.TensorProto.DOUBLE)
    given = _Rows(values, there)
    own = graph.product(graph.add("Mul", given.values, given.values), known.T.astype(float))
    others = graph.product(given.there, (training**2).T)
    cross = graph.product(given.values, -2 * training.T)
    whole = graph.add("Max", graph.add("Add", graph.add("Add", own, others), cross), zero)
    shared = graph.product(given.there, known.T.astype(float))
    nothing = graph.add("Equal", shared, zero)
    return graph.add("Where", nothing, graph.constant(np.array(_FAR)), graph.add("Div", whole, shared))


def _imputed(step: Any, graph: Graph, squares: str, feature: int) -> str:
    donors = np.flatnonzero(~step._mask_fit_X[:, feature])
    values = np.asarray(step._fit_X[donors, feature], np.float64)
    apart = graph.add("Gather", squares, graph.constant(donors), axis=1)
    least, places = graph.largest(apart, min(step.n_neighbors, len(donors)), smallest=True)
    found = graph.add("Gather", graph.constant(values), places)
    near = graph.add("Less", least, graph.constant(np.array(_FAR / 2)))
    weights = graph.add("Cast", near, to=onnx.TensorProto.DOUBLE)
    if step.weights == "distance":
        distances = graph.add("Max", graph.add("Sqrt", least), graph.constant(np.array(1e-150)))
        weights = graph.add("Div", weights, distances)
    axis = graph.constant(np.array([1]))
    whole = graph.add("ReduceSum", weights, axis, keepdims=1)
    mean = graph.add("Div", graph.add("ReduceSum", graph.add("Mul", weights, found), axis, keepdims=1), whole)
    alone = graph.add("Equal", whole, graph.constant(np.array(0.0)))
    return graph.add("Where", alone, graph.constant(np.array(values.mean())), mean)
