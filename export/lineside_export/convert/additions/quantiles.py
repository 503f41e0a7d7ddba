"""QuantileTransformer: a reading's rank among the quantiles of training, as it is or as a normal deviate.

In float64: quantiles are readings, and a deviate far out is as steep as the rank is fine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from lineside_export.rewrites.graph import Graph

# Wichura, "Algorithm AS 241: the percentage points of the normal distribution", 1988 (PPND16): numerator and
# denominator, lowest power first, for ranks in the middle, in the tail and far out.
# fmt: off
_MIDDLE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)
_TAIL = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)
_FAR = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)
# fmt: on
# As scikit-learn: this near its ends a reading counts as the end, and a deviate is no farther out.
_BOUND = 1e-7
_FARTHEST = 5.199337582605575


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a QuantileTransformer, to a uniform or a normal distribution."""
    graph.kind = np.dtype(np.float64)
    rows = graph.enter(source)
    found = []
    for feature in range(step.n_features_in_):
        column = graph.add("Gather", rows, graph.constant(np.array([feature])), axis=1)
        quantiles = np.asarray(step.quantiles_[:, feature], np.float64)
        found.append(_rank(step, graph, column, quantiles))
    ranks = graph.add("Concat", *found, axis=1)
    normal = step.output_distribution == "normal"
    return graph.leave(_deviate(graph, ranks) if normal else ranks)


def _rank(step: Any, graph: Graph, x: str, quantiles: Any) -> str:
    """Of quantiles that are equal the mean rank: that from the left and that from the right."""
    references = np.asarray(step.references_, np.float64)
    sides = [
        _between(graph, x, quantiles, references, operator) for operator in ("GreaterOrEqual", "Greater")
    ]
    rank = graph.add("Mul", graph.add("Add", *sides), graph.constant(np.array(0.5)))
    room = _BOUND if step.output_distribution == "normal" else 0.0
    above = graph.add("Add", x, graph.constant(np.array(room)))
    below = graph.add("Sub", x, graph.constant(np.array(room)))
    reached = "Greater" if room else "GreaterOrEqual"
    fallen = "Less" if room else "LessOrEqual"
    for where, operator, end, value in ((above, reached, -1, 1.0), (below, fallen, 0, 0.0)):
        beyond = graph.add(operator, where, graph.constant(np.array(quantiles[end])))
        rank = graph.add("Where", beyond, graph.constant(np.array(value)), rank)
    return graph.add("Where", graph.add("IsNaN", x), x, rank)


def _between(graph: Graph, x: str, quantiles: Any, references: Any, operator: str) -> str:
    """Interpolate; a piece of no width is never asked for, but by a reading on its one place."""
    reached = graph.add(operator, x, graph.constant(quantiles[1:-1]))
    ones = graph.add("Cast", reached, to=onnx.TensorProto.INT64)
    piece = graph.add("ReduceSum", ones, graph.constant(np.array([1])), keepdims=1)
    widths = np.diff(quantiles)
    slopes = np.divide(np.diff(references), widths, out=np.zeros(len(widths)), where=widths > 0)
    left, slope, start = (
        graph.add("Gather", graph.constant(each), piece) for each in (quantiles[:-1], slopes, references[:-1])
    )
    return graph.add("Add", graph.add("Mul", graph.add("Sub", x, left), slope), start)


def _deviate(graph: Graph, ranks: str) -> str:
    def number(value: float) -> str:
        return graph.constant(np.array(value))

    off = graph.add("Sub", ranks, number(0.5))
    squared = graph.add("Sub", number(0.180625), graph.add("Mul", off, off))
    middle = graph.add("Mul", off, _ratio(graph, squared, _MIDDLE))
    smaller = graph.add("Min", ranks, graph.add("Sub", number(1.0), ranks))
    depth = graph.add("Sqrt", graph.add("Neg", graph.add("Log", graph.add("Max", smaller, number(1e-300)))))
    tail = _ratio(graph, graph.add("Sub", depth, number(1.6)), _TAIL)
    far = _ratio(graph, graph.add("Sub", depth, number(5.0)), _FAR)
    out = graph.add("Where", graph.add("LessOrEqual", depth, number(5.0)), tail, far)
    signed = graph.add("Mul", graph.add("Sign", off), out)
    central = graph.add("LessOrEqual", graph.add("Abs", off), number(0.425))
    deviate = graph.add("Where", central, middle, signed)
    return graph.add("Min", graph.add("Max", deviate, number(-_FARTHEST)), number(_FARTHEST))


def _ratio(graph: Graph, x: str, ratio: tuple[tuple[float, ...], tuple[float, ...]]) -> str:
    parts = []
    for coefficients in ratio:
        value = graph.constant(np.array(coefficients[-1]))
        for coefficient in reversed(coefficients[:-1]):
            value = graph.add("Add", graph.add("Mul", value, x), graph.constant(np.array(coefficient)))
        parts.append(value)
    return graph.add("Div", *parts)
