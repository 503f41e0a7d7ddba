"""Gaussian processes (the mean) and kernel ridge regression: kernel values by one product, their sum by another.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 2.1 line 4 and chapter 4 for the
kernels. What interpolates without noise sums large numbers to small ones: that is computed in float64.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lineside_export.rewrites.front import Front
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.kernels import NAMES, SAMPLE, Behind, Kernel, Sums, needs_double
from lineside_export.schema import Schema


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write a GaussianProcessRegressor or KernelRidge. False for a kernel that this does not know."""
    del schema
    return _WRITERS[type(model).__name__](model, front, graph, source)


def _ridge(model: Any, front: Front, graph: Graph, source: str) -> bool:
    if model.kernel not in NAMES or not isinstance(model.X_fit_, np.ndarray):
        return False
    rows = model.X_fit_.astype(np.float64)
    gamma = 1 / rows.shape[1] if model.gamma is None else model.gamma
    weights = model.dual_coef_.reshape(len(rows), -1)
    kernel = Kernel(model.kernel, gamma, model.degree, model.coef0)
    found = kernel.sum(graph, source, Behind(front, rows), Sums(weights, np.zeros(weights.shape[1])))
    graph.give_values(found, weights.shape[1])
    return True


def _process(model: Any, front: Front, graph: Graph, source: str) -> bool:
    if not hasattr(model, "X_train_") or not known(model.kernel_):
        return False
    rows = model.X_train_.astype(np.float64)
    alpha = model.alpha_.reshape(len(rows), -1)
    sample = model.kernel_(rows[:: 1 + len(rows) // SAMPLE], rows)
    if needs_double(sample, alpha, _reach(model.kernel_, Behind(front, rows))):
        graph.kind = np.dtype(np.float64)
    found = term(model.kernel_, graph, graph.enter(source), Behind(front, rows))
    weights = found.factor * alpha * model._y_train_std
    mean = np.broadcast_to(np.asarray(model._y_train_mean, np.float64), weights.shape[1:])
    if found.values is None:
        return False  # a constant kernel alone: nothing of the rows is left
    graph.give_values(graph.product(found.values, weights, mean), weights.shape[1])
    return True


class Term(NamedTuple):
    """Kernel values: factor * values (n, m); no values are ones."""

    factor: float
    values: str | None = None


def known(kernel: Any) -> bool:
    """Tell whether a fitted kernel, with all its parts, can be written."""
    if type(kernel).__name__ == "Matern" and kernel.nu not in _MATERN:
        return False
    return type(kernel).__name__ in _TERMS and all(map(known, _parts(kernel)))


def _parts(kernel: Any) -> list[Any]:
    return [getattr(kernel, name) for name in ("k1", "k2", "kernel") if hasattr(kernel, name)]


def _reach(kernel: Any, behind: Behind) -> float:
    """Return the size of the largest squared distance that any part of a kernel is made of."""
    if getattr(kernel, "nu", None) == 0.5:
        return np.inf  # as steep as the distance itself: the root of a square that is off near zero
    scale = getattr(kernel, "periodicity", getattr(kernel, "length_scale", np.inf))
    return max([behind.scaled(scale).reach(), *(_reach(part, behind) for part in _parts(kernel))])


def term(kernel: Any, graph: Graph, source: str, behind: Behind) -> Term:
    """Write the kernel values of rows of the graph's kind and the rows of training."""
    return _TERMS[type(kernel).__name__](kernel, graph, source, behind)


def _constant(kernel: Any, graph: Graph, source: str, behind: Behind) -> Term:
    del graph, source, behind
    return Term(float(kernel.constant_value))


def _white(kernel: Any, graph: Graph, source: str, behind: Behind) -> Term:
    """Noise, which no new row shares with a row of training."""
    del kernel, graph, source, behind
    return Term(0.0)


def _sum(kernel: Any, graph: Graph, source: str, behind: Behind) -> Term:
    first, second = (term(part, graph, source, behind) for part in (kernel.k1, kernel.k2))
    if first.factor == 0 or second.factor == 0:
        return first if second.factor == 0 else second
    if first.values is None and second.values is None:
        return Term(first.factor + second.factor)
    return Term(1.0, graph.add("Add", _whole(graph, first), _whole(graph, second)))


def _product(kernel: Any, graph: Graph, source: str, behind: Behind) -> Term:
    first, second = (term(part, graph, source, behind) for part in (kernel.k1, kernel.k2))
    factor = first.factor * second.factor
    if first.values is None or second.values is None:
        return Term(factor, first.values or second.values)
    return Term(factor, graph.add("Mul", first.values, second.values))


def _power(kernel: Any, graph: Graph, source: str, behind: Behind) -> Term:
    inner = term(kernel.kernel, graph, source, behind)
    factor = inner.factor**kernel.exponent
    if inner.values is None:
        return Term(factor)
    return Term(factor, graph.add("Pow", inner.values, graph.constant(np.array(float(kernel.exponent)))))


def _whole(graph: Graph, term: Term) -> str:
    factor = graph.constant(np.array(term.factor))
    if term.values is None:
        return factor
    return term.values if term.factor == 1 else graph.add("Mul", term.values, factor)


def _rbf(kernel: Any, graph: Graph, source: str, behind: Behind) -> Term:
    squares = behind.scaled(kernel.length_scale).squares(graph, source, -0.5)
    return Term(1.0, graph.add("Exp", squares))


def _matern(kernel: Any, graph: Graph, source: str, behind: Behind) -> Term:
    """A polynomial of the distance times its exponential; of infinite smoothness the RBF kernel."""
    if kernel.nu == np.inf:
        return _rbf(kernel, graph, source, behind)
    squares = behind.scaled(kernel.length_scale).squares(graph, source, 2 * kernel.nu)
    distance = graph.add("Sqrt", squares)
    falls = graph.add("Exp", graph.add("Neg", distance))
    polynomial = _MATERN[kernel.nu]
    if polynomial == 0:
        return Term(1.0, falls)
    whole = graph.add("Add", distance, graph.constant(np.array(1.0)))
    if polynomial == 2:
        whole = graph.add("Add", whole, graph.add("Mul", squares, graph.constant(np.array(1 / 3))))
    return Term(1.0, graph.add("Mul", whole, falls))


def _rational(kernel: Any, graph: Graph, source: str, behind: Behind) -> Term:
    squares = behind.squares(graph, source, 1 / (2 * kernel.alpha * kernel.length_scale**2))
    whole = graph.add("Add", squares, graph.constant(np.array(1.0)))
    return Term(1.0, graph.add("Pow", whole, graph.constant(np.array(-float(kernel.alpha)))))


def _periodic(kernel: Any, graph: Graph, source: str, behind: Behind) -> Term:
    squares = behind.squares(graph, source, (np.pi / kernel.periodicity) ** 2)
    sine = graph.add("Sin", graph.add("Sqrt", squares))
    factor = graph.constant(np.array(-2 / kernel.length_scale**2))
    return Term(1.0, graph.add("Exp", graph.add("Mul", graph.add("Mul", sine, sine), factor)))


def _dot(kernel: Any, graph: Graph, source: str, behind: Behind) -> Term:
    return Term(1.0, behind.product(graph, source, 1.0, kernel.sigma_0**2))


# The degree of the polynomial by the smoothness.
_MATERN = {0.5: 0, 1.5: 1, 2.5: 2, np.inf: 0}
_TERMS = {
    "ConstantKernel": _constant,
    "WhiteKernel": _white,
    "Sum": _sum,
    "Product": _product,
    "Exponentiation": _power,
    "RBF": _rbf,
    "Matern": _matern,
    "RationalQuadratic": _rational,
    "ExpSineSquared": _periodic,
    "DotProduct": _dot,
}
_WRITERS = {"GaussianProcessRegressor": _process, "KernelRidge": _ridge}
