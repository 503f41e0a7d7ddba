"""The trees inside a fitted scikit-learn model: found wherever they are, checked, and read for their thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_contract.errors import InputError
from lineside_export.trees.ensemble import Nodes

_NOT_FOLLOWED = (type, ModuleType, FunctionType, str, bytes)


class Split(NamedTuple):
    """Where one tree divides: feature `features[i]` goes left if it is at most `thresholds[i]` (float64)."""

    features: NDArray[np.intp]
    thresholds: NDArray[np.float64]


def parts(root: Any) -> Iterator[Any]:
    """Yield an object and everything that it holds, each once, however deep."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, _NOT_FOLLOWED):
            continue
        seen.add(id(item))
        yield item
        waiting.extend(_held(item))


def _held(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    if isinstance(item, list | tuple):
        return list(item)
    if isinstance(item, np.ndarray):
        return list(item.ravel()) if item.dtype == object else []
    return list(vars(item).values()) if hasattr(item, "__dict__") else []


def check_trees(model: Any) -> None:
    """Raise InputError if a tree points outside itself or at a feature that is not there.

    scikit-learn walks trees in compiled code without looking: a file that was tampered with could make it
    read any memory. Children always come after their parent, so that a walk also ends.
    """
    for part in parts(model):
        if type(part).__name__ == "Tree" and hasattr(part, "children_left"):
            if part.node_count > part.capacity:
                raise _damaged()
            inner = part.children_left != -1
            children = part.children_left[inner], part.children_right[inner]
            _check(inner, children, part.feature[inner], part.n_features)
        elif hasattr(part, "tree_") and part.tree_.n_features != part.n_features_in_:
            raise _damaged()
        elif hasattr(part, "_predictors"):
            for tree in (tree for group in part._predictors for tree in group):
                _check_histogram(tree, part.n_features_in_)


def _check_histogram(tree: Any, features: int) -> None:
    nodes = tree.nodes
    inner = nodes["is_leaf"] == 0
    children = nodes["left"][inner].astype(np.int64), nodes["right"][inner].astype(np.int64)
    _check(inner, children, nodes["feature_idx"][inner], features)
    categories = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
    if categories.size and categories.max() >= len(tree.raw_left_cat_bitsets):
        raise _damaged()


def _check(
    inner: NDArray[np.bool_],
    children: tuple[NDArray[Any], NDArray[Any]],
    feature: NDArray[Any],
    features: int,
) -> None:
    parents = np.flatnonzero(inner)
    ordered = all((side > parents).all() and (side < len(inner)).all() for side in children)
    if not ordered or (feature < 0).any() or (feature >= features).any():
        raise _damaged()


def check_nodes(nodes: Nodes, features: int) -> None:
    """Raise InputError if a walk down the trees could leave them, go round or ask for no feature."""
    seen = np.zeros(len(nodes.feature), bool)
    level = nodes.roots
    while len(level):
        if (level < 0).any() or (level >= len(seen)).any() or len(np.unique(level)) != len(level):
            raise _damaged()
        if seen[level].any():
            raise _damaged()
        seen[level] = True
        inner = level[nodes.left[level] >= 0]
        if (nodes.feature[inner] < 0).any() or (nodes.feature[inner] >= features).any():
            raise _damaged()
        level = np.concatenate([nodes.left[inner], nodes.right[inner]])


def _damaged() -> InputError:
    return InputError(
        "The model holds a damaged tree: a node points outside it.", hint="Save the model again."
    )


def splits(model: Any) -> list[Split]:
    """Return the splits of every tree that sees the model's own input; none if the model is no tree ensemble."""
    if hasattr(model, "best_estimator_"):
        return splits(model.best_estimator_)
    if hasattr(model, "tree_"):
        inner = model.tree_.children_left != -1
        return [Split(model.tree_.feature[inner], model.tree_.threshold[inner])]
    if hasattr(model, "_predictors"):
        return [_histogram_split(tree.nodes) for group in model._predictors for tree in group]
    found: list[Split] = []
    trees = np.ravel(np.asarray(getattr(model, "estimators_", []), dtype=object))
    # Bagging and isolation forests may show each tree only some of the features.
    seen = getattr(model, "estimators_features_", [None] * len(trees))
    for tree, columns in zip(trees, seen, strict=False):
        found.extend(
            split if columns is None else Split(np.asarray(columns)[split.features], split.thresholds)
            for split in splits(tree)
        )
    return found


def _histogram_split(nodes: NDArray[Any]) -> Split:
    inner = (nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)
    return Split(nodes["feature_idx"][inner].astype(np.intp), nodes["num_threshold"][inner])


def round_thresholds_down(model: Any) -> None:
    """Make every threshold of histogram gradient boosting the largest float32 that is not above it, in place.

    For a float32 x, `x <= t` and `x <= round_down(t)` are the same. Rounding to the nearest, which is what a
    converter does, sends up to a third of the rows at thresholds the wrong way
    (github.com/onnx/sklearn-onnx/issues/1192).
    """
    for part in parts(model):
        if type(part).__name__ == "TreePredictor":
            exact = part.nodes["num_threshold"]
            nearest = exact.astype(np.float32)
            below = np.nextafter(nearest, np.float32(-np.inf))
            part.nodes["num_threshold"] = np.where(nearest > exact, below, nearest)
