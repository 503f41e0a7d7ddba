"""LightGBM: float64 thresholds, up to them is left, missing values or zeros by the node, sets of categories.

Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017. What its nodes mean:
`NumericalDecision` and `CategoricalDecision` in include/LightGBM/tree.h.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm
import numpy as np
from numpy.typing import NDArray

from lineside_export.boosters.adopted import Facts, adopted, two_columns
from lineside_export.boosters.objectives import CLASSES, link_of, refuse
from lineside_export.trees.categories import Divided, with_categories
from lineside_export.trees.ensemble import Ensemble, Link, Nodes, centred, joined

_NAME = "LightGBM"
_LINKS: dict[str, Link] = {
    "binary": "logistic",
    "multiclass": "softmax",
    "multiclassova": "one against rest",
    "cross_entropy": "sigmoid",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
    "regression": "values",
    "regression_l1": "values",
    "huber": "values",
    "fair": "values",
    "quantile": "values",
    "mape": "values",
    "lambdarank": "values",
    "rank_xendcg": "values",
}
# decision_type: one bit for categories, one for where missing values go, two for what counts as missing.
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_NOTHING, _ZERO = 0, 1
# kZeroThreshold: what is this near to zero is zero.
_NEAR_ZERO = float(np.float32(1e-35))


class _Read(NamedTuple):
    """A model's text: its header, and each tree's lines by name."""

    header: dict[str, str]
    trees: list[dict[str, str]]


def ensemble(model: Any) -> Ensemble:
    """Return the trees of a lightgbm.Booster or of one of its scikit-learn estimators, up to the best round.

    Raises InputError for linear trees, categories of a data frame, and objectives that are not known.
    """
    booster = _booster(model)
    read = _parsed(booster)
    link, slope = _link(read)
    if booster.pandas_categorical:
        refuse(
            _NAME,
            "was trained on a data frame's categories, whose codes only the data frame knows",
            "Train it on numbers, with categorical_feature=[...].",
        )
    if any(tree.get("is_linear", "0") != "0" for tree in read.trees):
        refuse(_NAME, "has linear functions in its leaves", "Train it without linear_tree.")
    targets = int(read.header["num_tree_per_iteration"])
    parts = [_nodes(tree) for tree in read.trees]
    counts = [len(part.feature) for part in parts]
    divided = _divided(read.trees, counts)
    nodes, categories = with_categories(joined(parts), divided, booster.num_feature())
    weight = np.concatenate([_weights(tree) for tree in read.trees]) * slope
    if "average_output" in read.header:
        weight /= len(parts) // targets
    target = np.repeat(np.arange(len(parts)) % targets, counts)
    found = Ensemble(
        nodes, target, weight, targets, link, base=np.zeros(targets), categories=categories, single=False
    )
    return centred(found._replace(absent=_absent(read.trees)))


def adopt(model: Any) -> Any:
    """Return scikit-learn's kind of estimator for a Booster or a ranker. Raises InputError."""
    if isinstance(model, lightgbm.LGBMModel) and not isinstance(model, lightgbm.LGBMRanker):
        return model
    booster = _booster(model)
    read = _parsed(booster)
    link, _ = _link(read)
    count = max(2, int(read.header["num_class"])) if link in CLASSES else 0
    names = tuple(booster.feature_name())
    if names == tuple(f"Column_{index}" for index in range(len(names))):
        names = ()

    def answer(rows: NDArray[np.float64]) -> NDArray[Any]:
        found = np.asarray(booster.predict(rows))
        return two_columns(found) if link == "logistic" else found

    title = f"{_NAME} {type(model).__name__}"
    return adopted(model, Facts(title, booster.num_feature(), names, tuple(range(count)), answer))


def read(path: Path) -> Any:
    """Read a file of Booster.save_model."""
    lightgbm.register_logger(_silent())  # it would print among the answers
    return lightgbm.Booster(model_file=str(path))


def _silent() -> logging.Logger:
    logger = logging.getLogger("lightgbm")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _booster(model: Any) -> Any:
    return model if isinstance(model, lightgbm.Booster) else model.booster_


def _parsed(booster: Any) -> _Read:
    text = booster.model_to_string().partition("\nend of trees")[0]
    header, *trees = text.split("\nTree=")
    return _Read(_lines(header), [_lines(tree) for tree in trees])


def _lines(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value for name, _, value in pairs}


def _link(read: _Read) -> tuple[Link, float]:
    """Return the link, and what the sums are multiplied by before it: `binary sigmoid:2`."""
    name, *parameters = read.header.get("objective", "custom").split()
    link = link_of(_NAME, name, _LINKS)
    if "sqrt" in parameters:
        return "square", 1.0
    slope = next((each for each in parameters if each.startswith("sigmoid:")), "sigmoid:1")
    return link, float(slope.partition(":")[2])


def _absent(trees: list[dict[str, str]]) -> tuple[float, float] | None:
    """Return what counts as missing besides NaN: zero, if the model was trained with zero_as_missing."""
    kinds = [_numbers(tree, "decision_type", np.int64) for tree in trees]
    every = np.concatenate([np.zeros(0, np.int64), *kinds])
    missing = every[every & _CATEGORICAL == 0] >> 2 & 3
    if not (missing == _ZERO).any():
        return None
    if not (missing == _ZERO).all():
        refuse(_NAME, "takes zero for missing in some splits only", "Train it in one piece.")
    return -_NEAR_ZERO, _NEAR_ZERO


def _nodes(tree: dict[str, str]) -> Nodes:
    """Return one tree: its splits, then its leaves, which the text calls -1, -2, ..."""
    splits = int(tree["num_leaves"]) - 1
    leaves = np.full(splits + 1, -1)
    kind, feature, left, right = (
        _numbers(tree, name, np.int64)
        for name in ("decision_type", "split_feature", "left_child", "right_child")
    )
    threshold = _as_read(_numbers(tree, "threshold", np.float64))
    # Without missing values in training, one that comes later counts as zero.
    default = np.where(kind >> 2 & 3 == _NOTHING, threshold >= 0, kind & _DEFAULT_LEFT != 0)
    return Nodes(
        roots=np.zeros(1, np.int64),
        feature=np.concatenate([feature, np.zeros(splits + 1, np.int64)]),
        threshold=np.concatenate([threshold, np.zeros(splits + 1)]),
        missing_left=np.concatenate([default, np.zeros(splits + 1, bool)]),
        left=np.concatenate([np.where(left < 0, splits + ~left, left), leaves]),
        right=np.concatenate([np.where(right < 0, splits + ~right, right), leaves]),
    )


def _as_read(threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move thresholds near zero: LightGBM reads what is that near to zero as zero itself."""
    below = np.nextafter(np.float32(-_NEAR_ZERO), np.float32(-np.inf))
    near = np.abs(threshold) <= _NEAR_ZERO
    return np.where(near, np.where(threshold < 0, below, _NEAR_ZERO), threshold)


def _weights(tree: dict[str, str]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(int(tree["num_leaves"]) - 1), _numbers(tree, "leaf_value", np.float64)])


def _divided(trees: list[dict[str, str]], counts: list[int]) -> list[Divided]:
    """Return the categorical splits. In the set is left; not in it, below 0 or missing is right."""
    found = []
    for tree, start in zip(trees, np.cumsum([0, *counts[:-1]]).tolist(), strict=True):
        if not int(tree["num_cat"]):
            continue
        bounds = _numbers(tree, "cat_boundaries", np.int64)
        octets = _numbers(tree, "cat_threshold", np.int64).astype("<u4").view(np.uint8)
        inside = np.unpackbits(octets, bitorder="little").reshape(-1, 32)
        features, which = (
            _numbers(tree, name, np.float64).astype(np.int64) for name in ("split_feature", "threshold")
        )
        for node in np.flatnonzero(_numbers(tree, "decision_type", np.int64) & _CATEGORICAL).tolist():
            words = inside[bounds[which[node]] : bounds[which[node] + 1]]
            found.append(
                Divided(
                    start + node,
                    int(features[node]),
                    np.flatnonzero(words.ravel()),
                    members_left=True,
                    missing_left=False,
                    rounding="to zero",
                )
            )
    return found


def _numbers(tree: dict[str, str], name: str, kind: Any) -> NDArray[Any]:
    return np.array(tree.get(name, "").split(), kind)
