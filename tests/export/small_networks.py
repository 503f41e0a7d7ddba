"""Networks made here: one trained without a framework (filters from the data, a fitted head), and layers alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

LENGTH = 64
STATES = ("ok", "worn")


class Machine(NamedTuple):
    """Readings (n, 2) and the state at each of them, (n,) of 0 and 1."""

    readings: np.ndarray
    states: np.ndarray

    @property
    def windows(self) -> np.ndarray:
        """Windows (n, 2, LENGTH)."""
        return np.ascontiguousarray(self.readings.reshape(-1, LENGTH, 2).transpose(0, 2, 1))

    @property
    def labels(self) -> np.ndarray:
        """The state of each window."""
        return self.states[LENGTH - 1 :: LENGTH]


def machine(windows: int, seed: int) -> Machine:
    """Return vibration that turns between good and worn every ten windows; worn rings at a higher frequency."""
    generator = np.random.default_rng(seed)
    states = np.repeat(np.arange(windows) // 10 % 2, LENGTH)
    time = np.arange(len(states))
    shaft = 0.6 * np.sin(0.18 * time)[:, None] * [1, 0.7]
    knocks = np.zeros(len(states))
    knocks[::9] = generator.uniform(0.5, 1.5, len(knocks[::9]))
    ringing = np.convolve(knocks, np.exp(-np.arange(12) / 4) * np.sin(2.1 * np.arange(12)))[: len(states)]
    readings = shaft + generator.normal(0, 0.2, shaft.shape) + (ringing * states)[:, None] * [1, 0.6]
    return Machine(readings.astype(np.float32), states)


def _patches(maps: np.ndarray, width: int) -> np.ndarray:
    """Return every stretch of `width` steps of maps (n, channels, length), as rows (m, channels * width)."""
    views = np.lib.stride_tricks.sliding_window_view(maps, width, axis=2)
    return views.transpose(0, 2, 1, 3).reshape(-1, maps.shape[1] * width)


def _filters(maps: np.ndarray, width: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return filters (2 count, channels, width) and biases: the main directions of the patches, both ways."""
    fitted = PCA(count, whiten=True, random_state=0).fit(_patches(maps, width)[::3])
    scaled = fitted.components_ / np.sqrt(fitted.explained_variance_)[:, None]
    both = np.concatenate([scaled, -scaled])
    bias = -both @ fitted.mean_
    return both.reshape(2 * count, -1, width).astype(np.float32), bias.astype(np.float32)


def _layer(maps: np.ndarray, filters: np.ndarray, bias: np.ndarray) -> np.ndarray:
    width = filters.shape[2]
    found = _patches(maps, width) @ filters.reshape(len(filters), -1).T + bias
    return np.maximum(found, 0).reshape(len(maps), -1, len(filters)).transpose(0, 2, 1)


def cnn(trained: Machine, *, batch: int | str = "rows", opset: int = 17, finish: str = "") -> onnx.ModelProto:
    """Train two layers of filters and a linear head; `finish` is an operator after its logits, such as Softmax."""
    first = _filters(trained.windows, 9, 12)
    maps = _layer(trained.windows, *first)
    pooled = maps[:, :, : maps.shape[2] // 2 * 2].reshape(*maps.shape[:2], -1, 2).max(axis=3)
    second = _filters(pooled, 5, 16)
    features = _layer(pooled, *second).mean(axis=2)
    head = LogisticRegression(max_iter=2000).fit(features, trained.labels)
    weights = np.vstack([-head.coef_[0], head.coef_[0]]).astype(np.float32) / 2
    biases = np.array([-head.intercept_[0], head.intercept_[0]], np.float32) / 2
    stored = {"f1": first[0], "b1": first[1], "f2": second[0], "b2": second[1], "w": weights, "b": biases}
    stored["shape"] = np.array([batch if isinstance(batch, int) else 0, len(second[0])])
    nodes = [
        helper.make_node("Conv", ["x", "f1", "b1"], ["c1"], name="first"),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2], strides=[2]),
        helper.make_node("Conv", ["p1", "f2", "b2"], ["c2"], name="second"),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["g"]),
        helper.make_node("Reshape", ["g", "shape"], ["flat"]),
        helper.make_node(
            "Gemm", ["flat", "w", "b"], ["y" if not finish else "logits"], transB=1, name="head"
        ),
    ]
    if finish:
        nodes.append(helper.make_node(finish, ["logits"], ["y"]))
    return model(nodes, stored, ("x", [batch, 2, LENGTH]), ("y", [batch, 2]), opset=opset)


def model(nodes, stored, given, result, *, opset: int = 17, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Put a network together; given and result: names and shapes."""
    results = result if isinstance(result, list) else [result]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(given[0], kind, given[1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in results],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(graph: onnx.ModelProto, name: str = "network.onnx") -> Path:
    onnx.save(graph, name)
    return Path(name)


def dense(
    inputs: int, outputs: int, finish: str = "", *, shape=None, kind=TensorProto.FLOAT
) -> onnx.ModelProto:
    """One layer with an operator after it; `shape` of an input that it flattens."""
    generator = np.random.default_rng(3)
    stored = {"w": generator.normal(size=(inputs, outputs)), "b": generator.normal(size=outputs)}
    stored = {name: value.astype(helper.tensor_dtype_to_np_dtype(kind)) for name, value in stored.items()}
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["z" if finish else "y"]),
    ]
    nodes += [helper.make_node(finish, ["z"], ["y"])] if finish else []
    graph = model(nodes, stored, ("x", ["n", *(shape or [inputs])]), ("y", ["n", outputs]), kind=kind)
    graph.graph.output[0].type.tensor_type.elem_type = kind
    return graph
