"""Trees with fewer different leaves: smaller, and every answer a little, and boundedly, off."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_export.trees.ensemble import Ensemble

_ROUNDS = 10
# What the sums of the leaves are, where no function follows that bends them.
_MEANS = {"values": "a value", "binary": "a probability", "probabilities": "a probability"}


class Rounded(NamedTuple):
    """An ensemble with few different leaves. `most`: by how much any sum of leaves can be off, whatever the row."""

    ensemble: Ensemble
    most: float

    @property
    def note(self) -> str:
        """Say what was lost."""
        what = _MEANS.get(self.ensemble.link, "a sum of leaves, before the probabilities are made of it,")
        return f"{what} is off by at most {self.most:.2g}"


def rounded(ensemble: Ensemble, levels: int) -> Rounded | None:
    """Round leaves to `levels` (at most 256) different numbers, for each target its own.

    None if there are no more different leaves than that anyhow.
    """
    leaf = ~ensemble.nodes.inner
    if ensemble.table is not None:
        return _rounded_table(ensemble, ensemble.table.astype(np.float64), levels)
    weight = ensemble.weight.copy()
    changed = False
    for target in range(ensemble.targets):
        at = np.flatnonzero(leaf & (ensemble.target == target))
        if len(np.unique(weight[at])) > levels:
            weight[at] = _nearest(weight[at], levels)
            changed = True
    if not changed:
        return None
    starts = ensemble.nodes.roots
    worst = np.maximum.reduceat(np.abs(weight - ensemble.weight), starts)
    sums = np.bincount(ensemble.target[starts], worst, ensemble.targets)
    most = float(sums.max()) / (len(starts) if ensemble.average else 1)
    return Rounded(ensemble._replace(weight=weight), most)


def _rounded_table(ensemble: Ensemble, table: NDArray[np.float64], levels: int) -> Rounded | None:
    """Keep a table's numbers as bytes, and rows that are alike then once."""
    if len(np.unique(table)) <= levels:
        levels = 256  # the bytes alone are worth it
    low, step, index = _levels(table, levels)
    rows, place = np.unique(index.astype(np.uint8), axis=0, return_inverse=True)
    leaf = ~ensemble.nodes.inner
    weight = ensemble.weight.copy()
    weight[leaf] = place.ravel()[weight[leaf].astype(np.int64)]
    most = float(np.abs(low + index * step - table).max())
    return Rounded(ensemble._replace(weight=weight, table=rows, steps=(low, step)), most)


def _nearest(values: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """Round to the numbers that least squares ask for: Lloyd, IEEE Trans. Information Theory 28(2), 1982.

    Each is the mean of what is rounded to it, so that the errors of many trees cancel instead of adding up. To
    begin with, half are where most leaves are, half evenly spaced: that bounds the error, too.
    """
    ordered = np.sort(values)
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    half = levels // 2
    dense = np.quantile(ordered, (np.arange(levels - half) + 0.5) / (levels - half))
    found = np.sort(np.concatenate([dense, np.linspace(ordered[0], ordered[-1], half)]))
    for _ in range(_ROUNDS):
        ends = np.searchsorted(ordered, (found[1:] + found[:-1]) / 2)
        bounds = np.concatenate([[0], ends, [len(ordered)]])
        counts = np.diff(bounds)
        found = np.where(counts > 0, np.diff(total[bounds]) / np.maximum(counts, 1), found)
    chosen: NDArray[np.float64] = found[np.searchsorted((found[1:] + found[:-1]) / 2, values)]
    return chosen


def _levels(values: NDArray[np.float64], levels: int) -> tuple[float, float, NDArray[np.float64]]:
    """Return the lowest of evenly spaced levels, their step, and each value's nearest level by its number."""
    low, high = float(values.min()), float(values.max())
    step = (high - low) / (levels - 1) or 1.0
    return low, step, np.round((values - low) / step)
