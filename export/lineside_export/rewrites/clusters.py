"""Clusterings whose label is that of the nearest centre, or of a tree of nearest centres.

In float64, which costs little with few centres: a row between two of them belongs where scikit-learn puts it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from lineside_export.rewrites.front import Array, Front
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.kernels import Behind
from lineside_export.schema import Schema


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write a k-means, AffinityPropagation, Birch, BisectingKMeans or MeanShift. False if there is no centre."""
    subclusters = hasattr(model, "subcluster_centers_")
    centres = np.asarray(model.subcluster_centers_ if subclusters else model.cluster_centers_, np.float64)
    if not len(centres):
        return False
    graph.kind = np.dtype(np.float64)
    behind, rows = Behind(front, centres), graph.enter(source)
    squares = behind.squares(graph, rows, 1.0)
    if hasattr(model, "_bisecting_tree"):
        label = _descended(model, front, graph, rows)
    else:
        label = graph.add("ArgMin", squares, axis=1, keepdims=0)
        if subclusters:
            label = graph.add("Gather", graph.constant(np.asarray(model.subcluster_labels_, np.int64)), label)
    distances = graph.add("Sqrt", squares) if schema.scores else None
    graph.give_classes(label, distances, (), len(centres))
    return True


def _descended(model: Any, front: Front, graph: Graph, rows: str) -> str:
    """Each fork is one comparison, and a row is in the leaf all of whose forks it passed."""
    forks: list[tuple[Array, Array]] = []
    leaves: list[tuple[int, dict[int, int]]] = []
    _walk(model._bisecting_tree, {}, forks, leaves)
    if not forks:
        zeros = graph.product(rows, np.zeros((len(front.centre), 1)))
        return graph.add("ArgMax", zeros, axis=1, keepdims=0)
    mean = getattr(model, "_X_mean", 0.0)
    left, right = (np.array(side) + mean for side in zip(*forks, strict=True))
    middle = (left + right).mean(axis=0) / 2
    front, middle = front.around(middle)
    weights = (right - left).T
    bias = ((left - middle) ** 2).sum(axis=1) / 2 - ((right - middle) ** 2).sum(axis=1) / 2
    to_right = graph.add("Greater", front.product(graph, rows, weights, bias), graph.constant(np.array(0.0)))
    turns = graph.add("Cast", to_right, to=onnx.TensorProto.DOUBLE)
    passed = np.zeros((len(forks), len(leaves)))
    start = np.zeros(len(leaves))
    for column, (_, way) in enumerate(leaves):
        for fork, side in way.items():
            passed[fork, column] = 1 if side else -1
            start[column] -= side
    leaf = graph.add("ArgMax", graph.product(turns, passed, start), axis=1, keepdims=0)
    return graph.add("Gather", graph.constant(np.array([label for label, _ in leaves], np.int64)), leaf)


def _walk(node: Any, way: dict[int, int], forks: list[Any], leaves: list[Any]) -> None:
    if node.left is None:
        leaves.append((int(node.label), way))
        return
    fork = len(forks)
    forks.append((node.left.center, node.right.center))
    _walk(node.left, way | {fork: 0}, forks, leaves)
    _walk(node.right, way | {fork: 1}, forks, leaves)
