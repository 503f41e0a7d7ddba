"""Rows as sums of a few atoms of a dictionary."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.convert.additions.solve import solve
from lineside_export.rewrites.front import Array
from lineside_export.rewrites.graph import Graph
from lineside_export.unwritable import Unwritable

# Each further atom solves a larger system, node by node.
_MOST_ATOMS = 12


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a SparseCoder or DictionaryLearning that finds its codes by pursuit or by a threshold; in float64."""
    algorithm = step.transform_algorithm
    if algorithm not in _ALGORITHMS:
        raise Unwritable(
            f"{type(step).__name__} finds its codes by {algorithm}, which iterates until it converges; "
            "transform_algorithm='omp' or 'threshold' can be exported"
        )
    graph.kind = np.dtype(np.float64)
    atoms = np.asarray(step.dictionary if hasattr(step, "dictionary") else step.components_, np.float64)
    codes = _ALGORITHMS[algorithm](step, graph, graph.enter(source), atoms)
    if step.split_sign:
        zero = graph.constant(np.array(0.0))
        above, below = (graph.add("Max", each, zero) for each in (codes, graph.add("Neg", codes)))
        codes = graph.add("Concat", above, below, axis=1)
    return graph.leave(codes)


def _threshold(step: Any, graph: Graph, rows: str, atoms: Array) -> str:
    alpha = 1.0 if step.transform_alpha is None else float(step.transform_alpha)
    likeness = graph.product(rows, atoms.T)
    zero = graph.constant(np.array(0.0))
    size = graph.add(
        "Max", graph.add("Sub", graph.add("Abs", likeness), graph.constant(np.array(alpha))), zero
    )
    codes = graph.add("Mul", graph.add("Sign", likeness), size)
    return graph.add("Max", codes, zero) if step.positive_code else codes


def _pursuit(step: Any, graph: Graph, rows: str, atoms: Array) -> str:
    """Orthogonal matching pursuit (Rubinstein, Zibulevsky and Elad, "Efficient implementation of the K-SVD
    algorithm using batch orthogonal matching pursuit", 2008): take the atom that the rest is most like, fit again.
    """
    wanted = step.transform_n_nonzero_coefs
    count = min(max(atoms.shape[1] // 10, 1), len(atoms)) if wanted is None else int(wanted)
    if count > _MOST_ATOMS:
        raise Unwritable(
            f"{type(step).__name__} takes {count} atoms a row; at most {_MOST_ATOMS} are written"
        )
    likeness = graph.product(rows, atoms.T)
    gram = graph.constant(atoms @ atoms.T)
    last = graph.constant(np.array([1]))
    rest, chosen, weights = likeness, "", ""
    for number in range(1, count + 1):
        if chosen:
            rest = graph.add("ScatterElements", rest, chosen, graph.add("Mul", weights, _zero(graph)), axis=1)
        best = graph.add("ArgMax", graph.add("Abs", rest), axis=1, keepdims=1)
        chosen = graph.add("Concat", chosen, best, axis=1) if chosen else best
        related = graph.add("Gather", gram, chosen)
        places = graph.add("Unsqueeze", chosen, last)
        shape = graph.add("Concat", graph.add("Shape", chosen), graph.constant(np.array([number])), axis=0)
        square = graph.add("GatherElements", related, graph.add("Expand", places, shape), axis=2)
        weights = solve(graph, square, graph.add("GatherElements", likeness, chosen, axis=1), number)
        explained = graph.add("MatMul", graph.add("Unsqueeze", weights, last), related)
        rest = graph.add("Sub", likeness, graph.add("Squeeze", explained, last))
    nothing = graph.add("Mul", likeness, _zero(graph))
    return graph.add("ScatterElements", nothing, chosen, weights, axis=1)


def _zero(graph: Graph) -> str:
    return graph.constant(np.array(0.0))


_ALGORITHMS = {"omp": _pursuit, "threshold": _threshold}
