"""The models inside one that wraps others, as far as they see the same columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from lineside_export.trees.inside import Split
from lineside_export.trees.write import seen_splits, taken_apart
from lineside_export.wrapped.write import family

# What the families call their members.
_LISTS = ("estimators_", "calibrated_classifiers_")
_ALONE = ("estimator_", "regressor_")


def inner_splits(model: Any, features: int) -> list[Split] | None:
    """Return where the trees of a model, or of its members, divide its own input; None if that is not known."""
    before, last = taken_apart(model)
    if family(last) is None:
        return seen_splits(model, features)
    found: list[Split] = []
    for member, columns in _members(last):
        if columns is None:
            steps = [*before, member]
            whole = Pipeline([(str(number), step) for number, step in enumerate(steps)])
            found += inner_splits(whole, features) or []
        elif not before:
            splits = inner_splits(member, len(columns)) or []
            found += [Split(columns[split.features], split.thresholds) for split in splits]
    return found


def _members(model: Any) -> Iterator[tuple[Any, Any]]:
    """Yield a model's members, each with the columns that it sees, None for all."""
    width = getattr(model, "n_features_in_", None)
    if getattr(model, "ranking_", None) is not None:
        yield model.estimator_, np.flatnonzero(model.support_)
        return
    shown = getattr(model, "estimators_features_", None)
    for name in _LISTS:
        held = getattr(model, name, [])
        for index, member in enumerate(held.ravel() if isinstance(held, np.ndarray) else held):
            inner = getattr(member, "estimator", member) if name == "calibrated_classifiers_" else member
            if getattr(inner, "n_features_in_", width) == width or shown is not None:
                yield inner, None if shown is None else np.asarray(shown[index])
    for name in _ALONE:
        # Meta-estimators with a list keep the unfitted original under this name.
        if hasattr(model, name) and not hasattr(model, "estimators_"):
            yield getattr(model, name), None
