"""The models and readings that every benchmark uses: `python -m lineside_benchmarks.models FOLDER READINGS`.

A program of its own, so that scikit-learn is not in the process that starts the measured ones.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier

from lineside_agent.model import Model, write_golden
from lineside_contract.bundle import GOLDEN, MODEL, write_bundle
from lineside_contract.manifest import Channel, Manifest, Outputs

CHANNELS = [f"channel_{number}" for number in range(8)]
CLASSES = ["bearing", "imbalance", "normal"]
_STEP_MS = 10


def readings(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return `count` readings, shape (count, 8), and the class that each is of: three overlapping clouds."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, len(CLASSES), count)
    centres = random.normal(0, 2, (len(CLASSES), len(CHANNELS)))
    return (centres[classes] + random.normal(0, 1, (count, len(CHANNELS)))).astype(np.float32), classes


def _write_model(folder: Path, name: str, estimator: Any) -> None:
    graph = to_onnx(
        estimator,
        initial_types=[("input", FloatTensorType([None, len(CHANNELS)]))],
        options={"zipmap": False},
        target_opset={"": 21, "ai.onnx.ml": 3},
    ).SerializeToString()
    outputs = Outputs(label="label", probabilities="probabilities", classes=list(CLASSES))
    inputs, _ = readings(32, seed=2)
    golden = write_golden(inputs, Model(graph, "input", outputs).predict(inputs))
    manifest = Manifest(
        name=name,
        version="1.0.0",
        created="2026-01-01T00:00:00Z",
        task="classification",
        estimator=type(estimator).__name__,
        input="input",
        channels=[Channel(name=channel) for channel in CHANNELS],
        outputs=outputs,
    )
    (folder / f"{name}.onnx").write_bytes(graph)
    write_bundle(folder / f"{name}.bundle.zip", manifest, {MODEL: graph, GOLDEN: golden})


def main(folder: Path, count: int) -> None:
    """Write forest and mlp, each as a bundle and as a bare ONNX file, and the readings as CSV and JSON lines."""
    inputs, classes = readings(3000, seed=1)
    labels = np.array(CLASSES)[classes]
    _write_model(folder, "forest", RandomForestClassifier(100, random_state=0).fit(inputs, labels))
    _write_model(
        folder,
        "mlp",
        MLPClassifier((64, 32), max_iter=1000, early_stopping=True, random_state=0).fit(inputs, labels),
    )
    fresh, _ = readings(count, seed=3)
    start = 1_700_000_000_000
    with (folder / "readings.csv").open("w") as csv, (folder / "readings.jsonl").open("w") as lines:
        csv.write(",".join(["timestamp", *CHANNELS]) + "\n")
        for number, row in enumerate(fresh.tolist()):
            cells = [f"{value:.4f}" for value in row]
            csv.write(f"{start + number * _STEP_MS}," + ",".join(cells) + "\n")
            pairs = (f'"{name}":{cell}' for name, cell in zip(CHANNELS, cells, strict=True))
            lines.write("{" + ",".join(pairs) + "}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
