"""numpy's functions of one number that ONNX has, too: what a FunctionTransformer may hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from lineside_export.rewrites.graph import Graph
from lineside_export.unwritable import Unwritable

# numpy's name, and the operators that compute it one after the other, some with a number.
_FUNCTIONS: dict[str, tuple[tuple[str, float | None], ...]] = {
    "absolute": (("Abs", None),),
    "fabs": (("Abs", None),),
    "negative": (("Neg", None),),
    "reciprocal": (("Reciprocal", None),),
    "square": (("Pow", 2.0),),
    "sqrt": (("Sqrt", None),),
    "exp": (("Exp", None),),
    "exp2": (("Mul", float(np.log(2))), ("Exp", None)),
    "expm1": (("Exp", None), ("Sub", 1.0)),
    "log": (("Log", None),),
    "log1p": (("Add", 1.0), ("Log", None)),
    "log2": (("Log", None), ("Div", float(np.log(2)))),
    "log10": (("Log", None), ("Div", float(np.log(10)))),
    "sign": (("Sign", None),),
    "floor": (("Floor", None),),
    "ceil": (("Ceil", None),),
    "rint": (("Round", None),),
    "tanh": (("Tanh", None),),
    "sin": (("Sin", None),),
    "cos": (("Cos", None),),
    "deg2rad": (("Mul", float(np.pi / 180)),),
    "rad2deg": (("Mul", float(180 / np.pi)),),
}


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a FunctionTransformer. Raises Unwritable for a function that ONNX does not have."""
    if step.func is None:
        return graph.add("Identity", source)
    if step.kw_args:
        raise Unwritable("the function of a FunctionTransformer has arguments, which ONNX does not have")
    return write_function(step.func, graph, source)


def write_function(function: Any, graph: Graph, source: str) -> str:
    """Write one of numpy's functions. Raises Unwritable if there are no such operators.

    In float64, as numpy computes it: log1p and expm1 of small numbers would lose their digits.
    """
    name = getattr(function, "__name__", "")
    if name not in _FUNCTIONS or function is not getattr(np, name):
        raise Unwritable(
            f"the function {name or type(function).__name__} of a FunctionTransformer is code, which no bundle "
            f"carries; use a transformer of scikit-learn, or one of numpy's {', '.join(sorted(_FUNCTIONS))}"
        )
    found = graph.add("Cast", source, to=TensorProto.DOUBLE)
    for operator, number in _FUNCTIONS[name]:
        more = [] if number is None else [_double(graph, number)]
        found = graph.add(operator, found, *more)
    return graph.add("Cast", found, to=TensorProto.FLOAT)


def _double(graph: Graph, number: float) -> str:
    kind, graph.kind = graph.kind, np.dtype(np.float64)
    try:
        return graph.constant(np.array(number))
    finally:
        graph.kind = kind
