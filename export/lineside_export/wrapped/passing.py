"""Models that pass on what one member answers: with another threshold, of chosen columns, or as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from lineside_contract.errors import InputError
from lineside_export.thresholds import threshold_of
from lineside_export.wrapped.writer import Rows, Writer


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
    at = threshold_of(model)
    if at is None:
        raise InputError(f"{type(model).__name__} has no decision threshold.")
    if at.field == "probabilities":
        score = writer.column(writer.probabilities(member, rows), at.column)
    else:
        second = writer.scores(member, rows)
        score = second if at.column else graph.add("Neg", second)
    # The votes of a forest are often exactly at the threshold, but for what float32 makes of them.
    threshold = at.value - (at.rounding if at.field == "probabilities" else 0.0)
    reached = graph.add("GreaterOrEqual", score, graph.constant(np.array([threshold], np.float32)))
    number = graph.add("Cast", reached, to=TensorProto.INT64)
    flat = graph.add("Squeeze", number, graph.constant(np.array([1])))
    return flat if at.column else graph.add("Sub", graph.constant(np.array([1])), flat)


def _only(model: Any) -> Any:
    return getattr(model, "estimator_", model.estimator)


def _shown(writer: Writer, model: Any, rows: Rows) -> Rows:
    chosen = getattr(model, "support_", None)
    return rows if chosen is None or not hasattr(model, "ranking_") else writer.chosen(rows, chosen)
