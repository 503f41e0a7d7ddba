"""RandomTreesEmbedding: in which leaf of each tree a row ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from lineside_export.rewrites.graph import Graph
from lineside_export.trees.shrink import round_down


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a RandomTreesEmbedding: one column a leaf, one where the row is in it."""
    found = graph.add("TreeEnsembleRegressor", source, domain="ai.onnx.ml", **_attributes(step.estimators_))
    categories = step.one_hot_encoder_.categories_
    tree = np.repeat(np.arange(len(categories)), [len(each) for each in categories])
    ended = graph.add("Gather", found, graph.constant(tree), axis=1)
    here = graph.add("Equal", ended, graph.constant(np.concatenate(categories).astype(np.float64)))
    return graph.add("Cast", here, to=onnx.TensorProto.FLOAT)


def _attributes(trees: Any) -> dict[str, Any]:
    """Trees whose leaves answer their own number, each tree a target of its own."""
    nodes: dict[str, list[Any]] = {}
    for number, tree in enumerate(each.tree_ for each in trees):
        inner = tree.children_left != -1
        ids = np.arange(tree.node_count)
        leaves = ids[~inner]
        parts = {
            "nodes_treeids": np.full(tree.node_count, number),
            "nodes_nodeids": ids,
            "nodes_featureids": np.where(inner, tree.feature, 0),
            "nodes_modes": np.where(inner, "BRANCH_LEQ", "LEAF"),
            "nodes_values": np.where(inner, round_down(tree.threshold), 0).astype(np.float32),
            "nodes_truenodeids": np.where(inner, tree.children_left, 0),
            "nodes_missing_value_tracks_true": np.where(inner, tree.missing_go_to_left, 0),
            "nodes_falsenodeids": np.where(inner, tree.children_right, 0),
            "target_treeids": np.full(len(leaves), number),
            "target_nodeids": leaves,
            "target_ids": np.full(len(leaves), number),
            "target_weights": leaves.astype(np.float32),
        }
        for name, values in parts.items():
            nodes.setdefault(name, []).extend(values.tolist())
    return {"n_targets": len(trees), "post_transform": "NONE", **nodes}
