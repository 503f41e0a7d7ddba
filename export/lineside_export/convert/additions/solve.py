"""Small systems of equations, one for each row: ONNX has no operator for them."""

from __future__ import annotations

import numpy as np

from lineside_export.rewrites.graph import Graph


def solve(graph: Graph, matrices: str, right: str, size: int) -> str:
    """Return x (n, size) with matrices (n, size, size) @ x = right (n, size); the matrices positive definite.

    Gauss and Jordan's elimination, which needs no pivots for such matrices (Golub and Van Loan, "Matrix
    Computations", 4.2). Each step takes six nodes.
    """
    last = graph.constant(np.array([2]))
    whole = graph.add("Concat", matrices, graph.add("Unsqueeze", right, last), axis=2)
    for step in range(size):
        at = graph.constant(np.array([step]))
        row = graph.add("Gather", whole, at, axis=1)
        pivot = graph.add("Div", row, graph.add("Gather", row, at, axis=2))
        unit = graph.constant(np.eye(size)[:, [step]])
        factors = graph.add("Sub", graph.add("Gather", whole, at, axis=2), unit)
        whole = graph.add("Sub", whole, graph.add("Mul", factors, pivot))
    return graph.add("Squeeze", graph.add("Gather", whole, graph.constant(np.array([size])), axis=2), last)
