"""A model that answers with what it was given, so that every prediction can be accounted for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LinearRegression

from lineside_agent.model import Model, write_golden
from lineside_contract.bundle import GOLDEN, MODEL, write_bundle
from lineside_contract.manifest import Channel, Manifest, Outputs


def write_counting_bundle(path: Path) -> Path:
    """Write a bundle, and beside it its bare ONNX file, whose model answers a reading of n with n.

    The value of a stored prediction then tells which reading it was made from. Exact up to 16 million (float32).
    """
    inputs = np.arange(1000, dtype=np.float32).reshape(-1, 1)
    trained = LinearRegression().fit(inputs, inputs[:, 0])
    graph = to_onnx(
        trained,
        initial_types=[("input", FloatTensorType([None, 1]))],
        target_opset={"": 21, "ai.onnx.ml": 3},
    ).SerializeToString()
    outputs = Outputs(values="variable", targets=["count"])
    answers = Model(graph, "input", outputs).predict(inputs[:16])
    manifest = Manifest(
        name="counter",
        version="1.0.0",
        created="2026-01-01T00:00:00Z",
        task="regression",
        estimator="LinearRegression",
        input="input",
        channels=[Channel(name="count")],
        outputs=outputs,
    )
    path.with_name("counter.onnx").write_bytes(graph)
    write_bundle(path, manifest, {MODEL: graph, GOLDEN: write_golden(inputs[:16], answers)})
    return path
