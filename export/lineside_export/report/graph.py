"""Which operators a graph is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import onnx


def operators(model: bytes) -> list[tuple[str, str, int]]:
    """Return (operator, domain, how often), the most frequent first; those of subgraphs count too."""
    graph = onnx.load_from_string(model).graph
    counts = Counter((node.op_type, node.domain or "ai.onnx") for node in _nodes(graph))
    return [
        (name, domain, count)
        for (name, domain), count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    ]


def _nodes(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
            for inner in attribute.graphs:
                yield from _nodes(inner)
