"""Times models in a process of their own: `python -m lineside_benchmarks.inference_work FOLDER quick|full`.

Prints JSON: by family, program and batch, microseconds of a call, [p50, p95, p99] of each round.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from lineside_agent.model import Model
from lineside_benchmarks.models import CHANNELS, CLASSES, readings
from lineside_benchmarks.programs import LINESIDE, Failed
from lineside_contract.bundle import Bundle

Predict: TypeAlias = Callable[[NDArray[np.float32]], Any]

FAMILIES: dict[str, Callable[[], Any]] = {
    "logistic regression": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "random forest, 100 trees": lambda: RandomForestClassifier(100, random_state=0),
    "gradient boosting, 100 rounds": lambda: HistGradientBoostingClassifier(random_state=0),
    "network 64-32": lambda: make_pipeline(StandardScaler(), MLPClassifier((64, 32), random_state=0)),
    "support vectors": lambda: make_pipeline(StandardScaler(), SVC(random_state=0)),
    "5 nearest neighbours": KNeighborsClassifier,
}
_QUICK = ("logistic regression",)
_ROUNDS, _ROUND_S, _FEWEST_CALLS, _DIFFERENT = 7, 0.08, 20, 64
_BATCHES, _QUICK_BATCHES = (1, 4, 16, 64, 256), (1, 256)


def main(folder: Path, *, quick: bool) -> dict[str, dict[str, dict[int, list[list[float]]]]]:
    """Train, export and time every family. Raises Failed if one cannot be exported."""
    inputs, classes = readings(3000, seed=1)
    labels = np.array(CLASSES)[classes]
    fresh, truth = readings(500, seed=1)
    _write_rows(folder / "rows.csv", fresh, np.array(CLASSES)[truth])
    found: dict[str, dict[str, dict[int, list[list[float]]]]] = {}
    for family in _QUICK if quick else FAMILIES:
        estimator = FAMILIES[family]().fit(inputs, labels)
        programs = _programs(folder, estimator, inputs)
        found[family] = {name: {} for name in programs}
        for batch in _QUICK_BATCHES if quick else _BATCHES:
            for name, rounds in _times(programs, fresh, batch, quick=quick).items():
                found[family][name][batch] = rounds
    return found


def _times(
    programs: dict[str, Predict], inputs: NDArray[np.float32], batch: int, *, quick: bool
) -> dict[str, list[list[float]]]:
    """Time the programs by turns, so that a busy moment of the machine does not fall on one alone."""
    generator = np.random.default_rng(0)
    # The same rows over and over would teach the branch predictor the way through the trees.
    batches = [inputs[generator.integers(len(inputs), size=batch)] for _ in range(_DIFFERENT)]
    found: dict[str, list[list[float]]] = {name: [] for name in programs}
    for _ in range(1 if quick else _ROUNDS):
        for name, predict in programs.items():
            found[name].append(_round(predict, batches))
    return found


def _round(predict: Predict, batches: list[NDArray[np.float32]]) -> list[float]:
    predict(batches[-1])
    taken: list[float] = []
    end = time.perf_counter() + _ROUND_S
    while len(taken) < _FEWEST_CALLS or time.perf_counter() < end:
        rows = batches[len(taken) % len(batches)]
        start = time.perf_counter_ns()
        predict(rows)
        taken.append((time.perf_counter_ns() - start) / 1000)
    return [float(value) for value in np.percentile(taken, (50, 95, 99))]


def _programs(folder: Path, estimator: Any, inputs: NDArray[np.float32]) -> dict[str, Predict]:
    bundle = Model.open(Bundle.open(_export(folder, estimator)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = to_onnx(estimator, inputs[:1], target_opset={"": 21, "ai.onnx.ml": 3}).SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return {
        "lineside": bundle.predict,
        "skl2onnx": lambda rows: session.run(None, {name: rows}),
        "scikit-learn": estimator.predict,
    }


def _export(folder: Path, estimator: Any) -> Path:
    (folder / "model.pkl").write_bytes(pickle.dumps(estimator))
    bundle = folder / "model-1.0.0.bundle.zip"
    bundle.unlink(missing_ok=True)
    command = [
        *LINESIDE,
        "export",
        str(folder / "model.pkl"),
        "--trust-pickle",
        "--data",
        str(folder / "rows.csv"),
    ]
    command += ["--target", "label", "--channels", ",".join(CHANNELS), "-o", str(bundle)]
    command += ["--allow-mismatch"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{estimator} was not exported: {done.stderr.strip()}")
    return bundle


def _write_rows(path: Path, inputs: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
    lines = [",".join([*CHANNELS, "label"])]
    lines += [
        ",".join([*map(repr, row), label])
        for row, label in zip(inputs.tolist(), labels.tolist(), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), quick=sys.argv[2] == "quick")))
