"""Support vector machines: the kernel by one product with all support vectors, the votes by a second.

What libsvm does (Chang and Lin, "LIBSVM: a library for support vector machines", ACM TIST 2011): one decision for
each pair of classes, each a vote; of classes with equally many votes the first. scikit-learn's scores are the votes
plus a share of the sums of the decisions that says who leads among equals.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import onnx

from lineside_export.rewrites.front import Array, Front
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.kernels import NAMES, Behind, Kernel
from lineside_export.schema import Schema


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write an SVC, NuSVC, SVR, NuSVR or OneClassSVM. False for kernels that are no function of a product."""
    classes = len(schema.classes)
    if not isinstance(model.dual_coef_, np.ndarray) or model.kernel not in NAMES:
        return False
    if schema.probabilities:
        return False  # libsvm couples the pairs' chances by an iteration that it breaks off early
    kernel = Kernel(model.kernel, model._gamma, model.degree, model.coef0)
    behind = Behind(front, model.support_vectors_.astype(np.float64))
    # The public ones have the other sign for two classes.
    weights = _pairs(model) if classes else model._dual_coef_.T
    bias = np.asarray(model._intercept_, np.float64)
    if classes == 2:  # scores are minus and plus the second class's
        sides = np.array([[1.0, -1.0]])
        weights, bias = weights @ sides, bias @ sides
    decisions = kernel.sum(graph, source, behind, weights, bias)
    if schema.task == "regression":
        graph.give_values(decisions, 1)
    elif schema.task == "outlier":
        graph.give_outlier(decisions)
    elif classes == 2:
        graph.give_classes(graph.best(decisions), decisions, schema.classes)
    else:
        _many(model, graph, decisions, schema)
    return True


def _pairs(model: Any) -> Array:
    """Return each support vector's weight in the decision of each pair of classes, shape (vectors, pairs)."""
    count = len(model.classes_)
    coefficients = model._dual_coef_
    of_class = np.repeat(np.arange(count), model._n_support)
    weights = np.zeros((len(of_class), count * (count - 1) // 2))
    for pair, (first, second) in enumerate(combinations(range(count), 2)):
        weights[of_class == first, pair] = coefficients[second - 1, of_class == first]
        weights[of_class == second, pair] = coefficients[first, of_class == second]
    return weights


def _many(model: Any, graph: Graph, decisions: str, schema: Schema) -> None:
    count = len(schema.classes)
    wins = np.zeros((count * (count - 1) // 2, count))
    start = np.zeros(count)
    for pair, (first, second) in enumerate(combinations(range(count), 2)):
        wins[pair, [first, second]] = -1, 1
        start[first] += 1
    lost = graph.add("Less", decisions, graph.constant(np.zeros(1)))
    kind = onnx.TensorProto.DOUBLE if graph.kind == np.float64 else onnx.TensorProto.FLOAT
    votes = graph.product(graph.add("Cast", lost, to=kind), wins, start)
    if model.decision_function_shape == "ovo":
        graph.give_classes(graph.best(votes), decisions, schema.classes, len(wins))
        return
    sums = graph.product(decisions, -wins)
    one, third = graph.constant(np.ones(1)), graph.constant(np.array([3.0]))
    whole = graph.add("Mul", graph.add("Add", graph.add("Abs", sums), one), third)
    scores = graph.add("Add", votes, graph.add("Div", sums, whole))
    graph.give_classes(graph.best(scores if model.break_ties else votes), scores, schema.classes)
