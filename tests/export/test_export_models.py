"""Real models, trained, exported and run again by the agent's own code."""

from __future__ import annotations

import json

import joblib
import numpy as np
import pytest
import stubborn
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from lineside_agent.model import Model
from lineside_contract.bundle import Bundle

BUNDLE = "m-1.0.0.bundle.zip"

CLASSIFIERS = {
    "logistic": LogisticRegression(),
    "forest": RandomForestClassifier(10, max_depth=5, random_state=0),
    "tree": DecisionTreeClassifier(random_state=0),
    "mlp": make_pipeline(
        StandardScaler(), MLPClassifier(hidden_layer_sizes=(16,), max_iter=40, random_state=0)
    ),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=8),
    "boosting": GradientBoostingClassifier(n_estimators=5, random_state=0),
    "svc": SVC(),
    "scaled linear svc": make_pipeline(StandardScaler(), LinearSVC()),
    "perceptron": Perceptron(),
    "naive bayes": GaussianNB(),
    "search": GridSearchCV(RandomForestClassifier(5, random_state=0), {"max_depth": [2, 4]}, cv=2),
    "frozen": FrozenEstimator(LogisticRegression()),
    "vote": VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], voting="soft"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("labels", ["text", "numbers", "two"])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_classifiers_answer_as_scikit_learn_does(work, classes, binary, kind, labels) -> None:
    rows, target = binary if labels == "two" else classes
    if labels == "text":
        target = np.array(["ok", "warn", "fault"])[target]
    model = CLASSIFIERS[kind]
    if kind == "frozen":
        model = FrozenEstimator(LogisticRegression().fit(rows[:200], target[:200]))
    else:
        model.fit(rows[:200], target[:200])
    joblib.dump(model, "model.joblib")
    work.rows(rows[200:], target[200:])

    result = work.run(
        *("export", "model.joblib", "--trust-pickle", "--data", "rows.csv"), "--target", "y", "-o", BUNDLE
    )

    assert result.code == 0, result.err
    bundle = Bundle.open(work.folder / BUNDLE)
    answers = Model.open(bundle).predict(rows.astype(np.float32))
    expected = model.predict(rows.astype(np.float32).astype(float))
    # Ties may fall either way; there are few.
    assert np.mean(answers.label.astype(expected.dtype) == expected) >= 0.99
    assert bundle.manifest.task == "classification"
    assert bundle.manifest.outputs.classes == np.unique(target).tolist()
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(answers.probabilities, model.predict_proba(rows), atol=0.02)
    else:
        assert answers.scores.shape == (400, len(np.unique(target)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(),
        RandomForestRegressor(5, max_depth=6, random_state=0),
        HistGradientBoostingRegressor(max_iter=10),
        make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(16,), max_iter=100, random_state=0)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_regressors(work, values, model) -> None:
    rows, target = values
    work.save(model.fit(rows[:200], target[:200]))
    work.rows(rows[200:], target[200:])

    result = work.export()

    assert result.code == 0, result.err
    bundle = Bundle.open(work.folder / BUNDLE)
    answers = Model.open(bundle).predict(rows.astype(np.float32))
    # An int8 candidate may be chosen, within the tolerance of R2.
    np.testing.assert_allclose(answers.values[:, 0], model.predict(rows), atol=0.3)
    assert bundle.manifest.metric == "R2"
    assert bundle.manifest.metric_original - bundle.manifest.metric_exported <= 0.005


def test_several_values(work, values) -> None:
    rows, target = values
    both = np.column_stack([target, -3 * target])
    model = LinearRegression().fit(rows[:200], both[:200])
    work.save(model)
    work.rows(rows[200:], both[200:])

    assert work.export(target="y0,y1").code == 0
    bundle = Bundle.open(work.folder / BUNDLE)
    assert bundle.manifest.outputs.targets == ["y0", "y1"]
    answers = Model.open(bundle).predict(rows.astype(np.float32))
    np.testing.assert_allclose(answers.values, model.predict(rows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [IsolationForest(n_estimators=5, contamination=0.1, random_state=0), OneClassSVM(nu=0.1)],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("truth", ["-1 and 1", "1 and 0", None])
def test_outlier_detectors(work, values, model, truth) -> None:
    rows = values[0].copy()
    rows[-30:] *= 6
    model.fit(rows[:200])
    outlier = np.linalg.norm(rows, axis=1) > 4
    target = {"-1 and 1": np.where(outlier, -1, 1), "1 and 0": outlier.astype(int), None: None}[truth]
    work.save(model)
    work.rows(rows[200:], None if target is None else target[200:])

    result = work.export(target="y" if truth else None)

    assert result.code == 0, result.err
    bundle = Bundle.open(work.folder / BUNDLE)
    answers = Model.open(bundle).predict(rows.astype(np.float32))
    np.testing.assert_allclose(answers.scores[:, 0], model.decision_function(rows), atol=1e-3)
    assert np.mean(answers.label == model.predict(rows)) > 0.99
    assert bundle.manifest.metric == ("F1 of outliers" if truth else "agreement with the original")
    assert bundle.manifest.metric_exported > 0.4


@pytest.mark.parametrize("model", [KMeans(3, random_state=0, n_init=1), GaussianMixture(3, random_state=0)])
def test_clusterings(work, classes, model) -> None:
    rows, _ = classes
    work.save(model.fit(rows[:200]))
    work.rows(rows[200:])

    assert work.export(target=None).code == 0
    bundle = Bundle.open(work.folder / BUNDLE)
    answers = Model.open(bundle).predict(rows.astype(np.float32))
    assert bundle.manifest.task == "clustering"
    assert bundle.manifest.outputs.classes == [0, 1, 2]
    assert np.mean(answers.label == model.predict(rows)) > 0.99


def _categories(rows, target):
    rows = rows.copy()
    rows[:, 0] = np.arange(len(rows)) % 7
    target = target ^ (rows[:, 0] % 3 == 0)
    model = HistGradientBoostingClassifier(max_iter=10, categorical_features=[0])
    return model.fit(rows[:200], target[:200]), rows


def _missing(rows, target):
    rows = rows.copy()
    rows[np.random.default_rng(0).random(rows.shape) < 0.1] = np.nan
    return RandomForestClassifier(10, random_state=0).fit(rows[:200], target[:200]), rows


@pytest.mark.parametrize("model_and_rows", [_categories, _missing])
def test_trees_that_the_converter_gets_wrong_are_written_right(work, binary, model_and_rows) -> None:
    model, rows = model_and_rows(*binary)
    joblib.dump(model, "model.joblib")
    work.rows(rows[200:], binary[1][200:])

    result = work.run(
        *("export", "model.joblib", "--trust-pickle", "--data", "rows.csv"), "--target", "y", "-o", BUNDLE
    )

    assert result.code == 0, result.err
    bundle = Bundle.open(work.folder / BUNDLE)
    answers = Model.open(bundle).predict(rows.astype(np.float32))
    seen = rows.astype(np.float32).astype(float)
    np.testing.assert_array_equal(answers.label, model.predict(seen))
    np.testing.assert_allclose(answers.probabilities, model.predict_proba(seen), atol=1e-6)
    assert bundle.manifest.candidate == "compact"
    (plain,) = [each for each in bundle.manifest.candidates if each.name == "float32"]
    assert plain.verdict == "failed"
    assert plain.reason.startswith("failed, where compact does not: ")
    assert "does not answer as the original" in plain.reason


def test_what_the_converter_gets_wrong_is_refused(work, binary) -> None:
    rows, target = binary
    joblib.dump(stubborn.LogisticRegression().fit(rows[:200], target[:200]), "model.joblib")
    work.rows(rows[200:], target[200:])
    command = [
        "export",
        "model.joblib",
        "--trust-pickle",
        "--data",
        "rows.csv",
        "--target",
        "y",
        "-o",
        BUNDLE,
    ]

    work.refused(
        work.run(*command), "does not answer as the original", "line ", "instead of", "--allow-mismatch"
    )

    allowed = work.run(*command, "--allow-mismatch")
    assert allowed.code == 0
    assert "does not answer as the original" in allowed.err
    bundle = Bundle.open(work.folder / BUNDLE)
    assert b"It failed, and was written because that was asked for" in bundle.files["card.md"]
    chosen = next(each for each in bundle.manifest.candidates if each.verdict == "chosen")
    assert "does not answer as the original" in chosen.reason


def test_missing_values_that_convert_well_are_kept(work, binary) -> None:
    _, rows = _missing(*binary)
    model = HistGradientBoostingClassifier(max_iter=10).fit(rows[:200], binary[1][:200])
    work.save(model)
    work.rows(rows[200:], binary[1][200:])

    assert work.export().code == 0


@pytest.mark.filterwarnings("ignore")
def test_a_network_shrinks_when_size_decides(work, classes) -> None:
    rows, target = classes
    model = make_pipeline(
        StandardScaler(), MLPClassifier(hidden_layer_sizes=(128, 64), max_iter=60, random_state=0)
    )
    work.save(model.fit(rows[:200], target[:200]))
    work.rows(rows[200:], target[200:])

    result = work.export("--objective", "size", "--tolerance", "0.05", "--json")

    assert result.code == 0, result.err
    assert {path.name for path in work.folder.iterdir()} == {"model.skops", "rows.csv", BUNDLE}
    manifest = json.loads(result.out)
    sizes = {each["name"]: each["bytes"] for each in manifest["candidates"] if "bytes" in each}
    assert sizes.keys() >= {"float32", "int8-weights", "float16-weights", "int4-weights", "int8-dynamic"}
    assert sizes[manifest["candidate"]] < 0.4 * sizes["float32"]
    agreements = {each["name"]: each["agreement"] for each in manifest["candidates"] if "bytes" in each}
    assert agreements["float16-weights"] >= 0.99
    assert agreements["int8-weights"] >= 0.98
    bundle = Bundle.open(work.folder / BUNDLE)
    assert len(bundle.files["model.onnx"]) == sizes[manifest["candidate"]]
    Model.open(bundle)


def test_columns_come_in_the_order_of_training(work, values) -> None:
    rows, target = values
    model = LinearRegression().fit(rows, target)
    model.feature_names_in_ = np.array(["a", "b", "c"], dtype=object)
    work.save(model)
    work.rows(rows[:, [2, 0, 1]], target, names=["c", "a", "b"], delimiter=";")

    assert work.export("--unit", "b=degC").code == 0
    manifest = Bundle.open(work.folder / BUNDLE).manifest
    assert [channel.name for channel in manifest.channels] == ["a", "b", "c"]
    assert [channel.unit for channel in manifest.channels] == ["", "degC", ""]
    assert manifest.channels[1].maximum == pytest.approx(rows[:, 1].max())
    assert manifest.channels[1].std == pytest.approx(rows[:, 1].std(), rel=1e-5)
    assert manifest.metric_exported > 0.5

    disordered = work.run(
        *("export", "model.skops", "--data", "rows.csv", "--target", "y", "--channels", "c,a,b"),
        *("-o", "other-1.0.0.bundle.zip"),
    )
    assert disordered.code == 2
    assert "in the order a,b,c" in disordered.err


def test_a_column_transformer_that_was_fitted_on_a_data_frame(work, values) -> None:
    """Such a one remembers its columns by name, which arrays do not have."""
    rows, target = values
    steps = [("scaled", StandardScaler(), [2, 0]), ("wide", PolynomialFeatures(2), [1])]
    model = make_pipeline(ColumnTransformer(steps), HistGradientBoostingRegressor(max_iter=5))
    model.fit(rows, target)
    expected = model.predict(rows.astype(np.float32))
    columns = model[0]
    names = np.array(["a", "b", "c"], dtype=object)
    columns.feature_names_in_ = names
    columns.transformers_ = [
        (name, step, list(names[at])) for name, step, at in columns.transformers_ if len(at)
    ]
    joblib.dump(model, "model.joblib")
    work.rows(rows[:, [1, 2, 0]], target, names=["b", "c", "a"])

    result = work.run(
        *("export", "model.joblib", "--trust-pickle", "--allow-mismatch", "--data", "rows.csv"),
        *("--target", "y", "-o", BUNDLE),
    )

    assert result.code == 0, result.err
    bundle = Bundle.open(work.folder / BUNDLE)
    assert [channel.name for channel in bundle.manifest.channels] == ["a", "b", "c"]
    answers = Model.open(bundle).predict(rows.astype(np.float32))
    # Behind a scaler a few rows at thresholds may fall to the other side.
    assert np.mean(np.abs(answers.values[:, 0] - expected) < 1e-3) > 0.95


def test_a_writing_that_is_wrong_for_missing_readings_only_says_so(work, classes) -> None:
    """skl2onnx's forest does not route them: with none in the rows it is measured, with some it has failed."""
    rows, target = classes
    work.save(RandomForestClassifier(10, random_state=0).fit(rows[:200], target[:200]))
    holed = rows[200:].copy()
    holed[::9, 1] = np.nan
    for given, measured in ((rows[200:], True), (holed, False)):
        work.rows(given, target[200:])
        result = work.export("--json")
        assert result.code == 0, result.err
        ways = {each["name"]: each for each in json.loads(result.out)["candidates"]}
        assert ways["compact"]["verdict"] == "chosen"
        assert ("bytes" in ways["float32"]) == measured
        assert (ways["float32"]["verdict"] == "failed") != measured
        noted = "answers rows with a missing reading otherwise than the original" in ways["float32"]["reason"]
        assert noted == measured
