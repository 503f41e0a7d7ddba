"""Trained models with the rows to judge them by: real data sets that scikit-learn carries, and larger made ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, OneClassSVM


class Rows(NamedTuple):
    """Inputs, float32 of shape (n, features), and what is true of them (None: nothing is known)."""

    inputs: NDArray[np.float32]
    target: NDArray[Any] | None


class Subject(NamedTuple):
    """A model, fitted, and rows that it was not fitted to."""

    name: str
    model: Any
    rows: Rows


class Recipe(NamedTuple):
    """How to come by a subject: a data set and an estimator."""

    data: Callable[[], tuple[NDArray[Any], NDArray[Any]]]
    estimator: Callable[[], Any]


def _digits() -> tuple[NDArray[Any], NDArray[Any]]:
    return datasets.load_digits(return_X_y=True)  # type: ignore[no-any-return]


def _cancer() -> tuple[NDArray[Any], NDArray[Any]]:
    return datasets.load_breast_cancer(return_X_y=True)  # type: ignore[no-any-return]


def _diabetes() -> tuple[NDArray[Any], NDArray[Any]]:
    return datasets.load_diabetes(return_X_y=True)  # type: ignore[no-any-return]


def _two_classes() -> tuple[NDArray[Any], NDArray[Any]]:
    return datasets.make_classification(2000, 20, n_informative=10, flip_y=0.05, random_state=0)  # type: ignore[no-any-return]


def _values() -> tuple[NDArray[Any], NDArray[Any]]:
    return datasets.make_friedman1(12_000, 10, noise=1.0, random_state=0)  # type: ignore[no-any-return]


def _lightgbm() -> dict[str, Recipe]:
    """Return the recipe of a LightGBM model, if that is installed."""
    if importlib.util.find_spec("lightgbm") is None:
        return {}

    def estimator() -> Any:
        from lightgbm import LGBMClassifier

        return LGBMClassifier(random_state=0, verbose=-1, n_jobs=1)

    return {"LightGBM, two classes": Recipe(_two_classes, estimator)}


TREES = {
    "random forest, digits": Recipe(_digits, lambda: RandomForestClassifier(100, random_state=0)),
    "random forest, two classes": Recipe(_two_classes, lambda: RandomForestClassifier(100, random_state=0)),
    "extra trees, digits": Recipe(_digits, lambda: ExtraTreesClassifier(100, random_state=0)),
    "forest regressor, depth 10": Recipe(
        _values, lambda: RandomForestRegressor(100, max_depth=10, random_state=0)
    ),
    "gradient boosting, diabetes": Recipe(_diabetes, lambda: GradientBoostingRegressor(random_state=0)),
    "histogram boosting": Recipe(_values, lambda: HistGradientBoostingRegressor(random_state=0)),
    "isolation forest, cancer": Recipe(_cancer, lambda: IsolationForest(random_state=0)),
    **_lightgbm(),
}
OTHERS = {
    "5 nearest neighbours, digits": Recipe(_digits, KNeighborsClassifier),
    "SVC (RBF), digits": Recipe(_digits, SVC),
    "one-class SVM, cancer": Recipe(_cancer, lambda: make_pipeline(StandardScaler(), OneClassSVM(nu=0.05))),
    "Gaussian process, diabetes": Recipe(
        _diabetes,
        lambda: GaussianProcessRegressor(RBF(1.0) + WhiteKernel(1.0), normalize_y=True, random_state=0),
    ),
    "isolation forest, cancer": TREES["isolation forest, cancer"],
    "scaler + network 128-64": Recipe(
        _values,
        lambda: make_pipeline(
            StandardScaler(), MLPRegressor(hidden_layer_sizes=(128, 64), max_iter=60, random_state=0)
        ),
    ),
    "scaler + PCA + logistic regression": Recipe(
        _digits, lambda: make_pipeline(StandardScaler(), PCA(30), LogisticRegression(max_iter=500))
    ),
}
NETWORKS = {
    "logistic regression, digits": Recipe(_digits, lambda: LogisticRegression(max_iter=3000)),
    "network 100, digits": Recipe(
        _digits, lambda: MLPClassifier(hidden_layer_sizes=(100,), max_iter=300, random_state=0)
    ),
    "network 512-256, digits": Recipe(
        _digits, lambda: MLPClassifier(hidden_layer_sizes=(512, 256), max_iter=60, random_state=0)
    ),
    "network 128-64, regression": OTHERS["scaler + network 128-64"],
    "random forest, digits": TREES["random forest, digits"],
}


def fit(name: str, recipe: Recipe, *, quick: bool) -> Subject:
    """Fit a model to 60 % of its data (a sixth of that if `quick`); the others are its rows."""
    inputs, target = recipe.data()
    inputs = np.ascontiguousarray(inputs, dtype=np.float32)
    train, test, train_target, test_target = train_test_split(
        inputs, target, test_size=0.4, random_state=0, stratify=target if target.dtype.kind == "i" else None
    )
    if quick:
        train, train_target = train[: len(train) // 6], train_target[: len(train) // 6]
    model = recipe.estimator()
    knows_target = not hasattr(model, "fit_predict") or hasattr(model, "predict_proba")
    model.fit(train, train_target)
    return Subject(name, model, Rows(test, test_target if knows_target else None))
