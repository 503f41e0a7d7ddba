"""--lossy-trees: fewer different leaves, off by no more than is said, and only if that is asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from lineside_agent.model import Model
from lineside_contract.manifest import Outputs
from lineside_export.convert import INPUT
from lineside_export.schema import describe
from lineside_export.trees.extract import extract
from lineside_export.trees.lossy import rounded
from lineside_export.trees.write import write

NAME = "compact-leaves256"


def _data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(900, 5))
    return rows, rows[:, 0] * 2 + rows[:, 1] ** 2 + generator.normal(0, 0.3, 900)


def _answers(model, change=None) -> tuple[np.ndarray, int]:
    schema = describe(model)
    data = write(model, schema, INPUT, lambda _: pytest.fail("nothing to prepare"), change=change)
    assert data is not None
    outputs = (
        Outputs(values="variable", targets=["value"])
        if schema.task == "regression"
        else Outputs(label="label", probabilities="probabilities", classes=list(schema.classes))
    )
    found = Model(data, INPUT, outputs).predict(
        np.random.default_rng(1).normal(size=(800, 5)).astype(np.float32)
    )
    return (found.values if schema.task == "regression" else found.probabilities), len(data)


@pytest.mark.parametrize(
    ("model", "share"),
    [
        (RandomForestRegressor(20, random_state=0), 0.9),
        (RandomForestRegressor(20, random_state=0, max_depth=6), 0.85),
        (GradientBoostingRegressor(random_state=0, n_estimators=60), 0.8),
        (RandomForestClassifier(20, random_state=0, min_samples_leaf=4, class_weight="balanced"), 0.95),
    ],
    ids=["forest", "shallow forest", "boosting", "votes of three classes"],
)
def test_answers_are_off_by_no_more_than_is_said(model, share) -> None:
    rows, values = _data()
    model.fit(rows, np.digitize(values, [0, 2]) if hasattr(model, "predict_proba") else values)
    found = rounded(extract(model), 256)
    assert found is not None
    assert f"{found.most:.2g}" in found.note
    exact, size = _answers(model)
    lossy, smaller = _answers(model, change=lambda _: found.ensemble)
    off = np.abs(exact - lossy)
    assert 0 < off.max() <= found.most * (1 + 1e-4) + 1e-6
    assert np.sqrt((off**2).mean()) < 0.005 * exact.std()
    assert smaller < share * size


def test_several_values_a_leaf_are_bytes() -> None:
    rows, values = _data()
    model = RandomForestRegressor(8, random_state=0, max_depth=7).fit(
        rows, np.column_stack([values, -values])
    )
    found = rounded(extract(model), 256)
    assert found is not None
    assert found.ensemble.table.dtype == np.uint8
    exact, size = _answers(model)
    lossy, smaller = _answers(model, change=lambda _: found.ensemble)
    assert np.abs(exact - lossy).max() <= found.most * (1 + 1e-4)
    assert smaller < 0.85 * size


@given(st.integers(0, 10**6), st.integers(2, 256))
@settings(deadline=None, max_examples=20)
def test_there_are_no_more_leaves_than_asked_for(seed, levels) -> None:
    rows, values = _data()
    model = GradientBoostingRegressor(n_estimators=8, random_state=seed, max_depth=5).fit(rows, values)
    found = rounded(extract(model), levels)
    if found is None:
        return
    leaf = ~found.ensemble.nodes.inner
    assert len(np.unique(found.ensemble.weight[leaf])) <= levels


def test_few_leaves_are_left_alone() -> None:
    rows, values = _data()
    assert rounded(extract(RandomForestClassifier(5, random_state=0).fit(rows, values > 0)), 256) is None


def test_it_is_a_candidate_only_if_asked_for(work) -> None:
    rows, values = _data()
    model = GradientBoostingRegressor(n_estimators=40).fit(rows[:600], values[:600])
    work.save(model)
    work.rows(rows[600:], values[600:])
    plain = json.loads(work.export("--json", "--dry-run").out)
    assert NAME not in [each["name"] for each in plain["candidates"]]
    result = work.export("--json", "--lossy-trees", "--candidate", NAME)
    assert result.code == 0, result.err
    manifest = json.loads(result.out)
    assert manifest["candidate"] == NAME
    by_name = {each["name"]: each for each in manifest["candidates"]}
    assert "is off by at most" in by_name[NAME]["reason"]
    assert by_name[NAME]["bytes"] < 0.9 * by_name["compact"]["bytes"]
    assert work.run("inspect", "m-1.0.0.bundle.zip").code == 0


def test_what_is_no_tree_says_so(work) -> None:
    from sklearn.linear_model import LogisticRegression

    rows, values = _data()
    work.save(LogisticRegression().fit(rows, values > 0))
    work.rows(rows, (values > 0).astype(int))
    manifest = json.loads(work.export("--json", "--lossy-trees").out)
    by_name = {each["name"]: each for each in manifest["candidates"]}
    assert (by_name[NAME]["verdict"], "no tree ensemble" in by_name[NAME]["reason"]) == ("dropped", True)
