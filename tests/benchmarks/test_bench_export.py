"""The exporter's benchmark on one small model a table: it measures, judges, and says when a tool is not there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sklearn.ensemble import IsolationForest

from lineside_benchmarks.export import compilers, quantization, rewrites, side_by_side, subjects, trees
from lineside_benchmarks.table import Table

QUICK: Any = SimpleNamespace(quick=True)
FOREST = "isolation forest, cancer"
NEIGHBOURS = "5 nearest neighbours, digits"
NETWORK = "network 100, digits"


def _by_tool(table: Table) -> dict[str, list[Any]]:
    assert all(len(row) == len(table.columns) for row in table.rows)
    return {str(row[1]): row for row in table.rows}


def test_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    small = subjects.TREES[FOREST]._replace(
        estimator=lambda: IsolationForest(n_estimators=15, random_state=0)
    )
    monkeypatch.setattr(trees, "TREES", {FOREST: small})

    def missing(name: str) -> Any:
        raise compilers.NotWritten(f"{name} is not installed")

    monkeypatch.setattr(compilers, "_installed", missing)
    table = trees.run(QUICK)
    rows = _by_tool(table)
    ours, rival = rows[side_by_side.OURS], rows[side_by_side.RIVAL]
    assert ours[2] * 8 <= rival[2]  # bytes
    assert ours[3] * 10 <= rival[3]  # microseconds
    assert ours[-2] == "0.00%"
    assert rows["m2cgen"][-1] == "m2cgen is not installed"
    assert {target.aim: target.met for target in table.targets}[
        f"{FOREST}: at least 8 times smaller than skl2onnx's"
    ]


def test_rewrites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrites, "OTHERS", {NEIGHBOURS: subjects.OTHERS[NEIGHBOURS]})
    rows = _by_tool(rewrites.run(QUICK))
    ours, rival = rows[side_by_side.OURS], rows[side_by_side.RIVAL]
    assert ours[3] * 4 <= rival[3]
    assert ours[-1] == "rewritten"


def test_quantization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "NETWORKS", {NETWORK: subjects.NETWORKS[NETWORK]})
    table = quantization.run(QUICK)
    rows = _by_tool(table)
    assert rows[side_by_side.OURS][2] * 2 < rows[side_by_side.RIVAL][2]
    assert {"quantize_dynamic", "quantize_static", "float16"} <= set(rows)
    assert table.targets[0].met
