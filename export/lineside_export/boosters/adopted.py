"""Boosters behind scikit-learn's methods: what the rest of the exporter describes, asks and compares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin


class Facts(NamedTuple):
    """What is known about a booster.

    name: what to call it. features, names: its inputs; no names if it was trained without any. classes: none for
    values. answer: from float64 rows (n, features) to values (n,) or (n, targets), or probabilities (n, classes).
    """

    name: str
    features: int
    names: tuple[str, ...]
    classes: tuple[Any, ...]
    answer: Callable[[NDArray[np.float64]], NDArray[Any]]


class _Adopted(BaseEstimator):  # type: ignore[misc]  # scikit-learn says no types
    def __init__(self, booster: Any, facts: Facts) -> None:
        self.booster = booster
        self.facts = facts
        self.stands_for = facts.name
        self.n_features_in_ = facts.features
        if facts.names:
            self.feature_names_in_ = np.array(facts.names, dtype=object)

    def fit(self, rows: NDArray[Any], target: NDArray[Any]) -> Any:
        """Refuse: it is trained already. scikit-learn takes nothing for an estimator that has no `fit`."""
        del rows, target
        raise TypeError(f"{self.stands_for} is trained already.")


class AdoptedRegressor(RegressorMixin, _Adopted):  # type: ignore[misc]
    """A booster that answers values; a ranker's are its scores."""

    def predict(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return values, shape (n,) or (n, targets)."""
        return self.facts.answer(rows)


class AdoptedClassifier(ClassifierMixin, _Adopted):  # type: ignore[misc]
    """A booster that answers classes."""

    def __init__(self, booster: Any, facts: Facts) -> None:
        super().__init__(booster, facts)
        self.classes_ = np.array(facts.classes)

    def predict_proba(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return probabilities, shape (n, classes)."""
        return self.facts.answer(rows)

    def predict(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the most probable class of each row; of equal ones the first."""
        found: NDArray[Any] = self.classes_[self.predict_proba(rows).argmax(axis=1)]
        return found


def adopted(booster: Any, facts: Facts) -> Any:
    """Return an estimator for a booster: a classifier if it has classes."""
    kind = AdoptedClassifier if facts.classes else AdoptedRegressor
    return kind(booster, facts)


def two_columns(chances: NDArray[Any]) -> NDArray[Any]:
    """Return both classes' probabilities, (n, 2), for the second's, (n,)."""
    return np.column_stack([1 - chances, chances])
