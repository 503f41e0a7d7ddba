"""XGBoost: float32 thresholds, below them is left, and leaves in float32.

Chen, Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016. The layout of its JSON:
xgboost.readthedocs.io/en/stable/tutorials/saving_model.html.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xgboost
from numpy.typing import NDArray

from lineside_export.boosters.adopted import Facts, adopted, two_columns
from lineside_export.boosters.objectives import CLASSES, link_of, refuse
from lineside_export.trees.categories import Divided, with_categories
from lineside_export.trees.ensemble import Ensemble, Link, Nodes, joined

_NAME = "XGBoost"
_LINKS: dict[str, Link] = {
    "binary:logistic": "logistic",
    "multi:softprob": "softmax",
    "multi:softmax": "softmax",
    "reg:logistic": "sigmoid",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "survival:aft": "exp",
    "survival:cox": "exp",
    "reg:absoluteerror": "values",
    "reg:expectileerror": "values",
    "reg:linear": "values",
    "reg:pseudohubererror": "values",
    "reg:quantileerror": "values",
    "reg:squarederror": "values",
    "reg:squaredlogerror": "values",
    "rank:map": "values",
    "rank:ndcg": "values",
    "rank:pairwise": "values",
}
# The file says base_score as an answer; the sums begin with what the link makes that answer of.
_MARGINS: dict[Link, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "logistic": lambda chance: np.log(chance / (1 - chance)),
    "sigmoid": lambda chance: np.log(chance / (1 - chance)),
    "exp": np.log,
}


class _Booster(NamedTuple):
    """A booster's JSON: all of it, its trees with the weight of each, and what is not a tree."""

    learner: dict[str, Any]
    trees: list[dict[str, Any]]
    weights: NDArray[np.float64]
    targets: NDArray[np.int64]


def ensemble(model: Any) -> Ensemble:
    """Return the trees of an xgboost.Booster or of one of its scikit-learn estimators, up to the best round.

    Raises InputError for linear boosters, trees with several values a leaf, and objectives that are not known.
    """
    booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
    read = _read(booster)
    learner = read.learner
    link = link_of(_NAME, learner["objective"]["name"], _LINKS)
    parts = [_nodes(tree) for tree in read.trees]
    nodes = joined(parts)
    counts = [len(part.feature) for part in parts]
    values = np.concatenate([np.asarray(tree["split_conditions"], np.float32) for tree in read.trees])
    features = int(learner["learner_model_param"]["num_feature"])
    nodes, categories = with_categories(nodes, _divided(read.trees, counts), features)
    base = _base(learner, link)
    if link == "logistic" and len(base) > 1:
        refuse(_NAME, "answers several labels at once", "Train one model for each label.")
    return Ensemble(
        nodes,
        np.repeat(read.targets, counts),
        np.where(nodes.inner, 0.0, values.astype(np.float64)) * np.repeat(read.weights, counts),
        len(base),
        link,
        base=base,
        categories=categories,
        absent=_absent(model),
    )


def adopt(model: Any) -> Any:
    """Return scikit-learn's kind of estimator for a Booster or a ranker. Raises InputError."""
    if isinstance(model, xgboost.XGBModel) and not isinstance(model, xgboost.XGBRanker):
        return model
    booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
    learner = _read(booster).learner
    link = link_of(_NAME, learner["objective"]["name"], _LINKS)
    count = max(2, int(learner["learner_model_param"]["num_class"])) if link in CLASSES else 0
    if learner["objective"]["name"] == "multi:softmax":
        booster.set_param({"objective": "multi:softprob"})  # which answers more than the best class
    rounds = _rounds(booster)
    missing = getattr(model, "missing", np.nan)

    def answer(rows: NDArray[np.float64]) -> NDArray[Any]:
        found = booster.inplace_predict(
            rows, iteration_range=(0, rounds), missing=missing, validate_features=False
        )
        return two_columns(found) if link == "logistic" else np.asarray(found)

    features = int(learner["learner_model_param"]["num_feature"])
    names = tuple(booster.feature_names or ())
    return adopted(
        model, Facts(f"{_NAME} {type(model).__name__}", features, names, tuple(range(count)), answer)
    )


def read(path: Path) -> Any:
    """Read a file of Booster.save_model."""
    return xgboost.Booster(model_file=str(path))


def _read(booster: Any) -> _Booster:
    learner = json.loads(booster.save_raw("json"))["learner"]
    gradient = learner["gradient_booster"]
    if gradient["name"] == "gblinear":
        refuse(
            _NAME,
            "is a linear booster (gblinear)",
            "Train trees, or scikit-learn's Ridge or LogisticRegression.",
        )
    dropped = gradient["name"] == "dart"
    model = (gradient["gbtree"] if dropped else gradient)["model"]
    if model.get("cats", {}).get("enc"):
        refuse(
            _NAME,
            "was trained on a data frame's categories, whose codes only the data frame knows",
            "Train it on numbers, with feature_types=['c', ...] for categories.",
        )
    starts = model["iteration_indptr"]
    count = starts[min(_rounds(booster) or len(starts) - 1, len(starts) - 1)]
    trees = model["trees"][:count]
    if any(int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in trees):
        refuse(_NAME, "has leaves of several values", "Train it with multi_strategy='one_output_per_tree'.")
    weights = np.asarray(gradient["weight_drop"][:count] if dropped else np.ones(count), np.float64)
    return _Booster(learner, trees, weights, np.asarray(model["tree_info"][:count], np.int64))


def _rounds(booster: Any) -> int:
    """Return how many rounds scikit-learn's estimators use after early stopping; 0 for all."""
    best = booster.attr("best_iteration")
    return 0 if best is None else int(best) + 1


def _base(learner: dict[str, Any], link: Link) -> NDArray[np.float64]:
    parameters = learner["learner_model_param"]
    stated = np.array([float(each) for each in parameters["base_score"].strip("[]").split(",")])
    targets = max(1, int(parameters["num_class"]), int(parameters.get("num_target", 1)))
    margins = _MARGINS[link](stated) if link in _MARGINS else stated
    return np.array(np.broadcast_to(margins, targets))


def _absent(model: Any) -> tuple[float, float] | None:
    missing = getattr(model, "missing", None)
    if missing is None or np.isnan(missing):
        return None
    return (float(np.float32(missing)),) * 2


def _nodes(tree: dict[str, Any]) -> Nodes:
    left = np.asarray(tree["left_children"], np.int64)
    inner = left >= 0
    threshold = np.asarray(tree["split_conditions"], np.float32)
    return Nodes(
        roots=np.zeros(1, np.int64),
        feature=np.where(inner, np.asarray(tree["split_indices"], np.int64), 0),
        # Left is below a float32: at most the one before it.
        threshold=np.nextafter(threshold, np.float32(-np.inf)).astype(np.float64),
        missing_left=np.asarray(tree["default_left"], bool) & inner,
        left=left,
        right=np.where(inner, np.asarray(tree["right_children"], np.int64), -1),
    )


def _divided(trees: list[dict[str, Any]], counts: list[int]) -> list[Divided]:
    """Return the categorical splits. In the set is right, not in it or below 0 left, a missing one where it says."""
    found = []
    for tree, start in zip(trees, np.cumsum([0, *counts[:-1]]).tolist(), strict=True):
        members = np.asarray(tree["categories"], np.int64)
        for node, at, size in zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        ):
            found.append(
                Divided(
                    start + node,
                    tree["split_indices"][node],
                    members[at : at + size],
                    members_left=False,
                    missing_left=bool(tree["default_left"][node]),
                    rounding="down",
                )
            )
    return found
