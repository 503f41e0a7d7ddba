"""LabelPropagation and LabelSpreading: what the rows of training came to be labelled, weighted by a kernel.

In float64: far from all rows the kernel's values are as small as only that can hold, and still their shares count.
Farther yet there is no answer, and the probabilities are not numbers, as in scikit-learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.rewrites.front import Front
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.kernels import Behind
from lineside_export.rewrites.neighbours import nearest
from lineside_export.schema import Schema


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write a LabelPropagation or LabelSpreading. False for a kernel that is a function of the user's."""
    if model.kernel not in ("rbf", "knn") or not isinstance(model.X_, np.ndarray):
        return False
    graph.kind = np.dtype(np.float64)
    rows = np.asarray(model.X_, np.float64)
    labels = np.asarray(model.label_distributions_, np.float64)
    if model.kernel == "rbf":
        squares = Behind(front, rows).squares(graph, graph.enter(source), -float(model.gamma))
        votes = graph.product(graph.add("Exp", squares), labels)
    else:
        front, middle = front.around(rows.mean(axis=0))
        near, _ = nearest(graph, front.write(graph, graph.enter(source)), rows - middle, model.n_neighbors)
        found = graph.add("Gather", graph.constant(labels), near)
        votes = graph.add("ReduceSum", found, graph.constant(np.array([1])), keepdims=0)
    whole = graph.add("ReduceSum", votes, graph.constant(np.array([1])), keepdims=1)
    graph.give_classes(graph.best(votes), graph.add("Div", votes, whole), schema.classes)
    return True
