"""How close an answer is to another label: where two honest computations may disagree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Answers
from lineside_contract.manifest import Task
from lineside_export.thresholds import Threshold

_SCORED = ("probabilities", "scores")


def tied(
    answers: Answers, task: Task, limits: dict[str, NDArray[Any]], threshold: Threshold | None = None
) -> NDArray[np.bool_]:
    """Tell for each row whether its label could turn if every output moved by its limit.

    limits: by field of Answers, the same shape as that field, or broadcasting to it. All False for values.
    threshold: what the model decides by, if not by its best column.
    """
    first = next(field for field in answers if field is not None)
    found = np.zeros(len(first), bool)
    for name in _SCORED:
        columns = getattr(answers, name)
        if columns is not None and name in limits:
            limit = np.broadcast_to(limits[name], columns.shape).max(axis=1)
            if threshold is not None:
                found |= threshold.within(columns, limit) if name == threshold.field else False
                continue
            nearest = task == "clustering" and name == "scores"
            found |= _lead(np.asarray(columns), nearest=nearest) <= 2 * limit
    return found


def _lead(columns: NDArray[Any], *, nearest: bool) -> NDArray[Any]:
    """Return by how much the best column leads the second; of a single column, its distance from zero."""
    if columns.shape[1] == 1:
        alone: NDArray[Any] = np.abs(columns[:, 0])
        return alone
    ordered = np.sort(-columns if nearest else columns, axis=1)
    lead: NDArray[Any] = ordered[:, -1] - ordered[:, -2]
    return lead
