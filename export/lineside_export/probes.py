"""Rows made to hurt: where a conversion goes wrong if it goes wrong anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_export.trees.inside import splits
from lineside_export.trees.write import seen_splits

# Each threshold gives three rows; a forest has a hundred thousand, of which these many are tried.
MOST_THRESHOLDS = 2000


def probes(model: Any, inputs: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Return rows at the edges, shape (n, features): extremes, zeros, tree thresholds and their neighbours."""
    generator = np.random.default_rng(seed)
    found = [_extremes(inputs), _thresholds(model, inputs, generator)]
    if np.isnan(inputs).any():
        found.append(_missing(inputs))
    return np.ascontiguousarray(np.concatenate(found), dtype=np.float32)


def _extremes(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each feature alone at its ends and its range beyond them, and all of them together."""
    low, high = _range(inputs)
    middle = np.nan_to_num(np.nanmedian(inputs, axis=0)).astype(np.float32)
    ends = [low, high, 2 * low - high, 2 * high - low, np.zeros_like(low)]
    rows = [middle, *ends]
    for feature in range(inputs.shape[1]):
        for end in ends:
            row = middle.copy()
            row[feature] = end[feature]
            rows.append(row)
    return np.array(rows, np.float32)


def _thresholds(
    model: Any, inputs: NDArray[np.float32], generator: np.random.Generator
) -> NDArray[np.float32]:
    """A feature exactly on a tree's threshold, and one float32 below and above it, in rows of the data.

    That is in terms of the input: scalers before the trees are undone, other steps leave no threshold to try.
    """
    found = seen_splits(model, inputs.shape[1])
    if found is None:
        found = splits(model)
    if not found:
        return np.empty((0, inputs.shape[1]), np.float32)
    features = np.concatenate([split.features for split in found])
    thresholds = np.concatenate([split.thresholds for split in found])
    if len(features) > MOST_THRESHOLDS:
        chosen = generator.choice(len(features), MOST_THRESHOLDS, replace=False)
        features, thresholds = features[chosen], thresholds[chosen]
    at = thresholds.astype(np.float32)
    values = [at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))]
    rows = inputs[generator.integers(len(inputs), size=3 * len(at))].copy()
    rows[np.arange(len(rows)), np.tile(features, 3)] = np.concatenate(values)
    kept: NDArray[np.float32] = rows[~np.isinf(rows).any(axis=1)]
    return kept


def _missing(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each feature that is missing somewhere in the data, missing in the first rows."""
    missing = np.flatnonzero(np.isnan(inputs).any(axis=0))
    rows = np.repeat(inputs[:20], len(missing), axis=0)
    rows[np.arange(len(rows)), np.tile(missing, len(inputs[:20]))] = np.nan
    return rows


def _range(inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    known = np.where(np.isnan(inputs).all(axis=0), np.float32(0), inputs)
    return np.nanmin(known, axis=0), np.nanmax(known, axis=0)
