"""Whatever was trained on whatever rows: what the exporter lets through answers as scikit-learn does on unseen rows.

`LINESIDE_EXAMPLES=2000 pytest tests/export/test_export_properties.py` looks further than every run does.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import clone
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
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from lineside_agent.model import Model
from lineside_contract.errors import InputError
from lineside_export import reference
from lineside_export.ask import ask
from lineside_export.check import compare
from lineside_export.convert import INPUT
from lineside_export.dataset import Columns
from lineside_export.equidistant import equidistant
from lineside_export.probes import probes
from lineside_export.settings import Settings
from lineside_export.subject import prepare
from lineside_export.verify import trials
from lineside_export.writings import sound, writings

_EXAMPLES = int(os.environ.get("LINESIDE_EXAMPLES", "40"))
_DEPTHS = st.none() | st.integers(1, 6)
_COUNTS = st.integers(1, 12)

# What takes missing values when it is trained with some.
_TAKES_MISSING = ("DecisionTree", "RandomForest", "ExtraTrees", "HistGradient")


class Family(NamedTuple):
    """An estimator and the settings that are drawn for it."""

    estimator: Callable[..., Any]
    task: str
    parameters: dict[str, st.SearchStrategy[Any]]


def _trees(*estimators: Callable[..., Any], task: str, count: str | None) -> list[Family]:
    drawn = {"max_depth": _DEPTHS, "random_state": st.just(0)}
    return [Family(each, task, drawn | ({count: _COUNTS} if count else {})) for each in estimators]


_FAMILIES = [
    *_trees(DecisionTreeClassifier, task="classification", count=None),
    *_trees(DecisionTreeRegressor, task="regression", count=None),
    *_trees(RandomForestClassifier, ExtraTreesClassifier, task="classification", count="n_estimators"),
    *_trees(RandomForestRegressor, ExtraTreesRegressor, task="regression", count="n_estimators"),
    *_trees(GradientBoostingClassifier, task="classification", count="n_estimators"),
    *_trees(GradientBoostingRegressor, task="regression", count="n_estimators"),
    *_trees(HistGradientBoostingClassifier, task="classification", count="max_iter"),
    *_trees(HistGradientBoostingRegressor, task="regression", count="max_iter"),
    Family(IsolationForest, "outlier", {"n_estimators": _COUNTS, "random_state": st.just(0)}),
    Family(LogisticRegression, "classification", {"C": st.sampled_from([0.01, 1.0, 100.0])}),
    Family(Ridge, "regression", {"alpha": st.sampled_from([0.0, 1.0, 100.0])}),
    Family(LinearSVC, "classification", {"C": st.sampled_from([0.01, 1.0])}),
    Family(GaussianNB, "classification", {}),
    Family(
        KNeighborsClassifier,
        "classification",
        {"n_neighbors": st.integers(1, 7), "weights": st.sampled_from(["uniform", "distance"])},
    ),
    Family(KNeighborsRegressor, "regression", {"n_neighbors": st.integers(1, 7)}),
    Family(SVC, "classification", {"kernel": st.sampled_from(["rbf", "linear", "poly", "sigmoid"])}),
    Family(SVR, "regression", {"kernel": st.sampled_from(["rbf", "linear", "poly"])}),
    Family(OneClassSVM, "outlier", {"nu": st.sampled_from([0.05, 0.5])}),
    Family(GaussianProcessRegressor, "regression", {"alpha": st.sampled_from([1e-6, 1e-2, 1.0])}),
    Family(
        MLPClassifier,
        "classification",
        {"hidden_layer_sizes": st.sampled_from([(3,), (8, 4)]), "max_iter": st.just(30)},
    ),
    Family(
        MLPRegressor,
        "regression",
        {"activation": st.sampled_from(["relu", "tanh", "logistic", "identity"]), "max_iter": st.just(30)},
    ),
]
_SHAPES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "bell": lambda x: x,
    "whole numbers": lambda x: np.round(2 * x),
    "heavy tails": lambda x: np.sign(x) * np.abs(x) ** 3,
    "far from zero": lambda x: 1e5 + x,
    "tiny": lambda x: 1e-6 * x,
    "two values": lambda x: (x > 0).astype(float),
    "one value": lambda x: np.full_like(x, 7.5),
    "pressure in pascal": lambda x: 101_325 + 500 * x,
}


class Case(NamedTuple):
    """A fitted model, rows for the exporter, and rows that nobody has seen."""

    model: Any
    rows: NDArray[np.float32]
    unseen: NDArray[np.float32]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    family = draw(st.sampled_from(_FAMILIES))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    columns = draw(st.lists(st.sampled_from(list(_SHAPES)), min_size=1, max_size=5))
    normal = generator.normal(size=(draw(st.integers(60, 160)), len(columns)))
    rows = np.column_stack([_SHAPES[name](column) for name, column in zip(columns, normal.T, strict=True)])
    rows = rows.astype(np.float32)
    signal = normal.sum(axis=1) + 0.3 * generator.normal(size=len(rows))
    front = draw(st.sampled_from([None, None, StandardScaler(), MinMaxScaler(), RobustScaler()]))
    name = family.estimator.__name__
    if front is None and name.startswith(_TAKES_MISSING) and draw(st.booleans()):
        rows[generator.random(rows.shape) < 0.15] = np.nan
    model = family.estimator(**{key: draw(value) for key, value in family.parameters.items()})
    model = model if front is None else make_pipeline(clone(front), model)
    half = len(rows) // 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that little was learnt is no matter here
        model.fit(rows[:half], _target(draw, family.task, signal[:half]))
    event(name)
    unseen = rows[generator.integers(half, len(rows), size=200)]
    moved = (unseen * (1 + 0.01 * generator.normal(size=unseen.shape))).astype(np.float32)
    return Case(model, rows[half:], np.concatenate([unseen, moved]))


def _target(draw: st.DrawFn, task: str, signal: NDArray[Any]) -> NDArray[Any] | None:
    if task == "regression":
        return signal * draw(st.sampled_from([1.0, 1e4]))
    if task == "outlier":
        return None
    count = draw(st.integers(2, 4))
    classes = np.searchsorted(np.quantile(signal, np.linspace(0, 1, count + 1)[1:-1]), signal)
    return np.array(["ok", "worn", "hot", "loud"])[classes] if draw(st.booleans()) else classes


@pytest.mark.filterwarnings("ignore")
@given(cases())
@settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=_EXAMPLES == 40,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
def test_what_is_let_through_answers_alike_on_rows_that_it_never_saw(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.csv"
        _write(data, case.rows)
        asked_for = Settings(
            model=data, data=data, name="m", version="1.0.0", columns=Columns(), dry_run=True
        )
        try:
            subject = prepare(case.model, asked_for)
            exact = sound(subject, writings(subject), trials(subject, 0), allow=False)
        except InputError as refusal:
            event(f"refused: {refusal.message[:80]}")
            return
    unseen = np.concatenate([case.unseen, probes(case.model, case.rows, seed=99)])
    sure = unseen[~equidistant(case.model, unseen)]
    if not len(sure):
        event("every row is equally far from two")
        return
    expected = reference.answer(case.model, subject.schema, sure)
    first = exact.writings[0]  # what is shipped, or what the candidates in fewer bits are held against
    wrong = compare(
        expected, ask(Model(first.model, INPUT, exact.outputs), sure), subject.schema.task
    ).mismatches
    told = [f"{each} at {sure[each.row].tolist()}" for each in wrong[:3]]
    assert not wrong, f"{first.variant.name} of {case.model}: {told}"


def _write(path: Path, rows: NDArray[np.float32]) -> None:
    lines = [",".join(f"c{index}" for index in range(rows.shape[1]))]
    lines += [",".join("" if np.isnan(value) else repr(value) for value in row) for row in rows.tolist()]
    path.write_text("\n".join(lines) + "\n")
