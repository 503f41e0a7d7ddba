"""XGBoost, LightGBM and CatBoost answer as they do themselves: at thresholds, with holes and odd categories, too."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import joblib
import numpy as np
import onnx
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lineside_agent.model import Model
from lineside_contract.errors import InputError
from lineside_contract.manifest import Outputs
from lineside_export import boosters, reference
from lineside_export.convert import INPUT
from lineside_export.load import Trust, load_model
from lineside_export.schema import describe
from lineside_export.trees.extract import extract
from lineside_export.trees.fold import fold
from lineside_export.trees.shrink import round_down
from lineside_export.trees.write import taken_apart, write

xgb = pytest.importorskip("xgboost", reason="needs the extra xgboost")
lgb = pytest.importorskip("lightgbm", reason="needs the extra lightgbm")
cat = pytest.importorskip("catboost", reason="needs the extra catboost")

ROUNDS = 10
# Learned on one thread, so that a test takes no more than its share.
XGB = {"n_estimators": ROUNDS, "n_jobs": 1}
LGB = {"n_estimators": ROUNDS, "verbose": -1, "min_child_samples": 3, "n_jobs": 1}
SETS = {"cat_smooth": 1, "min_data_per_group": 3, "max_cat_to_onehot": 1}
CAT = {"iterations": ROUNDS, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
KINDS = ["q", "q", "q", "q", "c"]


class Data:
    """Continuous and coarse readings, one column of categories; two classes, three, and values."""

    def __init__(self, holes: bool) -> None:
        generator = np.random.default_rng(0)
        self.rows = generator.normal(size=(300, 5)).astype(np.float32)
        self.rows[:, 1] = np.round(self.rows[:, 1] * 2) / 2
        self.rows[:, 4] = generator.integers(0, 12, 300)
        third = self.rows[:, 4] % 3
        self.two = (self.rows[:, 0] + self.rows[:, 1] ** 2 + (third == 0) > 1).astype(int)
        self.three = np.digitize(self.rows[:, 0] + (third == 0), [-0.5, 0.5])
        self.values = np.abs(self.rows[:, 0] * 2 + self.rows[:, 1] ** 2 + third) + 0.1
        self.names = np.array(["fault", "ok", "warn"])[self.three]
        self.x = self.rows.copy()
        if holes:
            self.x[generator.random(self.x.shape) < 0.15] = np.nan
            self.x[:, 4] = np.nan_to_num(self.x[:, 4])


def _stopped_early(data: Data):
    model = xgb.XGBClassifier(n_estimators=40, early_stopping_rounds=2, n_jobs=1)
    model.fit(
        data.x[:200], data.three[:200], eval_set=[(data.x[200:], data.three[::-1][200:])], verbose=False
    )
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    return model


def _lightgbm_stopped_early(data: Data):
    model = lgb.LGBMClassifier(**{**LGB, "n_estimators": 60})
    seen = [(data.x[200:], data.two[::-1][200:])]
    model.fit(data.x[:200], data.two[:200], eval_set=seen, callbacks=[lgb.early_stopping(2, verbose=False)])
    assert model.best_iteration_ < 20
    return model


MODELS = {
    "xgboost two classes": lambda d: xgb.XGBClassifier(**XGB).fit(d.x, d.two),
    "xgboost three classes": lambda d: xgb.XGBClassifier(**XGB).fit(d.x, d.three),
    "xgboost values": lambda d: xgb.XGBRegressor(**XGB).fit(d.x, d.values),
    "xgboost several values": lambda d: xgb.XGBRegressor(**XGB).fit(
        d.x, np.column_stack([d.values, -d.values])
    ),
    "xgboost poisson": lambda d: xgb.XGBRegressor(objective="count:poisson", **XGB).fit(d.x, d.values),
    "xgboost shares": lambda d: xgb.XGBRegressor(objective="reg:logistic", **XGB).fit(d.x, d.values / 99),
    "xgboost dart": lambda d: xgb.XGBRegressor(booster="dart", rate_drop=0.5, **XGB).fit(d.x, d.values),
    "xgboost forest": lambda d: xgb.XGBRFClassifier(**XGB).fit(d.x, d.three),
    "xgboost own missing": lambda d: xgb.XGBClassifier(missing=-1.0, **XGB).fit(d.x, d.two),
    "xgboost stopped early": _stopped_early,
    "xgboost sets": lambda d: xgb.XGBRegressor(
        enable_categorical=True, feature_types=KINDS, max_cat_to_onehot=2, **XGB
    ).fit(d.x, d.values),
    "xgboost one category": lambda d: xgb.XGBClassifier(
        enable_categorical=True, feature_types=KINDS, max_cat_to_onehot=50, **XGB
    ).fit(d.x, d.three),
    "xgboost booster": lambda d: xgb.train(
        {"objective": "multi:softmax", "num_class": 3, "nthread": 1}, xgb.DMatrix(d.x, d.three), ROUNDS
    ),
    "xgboost ranker": lambda d: xgb.XGBRanker(**XGB).fit(d.x, d.three, qid=np.arange(300) // 20),
    "lightgbm two classes": lambda d: lgb.LGBMClassifier(**LGB).fit(d.x, d.two),
    "lightgbm named classes": lambda d: lgb.LGBMClassifier(**LGB).fit(d.x, d.names),
    "lightgbm one against rest": lambda d: lgb.LGBMClassifier(
        objective="multiclassova", sigmoid=1.5, **LGB
    ).fit(d.x, d.three),
    "lightgbm values far from 0": lambda d: lgb.LGBMRegressor(**LGB).fit(d.x, d.values + 1000),
    "lightgbm root": lambda d: lgb.LGBMRegressor(reg_sqrt=True, **LGB).fit(d.x, d.values),
    "lightgbm tweedie": lambda d: lgb.LGBMRegressor(objective="tweedie", **LGB).fit(d.x, d.values),
    "lightgbm shares": lambda d: lgb.LGBMRegressor(objective="cross_entropy", **LGB).fit(d.x, d.values / 99),
    "lightgbm forest": lambda d: lgb.LGBMRegressor(
        boosting_type="rf", bagging_freq=1, bagging_fraction=0.6, **LGB
    ).fit(d.x, d.values),
    "lightgbm dart": lambda d: lgb.LGBMClassifier(boosting_type="dart", **LGB).fit(d.x, d.two),
    "lightgbm sets": lambda d: lgb.LGBMClassifier(**SETS, **LGB).fit(d.x, d.three, categorical_feature=[4]),
    "lightgbm zero is missing": lambda d: lgb.LGBMRegressor(zero_as_missing=True, **LGB).fit(d.x, d.values),
    "lightgbm zero is missing, sets": lambda d: lgb.LGBMRegressor(zero_as_missing=True, **SETS, **LGB).fit(
        d.x, d.values, categorical_feature=[4]
    ),
    "lightgbm nothing is missing": lambda d: lgb.LGBMRegressor(use_missing=False, **LGB).fit(d.x, d.values),
    "lightgbm stopped early": _lightgbm_stopped_early,
    "lightgbm booster": lambda d: lgb.train(
        {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1},
        lgb.Dataset(d.x, d.three),
        ROUNDS,
    ),
    "lightgbm ranker": lambda d: lgb.LGBMRanker(**LGB).fit(d.x, d.three, group=[20] * 15),
    "lightgbm one leaf": lambda d: lgb.LGBMRegressor(**{**LGB, "min_child_samples": 300}).fit(d.x, d.values),
    "catboost two classes": lambda d: cat.CatBoostClassifier(**CAT).fit(d.x, d.two),
    "catboost missing is most": lambda d: cat.CatBoostClassifier(nan_mode="Max", **CAT).fit(d.x, d.two),
    "catboost named classes": lambda d: cat.CatBoostClassifier(**CAT).fit(d.x, d.names),
    "catboost one against rest": lambda d: cat.CatBoostClassifier(
        loss_function="MultiClassOneVsAll", **CAT
    ).fit(d.x, d.three),
    "catboost values": lambda d: cat.CatBoostRegressor(**CAT).fit(d.x, d.values),
    "catboost several values": lambda d: cat.CatBoostRegressor(loss_function="MultiRMSE", **CAT).fit(
        d.x, np.column_stack([d.values, -d.values])
    ),
    "catboost poisson": lambda d: cat.CatBoostRegressor(loss_function="Poisson", **CAT).fit(d.x, d.values),
    "catboost any shape": lambda d: cat.CatBoostRegressor(grow_policy="Lossguide", **CAT).fit(d.x, d.values),
    "catboost any shape, classes": lambda d: cat.CatBoostClassifier(grow_policy="Depthwise", **CAT).fit(
        d.x, d.three
    ),
    "catboost ranker": lambda d: cat.CatBoostRanker(**CAT).fit(d.x, d.three, group_id=np.arange(300) // 20),
    "behind a scaler": lambda d: make_pipeline(StandardScaler(), lgb.LGBMClassifier(**LGB)).fit(d.x, d.two),
    "catboost behind a scaler": lambda d: make_pipeline(StandardScaler(), cat.CatBoostClassifier(**CAT)).fit(
        d.x, d.three
    ),
}


def _written(model) -> bytes:
    data = write(model, describe(model), INPUT, lambda _: pytest.fail("nothing to prepare"))
    assert data is not None
    onnx.checker.check_model(onnx.load_from_string(data))
    return data


def _hard(model, rows: np.ndarray) -> np.ndarray:
    """Rows on thresholds and a float32 step beside them, with holes, and with categories that are none."""
    generator = np.random.default_rng(1)
    before, last = taken_apart(model)
    ensemble = fold(extract(last), before, rows.shape[1]) or extract(last)
    nodes = ensemble.nodes
    there = np.flatnonzero(nodes.inner & (nodes.feature < rows.shape[1]))
    there = generator.permutation(there)[:400]
    made = [rows]
    at = round_down(nodes.threshold[there])
    for values in (at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))):
        made.append(rows[generator.integers(len(rows), size=len(there))])
        made[-1][np.arange(len(there)), nodes.feature[there]] = values
    whole = np.concatenate(made)
    holes, odd = whole.copy(), whole.copy()
    holes[generator.random(whole.shape) < 0.2] = np.nan
    odd[:, 4] = generator.choice([2.5, -0.5, -1, 0, -0.0, 11, 12, 300, 1e9, -1e9, 0.3, 1e-36], len(whole))
    every = np.concatenate([whole, holes, odd])
    return every[~np.isinf(every).any(axis=1)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("holes", [False, True], ids=["whole", "holes"])
@pytest.mark.parametrize("kind", MODELS)
def test_answers_are_the_library_s(kind, holes) -> None:
    data = Data(holes)
    model = boosters.adopt(MODELS[kind](data))
    schema = describe(model)
    classified = schema.task == "classification"
    outputs = (
        Outputs(label="label", probabilities="probabilities", classes=list(schema.classes))
        if classified
        else Outputs(values="variable", targets=["value"])
    )
    rows = _hard(model, data.rows)
    found, expected = (
        Model(_written(model), INPUT, outputs).predict(rows),
        reference.answer(model, schema, rows),
    )
    if not classified:
        assert found.values.shape == expected.values.shape
        size = np.abs(expected.values).max()
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-6, atol=1e-6 * size + 2e-7)
        return
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-6, atol=2e-6)
    ordered = np.sort(expected.probabilities, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 1e-5
    assert clear.mean() > 0.5 or kind.endswith("one leaf")
    np.testing.assert_array_equal(found.label.astype(expected.label.dtype)[clear], expected.label[clear])


SAVED = {
    "x.json": lambda d, path: xgb.XGBClassifier(**XGB).fit(d.x, d.two).save_model(path),
    "x.ubj": lambda d, path: xgb.XGBRegressor(**XGB).fit(d.x, d.values).save_model(path),
    "l.txt": lambda d, path: lgb.LGBMClassifier(**LGB).fit(d.x, d.three).booster_.save_model(path),
    "c.cbm": lambda d, path: cat.CatBoostClassifier(**CAT).fit(d.x, d.names).save_model(path),
}


@pytest.mark.parametrize("name", SAVED)
def test_the_libraries_files_need_no_trust(tmp_path, name) -> None:
    data = Data(False)
    path = tmp_path / name
    SAVED[name](data, str(path))
    model = load_model(path, Trust()).model
    schema = describe(model)
    expected = {"x.json": (0, 1), "x.ubj": (), "l.txt": (0, 1, 2), "c.cbm": ("fault", "ok", "warn")}
    assert schema.classes == expected[name]
    assert schema.estimator in ("XGBoost Booster", "LightGBM Booster", "CatBoost")
    assert (schema.features, schema.feature_names) == (5, ())


def test_a_library_s_file_becomes_a_bundle(work) -> None:
    data = Data(False)
    SAVED["c.cbm"](data, "c.cbm")
    work.rows(data.rows, data.names)
    result = work.run(
        "export", "c.cbm", "--data", "rows.csv", "--target", "y", "-o", "m-1.0.0.bundle.zip", "--json"
    )
    assert result.code == 0, result.err
    manifest = json.loads(result.out)
    assert (manifest["candidate"], manifest["estimator"]) == ("compact", "CatBoost")
    assert [each["name"] for each in manifest["candidates"]] == ["compact"]
    assert manifest["made_with"]["catboost"] == cat.__version__


def test_damaged_files_are_refused_and_crash_nothing(work) -> None:
    data = Data(False)
    SAVED["l.txt"](data, "l.txt")
    text = Path("l.txt").read_text()
    work.rows(data.rows, data.three)
    for damaged in (
        text.replace("left_child=", "left_child=9", 1),
        text.replace("split_feature=", "split_feature=77", 1),
    ):
        Path("l.txt").write_text(damaged)
        work.refused(work.run("export", "l.txt", "--data", "rows.csv", "-o", "m-1.0.0.bundle.zip"), "l.txt")


def test_a_file_that_claims_eight_billion_numbers_takes_no_memory(work) -> None:
    data = Data(False)
    SAVED["x.ubj"](data, "x.ubj")
    content = bytearray(Path("x.ubj").read_bytes())
    length = content.index(b"#L") + 2
    content[length : length + 8] = (2**33).to_bytes(8, "big")
    Path("x.ubj").write_bytes(content)
    work.rows(data.rows, data.three)
    result = work.run("export", "x.ubj", "--data", "rows.csv", "-o", "m-1.0.0.bundle.zip")
    work.refused(result, "more memory")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: xgb.XGBClassifier(objective="binary:hinge", **XGB).fit(d.x, d.two), "binary:hinge"),
        (lambda d: xgb.XGBRegressor(booster="gblinear", **XGB).fit(d.x, d.two), "gblinear"),
        (
            lambda d: xgb.XGBRegressor(multi_strategy="multi_output_tree", **XGB).fit(d.x, d.x[:, :2]),
            "several values",
        ),
        (lambda d: lgb.LGBMRegressor(linear_tree=True, **LGB).fit(d.x, d.values), "linear functions"),
        (
            lambda d: lgb.train(
                {"objective": lambda predicted, _: (predicted, np.ones_like(predicted)), "verbose": -1},
                lgb.Dataset(d.x, d.values),
                2,
            ),
            "'custom'",
        ),
        (
            lambda d: cat.CatBoostClassifier(one_hot_max_size=2, **CAT).fit(
                d.x.astype(int), d.two, cat_features=[4]
            ),
            "categories",
        ),
    ],
    ids=["hinge", "linear booster", "vector leaves", "linear leaves", "custom", "categories"],
)
def test_what_trees_cannot_say_is_refused(make, words) -> None:
    with pytest.raises(InputError, match=words) as refused:
        extract(make(Data(False)))
    assert refused.value.hint


def test_pickled_estimators_and_boosters(tmp_path) -> None:
    data = Data(False)
    for model in (
        xgb.XGBRanker(**XGB).fit(data.x, data.three, qid=np.arange(300) // 20),
        MODELS["catboost values"](data),
    ):
        path = tmp_path / "model.joblib"
        joblib.dump(model, path)
        loaded = load_model(path, Trust(pickle=True)).model
        expected = np.asarray(model.predict(data.rows.astype(float)))
        np.testing.assert_array_equal(loaded.predict(data.rows.astype(float)), expected)


def test_a_published_gait_classifier() -> None:
    """scikit-digital-health's LightGBM model, made by others with LightGBM 3: every answer, on hard rows too."""
    found = importlib.util.find_spec("skdh")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs the package scikit-digital-health, which is not installed")
    folder = Path(found.submodule_search_locations[0]) / "context" / "model"
    names = ["lgbm_gait_classifier_no-stairs_50hz.lgbm", "ambulation_model.txt"]
    for model in (load_model(folder / name, Trust()).model for name in names):
        nodes = extract(model).nodes
        spread = np.random.default_rng(0).choice(nodes.threshold[nodes.inner], (500, model.n_features_in_))
        rows = _hard(model, spread.astype(np.float32))
        outputs = Outputs(label="label", probabilities="probabilities", classes=[0, 1])
        answers = Model(_written(model), INPUT, outputs).predict(rows)
        np.testing.assert_allclose(answers.probabilities, model.predict_proba(rows), atol=2e-6)
