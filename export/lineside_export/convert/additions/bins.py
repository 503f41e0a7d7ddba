"""KBinsDiscretizer: how many edges a reading has reached, by comparisons that are exact for float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from lineside_export.rewrites.graph import Graph


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a KBinsDiscretizer, whatever its encoding."""
    inner = [edges[1:-1] for edges in step.bin_edges_]
    width = max(1, *map(len, inner))
    table = np.full((len(inner), width), np.inf, np.float32)
    for row, edges in zip(table, inner, strict=True):
        row[: len(edges)] = _up(edges)
    columns = graph.add("Unsqueeze", source, graph.constant(np.array([2])))
    reached = graph.add("GreaterOrEqual", columns, graph.constant(table))
    ones = graph.add("Cast", reached, to=onnx.TensorProto.FLOAT)
    bins = graph.add("ReduceSum", ones, graph.constant(np.array([2])), keepdims=0)
    if step.encode == "ordinal":
        return bins
    feature = np.repeat(np.arange(len(inner)), step.n_bins_)
    number = np.concatenate([np.arange(count) for count in step.n_bins_]).astype(np.float64)
    spread = graph.add("Gather", bins, graph.constant(feature), axis=1)
    here = graph.add("Equal", spread, graph.constant(number))
    return graph.add("Cast", here, to=onnx.TensorProto.FLOAT)


def _up(edges: Any) -> Any:
    """Return the smallest float32 that are not below: a float32 reaches them where it reaches the edges."""
    nearest = edges.astype(np.float32)
    return np.where(nearest < edges, np.nextafter(nearest, np.float32(np.inf)), nearest)
