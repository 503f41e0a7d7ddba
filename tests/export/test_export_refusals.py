"""Every bad input: one sentence, a next step, exit code 2, and nothing written."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import DBSCAN
from sklearn.decomposition import NMF
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, SplineTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from lineside_export.load import Trust, load_model

BUNDLE = "m-1.0.0.bundle.zip"


class _Attack:
    def __reduce__(self):
        return Path.touch, (Path("attacked"),)


class _OwnClassifier(ClassifierMixin, BaseEstimator):
    def fit(self, rows, target):
        self.classes_ = np.unique(target)
        self.n_features_in_ = rows.shape[1]
        return self

    def predict(self, rows):
        return np.full(len(rows), self.classes_[0])


@pytest.fixture
def logistic(work, classes):
    rows, target = classes
    work.save(LogisticRegression().fit(rows, target))
    work.rows(rows, target)
    return work


def test_a_pickle_is_not_opened_unless_trusted(work, classes) -> None:
    work.rows(*classes)
    for name, write in (("plain.pkl", pickle.dump), ("renamed.skops", pickle.dump)):
        with Path(name).open("wb") as file:
            write(_Attack(), file)
    joblib.dump(_Attack(), "packed.joblib", compress=3)
    for name in ("plain.pkl", "renamed.skops", "packed.joblib"):
        result = work.run("export", name, "--data", "rows.csv", "-o", BUNDLE)
        work.refused(result, "runs any code", "--trust-pickle")
    assert not Path("attacked").exists()

    result = work.run("export", "plain.pkl", "--trust-pickle", "--data", "rows.csv", "-o", BUNDLE)
    assert Path("attacked").exists()  # the flag does what it says
    work.refused(result, "not a scikit-learn estimator")


def test_unknown_types_in_a_skops_file(work, classes) -> None:
    rows, target = classes
    work.save(_OwnClassifier().fit(rows, target))
    work.rows(rows, target)
    work.refused(work.export(), "_OwnClassifier", "--trust-type")
    name = f"{_OwnClassifier.__module__}._OwnClassifier"
    work.refused(work.export("--trust-type", name), "no converter")


def test_a_tampered_tree_is_found_before_it_is_walked(work, binary) -> None:
    model = DecisionTreeClassifier(max_depth=3).fit(*binary)
    state = model.tree_.__getstate__()
    state["nodes"]["feature"][0] = 10_000_000
    model.tree_.__setstate__(state)
    work.save(model)
    work.rows(*binary)
    work.refused(work.export(), "damaged tree")


def test_a_tampered_histogram_tree(work, binary) -> None:
    model = HistGradientBoostingClassifier(max_iter=3).fit(*binary)
    work.rows(*binary)
    nodes = model._predictors[1][0].nodes
    for field, value in (("left", 4_000_000), ("right", 0), ("feature_idx", 99)):
        kept = nodes[field][0]
        nodes[field][0] = value
        work.save(model)
        work.refused(work.export(), "damaged tree")
        nodes[field][0] = kept
    work.save(model)
    assert work.export().code == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "nor one of XGBoost, LightGBM, CatBoost or ONNX"),
        (b"\x08\x07\x12\x08skl2onnx", "not a saved scikit-learn model"),
        (b"PK\x05\x06 broken", "cannot be loaded"),
        (b"\x80\x04 broken", "runs any code"),
    ],
)
def test_files_that_are_no_model(logistic, content, words) -> None:
    Path("model.skops").write_bytes(content)
    logistic.refused(logistic.export(), words)


def test_a_broken_pickle_and_another_zip(logistic) -> None:
    Path("model.pkl").write_bytes(b"\x80\x04 broken")
    result = logistic.run("export", "model.pkl", "--trust-pickle", "--data", "rows.csv", "-o", BUNDLE)
    logistic.refused(result, "cannot be loaded")
    with zipfile.ZipFile("model.skops", "w") as archive:
        archive.writestr("hello", "world")
    logistic.refused(logistic.export(), "not a model saved by skops")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (LogisticRegression(), "not fitted"),
        (StandardScaler().fit(np.eye(4)), "has no predict"),
        (DBSCAN().fit(np.eye(4)), "KMeans, BisectingKMeans and Birch take new ones"),
        ({"a": 1}, "not a scikit-learn estimator"),
        (
            make_pipeline(MinMaxScaler(clip=True), NMF(2), LogisticRegression()).fit(np.eye(4), [0, 1, 0, 1]),
            "a row has no answer of its own",
        ),
        (
            MultiOutputClassifier(LogisticRegression()).fit(np.eye(4), [[0, 1], [1, 0], [1, 1], [0, 0]]),
            "several labels",
        ),
        (LogisticRegression().fit(np.eye(4), [True, False, True, False]), None),
    ],
    ids=["unfitted", "transformer", "no new rows", "dict", "no converter", "several labels", "bool labels"],
)
def test_models_that_cannot_be_exported(work, classes, model, words) -> None:
    work.save(model)
    rows, target = classes
    work.rows(rows, target > 0)
    result = work.export()
    if words is None:
        assert result.code == 0, result.err
    else:
        work.refused(result, words)


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
def test_search_trees_are_not_believed_but_built_anew(work, classes, algorithm) -> None:
    rows, target = classes
    model = KNeighborsClassifier(algorithm=algorithm).fit(rows, target)
    expected = model.predict(rows)
    model._tree = type(model._tree)(np.zeros((2000, rows.shape[1])))  # of more rows than there are
    loaded = load_model(work.save(model), Trust()).model
    assert np.array_equal(np.asarray(loaded._tree.data), rows)
    assert np.array_equal(loaded.predict(rows), expected)
    work.rows(rows, target)
    assert work.export().code == 0


def test_structures_that_compiled_code_follows_are_the_users_to_trust(work, classes) -> None:
    rows, target = classes
    work.save(make_pipeline(SplineTransformer(), LogisticRegression()).fit(rows, target))
    work.rows(rows, target)
    work.refused(work.export(), "BSpline", "--trust-type")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--target", "fualt"], "no column 'fualt'"),
        (["--target", "yy"], "Did you mean 'y'?"),
        (["--channels", "c0,c1"], "takes 4 values, but 2 channels"),
        (["--channels", "c0,c1,c2,temp"], "no column 'temp'"),
        (["--channels", "c0,c1,c2,c2"], "twice"),
        (["--ignore", "time"], "no column 'time' (--ignore)"),
        (["--window", "2"], "windows of 2 readings make 8"),
        (["--window", "2", "--channels", "c0,c1", "--group", "pump"], "no column 'pump' (--group)"),
        (["--unit", "x=g"], "--unit names x"),
        (["--held-back", "0.0001"], "cannot be divided"),
        (
            ["-o", "model.zip"],
            "does not end in .bundle.zip, nor is it a folder that exists. Try model-1.0.0.bundle",
        ),
        (["-o", "out/m-2.0.zip"], "Try out/m-2.0.bundle.zip."),
        (["--max-bytes", "2 bananas"], "'2 bananas' is not a size; write it as"),
        (["--max-bytes", "0.1"], "is not at least one byte"),
        (["--candidate", "compact-leaves256"], "It is tried with --lossy-trees."),
        (["-o", "model.bundle.zip"], "no name or no version"),
        (["-o", "no/such/m-1.0.0.bundle.zip"], "does not exist"),
        (["--name", "a/b"], "cannot be called 'a/b'"),
        (["--data", "none.csv"], "cannot be read: No such file"),
        (["--window", "0"], "at least 1"),
        (["--held-back", "2"], "between 0 and 1"),
        (["--rate-hz", "-3"], "above 0"),
        (["--unit", "g"], "CHANNEL=UNIT"),
        (["--tolerance", "nan"], "at least 0"),
    ],
)
def test_settings_that_do_not_fit(logistic, change, words) -> None:
    logistic.refused(logistic.export(*change), words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("c0,c1,c2,c3,y\n", "no rows"),
        ("1,2,3,4,5\n1,2,3,4,5\n", "begins with numbers"),
        ("c0,c0,c2,c3,y\n1,2,3,4,0\n", "two columns called 'c0'"),
        ("c0,c1,c2,c3,y\n1,2,3,4,0\n1,2,3,0\n", "line 3: 4 fields where the first line has 5"),
        ("c0,c1,c2,c3,y\n1,2,3,4,0\n\n1,x,3,4,0\n", "line 4, column 'c1': 'x' is not a number"),
        ("c0,c1,c2,c3,y\n1,2_0,3,4,0\n", "line 2, column 'c1': '2_0' is not a number"),
        ("c0;c1;c2;c3;y\n1;2;3;4;0\n1;2,5;3;4;0\n", "decimals with a point"),
        ("c0,c1,c2,c3,y\n1,2,3,4,0\n1,2,,4,0\n", "Line 3 has an empty cell"),
        ("\n\nc0,c1,c2,c3,y\n1,2,3,4,0\n1,2\0,3,4,0\n", "line 5, column 'c1': '2\\x00' is not a number"),
        ("c0,c1,c2,c3,y\n1,2,3,4,0\n1,2,1e39,4,0\n", "line 3, column 'c2': 1e+39 is beyond"),
        ("c0,c1,c2,c3,y\n1,2,3,4,0\n1,2,3,4,\n", "Line 3 has no target"),
        ("c0,c1,c2,c3,y\n1,2,3,4,ok\n", "column 'y': 'ok' is not a number. The model answers numbers"),
        ("time,c0,c1,c2,y\n10:00,1,2,3,0\n", "--ignore time"),
        ("time,c0,c1,c2,c3,y\n10:00,1,2,3,4,0\n", "leave some out with --ignore"),
    ],
)
def test_rows_that_do_not_fit(logistic, text, words) -> None:
    Path("rows.csv").write_text(text)
    logistic.refused(logistic.export(), words)


def test_a_mistyped_argument_is_told_without_every_option(logistic) -> None:
    result = logistic.export("--tolerance", "x")
    assert len(result.err.splitlines()) == 2


def test_channels_in_another_order_are_suspected(work) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(300, 2)) * [1, 1] + [0, 500]
    target = (rows[:, 0] > 0).astype(int)
    work.save(LogisticRegression().fit(rows, target))
    work.rows(rows, target)
    right = work.export("--channels", "c0,c1")
    assert right.code == 0
    assert "every held-back row" not in right.err
    wrong = work.export("--channels", "c1,c0")
    assert wrong.code == 0
    assert (
        "The model answers '1' to every held-back row: are --channels in the order of training?" in wrong.err
    )


def test_rows_that_are_not_text(logistic) -> None:
    Path("rows.csv").write_bytes(b"c0,c1\xff\xfe\x00")
    logistic.refused(logistic.export(), "UTF-8")


def test_a_target_that_the_model_cannot_have(work, values) -> None:
    rows, target = values
    work.save(LinearRegression().fit(rows, target))
    work.rows(rows, np.column_stack([target, target]))
    work.refused(work.export(target="y0,y1"), "answers 1 values, but --target names 2")


def test_targets_that_are_no_class(work, classes) -> None:
    rows, target = classes
    names = np.array(["ok", "warn", "fault"])
    work.save(LogisticRegression().fit(rows, names[target]))
    work.rows(rows, np.char.upper(names[target]))
    work.refused(work.export(), "none of the model's classes (fault, ok, warn)")

    work.rows(rows, np.where(np.arange(len(rows)) < 3, "new", names[target]))
    result = work.export()
    assert result.code == 0
    assert "never answers new" in result.err


def test_an_older_scikit_learn_is_a_note(logistic, monkeypatch) -> None:
    model = skops.io.load("model.skops")
    state = model.__getstate__() | {"_sklearn_version": "1.5.0"}
    monkeypatch.setattr(LogisticRegression, "__getstate__", lambda _: state)
    logistic.save(model)
    result = logistic.export()
    assert result.code == 0, result.err
    assert "made with scikit-learn 1.5.0" in result.err


def test_a_folder_that_cannot_be_written(logistic, monkeypatch) -> None:
    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lineside_contract.bundle.write_whole", full)
    logistic.refused(logistic.export(), "No space left on device")


def test_ctrl_c_leaves_nothing(logistic, monkeypatch) -> None:
    def interrupted(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("lineside_export.export.measure", interrupted)
    assert logistic.export().code == 130
    assert not Path(BUNDLE).exists()
