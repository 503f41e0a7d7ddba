"""Classifiers of two classes that decide by a threshold of their own, not by which class is likelier."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

# How far a float32 probability that is a sum may lie below what it stands for; of itself if it is small.
_ROUNDING, _RELATIVE = 1e-7, 1e-5
# The same for a score, of the threshold.
_OF_SCORE = 1e-6
_FAMILIES = frozenset({"FixedThresholdClassifier", "TunedThresholdClassifierCV"})


class Threshold(NamedTuple):
    """The class in `column` is answered where its output, a field of Answers, is at least `value`."""

    field: Literal["probabilities", "scores"]
    column: int
    value: float

    @property
    def rounding(self) -> float:
        """What float32 may be off by at the threshold."""
        if self.field == "scores":
            return _OF_SCORE * abs(self.value)
        return min(_ROUNDING, _RELATIVE * abs(self.value))

    def within(self, columns: NDArray[Any], limit: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell for each row, (n, columns), whether the threshold is within its limit, (n,)."""
        near: NDArray[np.bool_] = np.abs(columns[:, self.column] - self.value) <= limit
        return near


def threshold_of(model: Any) -> Threshold | None:
    """Return by what threshold a fitted model decides, inside pipelines, searches and frozen estimators."""
    if hasattr(model, "best_estimator_"):
        return threshold_of(model.best_estimator_)
    if hasattr(model, "steps"):
        return threshold_of(model.steps[-1][1])
    if type(model).__name__ == "FrozenEstimator":
        return threshold_of(model.estimator)
    if type(model).__name__ not in _FAMILIES:
        return None
    member = getattr(model, "estimator_", model.estimator)
    by_chance = model.response_method != "decision_function" and hasattr(member, "predict_proba")
    stated = getattr(model, "best_threshold_", getattr(model, "threshold", "auto"))
    value = float(stated) if stated != "auto" else 0.5 if by_chance else 0.0
    label = _positive(model)
    column = 1 if label is None else int(np.flatnonzero(model.classes_ == label)[0])
    return Threshold("probabilities" if by_chance else "scores", column, value)


def _positive(model: Any) -> Any:
    if hasattr(model, "_curve_scorer"):
        return model._curve_scorer._get_pos_label()
    return model.pos_label
