"""Converters that skl2onnx lacks, over their parameters: each one's columns or answers against scikit-learn's own."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from sklearn.base import is_classifier, is_outlier_detector, is_regressor
from sklearn.cluster import (
    AffinityPropagation,
    Birch,
    BisectingKMeans,
    FeatureAgglomeration,
    KMeans,
    MeanShift,
)
from sklearn.cross_decomposition import CCA, PLSRegression
from sklearn.decomposition import PCA, DictionaryLearning, FastICA, KernelPCA, SparseCoder, SparsePCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomTreesEmbedding, VotingClassifier
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.kernel_approximation import (
    AdditiveChi2Sampler,
    Nystroem,
    PolynomialCountSketch,
    RBFSampler,
    SkewedChi2Sampler,
)
from sklearn.linear_model import Ridge
from sklearn.manifold import Isomap, LocallyLinearEmbedding
from sklearn.neighbors import RadiusNeighborsClassifier, RadiusNeighborsRegressor, RadiusNeighborsTransformer
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sklearn.svm import SVC

from lineside_contract.errors import InputError
from lineside_export.convert import INPUT, convert
from lineside_export.convert.sklearn import convert_steps
from lineside_export.rewrites.write import write as rewrite
from lineside_export.schema import Schema, describe

WIDE = Schema("regression", "it", 4, (), (), False, False)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Rows of four channels of different size and place, float32."""
    generator = np.random.default_rng(0)
    return (generator.normal(size=(110, 4)) * [1, 5, 0.1, 2] + [0, 40, 0, -10]).astype(np.float32)


@pytest.fixture(scope="module")
def target(rows) -> np.ndarray:
    return np.digitize(rows[:, 0] + (rows[:, 3] + 10) / 2, [-0.7, 0.7])


def run(graph, rows: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    return session.run(None, {INPUT: rows})


def check_columns(step, rows: np.ndarray, *before) -> None:
    """A fitted transformer's graph must give its columns, to float32's own rounding."""
    wide = rows.astype(np.float64)
    for each in before:
        wide = each.transform(wide)
    expected = step.transform(wide)
    expected = expected.toarray() if hasattr(expected, "toarray") else np.asarray(expected, np.float64)
    graph = convert_steps([*before, step], WIDE._replace(features=rows.shape[1]))
    (found,) = run(graph, rows)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6 + 1e-5 * np.nanstd(expected))


LINEAR = [
    FastICA(3, random_state=0, whiten="unit-variance"),
    SparsePCA(2, max_iter=5, random_state=0),
    FeatureAgglomeration(2),
    FeatureAgglomeration(2, pooling_func=np.max),
    FeatureAgglomeration(2, pooling_func=np.min),
    BernoulliRBM(5, n_iter=2, random_state=0),
    SelectKBest(k=1),
    VarianceThreshold(1.0),
    *(Normalizer(norm) for norm in ("l1", "l2", "max")),
]
KERNELS = [
    *(KernelPCA(2, kernel=name, gamma=0.01) for name in ("linear", "rbf", "poly", "sigmoid")),
    Nystroem(n_components=9, gamma=0.01, random_state=0),
    RBFSampler(n_components=9, random_state=0),
    PolynomialCountSketch(n_components=7, degree=3, coef0=1, gamma=0.01, random_state=0),
]
CODERS = [
    *(DictionaryLearning(6, transform_n_nonzero_coefs=count, max_iter=3, random_state=0) for count in (1, 3)),
    DictionaryLearning(6, transform_algorithm="threshold", transform_alpha=0.3, max_iter=3, split_sign=True),
    SparseCoder(np.random.default_rng(1).normal(size=(6, 4)), transform_n_nonzero_coefs=2, split_sign=True),
]
NEIGHBOURS = [
    Isomap(n_components=2, n_neighbors=4),
    LocallyLinearEmbedding(n_components=2, n_neighbors=4, random_state=0),
    RadiusNeighborsTransformer(radius=4.0),
    RadiusNeighborsTransformer(radius=4.0, mode="connectivity"),
]
PIECES = [
    *(
        SplineTransformer(4, degree, extrapolation=beyond, knots=knots)
        for degree, beyond, knots in [
            *((3, "constant", "uniform"), (2, "linear", "quantile"), (3, "continue", "uniform")),
            *((3, "periodic", "uniform"), (1, "constant", "quantile")),
        ]
    ),
    SplineTransformer(3, include_bias=False),
    *(
        KBinsDiscretizer(4, encode=encode, strategy=strategy, quantile_method="linear")
        for encode, strategy in [("ordinal", "quantile"), ("onehot", "uniform"), ("onehot-dense", "quantile")]
    ),
    RandomTreesEmbedding(4, max_depth=3, random_state=0),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("step", [*LINEAR, *KERNELS, *CODERS, *NEIGHBOURS, *PIECES], ids=str)
def test_transformers(rows, target, step) -> None:
    step.fit(rows[:60].astype(np.float64), target[:60])
    beyond = rows[:20] + 3 * (rows[:20] - rows.mean(axis=0))
    check_columns(step, np.concatenate([rows, beyond.astype(np.float32)]))


@pytest.mark.parametrize(
    "step",
    [AdditiveChi2Sampler(), AdditiveChi2Sampler(sample_steps=3), SkewedChi2Sampler(random_state=0)],
    ids=str,
)
def test_transformers_of_positive_rows(rows, step) -> None:
    positive = np.maximum(rows - rows.min(axis=0) - np.float32(0.5), 0)
    check_columns(step.fit(positive.astype(np.float64)), positive)


@pytest.mark.parametrize("powers", [[0.0, 2.0, 1.0, 0.5], [2.0, 0.0, -1.0, 1e-9]])
@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_powers_that_have_a_formula_of_their_own(rows, powers, method) -> None:
    shown = np.abs(rows) + 1 if method == "box-cox" else rows
    step = PowerTransformer(method=method, standardize=False).fit(shown.astype(np.float64))
    step.lambdas_ = np.array(powers)
    check_columns(step, shown)


def test_what_scikit_learn_refuses_is_not_a_number(rows) -> None:
    step = SkewedChi2Sampler(n_components=5, random_state=0).fit(np.abs(rows).astype(np.float64))
    (found,) = run(convert_steps([step], WIDE), -np.abs(rows) - 2)
    assert np.isnan(found).all()


@pytest.mark.parametrize(
    "step",
    [
        SimpleImputer(),
        SimpleImputer(strategy="median", add_indicator=True),
        SimpleImputer(strategy="constant", fill_value=-7, keep_empty_features=True),
        MissingIndicator(),
        MissingIndicator(features="all"),
        KNNImputer(n_neighbors=3),
        KNNImputer(n_neighbors=4, weights="distance", add_indicator=True),
        PowerTransformer(),
        PowerTransformer(standardize=False),
        RandomTreesEmbedding(4, max_depth=3, random_state=0),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_missing_readings(rows, step) -> None:
    holed = rows.copy()
    holed[np.random.default_rng(3).random(rows.shape) < 0.25] = np.nan
    holed[:, 3] = rows[:, 3]
    holed[50] = np.nan  # nothing in common with anybody
    trained = holed[:40].astype(np.float64)
    trained[:, 2] = np.nan if isinstance(step, SimpleImputer) else trained[:, 2]
    if isinstance(step, PowerTransformer):
        trained[:, 1] = -np.exp(rows[:40, 0])  # so far to one side that a power is near 2 or beyond
    step.fit(trained)
    asked = holed.copy()
    if getattr(step, "add_indicator", False) or isinstance(step, MissingIndicator):
        asked[:, 3] = rows[:, 3]  # what it never saw missing it may refuse
        asked[50, 3] = 0
    check_columns(step, asked)


ENCODERS = [
    OneHotEncoder(),
    OneHotEncoder(drop="first", handle_unknown="ignore"),
    OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=25),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=25),
    OrdinalEncoder(encoded_missing_value=-5, handle_unknown="use_encoded_value", unknown_value=-1),
]


@pytest.mark.parametrize("step", ENCODERS, ids=str)
def test_categories_that_are_numbers(step) -> None:
    rows = np.random.default_rng(6).integers(0, [3, 5, 2, 6], size=(120, 4)).astype(np.float32)
    rows[::9, 1] = np.nan
    step.fit(rows[:60].astype(np.float64))
    unknown = np.full((2, 4), 9, np.float32)
    raises = step.handle_unknown == "error"
    check_columns(step, rows if raises else np.concatenate([rows, unknown]))
    if raises:
        (found,) = run(convert_steps([step], WIDE), unknown)
        assert np.isnan(found).all()


@pytest.mark.parametrize("normal", ["normal", "uniform"])
def test_quantiles_with_ties(rows, normal) -> None:
    rounded = np.round(rows)
    rounded[:, 2] = rows[:, 2]
    step = QuantileTransformer(n_quantiles=20, output_distribution=normal).fit(rounded[:100].astype(float))
    near = np.nextafter(rounded[:20], np.float32(99))
    far = rounded[:20] * 3
    gone = np.full((1, 4), np.nan, np.float32)
    check_columns(step, np.concatenate([rounded, near, far, gone]))


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(clip=True), RobustScaler()], ids=str)
def test_scalers_before_bins_move_their_edges(rows, scaler) -> None:
    """The edges are readings, on which scaling in float32 would not land."""
    wide = rows[:60].astype(np.float64)
    scaled = scaler.fit(wide).transform(wide)
    step = KBinsDiscretizer(6, encode="ordinal", quantile_method="inverted_cdf").fit(scaled)
    asked = np.concatenate([rows, np.nextafter(rows, np.float32(99)), np.nextafter(rows, np.float32(-99))])
    check_columns(step, asked, scaler)


@pytest.mark.parametrize("kind", ["continuous", "binary", "multiclass"])
def test_target_encoder(kind) -> None:
    generator = np.random.default_rng(4)
    rows = generator.integers(0, 4, size=(120, 4)).astype(np.float32)
    rows[::9, 1] = np.nan
    target = {
        "continuous": generator.normal(size=120),
        "binary": generator.integers(0, 2, 120),
        "multiclass": generator.integers(0, 3, 120),
    }[kind]
    step = TargetEncoder(target_type=kind).fit(rows[:60].astype(np.float64), target[:60])
    unknown = np.full((2, 4), 9, np.float32)
    check_columns(step, np.concatenate([rows, unknown]))


def test_an_edge_on_a_reading_counts_as_scikit_learn_counts_it() -> None:
    """Edges between two float32: the reading below is below."""
    edges = np.array([0.0, 0.1, 0.2, 0.3, 1.0])
    values = np.concatenate(
        [[np.float32(edge), np.nextafter(np.float32(edge), np.float32(9))] for edge in edges]
    )
    values = np.concatenate([values, np.nextafter(values, np.float32(-9))]).astype(np.float32)[:, None]
    step = KBinsDiscretizer(4, encode="ordinal").fit(np.linspace(0, 1, 50)[:, None])
    step.bin_edges_[0] = edges
    check_columns(step, values)


MODELS = [
    AffinityPropagation(damping=0.9, max_iter=500, random_state=0),
    Birch(threshold=2.0, n_clusters=None),
    Birch(threshold=2.0, n_clusters=3),
    BisectingKMeans(5, random_state=0),
    BisectingKMeans(1, random_state=0),
    KMeans(4, random_state=0, n_init=1),
    MeanShift(bandwidth=6),
    GaussianProcessClassifier(ConstantKernel(2.0) * RBF(3.0), optimizer=None),
    GaussianProcessClassifier(Matern(4.0), optimizer=None),
    LabelPropagation(gamma=0.05),
    LabelSpreading(kernel="knn", n_neighbors=4),
    RadiusNeighborsClassifier(4.0, outlier_label="most_frequent"),
    RadiusNeighborsClassifier(4.0, weights="distance", outlier_label="most_frequent"),
    RadiusNeighborsRegressor(4.0),
    RadiusNeighborsRegressor(4.0, weights="distance"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scaled", [False, True], ids=["alone", "scaled"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_models(rows, target, model, scaled) -> None:
    if is_regressor(model):
        target = rows[:, 0] + rows[:, 3]
    if scaled and hasattr(model, "radius"):
        model = type(model)(**model.get_params() | {"radius": 1.5})
    model = make_pipeline(StandardScaler(), model) if scaled else model
    check_answers(model.fit(rows[:60].astype(np.float64), target[:60]), rows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", [model for model in MODELS if is_classifier(model)], ids=str)
def test_two_classes(rows, target, model) -> None:
    text = np.where(target > 0, "worn", "fine")
    check_answers(model.fit(rows[:60].astype(np.float64), text[:60]), rows)


def check_answers(model, rows: np.ndarray) -> None:
    """Both the converter's graph and the folded one must answer as the model does."""
    schema = describe(model)._replace(features=rows.shape[1])
    wide = rows.astype(np.float64)
    graphs = [rewrite(model, schema, INPUT, lambda steps: convert_steps(steps, schema))]
    if not schema.estimator.startswith("KMeans"):  # of which skl2onnx has its own, float32 and less exact
        graphs.append(convert(model, schema))
    for graph in graphs:
        assert graph is not None
        first, *others = run(graph, rows)
        if schema.task == "regression":
            np.testing.assert_allclose(first.ravel(), model.predict(wide), rtol=2e-6, atol=5e-6)
            continue
        np.testing.assert_array_equal(first, model.predict(wide))
        if schema.probabilities:
            np.testing.assert_allclose(others[0], model.predict_proba(wide), atol=3e-4)
        elif schema.scores and not is_outlier_detector(model):
            np.testing.assert_allclose(others[0], model.transform(wide), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("beyond", ["clip", "nan"])
@pytest.mark.parametrize("increasing", [True, False])
def test_isotonic_regression(rows, beyond, increasing) -> None:
    one = rows[:, :1]
    model = IsotonicRegression(out_of_bounds=beyond, increasing=increasing)
    model.fit(one[:100].astype(np.float64), (1 if increasing else -1) * np.exp(one[:100, 0]))
    asked = np.concatenate([one, one * 5, np.nextafter(one, np.float32(9))])
    check_answers(model, asked)


def test_a_radius_without_an_answer_for_outliers_is_refused(rows, target) -> None:
    model = RadiusNeighborsClassifier(4.0).fit(rows, target)
    with pytest.raises(InputError, match="outlier_label"):
        convert(model, describe(model))


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (DictionaryLearning(3, transform_algorithm="lasso_cd", max_iter=2), "iterates until it converges"),
        (FeatureAgglomeration(2, pooling_func=np.median), "pooling_func"),
        (KernelPCA(2, kernel="cosine"), "cosine"),
        (RadiusNeighborsTransformer(radius=4.0, metric="manhattan"), "manhattan"),
    ],
    ids=str,
)
def test_parameters_that_are_not_written_are_refused_with_the_reason(rows, step, reason) -> None:
    step.fit(rows.astype(np.float64))
    with pytest.raises(InputError, match=reason):
        convert_steps([step], WIDE)


def test_a_model_of_ours_works_inside_one_of_scikit_learns(rows, target) -> None:
    inner = RadiusNeighborsClassifier(4.0, outlier_label="most_frequent")
    model = VotingClassifier([("a", inner), ("b", SVC(probability=True, random_state=0))], voting="soft")
    model.fit(rows[:60].astype(np.float64), target[:60])
    label, probabilities = run(convert(model, describe(model)), rows)
    np.testing.assert_array_equal(label, model.predict(rows.astype(np.float64)))
    np.testing.assert_allclose(probabilities, model.predict_proba(rows.astype(np.float64)), atol=1e-4)


@pytest.mark.parametrize(
    "step",
    [
        KMeans(3, random_state=0, n_init=1),
        BisectingKMeans(3, random_state=0),
        Birch(threshold=2.0),
        LinearDiscriminantAnalysis(),
        LinearDiscriminantAnalysis(solver="eigen", n_components=1),
        PLSRegression(2),
        CCA(1),
    ],
    ids=str,
)
def test_models_that_transform_within_a_pipeline(rows, target, step) -> None:
    step.fit(rows[:60].astype(np.float64), target[:60])
    check_columns(step, rows)
    wide = rows[:60].astype(np.float64)
    check_answers(make_pipeline(step, Ridge().fit(step.transform(wide), wide[:, 0])), rows)


def test_behind_other_steps(rows, target) -> None:
    before = [StandardScaler().fit(rows.astype(np.float64))]
    scaled = before[0].transform(rows.astype(np.float64))
    before.append(PCA(3).fit(scaled))
    step = SplineTransformer(4).fit(before[1].transform(scaled))
    check_columns(step, rows, *before)
