"""Models that answer the same for every row: the baselines that a real one is held against."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_contract.errors import InputError
from lineside_export.rewrites.front import Array, Front
from lineside_export.rewrites.graph import Graph
from lineside_export.schema import Schema


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write a DummyClassifier or DummyRegressor. Raises InputError for those that answer at random."""
    del front
    if schema.task == "regression":
        answer = np.asarray(model.constant_, np.float64).ravel()
        graph.give_values(every_row(graph, source, answer), len(answer))
        return True
    if model.strategy not in ("most_frequent", "prior", "constant"):
        raise InputError(
            f"a DummyClassifier with the strategy {model.strategy!r} answers at random",
            hint="Train it with strategy='prior'.",
        )
    answer = np.asarray(model.class_prior_, np.float64)
    best = int(answer.argmax())
    if model.strategy == "constant":
        best = int(np.flatnonzero(np.asarray(model.classes_) == np.ravel(model.constant)[0])[0])
    certain = np.eye(len(answer))[best]
    columns = every_row(graph, source, answer if model.strategy == "prior" else certain)
    label = graph.best(every_row(graph, source, certain))
    graph.give_classes(label, columns, schema.classes)
    return True


def every_row(graph: Graph, source: str, answer: Array) -> str:
    """Write the same answer (columns,) for each row of `source`, shape (n, columns)."""
    rows = graph.add("Shape", source, end=1)
    shape = graph.add("Concat", rows, graph.constant(np.array([len(answer)])), axis=0)
    return graph.add("Expand", graph.constant(answer[None]), shape)
