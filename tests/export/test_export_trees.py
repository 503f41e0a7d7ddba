"""Trees written by hand answer as scikit-learn does: every family, also exactly at every threshold."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, PowerTransformer, RobustScaler, StandardScaler
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)
from sklearn.utils import get_tags

from lineside_agent.model import Model
from lineside_contract.manifest import Outputs
from lineside_export import reference
from lineside_export.convert import INPUT
from lineside_export.convert.sklearn import convert_steps
from lineside_export.schema import describe
from lineside_export.trees.extract import extract
from lineside_export.trees.fold import fold
from lineside_export.trees.shrink import round_down
from lineside_export.trees.write import taken_apart, write

QUICK = settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.too_slow])
CLASSIFIERS = {
    "tree": DecisionTreeClassifier(),
    "shallow tree": DecisionTreeClassifier(max_depth=3),
    "one random tree": ExtraTreeClassifier(max_depth=6),
    "forest": RandomForestClassifier(12),
    "impure forest": RandomForestClassifier(12, min_samples_leaf=4, class_weight="balanced"),
    "extra trees": ExtraTreesClassifier(12, max_depth=5, bootstrap=True),
    "boosting": GradientBoostingClassifier(n_estimators=7, subsample=0.8),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=7, min_samples_leaf=3),
    "constants": RandomForestClassifier(5, min_samples_leaf=500),
}
REGRESSORS = {
    "tree": DecisionTreeRegressor(),
    "one random tree": ExtraTreeRegressor(max_depth=6),
    "forest": RandomForestRegressor(12),
    "median forest": RandomForestRegressor(8, criterion="absolute_error", max_depth=4),
    "extra trees": ExtraTreesRegressor(12, max_leaf_nodes=9),
    "boosting": GradientBoostingRegressor(n_estimators=7),
    "boosting from nothing": GradientBoostingRegressor(n_estimators=7, init="zero", loss="huber"),
    "histogram boosting": HistGradientBoostingRegressor(max_iter=7, min_samples_leaf=3),
    "poisson": HistGradientBoostingRegressor(loss="poisson", max_iter=7),
    "constant": HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=500),
}
SCALERS = [StandardScaler(), MinMaxScaler((-1, 3), clip=True), RobustScaler(), MaxAbsScaler()]


def _load(model, data: bytes) -> Model:
    schema = describe(model)
    outputs = {
        "classification": Outputs(label="label", probabilities="probabilities", classes=list(schema.classes)),
        "regression": Outputs(values="variable", targets=["value"]),
        "outlier": Outputs(label="label", scores="scores"),
    }
    return Model(data, INPUT, outputs[schema.task])


def _written(model) -> bytes:
    schema = describe(model)
    data = write(model, schema, INPUT, lambda steps: convert_steps(steps, schema))
    assert data is not None
    return data


def _edges(model, rows: np.ndarray) -> np.ndarray:
    """Rows with one reading exactly on a threshold of the trees, or one float32 step to a side of it."""
    features = rows.shape[1]
    before, last = taken_apart(model)
    ensemble = fold(extract(last), before, features)
    if ensemble is None:
        return rows
    nodes = ensemble.nodes
    there = np.flatnonzero(
        nodes.inner & (nodes.feature < features) & np.isfinite(round_down(nodes.threshold))
    )
    there = there[:700]
    made = []
    at = round_down(nodes.threshold[there])
    for values in (at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))):
        made.append(rows[np.arange(len(there)) % len(rows)])
        made[-1][np.arange(len(there)), nodes.feature[there]] = values
    return np.concatenate([rows, *made])


def _assert_exact(model, rows: np.ndarray, *, missing: bool = False) -> None:
    rows = _edges(model, rows.astype(np.float32))
    if missing:
        holes = rows.copy()
        holes[np.random.default_rng(0).random(rows.shape) < 0.3] = np.nan
        rows = np.concatenate([rows, holes])
    rows = rows[~np.isinf(rows).any(axis=1)]
    found = _load(model, _written(model)).predict(rows)
    expected = reference.answer(model, describe(model), rows)
    if expected.values is not None:
        scale = max(1e-3, np.abs(expected.values).max())
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-6, atol=1e-6 * scale)
        return
    columns = expected.probabilities if expected.probabilities is not None else expected.scores
    got = found.probabilities if expected.probabilities is not None else found.scores
    np.testing.assert_allclose(got, columns, rtol=1e-6, atol=1e-6)
    ordered = np.sort(columns, axis=1) if columns.shape[1] > 1 else np.abs(columns)
    clear = (ordered[:, -1] - ordered[:, -2] if columns.shape[1] > 1 else ordered[:, 0]) > 1e-6
    np.testing.assert_array_equal(found.label.astype(expected.label.dtype)[clear], expected.label[clear])


def _data(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows whose columns are continuous, coarse, huge and tiny; labels; values."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(150, 4))
    rows[:, 1] = np.round(rows[:, 1] * 2) / 2
    rows[:, 2] = 1e6 + rows[:, 2] * generator.choice([1, 1e5])
    rows[:, 3] *= 1e-6
    values = rows[:, 0] * 2 + rows[:, 1] ** 2 + generator.normal(0, 0.3, 150)
    labels = np.argsort(np.argsort(values + generator.normal(0, 0.5, 150))) * classes // 150
    return rows, labels, values


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", CLASSIFIERS)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 4), single=st.booleans(), names=st.integers(0, 2))
@QUICK
def test_classifiers(kind, seed, classes, single, names) -> None:
    rows, labels, _ = _data(seed, classes)
    rows = rows.astype(np.float32) if single else rows
    labels = [labels, labels * 3 - 4, np.array(["ok", "warn", "hot", "fault"])[labels]][names]
    model = CLASSIFIERS[kind].set_params(random_state=seed).fit(rows, labels)
    _assert_exact(model, rows, missing=get_tags(model).input_tags.allow_nan)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", REGRESSORS)
@given(seed=st.integers(0, 10**6), single=st.booleans())
@QUICK
def test_regressors(kind, seed, single) -> None:
    rows, _, values = _data(seed, 2)
    rows = rows.astype(np.float32) if single else rows
    model = REGRESSORS[kind].set_params(random_state=seed).fit(rows, np.abs(values))
    _assert_exact(model, rows, missing=get_tags(model).input_tags.allow_nan)


@given(
    seed=st.integers(0, 10**6),
    samples=st.sampled_from(["auto", 9, 60]),
    features=st.sampled_from([1.0, 0.5]),
    contamination=st.sampled_from(["auto", 0.1]),
)
@QUICK
def test_isolation_forests(seed, samples, features, contamination) -> None:
    rows, _, _ = _data(seed, 2)
    model = IsolationForest(
        n_estimators=12,
        max_samples=samples,
        max_features=features,
        contamination=contamination,
        random_state=seed,
    )
    _assert_exact(model.fit(rows), rows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scaler", SCALERS, ids=lambda scaler: type(scaler).__name__)
@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(6),
        HistGradientBoostingRegressor(max_iter=6),
        GradientBoostingRegressor(n_estimators=6),
    ],
    ids=lambda model: type(model).__name__,
)
@given(seed=st.integers(0, 10**6))
@settings(QUICK, max_examples=3)
def test_scalers_are_folded_exactly(scaler, model, seed) -> None:
    rows, labels, values = _data(seed, 3)
    target = labels if isinstance(model, RandomForestClassifier) else values
    whole = make_pipeline(scaler, model.set_params(random_state=seed)).fit(rows, target)
    _assert_exact(whole, rows, missing=get_tags(model).input_tags.allow_nan)
    kinds = [each.op_type for each in onnx.load_from_string(_written(whole)).graph.node]
    assert kinds[0] == "TreeEnsemble"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
def test_imputers_become_the_way_of_missing_readings(strategy) -> None:
    rows, labels, _ = _data(5, 3)
    rows[np.random.default_rng(1).random(rows.shape) < 0.2] = np.nan
    steps = [SimpleImputer(strategy=strategy), StandardScaler(), "passthrough"]
    model = make_pipeline(*steps, ExtraTreesClassifier(10, random_state=0)).fit(rows, labels)
    _assert_exact(model, np.nan_to_num(rows), missing=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["forest", "impure forest", "one random tree", "histogram boosting"])
def test_trees_trained_on_missing_values(kind) -> None:
    rows, labels, _ = _data(7, 3)
    rows[np.random.default_rng(1).random(rows.shape) < 0.2] = np.nan
    model = CLASSIFIERS[kind].set_params(random_state=0).fit(rows, labels)
    _assert_exact(model, np.nan_to_num(rows), missing=True)


@pytest.mark.filterwarnings("ignore")
@given(seed=st.integers(0, 10**6), many=st.integers(2, 300), empty=st.booleans())
@QUICK
def test_categories(seed, many, empty) -> None:
    """Known and unknown ones, fractions, negative ones, ones that no float32 can be, and missing ones."""
    generator = np.random.default_rng(seed)
    rows, labels, _ = _data(seed, 3)
    known = np.array([0.1, 1 / 3, -7, 0.5, 0, 1, 2, 3, 30, 31, 32, 300, 1e7])
    rows[:, 1] = generator.integers(0, min(many, 250), len(rows))
    rows[:, 3] = generator.choice(known, len(rows))
    labels = (labels + rows[:, 1].astype(int) % 3 + (rows[:, 3] > 1)) % 3
    if empty:
        rows[generator.random(len(rows)) < 0.2, 3] = np.nan
    model = HistGradientBoostingClassifier(
        max_iter=6, min_samples_leaf=2, categorical_features=[3, 1], random_state=seed
    ).fit(rows, labels)
    asked = np.repeat(np.nan_to_num(rows), 2, axis=0)
    asked[:, 3] = generator.choice([*known, 2.5, 1.0000001, 255, 256, -1, 1e30, 4], len(asked))
    asked[::3, 1] = generator.choice([0.5, -1, 249.5, 256, 511, 3], len(asked[::3]))
    _assert_exact(model, asked, missing=True)


def test_several_values_and_what_is_around_trees() -> None:
    rows, labels, values = _data(3, 3)
    both = np.column_stack([values, -values, labels])
    _assert_exact(RandomForestRegressor(6, random_state=0).fit(rows, both), rows, missing=True)
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [2, 5]}, cv=2)
    _assert_exact(make_pipeline(StandardScaler(), search).fit(rows, labels), rows)
    frozen = FrozenEstimator(GradientBoostingClassifier(n_estimators=3, loss="exponential"))
    frozen.estimator.fit(rows, labels > 0)
    _assert_exact(make_pipeline(frozen), rows)


@pytest.mark.filterwarnings("ignore")
def test_other_steps_stay_in_front_of_the_trees() -> None:
    rows, labels = np.random.default_rng(4).normal(size=(200, 4)), np.arange(200) % 3
    columns = ColumnTransformer([("scaled", StandardScaler(), [2, 0])], remainder="passthrough")
    for step in (columns, PowerTransformer()):
        model = make_pipeline(step, RandomForestClassifier(8, max_depth=4, random_state=0)).fit(rows, labels)
        found = _load(model, _written(model)).predict(rows.astype(np.float32))
        expected = model.predict_proba(rows.astype(np.float32).astype(float))
        # In float32 a row close to a threshold may fall to its other side.
        assert np.mean(np.abs(found.probabilities - expected).max(axis=1) < 1e-6) > 0.97


@pytest.mark.filterwarnings("error")
def test_column_names_bring_no_warnings() -> None:
    rows, _, values = _data(4, 2)
    model = make_pipeline(StandardScaler(), GradientBoostingRegressor(n_estimators=2)).fit(rows, values)
    for step in model:
        step.feature_names_in_ = np.array(["a", "b", "c", "d"], dtype=object)
    assert _written(model)


def test_many_trees_lose_no_digits() -> None:
    """A float32 sum of 600 numbers near 1000 would be wrong in its fifth digit."""
    rows, _, values = _data(9, 2)
    forest = RandomForestRegressor(600, max_depth=3, random_state=0)
    _assert_exact(forest.fit(rows, 1000 + values), rows)
    _assert_exact(IsolationForest(n_estimators=600, max_samples=20, random_state=0).fit(rows), rows)


def test_what_is_left_to_the_converter() -> None:
    rows, labels, values = _data(4, 3)
    schema = describe(LinearRegression().fit(rows, values))
    for model in (
        LinearRegression().fit(rows, values),
        GradientBoostingRegressor(n_estimators=2, init=LinearRegression()).fit(rows, values),
        RandomForestClassifier(2).fit(rows, np.column_stack([labels, labels])),
    ):
        assert write(model, schema, INPUT, lambda _: pytest.fail("nothing to prepare")) is None
