"""Support vector machines: the kernel by one product with all support vectors, the votes by a second.

What libsvm does (Chang and Lin, "LIBSVM: a library for support vector machines", ACM TIST 2011): one decision for
each pair of classes, each a vote, that of 0 for the second; of classes with equally many votes the first.
scikit-learn's scores are the votes plus a share of the sums of the decisions that says who leads among equals.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import onnx

from lineside_export.rewrites.constants import every_row
from lineside_export.rewrites.front import Array, Front
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.kernels import NAMES, Behind, Kernel, Sums
from lineside_export.schema import Schema


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write an SVC, NuSVC, SVR, NuSVR or OneClassSVM. False for kernels that are no function of a product."""
    classes = len(schema.classes)
    if not isinstance(model.dual_coef_, np.ndarray) or model.kernel not in NAMES:
        return False
    if not len(model.support_vectors_):
        return _nothing_learnt(model, graph, source, schema)
    if schema.probabilities:
        return False  # libsvm couples the pairs' chances by an iteration that it breaks off early
    kernel = Kernel(model.kernel, model._gamma, model.degree, model.coef0)
    behind = Behind(front, model.support_vectors_.astype(np.float64))
    # The public ones have the other sign for two classes.
    decisions = kernel.sum(graph, source, behind, _sums(model, classes))
    if schema.task == "regression":
        graph.give_values(decisions, 1)
    elif schema.task == "outlier":
        graph.give_outlier(decisions, at_zero=True)
    elif classes == 2:
        graph.give_classes(graph.best(decisions, last=True), decisions, schema.classes)
    else:
        _many(model, graph, decisions, schema)
    return True


def _nothing_learnt(model: Any, graph: Graph, source: str, schema: Schema) -> bool:
    """All targets lie within epsilon of one number, which is the answer to every row."""
    if schema.task != "regression":
        return False
    graph.give_values(every_row(graph, source, np.asarray(model._intercept_, np.float64)), 1)
    return True


def _sums(model: Any, classes: int) -> Sums:
    """Return the decisions: one, or one for each pair of classes."""
    coefficients, bias = model._dual_coef_.T, np.asarray(model._intercept_, np.float64)
    if not classes:
        return Sums(coefficients, bias)
    if classes == 2:  # scores are minus and plus the second class's
        sides = np.array([[1.0, -1.0]])
        return Sums(
            coefficients @ sides,
            bias @ sides,
            lambda graph: graph.add("Mul", graph.constant(coefficients), graph.constant(sides)),
        )
    return _pairs(model, bias)


def _pairs(model: Any, bias: Array) -> Sums:
    """Return the decisions between pairs of classes, to each of which two classes' support vectors add.

    A vector has a coefficient for each other class, so most of the weights are zeros: what is stored is the
    coefficients, and which of them, or the zero behind them, a class's vectors have in a decision.
    """
    count = len(model.classes_)
    of_class = np.repeat(np.arange(count), model._n_support)
    coefficients = np.column_stack([model._dual_coef_.T, np.zeros(len(of_class))])
    which = np.full((count, count * (count - 1) // 2), count - 1)
    for pair, (first, second) in enumerate(combinations(range(count), 2)):
        which[first, pair] = second - 1
        which[second, pair] = first

    def stored(graph: Graph) -> str:
        columns = graph.add("Gather", graph.constant(which), graph.constant(of_class))
        return graph.add("GatherElements", graph.constant(coefficients), columns, axis=1)

    return Sums(np.take_along_axis(coefficients, which[of_class], axis=1), bias, stored)


def _many(model: Any, graph: Graph, decisions: str, schema: Schema) -> None:
    count = len(schema.classes)
    wins = np.zeros((count * (count - 1) // 2, count))
    start = np.zeros(count)
    for pair, (first, second) in enumerate(combinations(range(count), 2)):
        wins[pair, [first, second]] = -1, 1
        start[first] += 1
    lost = graph.add("LessOrEqual", decisions, graph.constant(np.zeros(1)))
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
