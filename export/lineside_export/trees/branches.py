"""A column transformer before trees, folded into them: scaled numbers into thresholds, look-ups into sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_export.columns.lookup import Column, LookUp
from lineside_export.trees.ensemble import Categorical, Ensemble, Nodes
from lineside_export.trees.fold import Splits, fold, foldable, through


def fold_steps(ensemble: Ensemble, steps: Sequence[Any], features: int) -> Ensemble | None:
    """Return an ensemble that takes what the steps take, or None if they cannot be folded into it.

    features: how many columns the first of them takes.
    """
    while steps and _selects(steps[-1]):
        ensemble, steps = _selected(ensemble, steps[-1].get_support()), steps[:-1]
    if not steps or not hasattr(steps[0], "output_indices_"):
        return fold(ensemble, steps, features)
    behind = fold(ensemble, steps[1:], _width(steps[0]))
    return None if behind is None else fold_branches(behind, steps[0], features)


def _selects(step: Any) -> bool:
    return hasattr(step, "get_support") and type(step).__module__.startswith("sklearn.")


def _selected(ensemble: Ensemble, support: NDArray[np.bool_]) -> Ensemble:
    """Return an ensemble that takes all the features of which some were selected."""
    chosen, nodes = np.flatnonzero(support), ensemble.nodes
    # Columns of sides follow the features.
    places = np.concatenate([chosen, np.arange(len(support), len(support) + _most(nodes) + 1)])
    feature = np.where(nodes.inner, places[np.where(nodes.inner, nodes.feature, 0)], nodes.feature)
    categories = tuple(each._replace(feature=int(chosen[each.feature])) for each in ensemble.categories)
    return ensemble._replace(nodes=nodes._replace(feature=feature), categories=categories)


def _most(nodes: Nodes) -> int:
    return int(nodes.feature.max(initial=0))


def fold_branches(ensemble: Ensemble, transformer: Any, features: int) -> Ensemble | None:
    """Return an ensemble that takes what a column transformer takes, or None if it cannot be folded into it."""
    if ensemble.absent:
        return None
    folded = _Folded(ensemble, features, _width(transformer))
    for name, step, _ in transformer.transformers_:
        there = transformer.output_indices_[name]
        if there.start == there.stop:
            continue
        sources = np.asarray(transformer._transformer_to_input_indices[name])
        if isinstance(step, LookUp):
            folded.look_up(step, sources, there.start)
        elif not folded.scale(step, sources, there):
            return None
    return folded.ensemble()


class _Folded:
    """An ensemble on its way from a transformer's columns to the input's."""

    def __init__(self, ensemble: Ensemble, features: int, width: int) -> None:
        self._from = ensemble
        self._width = width  # of the transformer's result, which columns of sides follow
        nodes = ensemble.nodes
        self._to = nodes._replace(
            feature=nodes.feature.copy(),
            threshold=nodes.threshold.copy(),
            missing_left=nodes.missing_left.copy(),
        )
        self._categories: list[Categorical] = []
        self._after = features  # the next column of sides
        self._done = ~nodes.inner

    def scale(self, step: Any, sources: NDArray[Any], there: slice) -> bool:
        """Fold a transformer that moves each column by itself. False if it does not."""
        steps = _steps(step)
        nodes = self._from.nodes
        if steps is None or any(there.start <= each.feature < there.stop for each in self._from.categories):
            return False
        at = np.flatnonzero(nodes.inner & (nodes.feature >= there.start) & (nodes.feature < there.stop))
        local = nodes.feature[at] - there.start
        splits = Splits(local, nodes.threshold[at], nodes.missing_left[at])
        found = through(steps, splits, len(sources), single=self._from.single)
        if found is None:
            return False
        self._to.threshold[at], self._to.missing_left[at] = found.threshold, found.missing_left
        self._to.feature[at] = sources[local]
        self._done[at] = True
        return True

    def look_up(self, step: LookUp, sources: NDArray[Any], start: int) -> None:
        """Let splits of what tables say test the sides on which the values behind it are."""
        for source, column in zip(sources.tolist(), step.columns, strict=True):
            at: list[NDArray[np.intp]] = []
            sides: list[NDArray[np.uint8]] = []
            for place, values in zip(column.places.tolist(), column.rows.T, strict=True):
                for nodes, each in self._tests(start + place, values):
                    at.append(nodes)
                    sides.append(each)
            if at:
                self._add(source, column, np.concatenate(at), np.concatenate(sides))

    def _tests(
        self, feature: int, values: NDArray[np.float64]
    ) -> list[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
        """Return the nodes that test a feature, and on which side each of its values is: (nodes, values)."""
        nodes = self._from.nodes
        seen = values.astype(np.float32).astype(np.float64) if self._from.single else values
        at = np.flatnonzero(nodes.inner & (nodes.feature == feature))
        left = np.where(np.isnan(seen), nodes.missing_left[at, None], seen <= nodes.threshold[at, None])
        found = [(at, (~left).astype(np.uint8))]
        first = self._width
        for each in self._from.categories:
            count = each.sides.shape[1]
            if each.feature == feature and (each.rounding == "none" or (seen == np.floor(seen)).all()):
                of_value = each.sides[_rows(each, seen)]
                at = np.flatnonzero(nodes.inner & (nodes.feature >= first) & (nodes.feature < first + count))
                found.append((at, of_value.T[nodes.feature[at] - first]))
            first += count
        return found

    def _add(self, source: int, column: Column, at: NDArray[np.intp], sides: NDArray[np.uint8]) -> None:
        patterns, which = np.unique(sides, axis=0, return_inverse=True)
        self._to.feature[at] = self._after + which.ravel()
        self._to.threshold[at] = 0.5
        self._to.missing_left[at] = False
        self._done[at] = True
        self._after += len(patterns)
        keys, rows = column.keys, patterns.T
        if (rows[0] == rows[-1]).all():
            rows = rows[:-1]
        else:
            keys = np.append(keys, np.float32(np.nan))
        self._categories.append(Categorical(source, keys, np.ascontiguousarray(rows)))

    def ensemble(self) -> Ensemble | None:
        """Return what has come of it; None if a split is left over, or a column would be looked up twice."""
        looked_up = [each.feature for each in self._categories]
        if not self._done.all() or len(set(looked_up)) < len(looked_up):
            return None
        return self._from._replace(nodes=self._to, categories=tuple(self._categories))


def _width(transformer: Any) -> int:
    return max(int(there.stop) for there in transformer.output_indices_.values())


def _rows(categorical: Categorical, values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return which row of a categorical's sides each value has."""
    keys = categorical.keys.astype(np.float64)
    equal = (values[:, None] == keys) | (np.isnan(values)[:, None] & np.isnan(keys))
    return np.where(equal.any(axis=1), equal.argmax(axis=1) + 1, 0)


def _steps(step: Any) -> Sequence[Any] | None:
    """Return the scalers and imputers that a branch consists of, or None if there is anything else."""
    if isinstance(step, str) or (type(step).__name__ == "FunctionTransformer" and step.func is None):
        return []
    inner = [each for _, each in getattr(step, "steps", [("", step)])]
    kept = [each for each in inner if each is not None and each != "passthrough"]
    return kept if all(map(foldable, kept)) else None
