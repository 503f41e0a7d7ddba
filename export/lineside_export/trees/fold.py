"""Scalers and imputers before trees, folded into the thresholds: exact, and nothing left to compute.

A scaler moves each feature by itself and never swaps two values, so the readings that scikit-learn sends left
of a threshold are those up to some float32. A search finds it with scikit-learn's own arithmetic: scaling in
float32, as a converted graph does, sends readings close to a threshold to the wrong side.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_export.trees.ensemble import Ensemble

# Correctly rounded additions, multiplications and clips per feature; an imputer leaves numbers as they are.
_FOLDED = frozenset({"StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "SimpleImputer"})
_LARGEST = np.finfo(np.float32).max
_SIGN = np.int64(-(2**31))


class Splits(NamedTuple):
    """Splits of some nodes, by their arrays in Nodes."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]


def fold(ensemble: Ensemble, steps: Sequence[Any], features: int) -> Ensemble | None:
    """Return an ensemble that takes what the steps take, or None if they cannot be folded into it."""
    if not steps:
        return ensemble
    if ensemble.categories or ensemble.absent or not all(foldable(step) for step in steps):
        return None
    nodes = ensemble.nodes
    inner = np.flatnonzero(nodes.inner)
    splits = Splits(nodes.feature[inner], nodes.threshold[inner], nodes.missing_left[inner])
    moved = through(steps, splits, features, single=ensemble.single)
    if moved is None:
        return None
    threshold, missing_left = np.zeros(len(nodes.threshold)), nodes.missing_left.copy()
    threshold[inner], missing_left[inner] = moved.threshold, moved.missing_left
    return ensemble._replace(nodes=nodes._replace(threshold=threshold, missing_left=missing_left))


def through(steps: Sequence[Any], splits: Splits, features: int, *, single: bool) -> Splits | None:
    """Return the splits of what the steps take, or None if a feature is lost on the way.

    features: how many the steps take and give. single: whether the trees see them as float32.
    """
    if not steps:
        return splits
    missing = _transform(steps, np.full((1, features), np.nan), single)
    if missing.shape[1] != features:  # an imputer drops a feature that it never saw
        return None
    moved = boundaries(steps, splits.feature, splits.threshold, features, single)
    # A missing reading goes where the value goes that an imputer puts in its place, if one does.
    filled = missing[0][splits.feature]
    missing_left = np.where(np.isnan(filled), splits.missing_left, filled <= splits.threshold)
    return splits._replace(threshold=moved, missing_left=missing_left)


def foldable(step: Any) -> bool:
    """Tell whether a step moves each feature by itself, and never swaps two values."""
    family = type(step)
    if family.__name__ not in _FOLDED or not family.__module__.startswith("sklearn."):
        return False
    if family.__name__ != "SimpleImputer":
        return True
    marker = step.missing_values
    return isinstance(marker, float) and bool(np.isnan(marker)) and not step.add_indicator


def _transform(steps: Sequence[Any], rows: NDArray[np.float64], single: bool) -> NDArray[np.float64]:
    """Let the steps transform rows as they do before trees, which may see the result as float32."""
    with np.errstate(over="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that rows have no column names: they are in the right order
        for step in steps:
            rows = np.asarray(step.transform(rows))
        return rows.astype(np.float32).astype(np.float64) if single else rows.astype(np.float64)


def boundaries(
    steps: Sequence[Any],
    feature: NDArray[np.int64],
    threshold: NDArray[np.float64],
    features: int,
    single: bool,
) -> NDArray[np.float64]:
    """Return for each threshold the largest float32 that the steps do not move above it, or -inf if none is."""
    pairs, which = np.unique(np.column_stack([feature, threshold]), axis=0, return_inverse=True)
    columns = pairs[:, 0].astype(np.int64)
    rows = np.arange(len(columns)) - np.searchsorted(columns, columns)
    wanted = np.full((rows.max(initial=-1) + 1, features), np.nan)
    wanted[rows, columns] = pairs[:, 1]
    low = np.full(wanted.shape, _order(np.float32(-_LARGEST)) - 1)
    high = np.full(wanted.shape, _order(np.float32(_LARGEST)))
    while (low < high).any():
        # Where not even the smallest fits, the search has ended below it: ask it again, to no effect.
        middle = np.maximum((low + high + 1) // 2, _order(np.float32(-_LARGEST)))
        fits = _transform(steps, _float(middle), single) <= wanted
        low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
    found = np.where(low < _order(np.float32(-_LARGEST)), -np.inf, _float(low))
    result: NDArray[np.float64] = found[rows, columns][which.ravel()]
    return result


def _order(value: np.float32) -> np.int64:
    """Return a float32's place on the number line: neighbours have neighbouring integers."""
    bits = np.int64(value.view(np.int32))
    return bits if bits >= 0 else _SIGN - bits


def _float(place: NDArray[np.int64]) -> NDArray[np.float64]:
    bits = np.where(place >= 0, place, _SIGN - place).astype(np.int32)
    return bits.view(np.float32).astype(np.float64)
