"""Linear models: one product, whatever scalers and projections stand in front of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.rewrites.front import Array, Front
from lineside_export.rewrites.graph import Graph
from lineside_export.schema import Schema

# The regressors that answer the exponential of the product.
_LOGARITHMIC = ("PoissonRegressor", "GammaRegressor")
# The classifiers whose probabilities are the softmax of the scores.
_SOFTMAX = ("LogisticRegression", "LogisticRegressionCV", "LinearDiscriminantAnalysis")


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write a linear model. False for probabilities that are not the softmax of the scores."""
    if not isinstance(model.coef_, np.ndarray) or model.coef_.ndim > 2:
        return False
    weights = np.atleast_2d(model.coef_).T.astype(np.float64)
    bias = np.broadcast_to(np.asarray(model.intercept_, np.float64).ravel(), weights.shape[1:])
    if schema.task == "regression":
        _values(model, front, graph, source, (weights, bias))
        return True
    several = getattr(model, "multi_class", "deprecated") not in ("deprecated", "auto", "warn")
    if schema.probabilities and (several or type(model).__name__ not in _SOFTMAX):
        return False
    if len(schema.classes) == 2:
        # Of these two columns the softmax is the sigmoid of their difference.
        sides = np.array([[-0.5, 0.5]]) if schema.probabilities else np.array([[-1.0, 1.0]])
        weights, bias = weights @ sides, bias @ sides
    scores = front.product(graph, source, weights, bias)
    columns = graph.add("Softmax", scores) if schema.probabilities else scores
    graph.give_classes(graph.best(scores), columns, schema.classes)
    return True


def _values(model: Any, front: Front, graph: Graph, source: str, layer: tuple[Array, Array]) -> None:
    if hasattr(model, "_x_mean"):  # partial least squares take it off the rows first
        ones = np.ones(len(model._x_mean))
        front = front.then(model._x_mean, ones, 0 * ones)
    found = front.product(graph, source, *layer)
    if type(model).__name__ in _LOGARITHMIC:
        found = graph.add("Exp", found)
    graph.give_values(found, len(layer[1]))
