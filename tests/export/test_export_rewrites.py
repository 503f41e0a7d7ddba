"""Models written as matrix products: the same answers as scikit-learn, beside the converter's own graph."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from conftest import BUNDLE
from sklearn.decomposition import PCA, FactorAnalysis, FastICA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.random_projection import SparseRandomProjection
from sklearn.svm import SVC, SVR, OneClassSVM

TRUST = ["--trust-type", "scipy.sparse._csr.csr_matrix"]


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(600, 6)) * [1, 5, 0.1, 20, 1, 1] + [0, 100, 0, -30, 2, 0]
    scaled = (inputs - inputs.mean(0)) / inputs.std(0)
    labels = np.digitize(scaled[:, 0] + scaled[:, 1] * scaled[:, 2], [-0.5, 0.5])
    values = scaled[:, 0] * 2 + np.sin(scaled[:, 1]) + 0.1 * generator.normal(size=600)
    return inputs, labels, values


def exported(work, model, rows, target) -> dict[str, dict]:
    """Export a model, which refuses any that does not answer as the original, and return the ways by name."""
    work.save(model)
    work.rows(rows, target)
    result = work.export("--json", *TRUST, target=None if target is None else "y")
    assert result.code == 0, result.err
    return {each["name"]: each for each in json.loads(result.out)["candidates"]}


CLASSIFIERS = [
    KNeighborsClassifier(5, algorithm="brute"),
    KNeighborsClassifier(4, weights="distance", algorithm="brute"),
    make_pipeline(StandardScaler(), KNeighborsClassifier(3, algorithm="brute")),
    make_pipeline(StandardScaler(), SVC()),
    make_pipeline(StandardScaler(), SVC(kernel="poly", degree=2)),
]
REGRESSORS = [
    KNeighborsRegressor(5, algorithm="brute"),
    make_pipeline(StandardScaler(), SVR()),
    make_pipeline(StandardScaler(), GaussianProcessRegressor(RBF() + WhiteKernel(), random_state=0)),
]


def check_rewritten(ways: dict[str, dict]) -> None:
    rewritten = ways["rewritten"]
    assert rewritten["verdict"] in ("chosen", "kept", "dropped"), rewritten["reason"]
    assert rewritten["agreement"] == 1.0


@pytest.mark.parametrize("model", CLASSIFIERS, ids=str)
def test_classifiers(work, data, model) -> None:
    rows, labels, _ = data
    check_rewritten(exported(work, model.fit(rows[:400], labels[:400]), rows[400:], labels[400:]))


@pytest.mark.parametrize("model", REGRESSORS, ids=str)
def test_regressors(work, data, model) -> None:
    rows, _, values = data
    check_rewritten(exported(work, model.fit(rows[:400], values[:400]), rows[400:], values[400:]))


def test_outliers(work, data) -> None:
    rows, _, _ = data
    model = make_pipeline(StandardScaler(), OneClassSVM(nu=0.1)).fit(rows[:400])
    own, other = sizes(exported(work, model, rows[400:], None))
    assert own < other * 1.1  # in float32, not in float64


def test_they_are_several_times_faster_than_the_converters_graph(work, data) -> None:
    rows, labels, _ = data
    model = KNeighborsClassifier(5, algorithm="brute").fit(rows[:400], labels[:400])
    ways = exported(work, model, rows[400:], labels[400:])
    assert ways["rewritten"]["latency_1_us"] * 5 < ways["float32"]["latency_1_us"]


def sizes(ways: dict[str, dict]) -> tuple[int, int]:
    check_rewritten(ways)
    return ways["rewritten"]["bytes"], ways["float32"]["bytes"]


def test_neighbours_keep_each_training_row_once(work, data) -> None:
    rows, labels, _ = data
    ways = exported(work, KNeighborsClassifier(5).fit(rows[:500], labels[:500]), rows[500:], labels[500:])
    own, other = sizes(ways)
    assert own < 1.25 * other
    assert ways["int8-weights"]["bytes"] < 0.6 * own


def test_neighbours_of_counts_take_a_byte_a_count(work, data) -> None:
    _, labels, _ = data
    counts = np.random.default_rng(1).poisson(20, size=(600, 12)) + 3 * labels[:, None]
    ways = exported(work, KNeighborsClassifier(5).fit(counts[:500], labels[:500]), counts[500:], labels[500:])
    own, other = sizes(ways)
    assert own < other / 2.5


def test_a_support_vector_is_stored_with_a_coefficient_for_each_other_class(work, data) -> None:
    rows, _, _ = data
    scaled = (rows - rows.mean(0)) / rows.std(0)
    labels = np.argmax(scaled + 0.3 * np.random.default_rng(2).normal(size=scaled.shape), axis=1)
    model = make_pipeline(StandardScaler(), SVC()).fit(rows[:500], labels[:500])
    own, other = sizes(exported(work, model, rows[500:], labels[500:]))
    assert own < other


def answered_alike(work, model, shown, asked, target=None) -> list[dict[str, str]]:
    """Export with some rows, ask about others: the labels or values must be the original's."""
    exported(work, model, shown, target)
    work.rows(asked)
    answers = list(csv.DictReader(io.StringIO(work.run("predict", BUNDLE, "rows.csv").out)))
    expected = model.predict(asked.astype(np.float32).astype(np.float64))
    if "label" in answers[0]:
        assert [each["label"] for each in answers] == [str(label) for label in expected]
    else:
        values = np.array([float(next(v for k, v in each.items() if k != "line")) for each in answers])
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-3 * expected.std())
    return answers


@pytest.mark.parametrize(
    "model",
    [SVC(gamma="auto"), SVR(gamma="auto"), GaussianProcessRegressor(RBF(1.0), optimizer=None)],
    ids=str,
)
def test_vectors_much_farther_apart_than_their_kernel_reaches(work, model) -> None:
    """The square of a distance of nothing, from products of 1e14, is anything but nothing."""
    generator = np.random.default_rng(5)
    rows = (generator.normal(size=(120, 3)) * 1e8).astype(np.float32)
    target = generator.integers(0, 2, 120) if isinstance(model, SVC) else generator.normal(size=120)
    answered_alike(work, model.fit(rows.astype(np.float64), target), rows[:100] * 1.3, rows)


def test_a_decision_of_exactly_nothing_is_the_second_class_s(work) -> None:
    generator = np.random.default_rng(1)
    rows = (generator.normal(size=(80, 3)) * 1e4).astype(np.float32)
    model = SVC(gamma="auto").fit(rows[:40].astype(np.float64), np.tile(["fault", "ok"], 20))
    assert (model.decision_function(rows[40:].astype(np.float64)) == 0).all()
    answered_alike(work, model, rows[40:], rows)


def test_support_vector_regression_that_learnt_nothing(work, data) -> None:
    rows, _, values = data
    model = SVR(epsilon=9.0).fit(rows[:300], values[:300] + 5)
    assert not len(model.support_vectors_)
    answered_alike(work, model, rows[300:], rows[:50])


def test_more_neighbours_than_float32_tells_apart(work) -> None:
    generator = np.random.default_rng(2)
    grid = np.column_stack([generator.integers(0, 2, 400) + 0.1, generator.integers(0, 6, 400) * 1.7])
    fine = generator.normal(size=(400, 2)) * 1e-6
    rows = np.column_stack([fine, grid]).astype(np.float32)
    labels = generator.integers(0, 3, 400)
    model = KNeighborsClassifier(5, weights="distance").fit(rows.astype(np.float64), labels)
    others = rows[:150] + np.array([0, 0, 0.37, 0.41], np.float32)
    answered_alike(work, model, others, rows)


# Families that the converter does not know, or that fold into one product: whatever way is chosen, the export has
# held it against scikit-learn.
FOLDED = [
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    make_pipeline(MinMaxScaler(), PCA(3), LogisticRegression(max_iter=500)),
    make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=80, random_state=0)),
    make_pipeline(StandardScaler(), NearestCentroid()),
    make_pipeline(StandardScaler(), FastICA(3, random_state=0), LogisticRegression(max_iter=500)),
    make_pipeline(StandardScaler(), FactorAnalysis(3), LogisticRegression(max_iter=500)),
    make_pipeline(StandardScaler(), RBFSampler(random_state=0), LogisticRegression(max_iter=500)),
    make_pipeline(
        StandardScaler(), Nystroem(n_components=20, random_state=0), LogisticRegression(max_iter=500)
    ),
    make_pipeline(
        StandardScaler(), SparseRandomProjection(3, random_state=0), LogisticRegression(max_iter=500)
    ),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("model", FOLDED, ids=lambda model: "-".join(name for name, _ in model.steps))
def test_products_fold_into_one_another(work, data, model) -> None:
    rows, labels, _ = data
    ways = exported(work, model.fit(rows[:400], labels[:400]), rows[400:], labels[400:])
    assert max(way.get("agreement") or 0 for way in ways.values()) == 1.0


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), KernelRidge(kernel="rbf")], ids=str)
def test_linear_and_kernel_regressors(work, data, model) -> None:
    rows, _, values = data
    model = make_pipeline(StandardScaler(), model).fit(rows[:400], values[:400])
    ways = exported(work, model, rows[400:], values[400:])
    assert any(way["verdict"] == "chosen" for way in ways.values())
