"""Nearest neighbours: one product with all training rows, then the few nearest measured again.

||x - y||^2 = ||x||^2 - 2xy + ||y||^2, of which ||x||^2 does not change who is nearest. The product cancels where
neighbours are much closer to each other than to the centre of the data, so it only proposes: twice as many as are
asked for, and some; in float64, if float32 would not tell enough of them apart. Those are measured by their
differences, as scikit-learn's trees do, which also gives equal distances to the lower index.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from lineside_export.rewrites.front import Front
from lineside_export.rewrites.graph import Graph
from lineside_export.schema import Schema

_SPARE = 8
# A neighbour this close has all the weight.
_NO_DISTANCE = 1e-30
# By how much of the rows' largest square a float32 product may be off.
_OFF = 4 * 2.0**-24
# Training rows whose neighbours are counted to see whether that is too much.
_SAMPLE = 100


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write a KNeighborsClassifier or KNeighborsRegressor. False for what this does not know."""
    known = model.weights in ("uniform", "distance") and model.effective_metric_ == "euclidean"
    if not known or not isinstance(model._fit_X, np.ndarray):
        return False
    if schema.task != "regression" and np.ndim(model._y) != 1:
        return False
    rows = model._fit_X.astype(np.float64)
    front, middle = front.around(_centre(rows))
    rows = rows - middle
    if _crowded(rows, model.n_neighbors):
        graph.kind = np.dtype(np.float64)
    near, squares = nearest(graph, front.write(graph, graph.enter(source)), rows, model.n_neighbors)
    found = graph.add("Gather", _votes(model, graph, schema), near)
    if model.weights == "uniform":
        found = graph.add("ReduceMean", found, graph.constant(np.array([1])), keepdims=0)
    else:
        found = _weighted(graph, found, squares)
    if schema.task == "regression":
        graph.give_values(found, _targets(model).shape[1])
    else:
        graph.give_classes(graph.best(found), found, schema.classes)
    return True


def _centre(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the middle of the rows, a whole one of whole numbers: so they stay, and take fewer bytes."""
    middle: NDArray[np.float64] = rows.mean(axis=0)
    return np.rint(middle) if (rows == np.rint(rows)).all() else middle


def _votes(model: Any, graph: Graph, schema: Schema) -> str:
    """Write what each training row says, shape (rows, classes) or (rows, targets)."""
    if schema.task == "regression":
        return graph.constant(_targets(model))
    sides = graph.constant(np.array([0, 1]))
    count = graph.constant(np.array([len(schema.classes)]))
    # Made once, while the model is loaded.
    votes = graph.add("OneHot", graph.constant(np.asarray(model._y, np.int64)), count, sides)
    return graph.add("Cast", votes, to=helper.np_dtype_to_tensor_dtype(graph.kind))


def _targets(model: Any) -> NDArray[np.float64]:
    return np.asarray(model._y, np.float64).reshape(len(model._fit_X), -1)


def _crowded(rows: NDArray[np.float64], count: int) -> bool:
    """Tell whether a float32 product may propose others than the nearest rows: too many are as near as it can see."""
    rows = np.unique(rows, axis=0)
    sizes = (rows**2).sum(axis=1)
    if len(rows) <= _wide(rows, count) or ((rows == np.rint(rows)).all() and sizes.max() < 2**24):
        return False
    off = 2 * _OFF * sizes.max()
    for row in rows[:: 1 + len(rows) // _SAMPLE]:
        squares = ((rows - row) ** 2).sum(axis=1)
        last = np.partition(squares, count - 1)[count - 1]
        if np.count_nonzero(squares <= last + off) > _wide(rows, count):
            return True
    return False


def _wide(rows: NDArray[np.float64], count: int) -> int:
    """Return how many rows are proposed."""
    return min(len(rows), 2 * count + _SPARE)


def nearest(graph: Graph, z: str, rows: NDArray[np.float64], count: int) -> tuple[str, str]:
    """Return the nearest rows' numbers and their squared distances, each of shape (n, count)."""
    wide = _wide(rows, count)
    stored = graph.constant(rows)
    squares = graph.add("ReduceSumSquare", stored, graph.constant(np.array([1])), keepdims=0)
    far = graph.add("Mul", squares, graph.constant(np.array(-0.5)))  # once, while the model is loaded
    closeness = graph.add("Gemm", z, stored, far, transB=1)
    _, proposed = graph.largest(closeness, wide)
    # In the order of their numbers, so that the first of equal distances is the lower one.
    proposed, _ = graph.largest(proposed, wide, smallest=True)
    there = graph.add("Gather", stored, proposed)
    apart = graph.add("Sub", there, graph.add("Unsqueeze", z, graph.constant(np.array([1]))))
    squares = graph.add("ReduceSumSquare", apart, graph.constant(np.array([2])), keepdims=0)
    least, places = graph.largest(squares, count, smallest=True)
    return graph.add("GatherElements", proposed, places, axis=1), least


def _weighted(graph: Graph, votes: str, squares: str) -> str:
    """Return the mean of votes (n, count, columns), each weighted by the reciprocal of its distance."""
    distances = graph.add("Sqrt", squares)
    floor = graph.constant(np.array(_NO_DISTANCE))
    weights = graph.add("Reciprocal", graph.add("Max", distances, floor))
    ones = graph.constant(np.array([1]))
    whole = graph.add("ReduceSum", weights, ones, keepdims=1)
    shares = graph.add("Unsqueeze", graph.add("Div", weights, whole), ones)
    return graph.add("Squeeze", graph.add("MatMul", shares, votes), ones)
