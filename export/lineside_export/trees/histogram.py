"""Histogram gradient boosting as an ensemble: its own node arrays, float64 thresholds, categories.

Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_export.trees.ensemble import Categorical, Ensemble, Link, Nodes

_LINKS: dict[str, Link] = {
    "IdentityLink": "values",
    "LogLink": "exp",
    "LogitLink": "logistic",
    "MultinomialLogit": "softmax",
}


def histogram_boosting(model: Any) -> Ensemble | None:
    """Return the trees of a HistGradientBoosting estimator, or None if it has categories that are not numbers."""
    link = _LINKS.get(type(model._loss.link).__name__)
    order, known = _columns(model)
    if link is None or any(each.dtype.kind not in "fiu" for each in known):
        return None
    trees = [tree for group in model._predictors for tree in group]
    counts = [len(tree.nodes) for tree in trees]
    starts = np.cumsum([0, *counts[:-1]]).astype(np.int64)
    records = np.concatenate([tree.nodes for tree in trees])
    shift = np.repeat(starts, counts)
    inner = records["is_leaf"] == 0
    nodes = Nodes(
        roots=starts,
        feature=np.where(inner, order[np.where(inner, records["feature_idx"], 0)], 0),
        threshold=records["num_threshold"].astype(np.float64),
        missing_left=(records["missing_go_to_left"] != 0) & inner,
        left=np.where(inner, records["left"] + shift, -1),
        right=np.where(inner, records["right"] + shift, -1),
    )
    nodes, categories = _with_categories(model, nodes, records, _members(trees), known)
    targets = len(model._predictors[0])
    target = np.repeat(np.tile(np.arange(targets), len(model._predictors)), counts)
    base = np.ravel(model._baseline_prediction).astype(np.float64)
    return Ensemble(
        nodes, target, records["value"], targets, link, base=base, categories=categories, single=False
    )


def _columns(model: Any) -> tuple[NDArray[np.int64], list[NDArray[Any]]]:
    """Return the input's feature for each that the trees see, and the categories of the first of them.

    scikit-learn encodes categorical features as 0, 1, ... and puts them before the others.
    """
    if getattr(model, "_preprocessor", None) is None:
        return np.arange(model.n_features_in_), []
    flags = np.asarray(model.is_categorical_, bool)
    known = model._preprocessor.named_transformers_["encoder"].categories_
    return np.concatenate([np.flatnonzero(flags), np.flatnonzero(~flags)]), list(known)


def _members(trees: list[Any]) -> NDArray[np.bool_]:
    """Return for each categorical split of the trees, in order, which of the 256 codes go left."""
    words = []
    for tree in trees:
        divides = (tree.nodes["is_categorical"] != 0) & (tree.nodes["is_leaf"] == 0)
        words.append(
            tree.raw_left_cat_bitsets[tree.nodes["bitset_idx"][divides]].astype("<u4").reshape(-1, 8)
        )
    octets = np.ascontiguousarray(np.concatenate(words)).view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little").astype(bool)


def _with_categories(
    model: Any, nodes: Nodes, records: NDArray[Any], left: NDArray[np.bool_], known: list[NDArray[Any]]
) -> tuple[Nodes, tuple[Categorical, ...]]:
    """Let categorical splits test columns of their own, one for each different way to divide a feature."""
    divides = nodes.inner & (records["is_categorical"] != 0)
    place = np.cumsum(divides) - 1
    feature, threshold, missing = nodes.feature.copy(), nodes.threshold.copy(), nodes.missing_left.copy()
    after = model.n_features_in_
    found = []
    trained = model._bin_mapper.bin_thresholds_
    for seen, values in enumerate(known):
        at = np.flatnonzero(divides & (records["feature_idx"] == seen))
        if not len(at):
            continue
        codes = np.arange(len(values))
        # Rare categories have no bin: like what was never seen, they go where missing values go.
        binned = np.isin(codes, trained[seen])
        sides = np.where(binned[None, :], ~left[place[at]][:, np.minimum(codes, 255)], ~missing[at][:, None])
        sides = np.column_stack([~missing[at], sides]).astype(np.uint8)
        patterns, column = np.unique(sides, axis=0, return_inverse=True)
        feature[at] = after + column.ravel()
        threshold[at] = 0.5
        missing[at] = False
        after += len(patterns)
        found.append(_categorical(int(nodes.feature[at[0]]), values, patterns))
    return nodes._replace(feature=feature, threshold=threshold, missing_left=missing), tuple(found)


def _categorical(feature: int, values: NDArray[Any], patterns: NDArray[np.uint8]) -> Categorical:
    """Keep the categories that a float32 can equal; a reading is never any other."""
    exact = np.flatnonzero(values.astype(np.float32).astype(np.float64) == values.astype(np.float64))
    sides = patterns.T[np.concatenate([[0], exact + 1])]
    return Categorical(feature, values[exact].astype(np.float32), np.ascontiguousarray(sides))
