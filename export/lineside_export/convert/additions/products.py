"""Transformers that are one product with the rows, and perhaps a function of the result."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.rewrites.front import fold
from lineside_export.rewrites.graph import Graph


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a transformer that `fold` knows as an affine map, or one of those below."""
    other = _OTHERS.get(type(step).__name__)
    kept, front = fold([step], step.n_features_in_)
    if not kept:
        return front.write(graph, source)
    if other is None:
        raise NotImplementedError(f"this {type(step).__name__} is no linear map")
    return other(step, graph, source)


def _machine(step: Any, graph: Graph, source: str) -> str:
    """How likely each hidden unit is on (Hinton, "A practical guide to training RBMs", 2010, section 3.1)."""
    return graph.add("Sigmoid", graph.product(source, step.components_.T, step.intercept_hidden_))


def _groups(step: Any, graph: Graph, source: str) -> str:
    """The largest or smallest of groups of features; the smaller groups repeat one."""
    operators = {np.max: "ReduceMax", np.min: "ReduceMin"}
    if step.pooling_func not in operators:
        raise NotImplementedError(
            "FeatureAgglomeration's pooling_func is neither the mean, maximum nor minimum"
        )
    members = [np.flatnonzero(step.labels_ == group) for group in range(step.n_clusters_)]
    width = max(map(len, members))
    table = np.array([np.resize(each, width) for each in members])
    grouped = graph.add("Gather", source, graph.constant(table), axis=1)
    axis = graph.constant(np.array([2]))
    return graph.add(operators[step.pooling_func], grouped, axis, keepdims=0)


_OTHERS = {"BernoulliRBM": _machine, "FeatureAgglomeration": _groups}
