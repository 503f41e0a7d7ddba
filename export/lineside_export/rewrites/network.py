"""Multi-layer perceptrons, the scalers in front of them inside the first layer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from lineside_export.rewrites.front import Front
from lineside_export.rewrites.graph import Graph
from lineside_export.schema import Schema

_OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write an MLPClassifier or MLPRegressor. False for outputs that are neither values nor one of the classes."""
    weights = [each.astype(np.float64) for each in model.coefs_]
    biases = [each.astype(np.float64) for each in model.intercepts_]
    classes = schema.classes
    known = "softmax" if len(classes) > 2 else "logistic" if classes else "identity"
    if model.out_activation_ != known:
        return False
    if len(classes) == 2:
        # Of these two columns the softmax is the sigmoid of their difference.
        sides = np.array([[-0.5, 0.5]])
        weights[-1], biases[-1] = weights[-1] @ sides, biases[-1] @ sides
    found = front.product(graph, source, weights[0], biases[0])
    for layer, _ in pairwise(range(len(weights))):
        if model.activation != "identity":
            found = graph.add(_OPERATORS[model.activation], found)
        found = graph.product(found, weights[layer + 1], biases[layer + 1])
    if schema.task == "regression":
        graph.give_values(found, len(biases[-1]))
    else:
        graph.give_classes(graph.best(found), graph.add("Softmax", found), classes)
    return True
