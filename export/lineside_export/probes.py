"""Rows made to hurt: where a conversion goes wrong if it goes wrong anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_contract.categories import MISSING, UNKNOWN
from lineside_contract.manifest import Channel
from lineside_export.trees.inside import splits
from lineside_export.wrapped.members import inner_splits

# Each threshold gives three rows; a forest has a hundred thousand, of which these many are tried.
MOST_THRESHOLDS = 2000
# Each feature gives five rows; of a long window so many are tried, evenly spread.
MOST_FEATURES = 1000
# And of a picture fewer: the rows are to fit into 128 MB.
_MOST_VALUES = 1 << 25
_ROWS_A_CODE = 5
# Each feature is missing in some rows, fewer of many features.
_ROWS_MISSING, _MOST_MISSING = 20, 2000


def probes(
    model: Any,
    inputs: NDArray[np.float32],
    seed: int,
    channels: Sequence[Channel] = (),
    *,
    missing: bool = False,
) -> NDArray[np.float32]:
    """Return rows at the edges, shape (n, features): extremes, zeros, tree thresholds and their neighbours.

    In a channel of text, of which there are none in windows, each category, and what the model takes besides.
    missing: each of the others missing, too.
    """
    generator = np.random.default_rng(seed)
    found = [_extremes(inputs), _thresholds(model, inputs, generator)]
    if missing:
        found.append(_missing(inputs))
    rows = np.ascontiguousarray(np.concatenate(found), dtype=np.float32)
    texts = [(column, channel) for column, channel in enumerate(channels) if channel.categories]
    for column, channel in texts:
        # Between the codes, and beyond them, there is nothing.
        rows[:, column] = np.round(np.clip(np.nan_to_num(rows[:, column]), 0, len(channel.categories) - 1))
    every = [_codes(inputs, column, channel) for column, channel in texts]
    return np.concatenate([rows, *every])


def _codes(inputs: NDArray[np.float32], column: int, channel: Channel) -> NDArray[np.float32]:
    """Every code of a channel of text, in some of the rows."""
    codes = [*range(len(channel.categories))]
    special = {"unknown": UNKNOWN, "missing": MISSING}
    codes += [code for name, code in special.items() if name not in channel.refuses]
    rows = np.repeat(inputs[:_ROWS_A_CODE], len(codes), axis=0)
    rows[:, column] = np.tile(np.array(codes, np.float32), len(inputs[:_ROWS_A_CODE]))
    return rows


def _extremes(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each feature alone at its ends and its range beyond them, and all of them together."""
    low, high = _range(inputs)
    middle = np.nan_to_num(np.nanmedian(inputs, axis=0)).astype(np.float32)
    ends = [low, high, 2 * low - high, 2 * high - low, np.zeros_like(low)]
    rows = [middle, *ends]
    width = inputs.shape[1]
    most = max(1, min(width, MOST_FEATURES, _MOST_VALUES // (len(ends) * width)))
    for feature in np.linspace(0, width - 1, most).astype(int):
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
    found = inner_splits(model, inputs.shape[1])
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
    """Each feature alone missing in some of the rows; of many features those evenly spread."""
    width = inputs.shape[1]
    features = np.linspace(0, width - 1, min(width, MOST_FEATURES, max(1, _MOST_VALUES // width))).astype(int)
    some = inputs[: max(1, min(_ROWS_MISSING, _MOST_MISSING // len(features)))]
    rows = np.repeat(some, len(features), axis=0)
    rows[np.arange(len(rows)), np.tile(features, len(some))] = np.nan
    return rows


def _range(inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    known = np.where(np.isnan(inputs).all(axis=0), np.float32(0), inputs)
    return np.nanmin(known, axis=0), np.nanmax(known, axis=0)
