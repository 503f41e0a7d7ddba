"""PowerTransformer: one curve for each column, in float64.

Box and Cox, "An Analysis of Transformations", 1964; Yeo and Johnson, "A new family of power transformations to
improve normality or symmetry", Biometrika 87, 2000. A missing reading stays missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.rewrites.graph import Graph


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a fitted PowerTransformer."""
    graph.kind = np.dtype(np.float64)
    x = graph.enter(source)
    powers = np.asarray(step.lambdas_, np.float64)
    found = _box_cox(graph, x, powers) if step.method == "box-cox" else _yeo_johnson(graph, x, powers)
    if step.standardize:
        found = graph.add("Sub", found, graph.constant(step._scaler.mean_))
        found = graph.add("Div", found, graph.constant(step._scaler.scale_))
    return graph.leave(found)


def _box_cox(graph: Graph, x: str, powers: Any) -> str:
    return _curve(graph, graph.add("Log", x), graph.constant(powers))


def _yeo_johnson(graph: Graph, x: str, powers: Any) -> str:
    """Below zero it is the curve of the other power, turned about zero."""
    below = graph.add("Less", x, graph.constant(np.zeros(1)))
    power = graph.add("Where", below, graph.constant(2 - powers), graph.constant(powers))
    logarithm = graph.add("Log", graph.add("Add", graph.add("Abs", x), graph.constant(np.ones(1))))
    curve = _curve(graph, logarithm, power)
    return graph.add("Where", below, graph.add("Neg", curve), curve)


def _curve(graph: Graph, logarithm: str, power: str) -> str:
    """Write (exp(power * logarithm) - 1) / power, which for a power of 0 is the logarithm itself."""
    one = graph.constant(np.ones(1))
    none = graph.add("Equal", power, graph.constant(np.zeros(1)))
    grown = graph.add("Sub", graph.add("Exp", graph.add("Mul", logarithm, power)), one)
    return graph.add("Where", none, logarithm, graph.add("Div", grown, graph.add("Where", none, one, power)))
