"""Neighbours within a radius: one product with all training rows, and a mean of those that are near enough.

In float64, as scikit-learn: a row exactly on the edge is in. ||x - y||^2 = ||x||^2 - 2xy + ||y||^2 is taken about a
row of training, so that rows on a grid stay on one and their distances exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from lineside_contract.errors import InputError
from lineside_export.rewrites.front import Front
from lineside_export.rewrites.graph import Graph
from lineside_export.schema import Schema


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write a RadiusNeighborsClassifier or RadiusNeighborsRegressor. False for other distances or weights."""
    known = model.weights in ("uniform", "distance") and model.effective_metric_ == "euclidean"
    if not known or not isinstance(model._fit_X, np.ndarray) or np.ndim(model._y) > 2:
        return False
    if schema.task == "regression":
        _values(model, graph, _weights(model, front, graph, source))
        return True
    return _classes(model, graph, _weights(model, front, graph, source), schema)


def within(model: Any, front: Front, graph: Graph, source: str) -> tuple[str, str]:
    """Return which training rows lie within the radius, and the squared distances, both (n, rows); in float64."""
    graph.kind = np.dtype(np.float64)
    rows = model._fit_X.astype(np.float64)
    middle = rows[((rows - rows.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    front, middle = front.around(middle)
    rows = rows - middle
    z = front.write(graph, graph.enter(source))
    own = graph.add("ReduceSumSquare", z, graph.constant(np.array([1])), keepdims=1)
    squares = graph.add("Add", graph.product(z, -2 * rows.T, (rows**2).sum(axis=1)), own)
    squares = graph.add("Max", squares, graph.constant(np.array(0.0)))
    return graph.add("LessOrEqual", squares, graph.constant(np.array(model.radius**2))), squares


def _weights(model: Any, front: Front, graph: Graph, source: str) -> str:
    near, squares = within(model, front, graph, source)
    found = graph.add("Cast", near, to=onnx.TensorProto.DOUBLE)
    if model.weights == "uniform":
        return found
    # A row at no distance has all the weight.
    floor = graph.constant(np.array(1e-150))
    closeness = graph.add("Reciprocal", graph.add("Max", graph.add("Sqrt", squares), floor))
    return graph.add("Mul", found, closeness)


def _values(model: Any, graph: Graph, weights: str) -> None:
    """Of no neighbours the mean is not a number, as in scikit-learn."""
    targets = np.asarray(model._y, np.float64).reshape(len(model._fit_X), -1)
    whole = graph.add("ReduceSum", weights, graph.constant(np.array([1])), keepdims=1)
    graph.give_values(graph.add("Div", graph.product(weights, targets), whole), targets.shape[1])


def _classes(model: Any, graph: Graph, weights: str, schema: Schema) -> bool:
    outlier = model.outlier_label_
    if outlier is None:
        raise InputError(
            "a RadiusNeighborsClassifier without an outlier_label has no answer to a row without neighbours",
            hint="Train it with outlier_label='most_frequent', or use KNeighborsClassifier.",
        )
    others = np.flatnonzero(np.asarray(model.classes_) == np.ravel(outlier)[0])
    if not len(others) or np.ndim(model._y) != 1:
        return False
    votes = graph.product(weights, np.eye(len(schema.classes))[model._y])
    whole = graph.add("ReduceSum", votes, graph.constant(np.array([1])), keepdims=1)
    alone = graph.add("Equal", whole, graph.constant(np.array(0.0)))
    # Nobody near: certainly the label that outliers are given.
    certain = graph.constant(np.eye(len(schema.classes))[others[0]])
    columns = graph.add("Where", alone, certain, graph.add("Div", votes, whole))
    graph.give_classes(graph.best(columns), columns, schema.classes)
    return True
