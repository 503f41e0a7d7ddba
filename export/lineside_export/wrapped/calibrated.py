"""CalibratedClassifierCV: the mean over its folds of what each one's calibrators make of a classifier's scores.

Platt, "Probabilistic Outputs for Support Vector Machines", 1999; Zadrozny and Elkan, "Transforming Classifier
Scores into Accurate Multiclass Probability Estimates", KDD 2002; Guo et al., "On Calibration of Modern Neural
Networks", ICML 2017 (temperature).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lineside_export.wrapped.stairs import stairs
from lineside_export.wrapped.writer import Rows, Writer

# What scikit-learn adds to a probability before it takes its logarithm.
_TINY = 1e-12


def calibrated_probabilities(writer: Writer, model: Any, rows: Rows) -> str:
    """The mean over the folds."""
    folds = model.calibrated_classifiers_
    if all(fold.method != "temperature" and _is_whole(fold) for fold in folds):
        return _all_at_once(writer, folds, rows)
    parts = [_fold(writer, fold, rows) for fold in folds]
    return writer.mixed(parts, [1 / len(parts)] * len(parts), len(model.classes_))


def calibrated_label(writer: Writer, model: Any, rows: Rows) -> str:
    """The class with the largest mean."""
    return writer.graph.best(writer.probabilities(model, rows))


def _is_whole(fold: Any) -> bool:
    """Tell whether no class is missing from a fold."""
    return len(fold.estimator.classes_) == len(fold.classes)


def _all_at_once(writer: Writer, folds: Sequence[Any], rows: Rows) -> str:
    """Return the mean of folds whose calibrators, one a column, are computed all at once."""
    graph, classes = writer.graph, len(folds[0].classes)
    calibrators = [each for fold in folds for each in fold.calibrators]
    parts = [
        writer.evidence(fold.estimator, rows) if classes == 2 else _evidence(writer, fold.estimator, rows)
        for fold in folds
    ]
    whole = writer.beside(parts, len(calibrators)).name
    curves = _logistic if hasattr(calibrators[0], "a_") else stairs
    chances = curves(writer, calibrators, whole)
    share = 1 / len(folds)
    if classes == 2:
        return graph.product(chances, np.tile([[-share, share]], (len(folds), 1)), np.array([1.0, 0.0]))
    if len(folds) == 1:
        return _shares(writer, chances, classes)
    # Each fold's columns by themselves, of which each gets its share: (n, folds, classes).
    apart = graph.add("Reshape", chances, graph.constant(np.array([-1, len(folds), classes])))
    return graph.add("ReduceMean", _shares(writer, apart, classes), graph.constant(np.array([1])), keepdims=0)


def _logistic(writer: Writer, calibrators: Sequence[Any], columns: str) -> str:
    graph = writer.graph
    slopes, offsets = (
        graph.constant(-np.array([float(getattr(each, name)) for each in calibrators]))
        for name in ("a_", "b_")
    )
    return graph.add("Sigmoid", graph.add("Add", graph.add("Mul", columns, slopes), offsets))


def _fold(writer: Writer, fold: Any, rows: Rows) -> str:
    if fold.method == "temperature":
        return _tempered(writer, fold, rows)
    places = np.searchsorted(fold.classes, fold.estimator.classes_)
    classes = len(fold.classes)
    if classes == 2:
        second = _calibrated(writer, fold.calibrators[0], writer.evidence(fold.estimator, rows))
        return writer.graph.product(second, np.array([[-1.0, 1.0]]), np.array([1.0, 0.0]))
    columns = _evidence(writer, fold.estimator, rows)
    parts = [
        _calibrated(writer, calibrator, writer.column(columns, index))
        for index, calibrator in enumerate(fold.calibrators)
    ]
    whole = writer.graph.product(writer.beside(parts, len(parts)).name, np.eye(classes)[places])
    return _shares(writer, whole, classes)


def _evidence(writer: Writer, estimator: Any, rows: Rows) -> str:
    if hasattr(estimator, "decision_function"):
        return writer.scores(estimator, rows)
    return writer.probabilities(estimator, rows)


def _calibrated(writer: Writer, calibrator: Any, scores: str) -> str:
    """Return one class's probability, (n, 1)."""
    if not hasattr(calibrator, "a_"):
        return writer.values(calibrator, Rows(scores, 1))
    slope, offset = np.array([[-float(calibrator.a_)]]), np.array([-float(calibrator.b_)])
    return writer.graph.add("Sigmoid", writer.graph.product(scores, slope, offset))


def _shares(writer: Writer, columns: str, classes: int) -> str:
    """Return each column's share of their sum, equal shares if all are zero; the classes are the last axis."""
    graph = writer.graph
    total = graph.add("ReduceSum", columns, graph.constant(np.array([-1])), keepdims=1)
    nothing = graph.add("Equal", total, graph.constant(np.zeros(1)))
    share = graph.add("Div", columns, graph.add("Where", nothing, graph.constant(np.ones(1)), total))
    return graph.add("Where", nothing, graph.constant(np.full(1, 1 / classes)), share)


def _tempered(writer: Writer, fold: Any, rows: Rows) -> str:
    graph, classes = writer.graph, len(fold.classes)
    if hasattr(fold.estimator, "decision_function"):
        scores = writer.scores(fold.estimator, rows)
        logits = writer.sides(scores) if classes == 2 else scores
    else:
        chances = writer.probabilities(fold.estimator, rows)
        logits = graph.add("Log", graph.add("Add", chances, graph.constant(np.array([_TINY]))))
    return graph.add("Softmax", writer.times(logits, float(fold.calibrators[0].beta_)))
