"""Categories that are numbers: a reading is one of them or unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from lineside_export.rewrites.graph import Graph


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a TargetEncoder; one that knows texts raises NotImplementedError."""
    if any(known.dtype.kind not in "fiub" for known in step.categories_):
        raise NotImplementedError("TargetEncoder knows texts")
    classes = len(step.classes_) if step.target_type_ == "multiclass" else 1
    means = np.ravel(step.target_mean_).astype(np.float64)
    found = []
    for feature, known in enumerate(step.categories_):
        column = graph.add("Gather", source, graph.constant(np.array([feature])), axis=1)
        known = known.astype(np.float64)  # noqa: PLW2901
        encodings = np.column_stack([step.encodings_[feature * classes + each] for each in range(classes)])
        found.append(_looked_up(graph, column, known, encodings - means))
    every = graph.add("Concat", *found, axis=1)
    return graph.add("Add", every, graph.constant(np.tile(means, len(step.categories_))))


def _looked_up(graph: Graph, column: str, known: Any, encodings: Any) -> str:
    """Return each category's row of encodings (categories, columns), and zeros for an unknown one."""
    here = graph.add("Equal", column, graph.constant(known))
    missing = np.flatnonzero(np.isnan(known))
    if len(missing):
        marked = graph.constant(np.isnan(known))
        here = graph.add("Or", here, graph.add("And", graph.add("IsNaN", column), marked))
    ones = graph.add("Cast", here, to=onnx.TensorProto.FLOAT)
    return graph.product(ones, encodings)
