"""Gaussian naive Bayes: squared distances to each class's middle, by its variances.

In float64, as a feature that hardly varies divides by next to nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.rewrites.front import Front
from lineside_export.rewrites.graph import Graph
from lineside_export.schema import Schema


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write a GaussianNB."""
    graph.kind = np.dtype(np.float64)
    rows = graph.add("Unsqueeze", front.write(graph, graph.enter(source)), graph.constant(np.array([1])))
    apart = graph.add("Sub", rows, graph.constant(model.theta_))
    squares = graph.add("Mul", graph.add("Mul", apart, apart), graph.constant(-0.5 / model.var_))
    sums = graph.add("ReduceSum", squares, graph.constant(np.array([2])), keepdims=0)
    alone = np.log(model.class_prior_) - 0.5 * np.log(2 * np.pi * model.var_).sum(axis=1)
    likelihoods = graph.add("Add", sums, graph.constant(alone))
    graph.give_classes(graph.best(likelihoods), graph.add("Softmax", likelihoods), schema.classes)
    return True
