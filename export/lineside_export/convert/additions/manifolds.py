"""Embeddings that place a new row by its neighbours among the rows of training."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.convert.additions.kernels import projection
from lineside_export.convert.additions.solve import solve
from lineside_export.rewrites.front import fold
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.neighbours import nearest
from lineside_export.unwritable import Unwritable


def write(step: Any, graph: Graph, source: str) -> str:
    """Write an Isomap or LocallyLinearEmbedding, for a number of Euclidean neighbours; in float64."""
    nbrs = step.nbrs_
    if step.n_neighbors is None or nbrs.effective_metric_ != "euclidean":
        raise Unwritable(f"{type(step).__name__} is written for a number of Euclidean neighbours only")
    graph.kind = np.dtype(np.float64)
    front, middle = fold([], step.n_features_in_)[1].around(nbrs._fit_X.mean(axis=0))
    rows = nbrs._fit_X - middle
    z = front.write(graph, graph.enter(source))
    return graph.leave(_WRITERS[type(step).__name__](step, graph, z, rows))


def _isomap(step: Any, graph: Graph, z: str, rows: Any) -> str:
    """The shortest way to each row of training leads over a neighbour (Tenenbaum, de Silva and Langford, 2000)."""
    near, squares = nearest(graph, z, rows, step.n_neighbors)
    onward = graph.add("Gather", graph.constant(step.dist_matrix_.astype(np.float64)), near)
    first = graph.add("Unsqueeze", graph.add("Sqrt", squares), graph.constant(np.array([2])))
    ways = graph.add("ReduceMin", graph.add("Add", onward, first), graph.constant(np.array([1])), keepdims=0)
    pca = step.kernel_pca_
    weights = projection(pca)
    bias = (pca._centerer.K_fit_all_ - pca._centerer.K_fit_rows_) @ weights
    return graph.product(graph.add("Mul", ways, ways), -0.5 * (weights - weights.mean(axis=0)), bias)


def _locally_linear(step: Any, graph: Graph, z: str, rows: Any) -> str:
    """Roweis and Saul, "Nonlinear dimensionality reduction by locally linear embedding", 2000.

    The weights with which the neighbours make up the row also make up its embedding.
    """
    count = step.n_neighbors
    near, squares = nearest(graph, z, rows, count)
    there = graph.add("Gather", graph.constant(rows), near)
    apart = graph.add("Sub", there, graph.add("Unsqueeze", z, graph.constant(np.array([1]))))
    gram = graph.add("MatMul", apart, graph.add("Transpose", apart, perm=[0, 2, 1]))
    trace = graph.add("ReduceSum", squares, graph.constant(np.array([1])), keepdims=1)
    some = graph.add("Greater", trace, graph.constant(np.array(0.0)))
    ridge = graph.add("Where", some, trace, graph.constant(np.array(1.0)))
    ridge = graph.add("Unsqueeze", ridge, graph.constant(np.array([2])))
    ridge = graph.add("Mul", ridge, graph.constant(step.reg * np.eye(count)))
    gram = graph.add("Add", gram, ridge)
    ones = graph.add("Expand", graph.constant(np.ones((1, count))), graph.add("Shape", squares))
    weights = solve(graph, gram, ones, count)
    whole = graph.add("ReduceSum", weights, graph.constant(np.array([1])), keepdims=1)
    weights = graph.add("Unsqueeze", graph.add("Div", weights, whole), graph.constant(np.array([1])))
    places = graph.add("Gather", graph.constant(step.embedding_.astype(np.float64)), near)
    return graph.add("Squeeze", graph.add("MatMul", weights, places), graph.constant(np.array([1])))


_WRITERS = {"Isomap": _isomap, "LocallyLinearEmbedding": _locally_linear}
