"""The exporter's benchmark on one small model a table: it measures, judges, and says when a tool is not there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import IsolationForest

from lineside_benchmarks.export import (
    compilers,
    networks,
    quantization,
    rewrites,
    side_by_side,
    subjects,
    trees,
)
from lineside_benchmarks.export.network_files import PEER, Real, crops
from lineside_benchmarks.table import Table
from lineside_export.networks.meaning import Meaning

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


def _pictures() -> onnx.ModelProto:
    """A network of pictures, untrained."""
    generator, shapes = np.random.default_rng(0), {"filters": (16, 3, 3, 3), "matrix": (16 * 36, 2)}
    nodes = [
        helper.make_node("Conv", ["x", "filters"], ["conv"]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("Flatten", ["relu"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"]),
    ]
    stored = [
        numpy_helper.from_array(generator.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    given, result = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
        for name, shape in (("x", (3, 8, 8)), ("y", (2,)))
    )
    graph = helper.make_graph(nodes, "pictures", [given], [result], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_networks_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is there is measured, one that is not is left out, and the page says so."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = Real("own.onnx", lambda count: crops(count, (3, 8, 8)), (3, 8, 8), Meaning())
    monkeypatch.setattr(networks, "NETWORKS", {"own": own, "other": own._replace(file="other.onnx")})
    (tmp_path / "lineside" / "peers" / PEER).mkdir(parents=True)
    onnx.save(_pictures(), tmp_path / "lineside" / "peers" / PEER / "own.onnx")
    table = networks.run(QUICK)
    rows = _by_tool(table)
    assert {row[0] for row in table.rows} == {"own"}
    assert "left out: other" in table.how
    assert {networks.ORIGINAL, "quantize_dynamic", "quantize_static", "float16"} <= set(rows)
    assert rows[networks.ORIGINAL][4] == "inf"
    assert rows[networks.OURS][2] < rows[networks.ORIGINAL][2]
    assert float(rows[networks.OURS][4]) > 20
    assert table.targets[0].met
    assert capsys.readouterr().out == ""
