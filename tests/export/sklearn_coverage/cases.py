"""Which estimators are tried, made how, and on which rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor
from sklearn.feature_selection import f_regression
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from sklearn_coverage.rows import ROWS


class Case(NamedTuple):
    """An estimator to try: its name, how to make one, which rows, and what it is."""

    name: str
    make: Callable[[], Any]
    rows: str
    kind: str


# What has no answer to a row that it was not fitted on, and why.
_FITTED_ONLY = "labels only the rows that it was fitted on"
_COVARIANCE = "estimates a covariance: nothing to predict"
_TARGETS = "encodes targets, not rows"
_EMBEDDED = "embeds only the rows that it was fitted on"
WITHOUT_INFERENCE = {
    **dict.fromkeys(
        (
            *("AgglomerativeClustering", "DBSCAN", "HDBSCAN", "OPTICS", "SpectralClustering"),
            *("SpectralBiclustering", "SpectralCoclustering"),
        ),
        _FITTED_ONLY,
    ),
    **dict.fromkeys(
        (
            *("EmpiricalCovariance", "GraphicalLasso", "GraphicalLassoCV", "LedoitWolf", "MinCovDet"),
            *("OAS", "ShrunkCovariance"),
        ),
        _COVARIANCE,
    ),
    **dict.fromkeys(("LabelBinarizer", "LabelEncoder", "MultiLabelBinarizer"), _TARGETS),
    **dict.fromkeys(("ClassicalMDS", "MDS", "SpectralEmbedding", "TSNE"), _EMBEDDED),
    "KernelDensity": "gives densities by score_samples: it has no predict",
    "NearestNeighbors": "finds rows: it has no predict",
}
# What takes no rows of numbers at all.
NOT_READINGS = {
    **dict.fromkeys(
        ("CountVectorizer", "HashingVectorizer", "TfidfVectorizer"),
        "takes texts: exact within a ColumnTransformer, on a [column of text](guides/text-columns.md)",
    ),
    **dict.fromkeys(("DictVectorizer", "FeatureHasher"), "takes dictionaries"),
    "PatchExtractor": "takes images, and answers several rows for each",
}

_logistic = LogisticRegression
_pair = [("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3, random_state=0))]
_regressors = [("a", LinearRegression()), ("b", Ridge())]
# The arguments that an estimator cannot do without, or that make it quick, or meaningful on these rows.
ARGUMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "AdaBoostClassifier": lambda: {"n_estimators": 10},
    "AdaBoostRegressor": lambda: {"n_estimators": 10},
    "AffinityPropagation": lambda: {"max_iter": 400, "damping": 0.9},
    "BaggingClassifier": lambda: {"n_estimators": 5},
    "BaggingRegressor": lambda: {"n_estimators": 5},
    "BayesianGaussianMixture": lambda: {"n_components": 3},
    "Birch": lambda: {"threshold": 5.0},
    "BisectingKMeans": lambda: {"n_clusters": 5},
    "CalibratedClassifierCV": lambda: {"cv": 2},
    "ClassifierChain": lambda: {"estimator": _logistic()},
    "ColumnTransformer": lambda: {"transformers": [("a", _scaler(), [0, 1]), ("b", "passthrough", [3])]},
    "DictionaryLearning": lambda: {"n_components": 8, "max_iter": 10},
    "ExtraTreesClassifier": lambda: {"n_estimators": 10},
    "ExtraTreesRegressor": lambda: {"n_estimators": 10},
    "FeatureUnion": lambda: {"transformer_list": [("a", _scaler()), ("b", "passthrough")]},
    "FixedThresholdClassifier": lambda: {"estimator": _logistic(), "threshold": 0.3},
    "FrozenEstimator": lambda: {"estimator": _already_fitted()},
    "GaussianMixture": lambda: {"n_components": 3},
    "GaussianRandomProjection": lambda: {"n_components": 4},
    "GenericUnivariateSelect": lambda: {"score_func": f_regression, "mode": "k_best", "param": 3},
    "GradientBoostingClassifier": lambda: {"n_estimators": 10},
    "GradientBoostingRegressor": lambda: {"n_estimators": 10},
    "GridSearchCV": lambda: {"estimator": _logistic(), "param_grid": {"C": [0.1, 1]}, "cv": 2},
    "HistGradientBoostingClassifier": lambda: {"max_iter": 10},
    "HistGradientBoostingRegressor": lambda: {"max_iter": 10},
    "IsolationForest": lambda: {"n_estimators": 10},
    "IsotonicRegression": lambda: {"out_of_bounds": "clip"},
    "KBinsDiscretizer": lambda: {"quantile_method": "averaged_inverted_cdf"},
    "KernelPCA": lambda: {"n_components": 4, "kernel": "rbf", "gamma": 0.01},
    "KMeans": lambda: {"n_clusters": 5},
    "LatentDirichletAllocation": lambda: {"n_components": 3, "max_iter": 3},
    "LocalOutlierFactor": lambda: {"novelty": True},
    "MeanShift": lambda: {"bin_seeding": True},
    "MiniBatchDictionaryLearning": lambda: {"n_components": 8, "max_iter": 10},
    "MiniBatchKMeans": lambda: {"n_clusters": 5},
    "MiniBatchNMF": lambda: {"n_components": 3, "max_iter": 20},
    "MiniBatchSparsePCA": lambda: {"n_components": 3, "max_iter": 10},
    "MLPClassifier": lambda: {"hidden_layer_sizes": (16,), "max_iter": 50},
    "MLPRegressor": lambda: {"hidden_layer_sizes": (16,), "max_iter": 50},
    "MultiOutputClassifier": lambda: {"estimator": _logistic()},
    "MultiOutputRegressor": lambda: {"estimator": Ridge()},
    "NMF": lambda: {"n_components": 3, "max_iter": 50},
    "NeighborhoodComponentsAnalysis": lambda: {"max_iter": 5},
    "Nystroem": lambda: {"n_components": 20},
    "OneVsOneClassifier": lambda: {"estimator": _logistic()},
    "OneVsRestClassifier": lambda: {"estimator": _logistic()},
    "OneHotEncoder": lambda: {"handle_unknown": "ignore"},
    "OrdinalEncoder": lambda: {"handle_unknown": "use_encoded_value", "unknown_value": -1},
    "OutputCodeClassifier": lambda: {"estimator": _logistic()},
    "Pipeline": lambda: {"steps": [("a", _scaler()), ("b", _logistic())]},
    "PolynomialCountSketch": lambda: {"n_components": 20},
    "QuantileTransformer": lambda: {"n_quantiles": 50},
    "RadiusNeighborsClassifier": lambda: {"radius": 8.0, "outlier_label": "most_frequent"},
    "RadiusNeighborsRegressor": lambda: {"radius": 8.0},
    "RadiusNeighborsTransformer": lambda: {"radius": 8.0},
    "RandomForestClassifier": lambda: {"n_estimators": 10},
    "RandomForestRegressor": lambda: {"n_estimators": 10},
    "RandomizedSearchCV": lambda: {
        **{"estimator": _logistic(), "param_distributions": {"C": [0.1, 1]}},
        **{"cv": 2, "n_iter": 2},
    },
    "RandomTreesEmbedding": lambda: {"n_estimators": 5},
    "RegressorChain": lambda: {"estimator": Ridge()},
    "RFE": lambda: {"estimator": _logistic(), "n_features_to_select": 3},
    "RFECV": lambda: {"estimator": _logistic(), "cv": 2},
    "SelectPercentile": lambda: {"score_func": f_regression, "percentile": 50},
    "SelectKBest": lambda: {"score_func": f_regression, "k": 3},
    "SelectFwe": lambda: {"score_func": f_regression},
    "SelectFpr": lambda: {"score_func": f_regression},
    "SelectFdr": lambda: {"score_func": f_regression},
    "SelectFromModel": lambda: {"estimator": _logistic()},
    "SelfTrainingClassifier": lambda: {"estimator": _logistic()},
    "SequentialFeatureSelector": lambda: {"estimator": Ridge(), "n_features_to_select": 2, "cv": 2},
    "SparseCoder": lambda: {"dictionary": np.random.default_rng(0).normal(size=(8, 6))},
    "SparsePCA": lambda: {"n_components": 3, "max_iter": 10},
    "SparseRandomProjection": lambda: {"n_components": 4},
    "StackingClassifier": lambda: {"estimators": _pair, "cv": 2},
    "StackingRegressor": lambda: {"estimators": _regressors, "cv": 2},
    "TransformedTargetRegressor": lambda: {"regressor": Ridge(), "func": np.log1p, "inverse_func": np.expm1},
    "TunedThresholdClassifierCV": lambda: {"estimator": _logistic(), "scoring": "recall", "cv": 2},
    "VarianceThreshold": lambda: {"threshold": 0.5},
    "VotingClassifier": lambda: {"estimators": _pair, "voting": "soft"},
    "VotingRegressor": lambda: {"estimators": _regressors},
}
_MANY_MISSING = (
    *("DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier"),
    *("HistGradientBoostingClassifier", "SimpleImputer", "KNNImputer", "MissingIndicator"),
)
_MISSING_VALUES = (
    *("DecisionTreeRegressor", "ExtraTreeRegressor", "RandomForestRegressor", "ExtraTreesRegressor"),
    "HistGradientBoostingRegressor",
)
_SEVERAL_VALUES = (
    *("CCA", "PLSCanonical", "PLSSVD", "MultiOutputRegressor", "RegressorChain"),
    *("MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV"),
)
_POSITIVE = (
    *("NMF", "MiniBatchNMF", "AdditiveChi2Sampler", "SkewedChi2Sampler", "BernoulliRBM"),
    *("LatentDirichletAllocation",),
)
_CHOOSE = (
    *("GenericUnivariateSelect", "SequentialFeatureSelector"),
    *("SelectFdr", "SelectFpr", "SelectFwe", "SelectKBest", "SelectPercentile"),
)
# Where the kind of estimator does not say which rows suit it.
_ROWS = {
    **dict.fromkeys(_MANY_MISSING, "missing"),
    **dict.fromkeys(_MISSING_VALUES, "missing values"),
    **dict.fromkeys(_SEVERAL_VALUES, "several values"),
    **dict.fromkeys(_POSITIVE, "positive"),
    **dict.fromkeys(("ComplementNB", "MultinomialNB", "TfidfTransformer"), "counts"),
    **dict.fromkeys(("CategoricalNB", "OneHotEncoder", "OrdinalEncoder", "TargetEncoder"), "categories"),
    **dict.fromkeys(("ClassifierChain", "MultiOutputClassifier"), "several labels"),
    **dict.fromkeys(("FixedThresholdClassifier", "TunedThresholdClassifierCV"), "two classes"),
    **dict.fromkeys(("GammaRegressor", "PoissonRegressor", "TransformedTargetRegressor"), "positive values"),
    **dict.fromkeys(_CHOOSE, "values"),
    "BernoulliNB": "switches",
    "IsotonicRegression": "one channel",
    "KernelCenterer": "products",
    "TweedieRegressor": "positive values",
}
_KINDS = {
    "classifier": (is_classifier, "classes"),
    "regressor": (is_regressor, "values"),
    "outlier detector": (is_outlier_detector, "no target"),
    "clusterer": (is_clusterer, "no target"),
}


# There only if somebody has asked for what is experimental.
_EXPERIMENTAL = {"HalvingGridSearchCV", "HalvingRandomSearchCV", "IterativeImputer"}


def estimators() -> dict[str, type]:
    """Return all of scikit-learn's estimators, by name."""
    return {name: family for name, family in all_estimators() if name not in _EXPERIMENTAL}


def cases() -> list[Case]:
    """Return every estimator of scikit-learn that answers new rows of numbers, by name."""
    left_out = WITHOUT_INFERENCE.keys() | NOT_READINGS.keys()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some are deprecated
        return [_case(name, family) for name, family in estimators().items() if name not in left_out]


def _case(name: str, family: type) -> Case:
    def make() -> Any:
        model = family(**ARGUMENTS.get(name, dict)())
        if "random_state" in model.get_params():
            model.set_params(random_state=0)
        return model

    kind, rows = _kind(make())
    return Case(name, make, _ROWS.get(name, rows), kind)


def _kind(model: Any) -> tuple[str, str]:
    if type(model).__name__ == "FrozenEstimator":
        return _kind(model.estimator)
    if type(model).__name__ in ("GaussianMixture", "BayesianGaussianMixture"):
        return "clusterer", "no target"
    for kind, (is_it, rows) in _KINDS.items():
        if hasattr(type(model), "predict") and is_it(model):
            return kind, rows
    return "transformer", "classes"


def _already_fitted() -> Any:
    inputs, target = ROWS["classes"]()
    return _logistic().fit(inputs.astype(np.float64), target)


def _scaler() -> Any:
    from sklearn.preprocessing import StandardScaler

    return StandardScaler()
