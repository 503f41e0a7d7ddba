"""A transformer that looks everything up: what an encoder comes down to where a column has few values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from sklearn.base import BaseEstimator, TransformerMixin

from lineside_export.rewrites.graph import Graph


class Column(NamedTuple):
    """A column's table. A row whose value equals `keys[i]` (float32) gets `rows[i + 1]`, any other value `rows[0]`.

    A missing value gets `rows[-1]`. rows: float64 (keys + 2, outputs). places: which columns of the result
    the outputs are.
    """

    keys: NDArray[np.float32]
    rows: NDArray[np.float64]
    places: NDArray[np.intp]


class LookUp(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Takes float rows of shape (n, columns), and gives each column's outputs at their places."""

    def __init__(self, columns: list[Column]) -> None:
        self.columns = columns
        self.n_features_in_ = len(columns)

    @property
    def width(self) -> int:
        """How many columns the result has."""
        return sum(len(column.places) for column in self.columns)

    def fit(self, rows: Any, target: Any = None) -> LookUp:
        """Learn nothing: it is made as it is to be."""
        del rows, target
        return self

    def transform(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return the outputs, float64 of shape (n, width)."""
        found = np.empty((len(rows), self.width))
        for values, column in zip(np.asarray(rows, np.float64).T, self.columns, strict=True):
            equal = values[:, None] == column.keys.astype(np.float64)
            row = np.where(equal.any(axis=1), equal.argmax(axis=1) + 1, 0) if len(column.keys) else 0
            found[:, column.places] = column.rows[np.where(np.isnan(values), len(column.rows) - 1, row)]
        return found

    def get_feature_names_out(self, names: Any = None) -> NDArray[Any]:
        """Name the outputs by their number."""
        del names
        return np.array([f"lookup{index}" for index in range(self.width)], object)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def write(step: LookUp, graph: Graph, source: str) -> str:
    """Write the tables: each value's row is found by comparing it with the keys."""
    whole = all(np.isin(column.rows, np.arange(256)).all() for column in step.columns)
    found = [
        _column(graph, source, index, column, np.uint8 if whole else np.float32)
        for index, column in enumerate(step.columns)
        if len(column.places)
    ]
    side_by_side = graph.add("Concat", *found, axis=2) if len(found) > 1 else found[0]
    result = graph.add("Squeeze", side_by_side, graph.constant(np.array([1])))
    if whole:
        result = graph.add("Cast", result, to=TensorProto.FLOAT)
    order = np.argsort(np.concatenate([column.places for column in step.columns]))
    if (order != np.arange(len(order))).any():
        result = graph.add("Gather", result, graph.constant(order), axis=1)
    return result


def _column(graph: Graph, source: str, index: int, column: Column, kind: Any) -> str:
    """Write one column's part, shape (n, 1, outputs)."""
    value = graph.add("Gather", source, graph.constant(np.array([index])), axis=1)
    equal = graph.add("Equal", value, graph.constant(column.keys[None]))
    hits = graph.add("Cast", equal, to=TensorProto.FLOAT)
    numbers = np.arange(1, len(column.keys) + 1, dtype=np.float32)[:, None]
    row = graph.add("MatMul", hits, graph.constant(numbers))
    if (column.rows[0] != column.rows[-1]).any():
        last = graph.constant(np.array([len(column.rows) - 1], np.float32))
        row = graph.add("Where", graph.add("IsNaN", value), last, row)
    rows = column.rows if (column.rows[0] != column.rows[-1]).any() else column.rows[:-1]
    return graph.add(
        "Gather", graph.constant(rows.astype(kind)), graph.add("Cast", row, to=TensorProto.INT64)
    )
