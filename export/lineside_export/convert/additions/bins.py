"""KBinsDiscretizer: how many edges a reading has reached, by comparisons that are exact for float32."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from lineside_export.rewrites.graph import Graph
from lineside_export.trees.fold import boundaries, foldable


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


def with_scalers_inside(steps: Sequence[Any]) -> list[Any]:
    """Return steps of a pipeline with the scalers before a KBinsDiscretizer in its edges.

    Scaled in float32, a reading on an edge, and edges are readings, would fall to either side of it.
    """
    found: list[Any] = []
    for step in steps:
        moved = step
        if type(step).__name__ == "KBinsDiscretizer":
            scalers: list[Any] = []
            while found and foldable(found[-1]) and type(found[-1]).__name__ != "SimpleImputer":
                scalers.insert(0, found.pop())
            moved = _moved(step, scalers) if scalers else step
        found.append(moved)
    return found


def _moved(step: Any, scalers: Sequence[Any]) -> Any:
    """Return a discretizer of readings that are not scaled yet: an edge is the first float32 to reach it."""
    counts = [len(edges) - 2 for edges in step.bin_edges_]
    feature = np.repeat(np.arange(len(counts)), counts)
    edges = np.concatenate([edges[1:-1] for edges in step.bin_edges_])
    below = boundaries(scalers, feature, np.nextafter(edges, -np.inf), len(counts), single=False)
    reached = np.nextafter(below.astype(np.float32), np.float32(np.inf)).astype(np.float64)
    moved = copy.deepcopy(step)
    for number, old in enumerate(step.bin_edges_):
        moved.bin_edges_[number] = np.concatenate([old[:1], reached[feature == number], old[-1:]])
    return moved


def _up(edges: Any) -> Any:
    """Return the smallest float32 that are not below: a float32 reaches them where it reaches the edges."""
    nearest = edges.astype(np.float32)
    return np.where(nearest < edges, np.nextafter(nearest, np.float32(np.inf)), nearest)
