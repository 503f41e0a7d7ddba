"""Transformers that are one product with the rows, and perhaps a function of the result."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.rewrites.front import fold
from lineside_export.rewrites.graph import Graph
from lineside_export.unwritable import Unwritable


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a transformer that `fold` knows as an affine map, or one of those below."""
    other = _OTHERS.get(type(step).__name__)
    kept, front = fold([step], step.n_features_in_)
    if not kept:
        return front.write(graph, source)
    if other is None:
        raise Unwritable(f"this {type(step).__name__} is no linear map")
    return other(step, graph, source)


def _machine(step: Any, graph: Graph, source: str) -> str:
    """How likely each hidden unit is on (Hinton, "A practical guide to training RBMs", 2010, section 3.1)."""
    return graph.add("Sigmoid", graph.product(source, step.components_.T, step.intercept_hidden_))


def _groups(step: Any, graph: Graph, source: str) -> str:
    """The largest or smallest of groups of features; the smaller groups repeat one."""
    operators = {np.max: "ReduceMax", np.min: "ReduceMin"}
    if step.pooling_func not in operators:
        raise Unwritable("FeatureAgglomeration's pooling_func is neither the mean, maximum nor minimum")
    members = [np.flatnonzero(step.labels_ == group) for group in range(step.n_clusters_)]
    width = max(map(len, members))
    table = np.array([np.resize(each, width) for each in members])
    grouped = graph.add("Gather", source, graph.constant(table), axis=1)
    axis = graph.constant(np.array([2]))
    return graph.add(operators[step.pooling_func], grouped, axis, keepdims=0)


def _unit(step: Any, graph: Graph, source: str) -> str:
    """Divide by a row's norm, if it has one. skl2onnx takes the largest reading for that of the largest size."""
    axis = graph.constant(np.array([1]))
    if step.norm == "max":
        norm = graph.add("ReduceMax", graph.add("Abs", source), axis, keepdims=1)
    else:
        norm = graph.add({"l1": "ReduceL1", "l2": "ReduceL2"}[step.norm], source, axis, keepdims=1)
    none = graph.add("Equal", norm, graph.constant(np.array(0.0)))
    return graph.add("Div", source, graph.add("Where", none, graph.constant(np.array(1.0)), norm))


_OTHERS = {"BernoulliRBM": _machine, "FeatureAgglomeration": _groups, "Normalizer": _unit}
