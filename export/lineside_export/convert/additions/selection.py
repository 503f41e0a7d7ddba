"""What keeps some of the features. skl2onnx's own writes zeros if only the first one is kept."""

from __future__ import annotations

from typing import Any

from lineside_export.rewrites.graph import Graph
from lineside_export.unwritable import Unwritable


def write(step: Any, graph: Graph, source: str) -> str:
    """Write anything that tells by get_support which features it keeps. Raises Unwritable if it is none."""
    kept = step.get_support(indices=True)
    if not len(kept):
        raise Unwritable(f"this {type(step).__name__} keeps no feature")
    return graph.add("Gather", source, graph.constant(kept.astype("int64")), axis=1)
