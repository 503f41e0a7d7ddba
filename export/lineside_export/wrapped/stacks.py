"""Models that see what others answer: stacking, chains, several targets, transformed targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lineside_export.wrapped.targets import inverse
from lineside_export.wrapped.writer import Rows, Writer


def stack_label(writer: Writer, model: Any, rows: Rows) -> str:
    """The final estimator's, which was trained on the numbers of the classes."""
    return writer.label(model.final_estimator_, _stacked(writer, model, rows))


def stack_probabilities(writer: Writer, model: Any, rows: Rows) -> str:
    """The final estimator's."""
    return writer.probabilities(model.final_estimator_, _stacked(writer, model, rows))


def stack_scores(writer: Writer, model: Any, rows: Rows) -> str:
    """The final estimator's."""
    return writer.scores(model.final_estimator_, _stacked(writer, model, rows))


def stack_values(writer: Writer, model: Any, rows: Rows) -> str:
    """The final estimator's."""
    return writer.values(model.final_estimator_, _stacked(writer, model, rows))


def _stacked(writer: Writer, model: Any, rows: Rows) -> Rows:
    parts, width = [], 0
    for member, method in zip(model.estimators_, model.stack_method_, strict=True):
        part, columns = _part(writer, member, method, rows)
        parts.append(part)
        width += columns
    if model.passthrough:
        seen = writer.columns(rows)
        parts.append(seen.name)
        width += seen.width
    return writer.beside(parts, width)


def _part(writer: Writer, member: Any, method: str, rows: Rows) -> tuple[str, int]:
    """Return what the final estimator sees of a member, and how many columns that are."""
    classes = len(getattr(member, "classes_", ()))
    if not classes:
        return writer.values(member, rows), 1
    if method == "predict_proba":
        found = writer.probabilities(member, rows)
        return (writer.column(found, 1), 1) if classes == 2 else (found, classes)
    if method == "decision_function":
        return writer.scores(member, rows), 1 if classes == 2 else classes
    label = writer.graph.add("Unsqueeze", writer.label(member, rows), writer.graph.constant(np.array([1])))
    return writer.number(label), 1


def chain_values(writer: Writer, model: Any, rows: Rows) -> str:
    """Each member sees what those before it answered."""
    seen = writer.columns(rows)
    found: list[str] = []
    for member in model.estimators_:
        whole = writer.beside([seen.name, *found], seen.width + len(found))
        found.append(writer.values(member, whole))
    return writer.chosen(writer.beside(found, len(found)), np.argsort(model.order_)).name


def several_values(writer: Writer, model: Any, rows: Rows) -> str:
    """One member for each target."""
    parts = [writer.values(member, rows) for member in model.estimators_]
    return writer.beside(parts, len(parts)).name


def target_values(writer: Writer, model: Any, rows: Rows) -> str:
    """What the regressor answers, transformed back."""
    undo: Callable[[Writer, str], str] = inverse(model.transformer_)
    return undo(writer, writer.values(model.regressor_, rows))
