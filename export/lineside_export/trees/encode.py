"""A TreeEnsemble node of ai.onnx.ml 5, as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineside_export.trees.ensemble import Ensemble
from lineside_export.trees.packing import attribute, message
from lineside_export.trees.shrink import Compact

DOMAIN = "ai.onnx.ml"
_NODE = {"input": 1, "output": 2, "op_type": 4, "attribute": 5, "domain": 7}
_AVERAGE = 0
_LESS_OR_EQUAL, _GREATER = 0, 3


def node(ensemble: Ensemble, compact: Compact, source: str, result: str) -> bytes:
    """Return the NodeProto that sums an ensemble's leaves: float32 (n, features) to float32 (n, targets)."""
    attributes: dict[str, int | NDArray[Any]] = {
        "leaf_targetids": compact.target,
        "leaf_weights": compact.weight,
        "n_targets": ensemble.targets,
        "nodes_falseleafs": compact.right.is_leaf,
        "nodes_falsenodeids": compact.right.number,
        "nodes_featureids": compact.feature,
        "nodes_modes": np.where(compact.above, _GREATER, _LESS_OR_EQUAL).astype(np.uint8),
        "nodes_splits": compact.threshold,
        "nodes_trueleafs": compact.left.is_leaf,
        "nodes_truenodeids": compact.left.number,
        "tree_roots": compact.roots,
    }
    if ensemble.average and ensemble.table is None:
        attributes["aggregate_function"] = _AVERAGE  # the sum is what there is without it
    if compact.missing_left.any():
        attributes["nodes_missing_value_tracks_true"] = compact.missing_left
    return b"".join(
        [
            message(_NODE["input"], source.encode()),
            message(_NODE["output"], result.encode()),
            message(_NODE["op_type"], b"TreeEnsemble"),
            *(message(_NODE["attribute"], attribute(*each)) for each in attributes.items()),
            message(_NODE["domain"], DOMAIN.encode()),
        ]
    )
