"""Columns of text: whatever encoder scikit-learn fits, the graph answers as it does, also to what it never saw."""

from __future__ import annotations

import json

import joblib
import numpy as np
import pandas as pd
import pytest
from columns_of_text import exported, factory
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

from lineside_agent.model import Model
from lineside_contract.bundle import Bundle
from lineside_export.columns.lookup import LookUp
from lineside_export.columns.tabulate import Source, tabulate

TEXTS = ["grade", "line"]
NUMBERS = ["speed", "torque", "shift"]


def _forest() -> RandomForestClassifier:
    return RandomForestClassifier(10, max_depth=6, random_state=0)


def _columns(encoder: object, texts: object = TEXTS, numbers: object = None) -> ColumnTransformer:
    return ColumnTransformer([("text", encoder, texts), ("numbers", numbers or StandardScaler(), NUMBERS)])


# Each with what it does to a text that it never saw, and to a missing one.
MODELS = {
    "one-hot, ignore": (_columns(OneHotEncoder(handle_unknown="ignore")), _forest(), True),
    "one-hot, infrequent": (
        _columns(OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=30)),
        LogisticRegression(),
        True,
    ),
    "one-hot, drop": (_columns(OneHotEncoder(drop="first", handle_unknown="ignore")), _forest(), True),
    "one-hot, error": (_columns(OneHotEncoder(sparse_output=False)), _forest(), False),
    "ordinal": (
        _columns(
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-7, encoded_missing_value=-8)
        ),
        _forest(),
        True,
    ),
    "ordinal, unknown is missing": (
        ColumnTransformer(
            [("text", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), TEXTS)],
            remainder="passthrough",
        ),
        _forest(),
        True,
    ),
    "ordinal, boosted as categories": (
        ColumnTransformer(
            [("text", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), TEXTS)],
            remainder=StandardScaler(),
        ),
        HistGradientBoostingClassifier(max_iter=5, categorical_features=[0, 1], random_state=0),
        True,
    ),
    "ordinal, no scaler": (
        ColumnTransformer(
            [("text", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=9), TEXTS)],
            remainder="passthrough",
        ),
        GradientBoostingClassifier(n_estimators=8, random_state=0),
        True,
    ),
    "target": (_columns(TargetEncoder(random_state=0)), _forest(), True),
    "target, logistic": (_columns(TargetEncoder(random_state=0)), LogisticRegression(), True),
    "imputed": (
        _columns(
            make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
            TEXTS,
            make_pipeline(SimpleImputer(), MinMaxScaler()),
        ),
        _forest(),
        True,
    ),
    "projected": (
        _columns(make_pipeline(OneHotEncoder(handle_unknown="ignore"), TruncatedSVD(3, random_state=0))),
        LogisticRegression(),
        True,
    ),
    "union": (
        _columns(
            FeatureUnion(
                [
                    ("a", OneHotEncoder(handle_unknown="ignore")),
                    ("b", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
                ]
            )
        ),
        _forest(),
        True,
    ),
    "selected by type": (
        ColumnTransformer(
            [
                (
                    "text",
                    OneHotEncoder(handle_unknown="ignore"),
                    make_column_selector(dtype_exclude=np.number),
                ),
                ("numbers", StandardScaler(), make_column_selector(dtype_include=np.number)),
            ]
        ),
        _forest(),
        True,
    ),
    "numbers encoded, too": (
        ColumnTransformer(
            [
                ("text", OneHotEncoder(handle_unknown="ignore"), [*TEXTS, "shift"]),
                ("rest", "passthrough", ["torque"]),
            ]
        ),
        _forest(),
        True,
    ),
    "dropped": (
        ColumnTransformer(
            [("a", OneHotEncoder(handle_unknown="ignore"), ["grade"]), ("b", "drop", ["line"])]
        ),
        LogisticRegression(),
        True,
    ),
    "words": (_columns(CountVectorizer(), "line"), _forest(), False),
    "weighted words": (_columns(TfidfVectorizer(analyzer="char_wb"), "line"), LogisticRegression(), False),
    "hashed words": (_columns(HashingVectorizer(n_features=16), "line"), LogisticRegression(), False),
}


def _trained(columns: object, last: object, frame: pd.DataFrame) -> object:
    return make_pipeline(columns, last).fit(frame.drop(columns="failed"), frame["failed"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", MODELS)
def test_encoders_answer_as_scikit_learn_does(tmp_path, kind) -> None:
    columns, last, takes_unknown = MODELS[kind]
    frame = factory()
    model = _trained(columns, last, frame)
    asked = frame[:100].drop(columns="failed")
    strange = asked.copy()
    strange.loc[:30, "grade"] = "never heard of"
    strange.loc[20:60, "line"] = "elsewhere"

    found = exported(tmp_path, model, frame[100:])

    np.testing.assert_allclose(found.answers(asked).probabilities, model.predict_proba(asked), atol=1e-6)
    refused = {refused for channel in found.channels for refused in channel.refuses}
    assert ("unknown" in refused) != takes_unknown
    if takes_unknown:
        expected = model.predict_proba(strange)
        np.testing.assert_allclose(found.answers(strange).probabilities, expected, atol=1e-6)
        assert (model.predict_proba(asked) != expected).any()
    by_name = {channel.name: channel.categories for channel in found.channels}
    assert [name for name in by_name if by_name[name]] == TEXTS
    if last.__class__ is not LogisticRegression and kind not in ("words", "projected"):
        assert "compact" in found.ways, found.failed


@pytest.mark.filterwarnings("ignore")
def test_missing_text(tmp_path) -> None:
    frame = factory()
    frame.loc[::9, "grade"] = np.nan
    model = _trained(_columns(OneHotEncoder(handle_unknown="ignore")), _forest(), frame)
    found = exported(tmp_path, model, frame[100:])
    asked = frame[:100].drop(columns="failed")
    np.testing.assert_allclose(found.answers(asked).probabilities, model.predict_proba(asked), atol=1e-6)
    (grade,) = [channel for channel in found.channels if channel.name == "grade"]
    assert grade.categories == ["H", "L", "M", "rare"]
    assert grade.refuses == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["names", "category type"])
def test_histogram_boosting_with_texts_of_its_own(tmp_path, kind) -> None:
    frame = factory()
    frame.loc[::11, "line"] = np.nan
    rows = frame.drop(columns="failed")
    if kind == "category type":
        rows = rows.astype({"grade": "category", "line": "category"})
    features = TEXTS if kind == "names" else "from_dtype"
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features=features, random_state=0)
    model.fit(rows, frame["failed"])
    asked = frame[:100].drop(columns="failed")
    asked.loc[:20, "grade"] = "never heard of"
    expected = model.predict_proba(asked if kind == "names" else asked.astype(rows.dtypes))

    found = exported(tmp_path, model, frame[100:])

    np.testing.assert_allclose(found.answers(asked).probabilities, expected, atol=1e-6)
    assert found.ways == ["compact"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "wrap",
    [
        lambda pipeline: CalibratedClassifierCV(pipeline, cv=2),
        lambda pipeline: VotingClassifier([("a", pipeline), ("b", pipeline)], voting="soft"),
        lambda pipeline: GridSearchCV(pipeline, {"randomforestclassifier__max_depth": [3]}, cv=2),
    ],
    ids=["calibrated", "voting", "search"],
)
def test_text_inside_what_wraps_it(tmp_path, wrap) -> None:
    frame = factory()
    rows = frame.drop(columns="failed")
    model = wrap(make_pipeline(_columns(OneHotEncoder(handle_unknown="ignore")), _forest()))
    model.fit(rows, frame["failed"])
    asked = rows[:100].copy()
    asked.loc[:20, "grade"] = "never heard of"
    found = exported(tmp_path, model, frame[100:])
    np.testing.assert_allclose(found.answers(asked).probabilities, model.predict_proba(asked), atol=1e-6)


def test_scaled_numbers_are_folded_into_the_trees_exactly(tmp_path) -> None:
    frame = factory(2000)
    numbers = ColumnTransformer(
        [("scaled", StandardScaler(), ["speed"]), ("ranged", MinMaxScaler(), ["torque"])]
    )
    frame = frame.drop(columns=TEXTS)
    model = _trained(numbers, RandomForestClassifier(20, random_state=0), frame[:1000])
    found = exported(tmp_path, model, frame[1000:])
    asked = frame[1000:].drop(columns="failed")
    np.testing.assert_allclose(found.answers(asked).probabilities, model.predict_proba(asked), atol=1e-6)


def test_an_encoder_of_two_columns_becomes_two_tables() -> None:
    rows = np.array([["a", "x"], ["b", "y"], ["a", "y"]], object)
    sources = [Source(each, np.arange(2, dtype=np.float32)) for each in (["a", "b"], ["x", "y"])]
    found = tabulate(OneHotEncoder(handle_unknown="ignore").fit(rows), sources)
    assert found is not None
    assert isinstance(found.step, LookUp)
    assert [column.rows.shape for column in found.step.columns] == [(4, 2), (4, 2)]
    answers = found.step.transform(np.array([[0, 1], [1, -1], [np.nan, 0]]))
    assert answers.tolist() == [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]]


def test_what_depends_on_two_columns_at_once_is_no_table() -> None:
    joined = FunctionTransformer(lambda rows: (rows[:, :1] == rows[:, 1:]).astype(float))
    source = Source(["a", "b"], np.arange(2, dtype=np.float32))
    assert tabulate(joined.fit([["a", "b"]]), [source, source]) is None


def test_free_text_is_refused(work) -> None:
    frame = factory(1200)
    frame["line"] = [f"it stopped after {index} minutes" for index in range(len(frame))]
    joblib.dump(_trained(_columns(CountVectorizer(), "line"), _forest(), frame), "model.joblib")
    frame.to_csv("rows.csv", index=False)
    result = work.run(
        *(
            "export",
            "model.joblib",
            "--trust-pickle",
            "--data",
            "rows.csv",
            "--target",
            "failed",
            "-o",
            "m-1.bundle.zip",
        )
    )
    work.refused(result, "'line' has 1,200 different texts", "Free text is no reading")


def test_text_where_the_model_takes_numbers_is_still_told(work, binary) -> None:
    rows, target = binary
    work.save(LogisticRegression().fit(rows, target))
    path = work.rows(rows, target)
    path.write_text(path.read_text().replace("\n", "\nwet,0,0,0,1\n", 1))
    work.refused(work.export(), "line 2, column 'c0': 'wet' is not a number")


@pytest.mark.filterwarnings("ignore")
def test_a_slip_among_many_numbers_is_told_with_its_line(work) -> None:
    frame = factory(1500)
    joblib.dump(_trained(_columns(OneHotEncoder()), LogisticRegression(), frame), "model.joblib")
    frame.astype({"torque": object}).replace({"torque": {frame["torque"][7]: "4O.5"}}).to_csv(
        "rows.csv", index=False
    )
    command = ["export", "model.joblib", "--trust-pickle", "--data", "rows.csv", "--target", "failed"]
    work.refused(
        work.run(*command, "-o", "m-1.0.0.bundle.zip"), "line 9, column 'torque': '4O.5' is not a number"
    )


@pytest.mark.filterwarnings("ignore")
def test_a_text_that_the_encoder_refuses_is_told_with_its_line(work) -> None:
    frame = factory()
    model = _trained(_columns(OneHotEncoder()), LogisticRegression(), frame)
    joblib.dump(model, "model.joblib")
    frame.loc[2, "grade"] = "Q"
    frame.to_csv("rows.csv", index=False)
    command = ["export", "model.joblib", "--trust-pickle", "--data", "rows.csv", "--target", "failed"]
    work.refused(
        work.run(*command, "-o", "m-1.0.0.bundle.zip"), "line 4, column 'grade'", "'Q', only to H, L, M, rare"
    )


@pytest.mark.filterwarnings("ignore")
def test_a_bundle_says_its_texts_and_predicts_from_them(work) -> None:
    frame = factory()
    model = _trained(_columns(OneHotEncoder(handle_unknown="ignore")), _forest(), frame[:300])
    joblib.dump(model, "model.joblib")
    frame[300:].to_csv("rows.csv", index=False)
    command = ["export", "model.joblib", "--trust-pickle", "--data", "rows.csv", "--target", "failed"]

    result = work.run(*command, "-o", "m-1.0.0.bundle.zip")

    assert result.code == 0, result.err
    bundle = Bundle.open(work.folder / "m-1.0.0.bundle.zip")
    Model.open(bundle)
    said = json.loads(bundle.files["manifest.json"])["channels"] if "manifest.json" in bundle.files else []
    grade = next(channel for channel in bundle.manifest.channels if channel.name == "grade")
    assert grade.categories == ["H", "L", "M", "rare"]
    assert (grade.minimum, grade.mean) == (None, None)
    assert not said or "categories" not in said[0]
    predicted = work.run("predict", "m-1.0.0.bundle.zip", "rows.csv", "--json")
    lines = [json.loads(line) for line in predicted.out.splitlines()]
    expected = model.predict_proba(frame[300:].drop(columns="failed"))
    np.testing.assert_allclose([line["probability_1"] for line in lines], expected[:, 1], atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_the_card_names_the_texts_and_what_is_refused(work) -> None:
    frame = factory()
    frame["line"] = [f"line {index % 9}" for index in range(len(frame))]
    joblib.dump(_trained(_columns(OneHotEncoder()), LogisticRegression(), frame), "model.joblib")
    frame.to_csv("rows.csv", index=False)
    command = ["export", "model.joblib", "--trust-pickle", "--data", "rows.csv", "--target", "failed"]
    assert work.run(*command, "-o", "m-1.0.0.bundle.zip").code == 0
    card = Bundle.open(work.folder / "m-1.0.0.bundle.zip").files["card.md"].decode()
    assert "| grade | text: H, L, M, rare |" in card
    assert "| line | text: line 0, line 1, line 2, line 3, line 4, line 5, ... (9 in all) |" in card
    assert "grade: the model has no answer to missing or unknown texts." in card
    shown = work.run("inspect", "m-1.0.0.bundle.zip")
    assert "text: H, L, M, rare" in shown.out


def test_windows_of_text_are_refused(work) -> None:
    rows = pd.DataFrame({"a": ["x", "y"] * 100, "b": ["y", "x"] * 100})
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(rows, np.arange(200) % 2)
    joblib.dump(model, "model.joblib")
    rows[["a"]].assign(failed=0).to_csv("rows.csv", index=False)
    result = work.run(
        *("export", "model.joblib", "--trust-pickle", "--data", "rows.csv", "--target", "failed"),
        *("--window", "2", "-o", "m-1.bundle.zip"),
    )
    work.refused(result, "A model of windows takes no text")


@pytest.mark.filterwarnings("ignore")
def test_models_with_text_and_thresholds_load_from_skops_without_more_being_said(work) -> None:
    frame = factory()
    rows, target = frame.drop(columns="failed"), frame["failed"]
    columns = ColumnTransformer(
        [
            (
                "text",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
                ),
                make_column_selector(dtype_exclude=np.number),
            ),
            ("numbers", StandardScaler(), make_column_selector(dtype_include=np.number)),
        ]
    )
    frame.to_csv("rows.csv", index=False)
    tuned = TunedThresholdClassifierCV(make_pipeline(columns, _forest()), scoring="balanced_accuracy", cv=2)
    own = HistGradientBoostingClassifier(max_iter=3, categorical_features=TEXTS)
    for model in (tuned, own):
        work.save(model.fit(rows, target))
        result = work.export(target="failed")
        assert result.code == 0, result.err
