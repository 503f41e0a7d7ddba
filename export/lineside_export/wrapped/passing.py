"""Models that pass on what one member answers: with another threshold, of chosen columns, or as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from lineside_export.wrapped.writer import Rows, Writer

# How far a float32 probability that is a sum may lie below what it stands for.
_ROUNDING = 1e-7


def same_label(writer: Writer, model: Any, rows: Rows) -> str:
    """The member's."""
    return writer.label(_only(model), _shown(writer, model, rows))


def same_probabilities(writer: Writer, model: Any, rows: Rows) -> str:
    """The member's."""
    return writer.probabilities(_only(model), _shown(writer, model, rows))


def same_scores(writer: Writer, model: Any, rows: Rows) -> str:
    """The member's."""
    return writer.scores(_only(model), _shown(writer, model, rows))


def same_values(writer: Writer, model: Any, rows: Rows) -> str:
    """The member's."""
    return writer.values(_only(model), _shown(writer, model, rows))


def threshold_label(writer: Writer, model: Any, rows: Rows) -> str:
    """The positive class where its score reaches the decision threshold, which is no tie of probabilities."""
    graph, member = writer.graph, _only(model)
    positive = 1 if (label := _positive(model)) is None else int(np.flatnonzero(model.classes_ == label)[0])
    by_chance = model.response_method != "decision_function" and hasattr(member, "predict_proba")
    if by_chance:
        score = writer.column(writer.probabilities(member, rows), positive)
    else:
        second = writer.scores(member, rows)
        score = second if positive else graph.add("Neg", second)
    stated = getattr(model, "best_threshold_", getattr(model, "threshold", "auto"))
    threshold = float(stated if stated != "auto" else 0.5 if by_chance else 0.0)
    # The votes of a forest are often exactly at the threshold, but for what float32 makes of them.
    threshold -= _ROUNDING if by_chance else 0.0
    reached = graph.add("GreaterOrEqual", score, graph.constant(np.array([threshold], np.float32)))
    number = graph.add("Cast", reached, to=TensorProto.INT64)
    flat = graph.add("Squeeze", number, graph.constant(np.array([1])))
    return flat if positive else graph.add("Sub", graph.constant(np.array([1])), flat)


def _positive(model: Any) -> Any:
    if hasattr(model, "_curve_scorer"):
        return model._curve_scorer._get_pos_label()
    return model.pos_label


def _only(model: Any) -> Any:
    return getattr(model, "estimator_", model.estimator)


def _shown(writer: Writer, model: Any, rows: Rows) -> Rows:
    chosen = getattr(model, "support_", None)
    return rows if chosen is None or not hasattr(model, "ranking_") else writer.chosen(rows, chosen)
