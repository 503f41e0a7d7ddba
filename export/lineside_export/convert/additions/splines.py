"""SplineTransformer: between two knots every spline is a polynomial."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from lineside_export.rewrites.graph import Graph
from lineside_export.unwritable import Unwritable


class _Pieces(NamedTuple):
    """A feature's polynomials: knots (pieces - 1,), origins (pieces,), coefficients (pieces, degree + 1, splines)."""

    knots: NDArray[np.float64]
    origins: NDArray[np.float64]
    coefficients: NDArray[np.float64]


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a SplineTransformer, whatever its extrapolation; with "error" what lies outside is not a number."""
    if getattr(step, "handle_missing", "error") != "error":
        raise Unwritable("SplineTransformer(handle_missing=...) is not written")
    graph.kind = np.dtype(np.float64)
    rows = graph.enter(source)
    found = []
    for feature in range(step.n_features_in_):
        column = graph.add("Gather", rows, graph.constant(np.array([feature])), axis=1)
        found.append(_feature(step, feature, graph, column))
    return graph.leave(graph.add("Concat", *found, axis=1))


def _feature(step: Any, feature: int, graph: Graph, column: str) -> str:
    low, high = _ends(step, feature)
    if step.extrapolation == "periodic":
        column = _wrapped(graph, column, low, high)
    pieces = _pieces(step, feature)
    reached = graph.add("GreaterOrEqual", column, graph.constant(pieces.knots))
    ones = graph.add("Cast", reached, to=onnx.TensorProto.INT64)
    piece = graph.add("ReduceSum", ones, graph.constant(np.array([1])), keepdims=0)
    here = graph.add("Gather", graph.constant(pieces.coefficients), piece)
    origin = graph.add("Gather", graph.constant(pieces.origins[:, None]), piece)
    within = graph.add("Sub", column, origin)
    powers = [graph.add("Pow", within, graph.constant(np.array(float(p)))) for p in range(step.degree + 1)]
    row = graph.add("Unsqueeze", graph.add("Concat", *powers, axis=1), graph.constant(np.array([1])))
    return graph.add("Squeeze", graph.add("MatMul", row, here), graph.constant(np.array([1])))


def _wrapped(graph: Graph, column: str, low: float, high: float) -> str:
    start, period = graph.constant(np.array(low)), graph.constant(np.array(high - low))
    shifted = graph.add("Sub", column, start)
    turns = graph.add("Floor", graph.add("Div", shifted, period))
    return graph.add("Add", graph.add("Sub", shifted, graph.add("Mul", turns, period)), start)


def _ends(step: Any, feature: int) -> tuple[float, float]:
    spline = step.bsplines_[feature]
    return float(spline.t[step.degree]), float(spline.t[-step.degree - 1])


def _pieces(step: Any, feature: int) -> _Pieces:
    """Ask scikit-learn at degree + 1 places within each piece, through which there is one polynomial."""
    low, high = _ends(step, feature)
    knots = np.unique(step.bsplines_[feature].t)
    inner = knots[(knots >= low) & (knots <= high)]
    width = high - low
    edges = np.concatenate([[low - width], inner, [high + width]])
    # Chebyshev's places: the best conditioned.
    places = (1 - np.cos(np.pi * (np.arange(step.degree + 1) + 0.5) / (step.degree + 1))) / 2
    coefficients = []
    for left, right in pairwise(edges):
        offsets = places * (right - left)
        values = _asked(step, feature, left + offsets, outside=not low <= (left + right) / 2 <= high)
        scaled = np.linalg.solve(np.vander(places, increasing=True), values)
        coefficients.append(scaled / (right - left) ** np.arange(step.degree + 1)[:, None])
    return _Pieces(_after(inner, high), edges[:-1], np.array(coefficients))


def _after(inner: NDArray[np.float64], high: float) -> NDArray[np.float64]:
    """The last knot belongs to the piece before it."""
    return np.where(inner == high, np.nextafter(high, np.inf), inner)


def _asked(step: Any, feature: int, values: NDArray[np.float64], *, outside: bool) -> NDArray[np.float64]:
    per_feature = step.n_features_out_ // step.n_features_in_
    if outside and step.extrapolation in ("error", "periodic"):
        return np.full((len(values), per_feature), np.nan if step.extrapolation == "error" else 0.0)
    rows = np.tile([_ends(step, each)[0] for each in range(step.n_features_in_)], (len(values), 1))
    rows[:, feature] = values
    asked = step.transform(rows)
    asked = np.asarray(asked.todense() if hasattr(asked, "todense") else asked, np.float64)
    return asked[:, feature * per_feature : (feature + 1) * per_feature]
