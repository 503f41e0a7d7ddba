"""Members that vote: voting, bagging and AdaBoost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from lineside_export.wrapped.writer import Rows, Writer

_SINGLE_TREES = frozenset({"DecisionTreeRegressor", "ExtraTreeRegressor"})


def vote_label(writer: Writer, model: Any, rows: Rows) -> str:
    """The class with most votes, or with the largest mean probability."""
    if model.voting == "soft":
        return writer.graph.best(writer.probabilities(model, rows))
    labels = [writer.label(member, rows) for member in model.estimators_]
    return writer.graph.best(_votes(writer, labels, _weights(model), len(model.classes_)))


def vote_probabilities(writer: Writer, model: Any, rows: Rows) -> str:
    """The weighted mean."""
    parts = [writer.probabilities(member, rows) for member in model.estimators_]
    return writer.mixed(parts, _share(_weights(model)), len(model.classes_))


def vote_values(writer: Writer, model: Any, rows: Rows) -> str:
    """The weighted mean."""
    parts = [writer.values(member, rows) for member in model.estimators_]
    return writer.mixed(parts, _share(_weights(model)), 1)


def bag_probabilities(writer: Writer, model: Any, rows: Rows) -> str:
    """The mean, of votes if the members have no probabilities."""
    classes, count = len(model.classes_), len(model.estimators_)
    shown = [writer.chosen(rows, columns) for columns in model.estimators_features_]
    if not hasattr(model.estimators_[0], "predict_proba"):
        labels = [
            writer.graph.add("Gather", writer.graph.constant(np.asarray(member.classes_, np.int64)), label)
            for member, seen in zip(model.estimators_, shown, strict=True)
            for label in [writer.label(member, seen)]
        ]
        votes = _votes(writer, labels, [1 / count] * count, classes)
        return writer.number(votes)
    parts = []
    for member, seen in zip(model.estimators_, shown, strict=True):
        found = writer.probabilities(member, seen)
        if len(member.classes_) < classes:  # a sample may lack a class
            found = writer.graph.product(found, np.eye(classes)[np.asarray(member.classes_, int)])
        parts.append(found)
    return writer.mixed(parts, [1 / count] * count, classes)


def bag_label(writer: Writer, model: Any, rows: Rows) -> str:
    """The class with the largest mean."""
    return writer.graph.best(writer.probabilities(model, rows))


def bag_scores(writer: Writer, model: Any, rows: Rows) -> str:
    """The mean."""
    classes, count = len(model.classes_), len(model.estimators_)
    seen = [writer.chosen(rows, columns) for columns in model.estimators_features_]
    parts = [writer.scores(*each) for each in zip(model.estimators_, seen, strict=True)]
    return writer.mixed(parts, [1 / count] * count, 1 if classes == 2 else classes)


def bag_values(writer: Writer, model: Any, rows: Rows) -> str:
    """The mean."""
    seen = [writer.chosen(rows, columns) for columns in model.estimators_features_]
    parts = [writer.values(*each) for each in zip(model.estimators_, seen, strict=True)]
    width = np.asarray(model.estimators_[0].predict(np.zeros((2, seen[0].width)))).reshape(2, -1).shape[1]
    return writer.mixed(parts, [1 / len(parts)] * len(parts), width)


def boost_scores(writer: Writer, model: Any, rows: Rows) -> str:
    """Zhu et al., "Multi-class AdaBoost", Statistics and Its Interface 2009 (SAMME)."""
    classes, weights = len(model.classes_), np.asarray(model.estimator_weights_, np.float64)
    labels = [writer.label(member, rows) for member in model.estimators_]
    weights = weights[: len(labels)] / model.estimator_weights_.sum()
    votes = writer.number(_votes(writer, labels, weights.tolist(), classes))
    # A member gives its weight w to its class, and -w / (classes - 1) to every other one.
    factor, others = classes / (classes - 1), -weights.sum() / (classes - 1)
    scores = writer.graph.product(votes, np.eye(classes) * factor, np.full(classes, others))
    return writer.graph.product(scores, np.array([[-1.0], [1.0]])) if classes == 2 else scores


def boost_label(writer: Writer, model: Any, rows: Rows) -> str:
    """The class with the largest score; of two, the second only if it is larger."""
    scores = writer.scores(model, rows)
    return writer.graph.best(writer.sides(scores) if len(model.classes_) == 2 else scores)


def boost_probabilities(writer: Writer, model: Any, rows: Rows) -> str:
    """The softmax of the scores."""
    classes, scores = len(model.classes_), writer.scores(model, rows)
    whole = (
        writer.times(writer.sides(scores), 0.5) if classes == 2 else writer.times(scores, 1 / (classes - 1))
    )
    return writer.graph.add("Softmax", whole)


def boost_values(writer: Writer, model: Any, rows: Rows) -> str:
    """The weighted median of the members' values (Drucker, "Improving regressors using boosting", ICML 1997)."""
    graph, count = writer.graph, len(model.estimators_)
    if all(type(member).__name__ in _SINGLE_TREES for member in model.estimators_):
        whole = writer.each_tree(model.estimators_, rows)
    else:
        whole = writer.beside([writer.values(member, rows) for member in model.estimators_], count).name
    values, order = graph.largest(whole, count, smallest=True)
    weights = np.asarray(model.estimator_weights_[:count], np.float64)
    sums = graph.add("CumSum", _doubles(writer, weights, order), graph.constant(np.array(1)))
    reached = graph.add("GreaterOrEqual", sums, _double(writer, np.array([0.5 * weights.sum()])))
    first = graph.add("ArgMax", writer.number(reached), axis=1, keepdims=1)
    return graph.add("GatherElements", values, first, axis=1)


def _votes(writer: Writer, labels: Sequence[str], weights: Sequence[float], classes: int) -> str:
    """Return the weight that each class has, float64 (n, classes): equal votes stay equal."""
    graph = writer.graph
    last = graph.constant(np.array([1]))
    whole = [graph.add("Unsqueeze", label, last) for label in labels]
    each = graph.add("Concat", *whole, axis=1) if len(whole) > 1 else whole[0]
    equal = graph.add(
        "Equal",
        graph.add("Unsqueeze", each, graph.constant(np.array([2]))),
        graph.constant(np.arange(classes)),
    )
    weight = _double(writer, np.asarray(weights, np.float64)[:, None])
    votes = graph.add("Mul", writer.number(equal, TensorProto.DOUBLE), weight)
    return graph.add("ReduceSum", votes, graph.constant(np.array([1])), keepdims=0)


def _doubles(writer: Writer, values: Any, order: str) -> str:
    return writer.graph.add("Gather", _double(writer, values), order)


def _double(writer: Writer, values: Any) -> str:
    kind, writer.graph.kind = writer.graph.kind, np.dtype(np.float64)
    try:
        return writer.graph.constant(values)
    finally:
        writer.graph.kind = kind


def _weights(model: Any) -> list[float]:
    weights = model._weights_not_none
    return [1.0] * len(model.estimators_) if weights is None else [float(weight) for weight in weights]


def _share(weights: Sequence[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]
