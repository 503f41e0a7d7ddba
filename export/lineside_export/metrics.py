"""How good the answers are, by the truth in the user's rows, and how much like the original's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Answers
from lineside_export.check import limits, spread

# Two values agree if they lie within this share of the original's standard deviation.
AGREEMENT_SPREAD = 0.05


class Metric(NamedTuple):
    """A measure of answers against the truth; larger is better."""

    name: str
    of: Callable[[Answers, NDArray[Any]], float]


def metrics_for(task: str, has_target: bool) -> list[Metric]:
    """Return the metrics of a task, the one that decides first; none if there is no truth to measure by."""
    return _METRICS.get(task, []) if has_target else []


def agreement(original: Answers, answers: Answers) -> float:
    """Return the share of rows with the original's label, or with values within AGREEMENT_SPREAD of it."""
    if original.label is not None and answers.label is not None:
        return float(np.mean(answers.label.astype(original.label.dtype) == original.label))
    want, got = original.values, answers.values
    if want is None or got is None:
        return 0.0
    # An output that hardly varies agrees where it is exact.
    near = np.maximum(AGREEMENT_SPREAD * spread(want), limits(original)["values"])
    close = np.abs(got - want) <= near
    return float(np.mean(close.all(axis=1)))


def largest_difference(original: Answers, answers: Answers) -> float:
    """Return how far any probability lies from the original's, or value or score in standard deviations."""
    if original.probabilities is not None and answers.probabilities is not None:
        return float(np.max(np.abs(answers.probabilities - original.probabilities)))
    want, got = (
        (original.values, answers.values)
        if original.values is not None
        else (original.scores, answers.scores)
    )
    if want is None or got is None:
        return 0.0
    varies = spread(want)
    return float(np.max(np.abs(got - want) / np.where(varies > 0, varies, 1)))


def _labels(answers: Answers, truth: NDArray[Any]) -> NDArray[Any]:
    labels = np.asarray(answers.label)
    return labels.astype(str) if truth.dtype.kind == "U" else labels


def _accuracy(answers: Answers, truth: NDArray[Any]) -> float:
    return float(np.mean(_labels(answers, truth) == truth))


def _macro_f1(answers: Answers, truth: NDArray[Any]) -> float:
    from sklearn.metrics import f1_score  # noqa: PLC0415  a second to import

    return float(f1_score(truth, _labels(answers, truth), average="macro", zero_division=0))


def _outlier_f1(answers: Answers, truth: NDArray[Any]) -> float:
    from sklearn.metrics import f1_score  # noqa: PLC0415

    return float(f1_score(truth == -1, np.asarray(answers.label) == -1, zero_division=0))


def _r2(answers: Answers, truth: NDArray[Any]) -> float:
    from sklearn.metrics import r2_score  # noqa: PLC0415

    return float(r2_score(truth, np.asarray(answers.values)))


def _minus_error(answers: Answers, truth: NDArray[Any]) -> float:
    return -float(np.mean(np.abs(np.asarray(answers.values) - truth)))


_METRICS = {
    "classification": [Metric("accuracy", _accuracy), Metric("macro F1", _macro_f1)],
    "regression": [Metric("R2", _r2), Metric("minus mean absolute error", _minus_error)],
    "outlier": [Metric("F1 of outliers", _outlier_f1), Metric("accuracy", _accuracy)],
}
