"""RadiusNeighborsTransformer: the distances to the rows of training that are near."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from lineside_export.rewrites.front import fold
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.radius import within
from lineside_export.unwritable import Unwritable


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a RadiusNeighborsTransformer, for Euclidean distances."""
    if step.effective_metric_ != "euclidean" or not isinstance(step._fit_X, np.ndarray):
        raise Unwritable(f"RadiusNeighborsTransformer's distance {step.effective_metric_} is not written")
    near, squares = within(step, fold([], step.n_features_in_)[1], graph, source)
    if step.mode == "connectivity":
        return graph.add("Cast", near, to=onnx.TensorProto.FLOAT)
    distances = graph.add("Sqrt", squares)
    return graph.leave(graph.add("Where", near, distances, graph.constant(np.array(0.0))))
