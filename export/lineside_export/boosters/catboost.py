"""CatBoost: float32 borders, above them is right, the same split on a whole level of a tree, or trees of any shape.

Prokhorenkova et al., "CatBoost: unbiased boosting with categorical features", NeurIPS 2018.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import catboost
import numpy as np
from numpy.typing import NDArray

from lineside_export.boosters.adopted import Facts, adopted
from lineside_export.boosters.objectives import CLASSES, link_of, refuse
from lineside_export.trees.ensemble import Ensemble, Link, Nodes, joined, with_table

_NAME = "CatBoost"
_LINKS: dict[str, Link] = {
    "Logloss": "logistic",
    "CrossEntropy": "logistic",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "one against rest",
    "Poisson": "exp",
    "Tweedie": "exp",
    "Expectile": "values",
    "Huber": "values",
    "LogCosh": "values",
    "LogLinQuantile": "exp",
    "Lq": "values",
    "MAE": "values",
    "MAPE": "values",
    "MultiQuantile": "values",
    "MultiRMSE": "values",
    "Quantile": "values",
    "RMSE": "values",
    "PairLogit": "values",
    "PairLogitPairwise": "values",
    "QueryRMSE": "values",
    "QuerySoftMax": "values",
    "YetiRank": "values",
    "YetiRankPairwise": "values",
}


def ensemble(model: Any) -> Ensemble:
    """Return the trees of a CatBoost model.

    Raises InputError for categories, texts and embeddings, and for objectives that are not known.
    """
    link = _link(model)
    document = _document(model)
    kinds = set(document["features_info"]) - {"float_features"}
    if any(document["features_info"][kind] for kind in kinds):
        refuse(
            _NAME,
            "has categories, texts or embeddings, which it turns into statistics of the training rows",
            "Encode them as numbers before training, for instance with scikit-learn's OneHotEncoder.",
        )
    columns = {each["feature_index"]: each for each in document["features_info"]["float_features"]}
    if "oblivious_trees" in document:
        parts = [_oblivious(tree, columns) for tree in document["oblivious_trees"]]
    else:
        parts = [_any_shape(tree, columns) for tree in document["trees"]]
    scale, bias = document["scale_and_bias"]
    base = np.atleast_1d(np.asarray(bias, np.float64))
    nodes = joined([nodes for nodes, _ in parts])
    values = np.concatenate([found.reshape(-1, len(base)) for _, found in parts]) * scale
    if len(base) > 1:
        # The table's rows are averaged over the trees.
        return with_table(nodes, values * len(parts) + base, link)
    return Ensemble(nodes, np.zeros(len(values), np.int64), values[:, 0], 1, link, base=base)


def adopt(model: Any) -> Any:
    """Return scikit-learn's kind of estimator: CatBoost's own are none, and answer labels in a column."""
    link = _link(model)
    if not model.is_fitted():
        refuse(_NAME, "is not fitted", "Call fit, then save it again.")
    classes = tuple(np.asarray(model.classes_).tolist()) if link in CLASSES else ()
    kind = "Probability" if classes else "Exponent" if link == "exp" else "RawFormulaVal"
    names = tuple(model.feature_names_)
    if names == tuple(str(index) for index in range(len(names))):
        names = ()

    def answer(rows: NDArray[np.float64]) -> NDArray[Any]:
        return np.asarray(catboost.CatBoost.predict(model, rows, prediction_type=kind, thread_count=1))

    return adopted(model, Facts(type(model).__name__, len(model.feature_names_), names, classes, answer))


def read(path: Path) -> Any:
    """Read a file of save_model: CatBoost's binary format."""
    return catboost.CatBoost().load_model(str(path))


def _link(model: Any) -> Link:
    loss = str(model.get_all_params().get("loss_function", "custom"))
    return link_of(_NAME, loss.partition(":")[0], _LINKS)


def _document(model: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found


def _split(split: dict[str, Any], columns: dict[int, Any]) -> tuple[int, float, bool]:
    """Return a split's feature, its border, and whether a missing reading goes left: it is above nothing."""
    column = columns[split["float_feature_index"]]
    border = float(np.float32(split["border"]))
    return column["flat_feature_index"], border, column["nan_value_treatment"] != "AsTrue"


def _oblivious(tree: dict[str, Any], columns: dict[int, Any]) -> tuple[Nodes, NDArray[np.float64]]:
    """Write a tree whose levels each ask one question: the first one decides on the lowest bit of the leaf."""
    splits = [_split(each, columns) for each in reversed(tree["splits"])]
    depth = len(splits)
    inner = 2**depth - 1
    level = np.repeat(np.arange(depth), 2 ** np.arange(depth))
    filled = np.zeros(inner + 1)
    feature, threshold, missing = (
        np.array([each[place] for each in splits])[level] if depth else np.zeros(0) for place in range(3)
    )
    at = np.arange(2 * inner + 1)
    left = np.where(at < inner, 2 * at + 1, -1)
    values = np.asarray(tree["leaf_values"], np.float64).reshape(inner + 1, -1)
    nodes = Nodes(
        roots=np.zeros(1, np.int64),
        feature=np.concatenate([feature, filled]).astype(np.int64),
        threshold=np.concatenate([threshold, filled]),
        missing_left=np.concatenate([missing, filled]).astype(bool),
        left=left,
        right=np.where(left < 0, -1, left + 1),
    )
    return nodes, np.concatenate([np.zeros((inner, values.shape[1])), values])


def _any_shape(tree: dict[str, Any], columns: dict[int, Any]) -> tuple[Nodes, NDArray[np.float64]]:
    """Write a tree of branches inside branches, each before those below it."""
    branches = [tree]
    sides: list[list[int]] = [[], []]
    for branch in branches:  # which grows on the way
        for side, name in zip(sides, ("left", "right"), strict=True):
            side.append(len(branches) if name in branch else -1)
            branches += [branch[name]] if name in branch else []
    asked = [_split(each["split"], columns) if "split" in each else (0, 0.0, False) for each in branches]
    feature, threshold, missing = (np.array(each) for each in zip(*asked, strict=True))
    left, right = (np.array(side) for side in sides)
    nodes = Nodes(np.zeros(1, np.int64), feature, threshold, missing, left, right)
    width = max(np.size(each.get("value", 0)) for each in branches)
    values = [np.ravel(each.get("value", np.zeros(width))) for each in branches]
    return nodes, np.array(values, np.float64)
