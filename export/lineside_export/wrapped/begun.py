"""Gradient boosting that begins with an estimator's answers: those, and the sums of the trees."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from lineside_export.wrapped.writer import Rows, Writer

# What scikit-learn keeps probabilities away from 0 and 1 by, before it takes their logarithms.
_TINY = float(np.finfo(np.float32).eps)


def begins_with_estimator(model: Any) -> bool:
    """Tell whether a fitted gradient boosting has an `init` that is no constant."""
    first = getattr(model, "init_", None)
    boosted = type(model).__name__ in ("GradientBoostingClassifier", "GradientBoostingRegressor")
    return boosted and hasattr(first, "predict") and not type(first).__name__.startswith("Dummy")


def begun_values(writer: Writer, model: Any, rows: Rows) -> str:
    """The estimator's value and the trees'."""
    return writer.graph.add(
        "Add", writer.values(model.init_, rows), writer.values(_rest(writer, model), rows)
    )


def begun_scores(writer: Writer, model: Any, rows: Rows) -> str:
    """The estimator's probabilities as scores, and the trees'."""
    return writer.graph.add("Add", _first(writer, model, rows), writer.scores(_rest(writer, model), rows))


def begun_label(writer: Writer, model: Any, rows: Rows) -> str:
    """The class with the largest score; of two, the second if its score is not negative."""
    scores = begun_scores(writer, model, rows)
    if len(model.classes_) > 2:
        return writer.graph.best(scores)
    return writer.graph.add("ArgMax", writer.sides(scores), axis=1, keepdims=0, select_last_index=1)


def begun_probabilities(writer: Writer, model: Any, rows: Rows) -> str:
    """The loss's link: a logistic function, of twice the score for the exponential loss, or the softmax."""
    scores = begun_scores(writer, model, rows)
    if len(model.classes_) > 2:
        return writer.graph.add("Softmax", scores)
    sides = writer.sides(scores)
    return writer.graph.add("Softmax", sides if model.loss == "exponential" else writer.times(sides, 0.5))


def _first(writer: Writer, model: Any, rows: Rows) -> str:
    graph = writer.graph
    chances = writer.probabilities(model.init_, rows)
    low, high = (graph.constant(np.array(bound)) for bound in (_TINY, 1 - _TINY))
    logs = graph.add("Log", graph.add("Min", graph.add("Max", chances, low), high))
    if len(model.classes_) > 2:
        mean = graph.add("ReduceMean", logs, graph.constant(np.array([1])), keepdims=1)
        return graph.add("Sub", logs, mean)
    # The logit, or for the exponential loss half of it.
    factor = 0.5 if model.loss == "exponential" else 1.0
    return graph.product(logs, factor * np.array([[-1.0], [1.0]]))


def _rest(writer: Writer, model: Any) -> Any:
    """Return the same trees beginning with nothing."""
    return writer.once(model, _without_first)


def _without_first(model: Any) -> Any:
    rest = copy.copy(model)
    rest.init_ = "zero"
    return rest
