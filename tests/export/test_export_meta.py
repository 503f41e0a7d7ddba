"""Models that wrap others: every one exact, with trees, products and other wrappers inside."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import joblib
import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFE, RFECV, SelectFromModel, SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression, RANSACRegressor, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from lineside_agent.model import Answers, Model
from lineside_contract.manifest import Channel
from lineside_export.ask import ask
from lineside_export.check import compare
from lineside_export.convert import INPUT
from lineside_export.dataset import Dataset, Rows
from lineside_export.schema import describe
from lineside_export.subject import Subject
from lineside_export.thresholds import Threshold
from lineside_export.verify import trials
from lineside_export.wrapped.stairs import stairs
from lineside_export.wrapped.write import write
from lineside_export.wrapped.writer import Writer
from lineside_export.writings import sound, writings

WORDS = np.array(["bad", "good", "ugly"], object)


def _forest(**options: object) -> RandomForestClassifier:
    return RandomForestClassifier(8, max_depth=5, random_state=0, **options)


def _trees() -> RandomForestRegressor:
    return RandomForestRegressor(8, max_depth=5, random_state=0)


def _line() -> LogisticRegression:
    return LogisticRegression()


def _three() -> list[tuple[str, BaseEstimator]]:
    return [("a", _forest()), ("b", _line()), ("c", GaussianNB())]


class Exact(NamedTuple):
    """An exported model, as it answers."""

    answers: Answers
    ways: list[str]


def exact(model: BaseEstimator, rows: np.ndarray) -> Exact:
    """Write a model in every exact way, hold each against the original, and let the first answer rows."""
    inputs = rows.astype(np.float32)
    schema = describe(model)._replace(features=rows.shape[1])
    names = tuple(f"c{index}" for index in range(rows.shape[1]))
    data = Dataset(names, inputs, inputs, None, np.arange(len(rows)))
    channels = tuple(Channel(name=name) for name in names)
    targets: tuple[str, ...] = ()
    if schema.task == "regression":
        width = np.asarray(model.predict(inputs[:2])).reshape(2, -1).shape[1]
        targets = tuple(f"y{index}" for index in range(width))
    half = len(rows) // 2
    parts = Rows(np.arange(half), np.arange(half, len(rows)))
    subject = Subject(model, model, schema, channels, data, parts, targets)
    written = sound(subject, writings(subject), trials(subject, 0), allow=False)
    first = written.writings[0]
    answers = ask(Model(first.model, INPUT, written.outputs), inputs)
    return Exact(answers, [each.variant.name for each in written.writings])


def _agree(model: BaseEstimator, rows: np.ndarray) -> list[str]:
    """Export a classifier and compare all that it answers; return the ways in which it was written."""
    found = exact(model, rows)
    seen = rows.astype(np.float32).astype(float)
    expected = model.predict(seen)
    assert np.mean(found.answers.label.astype(expected.dtype) != expected) <= 0.002
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(found.answers.probabilities, model.predict_proba(seen), atol=2e-5)
    elif hasattr(model, "decision_function"):
        scores = np.asarray(model.decision_function(seen))
        scores = np.column_stack([-scores, scores]) if scores.ndim == 1 else scores
        np.testing.assert_allclose(found.answers.scores, scores, rtol=1e-4, atol=1e-4)
    return found.ways


SEVERAL_CLASSES = {
    "votes": VotingClassifier(_three()),
    "weighted votes": VotingClassifier(_three(), weights=[1, 2, 1.5]),
    "mean of chances": VotingClassifier(_three(), voting="soft"),
    "weighted chances, one dropped": VotingClassifier(
        [("a", _forest()), ("b", HistGradientBoostingClassifier(max_iter=5)), ("d", "drop")],
        voting="soft",
        weights=[1, 3, 1],
    ),
    "stack": StackingClassifier(_three(), cv=2),
    "stack of scores, with the rows": StackingClassifier(
        [("a", _forest()), ("b", SVC()), ("c", LinearSVC())],
        final_estimator=_forest(),
        passthrough=True,
        cv=2,
    ),
    "stack of labels": StackingClassifier(_three(), stack_method="predict", cv=2),
    "calibrated": CalibratedClassifierCV(LinearSVC(), cv=2),
    "calibrated forest, isotonic": CalibratedClassifierCV(_forest(), method="isotonic", cv=2),
    "calibrated forest, temperature": CalibratedClassifierCV(_forest(), method="temperature", cv=2),
    "calibrated boosting, temperature": CalibratedClassifierCV(
        HistGradientBoostingClassifier(max_iter=5), method="temperature", cv=2
    ),
    "calibrated at once": CalibratedClassifierCV(GaussianNB(), cv=2, ensemble=False),
    "bagged trees": BaggingClassifier(n_estimators=5, random_state=0),
    "bagged trees of some columns": BaggingClassifier(n_estimators=5, max_features=0.6, random_state=0),
    "bagged machines": BaggingClassifier(SVC(), n_estimators=3, random_state=0),
    "bagged lines that lack a class": BaggingClassifier(
        _line(), n_estimators=12, max_samples=6, random_state=3
    ),
    "bagged forests behind a scaler": make_pipeline(
        StandardScaler(), BaggingClassifier(_forest(), n_estimators=2, random_state=0)
    ),
    "AdaBoost": AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=8, random_state=0),
    "self-training": SelfTrainingClassifier(_line()),
    "one against the rest": OneVsRestClassifier(_forest()),
    "one against the rest, scores": OneVsRestClassifier(LinearSVC()),
    "one against one": OneVsOneClassifier(LinearSVC()),
    "one against one, forests": OneVsOneClassifier(_forest()),
    "codes": OutputCodeClassifier(_line(), random_state=0, code_size=3),
    "features chosen": RFE(_forest(), n_features_to_select=3),
    "features chosen by validation": RFECV(_line(), cv=2),
    "features chosen, then a forest": make_pipeline(RFE(_line(), n_features_to_select=3), _forest()),
    "features chosen by a forest": make_pipeline(SelectFromModel(_forest()), _line()),
    "side by side": make_pipeline(
        FeatureUnion([("s", StandardScaler()), ("r", RobustScaler()), ("x", "passthrough")]), _line()
    ),
    "passed through": Pipeline([("s", StandardScaler()), ("p", "passthrough"), ("m", _forest())]),
    "wrapped twice": CalibratedClassifierCV(
        VotingClassifier([("a", _forest()), ("b", make_pipeline(MinMaxScaler(), _line()))], voting="soft"),
        cv=2,
    ),
    "search over votes": GridSearchCV(VotingClassifier(_three()), {"voting": ["soft"]}, cv=2),
    "boosting that begins with a line": GradientBoostingClassifier(
        init=_line(), n_estimators=5, random_state=0
    ),
    "functions": make_pipeline(FunctionTransformer(np.abs), FunctionTransformer(np.log1p), _line()),
}
TWO_CLASSES = {
    "tuned threshold": TunedThresholdClassifierCV(_line(), scoring="balanced_accuracy", cv=2),
    "tuned threshold of a forest": TunedThresholdClassifierCV(_forest(), scoring="balanced_accuracy", cv=2),
    "fixed threshold": FixedThresholdClassifier(_forest(), threshold=0.3),
    "fixed threshold of scores": FixedThresholdClassifier(LinearSVC(), threshold=0.3),
    "fixed threshold of scores, not chances": FixedThresholdClassifier(
        _line(), threshold=-0.4, response_method="decision_function"
    ),
    "threshold as it is": FixedThresholdClassifier(LinearSVC()),
    "calibrated": CalibratedClassifierCV(_forest(), cv=2),
    "calibrated boosting": CalibratedClassifierCV(
        GradientBoostingClassifier(n_estimators=5, loss="exponential", random_state=0), cv=2
    ),
    "calibrated, isotonic": CalibratedClassifierCV(LinearSVC(), method="isotonic", cv=2),
    "calibrated, temperature": CalibratedClassifierCV(LinearSVC(), method="temperature", cv=2),
    "votes": VotingClassifier(_three()),
    "stack": StackingClassifier(_three(), cv=2),
    "bagged machines": BaggingClassifier(LinearSVC(), n_estimators=3, random_state=0),
    "AdaBoost": AdaBoostClassifier(n_estimators=8),
    "boosting that begins with a line": GradientBoostingClassifier(
        init=_line(), n_estimators=5, random_state=0
    ),
    "exponential boosting that begins with a forest": GradientBoostingClassifier(
        init=_forest(), n_estimators=5, loss="exponential", random_state=0
    ),
    "one against the rest": OneVsRestClassifier(_line()),
    "one against one": OneVsOneClassifier(_line()),
    "one against one, forests": OneVsOneClassifier(_forest()),
    "codes": OutputCodeClassifier(_line(), random_state=0),
}


def _labels(kinds: dict[str, BaseEstimator]) -> list[object]:
    """Return each kind with numbers or, every other time, with words as its labels."""
    return [pytest.param(kind, index % 2 == 0, id=kind) for index, kind in enumerate(kinds)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "words"), _labels(SEVERAL_CLASSES))
def test_several_classes(classes, kind, words) -> None:
    rows, target = classes
    _agree(SEVERAL_CLASSES[kind].fit(rows, WORDS[target] if words else target), rows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "words"), _labels(TWO_CLASSES))
def test_two_classes(binary, kind, words) -> None:
    rows, target = binary
    _agree(TWO_CLASSES[kind].fit(rows, WORDS[target] if words else target), rows)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", ["forest", "categories"])
def test_trees_behind_chosen_features_see_the_rows_themselves(binary, kind, scaled) -> None:
    rows, target = binary
    rows = np.column_stack([np.round(rows * 10), np.arange(len(rows)) % 5]).astype(float)
    last = _forest()
    if kind == "categories":
        last = HistGradientBoostingClassifier(max_iter=5, categorical_features=[2] if not scaled else None)
    chosen = SelectKBest(lambda _rows, _target: np.array([3, 1, 2, 0, 4.0]), k=3)
    steps = [StandardScaler(), chosen, last] if scaled else [chosen, last]
    model = make_pipeline(*steps).fit(rows, target ^ (rows[:, 4] > 2))
    assert "compact" in _agree(model, rows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("positive", ["bad", "good"])
def test_the_threshold_is_that_of_the_positive_class(binary, positive) -> None:
    rows, target = binary
    model = FixedThresholdClassifier(
        FrozenEstimator(_forest().fit(rows, WORDS[target])), threshold=0.75, pos_label=positive
    )
    _agree(model.fit(rows, WORDS[target]), rows)
    assert (model.predict(rows) != model.estimator.predict(rows)).any()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.6, 0.7, 0.9])
def test_a_chance_exactly_at_the_threshold_is_positive(binary, threshold) -> None:
    rows, target = binary
    forest = RandomForestClassifier(10, max_features=1, random_state=0).fit(rows[:60], target[:60])
    model = FixedThresholdClassifier(FrozenEstimator(forest), threshold=threshold).fit(rows, target)
    seen = rows.astype(np.float32).astype(float)
    assert (model.predict_proba(seen)[:, 1] == threshold).any()
    np.testing.assert_array_equal(exact(model, rows).answers.label, model.predict(seen))


@pytest.mark.filterwarnings("ignore")
def test_scores_that_equal_the_threshold_are_ties_and_the_others_are_judged() -> None:
    # Of few different rows many have the very score that is the threshold, which float32 cannot meet.
    rows = np.random.default_rng(0).integers(0, 3, size=(600, 3)).astype(float)
    target = (rows.sum(axis=1) > 3).astype(int)
    line = LogisticRegression(C=0.1).fit(rows, target)
    chances = line.predict_proba(rows)[:, 1]
    for threshold in np.unique(chances)[[2, 5, 9]].tolist():
        model = FixedThresholdClassifier(FrozenEstimator(line), threshold=threshold).fit(rows, target)
        away = np.abs(chances - threshold) > 1e-6
        label = exact(model, rows).answers.label
        assert 0 < (~away).sum() < 100
        np.testing.assert_array_equal(label[away], model.predict(rows)[away])


def test_a_wrong_label_is_no_tie_because_the_chances_are_even() -> None:
    expected = Answers(np.array([1, 1]), np.array([[0.5, 0.5], [0.7, 0.3]]), None, None)
    threshold = Threshold("probabilities", 1, 0.3)
    found = expected._replace(label=np.array([0, 0]))
    compared = compare(expected, found, "classification", threshold=threshold)
    assert [mismatch.row for mismatch in compared.mismatches] == [0]
    assert compared.ties == 1
    near = expected._replace(probabilities=np.array([[0.5, 0.5], [0.6996, 0.3004]]))
    moved = near._replace(label=np.array([1, 0]), probabilities=expected.probabilities - [[0, 1e-4]])
    assert compare(near, moved, "classification", threshold=threshold).ties == 1
    kept = near._replace(label=np.array([1, 0]))  # the graph's own chance says the other class
    assert [each.row for each in compare(near, kept, "classification", threshold=threshold).mismatches] == [1]


@pytest.mark.parametrize("threshold", [2e-8, 1e-6])
def test_a_tiny_threshold_is_no_zero(threshold) -> None:
    rows = np.linspace(-40, 40, 400).reshape(-1, 1)
    line = LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int))
    model = FixedThresholdClassifier(FrozenEstimator(line), threshold=threshold).fit(rows, line.predict(rows))
    np.testing.assert_array_equal(exact(model, rows).answers.label, model.predict(rows))
    assert 0 < model.predict(rows).mean() < 1


def test_isotonic_regressions_of_columns_are_those_of_each_alone() -> None:
    random = np.random.default_rng(0)
    columns = random.normal(size=(200, 4)).astype(np.float32)
    curves = [
        IsotonicRegression(out_of_bounds="clip").fit(columns[:50, index], target)
        for index, target in enumerate(
            [np.ones(50), columns[:50, 1], columns[:50, 2] > 0, random.normal(size=50)]
        )
    ]
    writer = Writer()
    writer.graph.give(stairs(writer, curves, INPUT), "found", onnx.TensorProto.FLOAT, 4)
    session = onnxruntime.InferenceSession(writer.model(INPUT, 4, "stairs").SerializeToString())
    (found,) = session.run(None, {INPUT: columns})
    expected = [curve.predict(column) for curve, column in zip(curves, columns.T.astype(float), strict=True)]
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("model", "once"),
    [
        (AdaBoostRegressor(n_estimators=9, random_state=0), "TreeEnsemble"),
        (CalibratedClassifierCV(_forest(), cv=3), "Sigmoid"),
        (CalibratedClassifierCV(_forest(), method="isotonic", cv=3), "GreaterOrEqual"),
    ],
)
def test_members_are_computed_at_once(model, once) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 3))
    model.fit(rows, np.digitize(rows.sum(axis=1), [-1, 1]))
    whole = write(model, describe(model), INPUT, 1)
    assert whole is not None
    assert [node.op_type for node in whole.graph.node].count(once) == 1


REGRESSORS = {
    "mean": VotingRegressor([("a", _trees()), ("b", LinearRegression())], weights=[1, 2]),
    "stack": StackingRegressor([("a", _trees()), ("b", Ridge())], cv=2),
    "stack with the rows": StackingRegressor(
        [("a", _trees()), ("b", Ridge())], passthrough=True, cv=2, final_estimator=Ridge()
    ),
    "bagged trees": BaggingRegressor(n_estimators=5, random_state=0),
    "bagged lines of some columns": BaggingRegressor(
        Ridge(), n_estimators=5, max_features=0.7, random_state=0
    ),
    "AdaBoost": AdaBoostRegressor(n_estimators=6, random_state=0),
    "logarithm": TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1),
    "scaled": TransformedTargetRegressor(_trees(), transformer=StandardScaler()),
    "ranged": TransformedTargetRegressor(LinearRegression(), transformer=MinMaxScaler()),
    "Yeo-Johnson": TransformedTargetRegressor(_trees(), transformer=PowerTransformer()),
    "Box-Cox": TransformedTargetRegressor(_trees(), transformer=PowerTransformer(method="box-cox")),
    "boosting that begins with a line": GradientBoostingRegressor(
        init=LinearRegression(), n_estimators=5, random_state=0
    ),
    "as it is": TransformedTargetRegressor(_trees()),
    "features chosen": RFE(_trees(), n_features_to_select=2),
    "outliers left out": RANSACRegressor(random_state=0),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", REGRESSORS)
def test_one_value(values, kind) -> None:
    rows, target = values
    model = REGRESSORS[kind].fit(rows, target - target.min() + 1)
    found = exact(model, rows)
    expected = model.predict(rows.astype(np.float32).astype(float))
    np.testing.assert_allclose(found.answers.values[:, 0], expected, rtol=1e-4, atol=1e-4)


SEVERAL_VALUES = {
    "each its own": MultiOutputRegressor(HistGradientBoostingRegressor(max_iter=5)),
    "wrapped twice": MultiOutputRegressor(VotingRegressor([("a", Ridge()), ("b", _trees())])),
    "chain": RegressorChain(Ridge(), order=[1, 0]),
    "chain of forests": RegressorChain(_trees()),
    "bagged": BaggingRegressor(Ridge(), n_estimators=3, random_state=0),
    "scaled": TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
}


@pytest.mark.parametrize("kind", SEVERAL_VALUES)
def test_several_values(values, kind) -> None:
    rows, target = values
    model = SEVERAL_VALUES[kind].fit(rows, np.column_stack([target, -3 * target + rows[:, 0]]))
    expected = model.predict(rows.astype(np.float32).astype(float))
    np.testing.assert_allclose(exact(model, rows).answers.values, expected, rtol=1e-4, atol=1e-4)


def _square(rows: np.ndarray) -> np.ndarray:
    return rows**2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("model", "words"),
    [
        (make_pipeline(FunctionTransformer(_square), LinearRegression()), ["_square", "code", "log1p"]),
        (
            TransformedTargetRegressor(LinearRegression(), transformer=QuantileTransformer(n_quantiles=10)),
            ["QuantileTransformer", "no way back", "PowerTransformer"],
        ),
        (
            TransformedTargetRegressor(
                LinearRegression(), func=_square, inverse_func=_square, check_inverse=False
            ),
            ["_square", "code"],
        ),
    ],
    ids=["function", "target", "function of the target"],
)
def test_what_has_no_counterpart_is_refused_with_advice(work, values, model, words) -> None:
    rows, target = values
    joblib.dump(model.fit(rows, target), "model.joblib")
    work.rows(rows, target)
    result = work.run(
        *(
            "export",
            "model.joblib",
            "--trust-pickle",
            "--data",
            "rows.csv",
            "--target",
            "y",
            "-o",
            "m-1.bundle.zip",
        )
    )
    work.refused(result, *words)


def test_several_labels_at_once_are_refused(work, classes) -> None:
    rows, target = classes
    model = MultiOutputClassifier(_line())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        work.save(model.fit(rows, np.column_stack([target, target > 0])))
    work.rows(rows, target)
    work.refused(work.export(), "several labels at once", "one classifier for each label")
