"""Several classes by models of two: one against the rest, one against one, and codes."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from lineside_export.wrapped.writer import Rows, Writer


def rest_label(writer: Writer, model: Any, rows: Rows) -> str:
    """The class whose member is surest; of two classes, the second if the only member says so."""
    if len(model.estimators_) == 1:
        return _second(writer, model.estimators_[0], writer.evidence(model.estimators_[0], rows))
    parts = [_sure(writer, member, rows) for member in model.estimators_]
    return writer.graph.best(writer.beside(parts, len(parts)).name)


def rest_probabilities(writer: Writer, model: Any, rows: Rows) -> str:
    """Each member's probability, as a share of their sum."""
    graph = writer.graph
    parts = [_chance(writer, member, rows) for member in model.estimators_]
    if len(parts) == 1:
        return graph.product(parts[0], np.array([[-1.0, 1.0]]), np.array([1.0, 0.0]))
    whole = writer.beside(parts, len(parts)).name
    total = graph.add("ReduceSum", whole, graph.constant(np.array([1])), keepdims=1)
    nothing = graph.add("Equal", total, graph.constant(np.zeros(1)))
    return graph.add("Div", whole, graph.add("Where", nothing, graph.constant(np.ones(1)), total))


def rest_scores(writer: Writer, model: Any, rows: Rows) -> str:
    """Each member's score."""
    parts = [_sure(writer, member, rows) for member in model.estimators_]
    return writer.beside(parts, len(parts)).name


def one_scores(writer: Writer, model: Any, rows: Rows) -> str:
    """Votes of the pairs, and how sure they are as less than a vote."""
    graph, classes = writer.graph, len(model.classes_)
    shown = model.pairwise_indices_ or [None] * len(model.estimators_)
    seen = [rows if columns is None else writer.chosen(rows, columns) for columns in shown]
    pairs = list(zip(model.estimators_, seen, strict=True))
    sure = writer.beside([writer.evidence(*pair) for pair in pairs], len(pairs)).name
    last = graph.constant(np.array([1]))
    labels = [graph.add("Unsqueeze", writer.label(*pair), last) for pair in pairs]
    said = writer.number(writer.beside(labels, len(pairs)).name)
    first, second = np.zeros((2, len(pairs), classes))
    for index, (low, high) in enumerate(combinations(range(classes), 2)):
        first[index, low] = second[index, high] = 1
    votes = graph.product(said, second - first, first.sum(axis=0))
    sums = graph.product(sure, second - first)
    one = graph.constant(np.ones(1))
    size = writer.times(graph.add("Add", graph.add("Abs", sums), one), 3)
    scores = graph.add("Add", votes, graph.add("Div", sums, size))
    return writer.column(scores, 1) if classes == 2 else scores


def one_label(writer: Writer, model: Any, rows: Rows) -> str:
    """The class with most votes; of two classes, the second if its score is above that of no opinion."""
    scores = one_scores(writer, model, rows)
    if len(model.classes_) == 2:
        return _second(writer, model.estimators_[0], scores)
    return writer.graph.best(scores)


def code_label(writer: Writer, model: Any, rows: Rows) -> str:
    """The class whose code is nearest (Dietterich and Bakiri, JAIR 1995)."""
    whole = writer.beside(
        [_sure(writer, member, rows) for member in model.estimators_], len(model.estimators_)
    ).name
    code = np.asarray(model.code_book_, np.float64)
    # Of |y - c|^2 only 2 y c - |c|^2 depends on the class.
    return writer.graph.best(writer.graph.product(whole, 2 * code.T, -(code**2).sum(axis=1)))


def _second(writer: Writer, member: Any, evidence: str) -> str:
    """Return 1 where the evidence (n, 1) is above the middle, otherwise 0; int64 (n,)."""
    middle = 0.0 if hasattr(member, "decision_function") else 0.5
    graph = writer.graph
    above = graph.add("Greater", evidence, graph.constant(np.array([middle])))
    return graph.add("Squeeze", graph.add("Cast", above, to=7), graph.constant(np.array([1])))


def _sure(writer: Writer, member: Any, rows: Rows) -> str:
    if type(member).__name__ == "_ConstantPredictor":
        return _always(writer, rows, float(member.y_[0]))
    return writer.evidence(member, rows)


def _chance(writer: Writer, member: Any, rows: Rows) -> str:
    if type(member).__name__ == "_ConstantPredictor":
        return _always(writer, rows, float(member.y_[0]))
    return writer.column(writer.probabilities(member, rows), 1)


def _always(writer: Writer, rows: Rows, value: float) -> str:
    """Return a number for every row, (n, 1)."""
    graph = writer.graph
    shape = graph.add("Concat", graph.add("Shape", rows.name, end=1), graph.constant(np.array([1])), axis=0)
    return graph.add("Expand", graph.constant(np.array([[value]])), shape)
