"""Fitted scikit-learn estimators as ensembles, one function a family and the table that names them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_export import boosters
from lineside_export.trees.ensemble import Ensemble, Link, Nodes, with_table
from lineside_export.trees.histogram import histogram_boosting

# The models of one tree, of which a bagging is a forest.
_SINGLE = ("DecisionTreeClassifier", "ExtraTreeClassifier", "DecisionTreeRegressor", "ExtraTreeRegressor")
_EULER = float(np.euler_gamma)


def extract(model: Any) -> Ensemble | None:
    """Return a fitted estimator's trees, or None if it is no tree ensemble that Lineside writes itself.

    Raises InputError for a model of XGBoost, LightGBM or CatBoost that trees cannot say.
    """
    family = type(model)
    if not family.__module__.startswith("sklearn."):
        return boosters.trees(model)
    function = _FAMILIES.get(family.__name__)
    return function(model) if function else None


def node_count(model: Any) -> int:
    """Return how many nodes a fitted estimator's trees have; 0 if it is none that `extract` knows."""
    if type(model).__name__ not in _FAMILIES:
        return 0
    if hasattr(model, "_predictors"):
        return sum(len(tree.nodes) for group in model._predictors for tree in group)
    members = np.ravel(np.asarray(getattr(model, "estimators_", [model]), dtype=object))
    return sum(member.tree_.node_count for member in members if hasattr(member, "tree_"))


def is_bag_of_trees(model: Any) -> bool:
    """Tell whether a model is a bagging of single trees, every one of which knows every class: a forest."""
    if type(model).__name__ not in ("BaggingClassifier", "BaggingRegressor"):
        return False
    classes = len(getattr(model, "classes_", ()))
    return all(
        type(member).__name__ in _SINGLE and len(getattr(member, "classes_", ())) == classes
        for member in model.estimators_
    )


def _joined(trees: Sequence[Any], columns: Sequence[Any] | None = None) -> Nodes:
    """Put scikit-learn's Tree objects together. `columns`, if given, names the features that each one sees."""
    counts = [tree.node_count for tree in trees]
    starts = np.cumsum([0, *counts[:-1]])
    features = [tree.feature for tree in trees]
    if columns is not None:
        features = [
            np.where(each >= 0, np.asarray(seen)[np.maximum(each, 0)], each)
            for each, seen in zip(features, columns, strict=True)
        ]
    shift = np.repeat(starts, counts)
    left, right = (
        np.concatenate([getattr(tree, name) for tree in trees])
        for name in ("children_left", "children_right")
    )
    inner = left >= 0
    return Nodes(
        roots=starts.astype(np.int64),
        feature=np.concatenate(features),
        threshold=np.concatenate([tree.threshold for tree in trees]),
        missing_left=np.concatenate([tree.missing_go_to_left for tree in trees]).astype(bool) & inner,
        left=np.where(inner, left + shift, -1),
        right=np.where(inner, right + shift, -1),
    )


def _takes_missing(model: Any) -> bool:
    try:
        from sklearn.utils import get_tags  # noqa: PLC0415  not in scikit-learn 1.5
    except ImportError:
        return bool(model._get_tags()["allow_nan"])
    return bool(get_tags(model).input_tags.allow_nan)


def _forest_nodes(model: Any, trees: Sequence[Any], columns: Sequence[Any] | None = None) -> Nodes:
    nodes = _joined(trees, columns)
    if not _takes_missing(model):
        return nodes._replace(missing_left=np.zeros_like(nodes.missing_left))
    return nodes


def _trees(model: Any) -> list[Any]:
    members = getattr(model, "estimators_", [model])
    return [member.tree_ for member in members]


def _shown(model: Any) -> Any:
    """Return the columns that each tree sees, None for all."""
    return getattr(model, "estimators_features_", None)


def _classifier(model: Any) -> Ensemble | None:
    """A forest of votes.

    Of two classes the second's share says all. Of more, leaves of one class each need a target only; others a row of
    shares.
    """
    if getattr(model, "n_outputs_", 1) != 1:
        return None
    trees = _trees(model)
    nodes = _forest_nodes(model, trees, _shown(model))
    votes = np.concatenate([tree.value[:, 0, :] for tree in trees])
    classes = votes.shape[1]
    if classes == 2:
        target = np.zeros(len(votes), np.int64)
        return Ensemble(nodes, target, votes[:, 1] - 0.5, 1, "binary", average=True)
    leaves = votes[~nodes.inner]
    pure = (leaves.max(axis=1) == 1.0) & (np.count_nonzero(leaves, axis=1) == 1)
    if pure.all():
        target, weight = votes.argmax(axis=1), np.ones(len(votes))
        return Ensemble(nodes, target, weight, classes, "probabilities", average=True)
    return with_table(nodes, votes, "probabilities")


def _regressor(model: Any) -> Ensemble:
    trees = _trees(model)
    nodes = _forest_nodes(model, trees, _shown(model))
    values = np.concatenate([tree.value[:, :, 0] for tree in trees])
    if values.shape[1] > 1:
        return with_table(nodes, values, "values")
    target = np.zeros(len(values), np.int64)
    if len(trees) == 1:
        return Ensemble(nodes, target, values[:, 0], 1, "values")
    # Summing differences from the middle, added last, keeps the digits that float32 would lose to a large mean.
    middle = values[~nodes.inner, 0].mean()
    weight = (values[:, 0] - middle) / len(trees)
    return Ensemble(nodes, target, weight, 1, "values", base=np.array([middle]))


def _bag(model: Any) -> Ensemble | None:
    """Breiman, "Bagging predictors", Machine Learning 1996: of trees, a forest."""
    if not is_bag_of_trees(model):
        return None
    return _classifier(model) if hasattr(model, "classes_") else _regressor(model)


def _isolation_forest(model: Any) -> Ensemble:
    """Liu, Ting, Zhou, "Isolation Forest", ICDM 2008: the score is 2 ** -(mean path length / c(samples)).

    A leaf holds its share of the exponent of e, so that the sum needs nothing but exp.
    """
    trees = _trees(model)
    nodes = _forest_nodes(model, trees, _shown(model))
    samples = np.concatenate([tree.n_node_samples for tree in trees])
    lengths = np.concatenate([tree.compute_node_depths() for tree in trees]) - 1 + _path_length(samples)
    scale = len(trees) * float(_path_length(np.array([model._max_samples]))[0])
    exponent = -np.log(2) * (lengths / scale if scale else np.full(len(samples), 1 / len(trees)))
    target = np.zeros(len(samples), np.int64)
    middle = exponent[~nodes.inner].mean()
    base = np.array([middle * len(trees)])
    return Ensemble(nodes, target, exponent - middle, 1, "outlier", base=base, offset=float(model.offset_))


def _path_length(samples: NDArray[Any]) -> NDArray[np.float64]:
    """c(n): the mean length of an unsuccessful search in a binary search tree of n samples."""
    many = np.maximum(samples, 3).astype(np.float64)
    general = 2.0 * (np.log(many - 1.0) + _EULER) - 2.0 * (many - 1.0) / many
    return np.where(samples <= 1, 0.0, np.where(samples == 2, 1.0, general))


def _gradient_boosting(model: Any) -> Ensemble | None:
    """Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 2001."""
    # Any other estimator to begin with would have to be converted too.
    if not isinstance(model.init_, str) and not type(model.init_).__name__.startswith("Dummy"):
        return None
    rounds, targets = model.estimators_.shape
    trees = [member.tree_ for member in model.estimators_.ravel()]
    nodes = _forest_nodes(model, trees)
    weight = model.learning_rate * np.concatenate([tree.value[:, 0, 0] for tree in trees])
    target = np.repeat(np.tile(np.arange(targets), rounds), [tree.node_count for tree in trees])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the row has no column names
        base = model._raw_predict_init(np.zeros((1, model.n_features_in_)))[0]
    link = _boosting_link(model, targets)
    if (
        getattr(model, "loss", "") == "exponential"
    ):  # whose probability is the logistic function of twice the sum
        weight, base = 2 * weight, 2 * base
    return Ensemble(nodes, target, weight, targets, link, base=base)


def _boosting_link(model: Any, targets: int) -> Link:
    if not hasattr(model, "classes_"):
        return "values"
    return "softmax" if targets > 1 else "logistic last"


_FAMILIES: dict[str, Callable[[Any], Ensemble | None]] = {
    "DecisionTreeClassifier": _classifier,
    "ExtraTreeClassifier": _classifier,
    "RandomForestClassifier": _classifier,
    "ExtraTreesClassifier": _classifier,
    "DecisionTreeRegressor": _regressor,
    "ExtraTreeRegressor": _regressor,
    "RandomForestRegressor": _regressor,
    "ExtraTreesRegressor": _regressor,
    "BaggingClassifier": _bag,
    "BaggingRegressor": _bag,
    "IsolationForest": _isolation_forest,
    "GradientBoostingClassifier": _gradient_boosting,
    "GradientBoostingRegressor": _gradient_boosting,
    "HistGradientBoostingClassifier": histogram_boosting,
    "HistGradientBoostingRegressor": histogram_boosting,
}
