"""Kernels between rows and the rows of training, from products and squared distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_export.rewrites.front import Array, Front
from lineside_export.rewrites.graph import Graph

# So many times their result the terms of a sum may be before float32, 2**-24 of the terms, comes close to what an
# exact export may be off by.
_CANCELLED = 300.0
# A square may be off by so much, where it is an exponent; float64 has 2**-53 of the largest.
_OFF = 1e-6
# Training rows by which that is judged.
SAMPLE = 200


class Sums(NamedTuple):
    """Kernel values (n, m) @ weights (m, t) + bias (t,); `stored`, if there is one, writes smaller weights."""

    weights: Array
    bias: Array
    stored: Callable[[Graph], str] | None = None


class Kernel(NamedTuple):
    """A kernel as support vector machines and kernel ridge regression name it."""

    name: str
    gamma: float
    degree: float
    coef0: float

    def values(self, rows: Array, others: Array) -> Array:
        """Return what scikit-learn computes, shape (rows, others)."""
        from sklearn.metrics.pairwise import pairwise_kernels  # noqa: PLC0415  a second

        values: Array = pairwise_kernels(rows, others, metric=self.name, filter_params=True, **self._asdict())
        return values

    def sum(self, graph: Graph, source: str, behind: Behind, sums: Sums) -> str:
        """Write the kernel values' weighted sums."""
        weights, bias, stored = sums
        if self.name == "linear":
            return behind.front.product(graph, graph.enter(source), behind.rows.T @ weights, bias)
        gamma = self.gamma if self.name == "rbf" else 0.0
        if needs_double(self.values(behind.sample(), behind.rows), weights, gamma * behind.reach()):
            graph.kind = np.dtype(np.float64)
        values = _NAMED[self.name](self, graph, graph.enter(source), behind)
        matrix = graph.constant(weights) if stored is None else stored(graph)
        return graph.add("Gemm", values, matrix, graph.constant(bias))


class Behind(NamedTuple):
    """The training rows (m, columns), and the map from the model's input to rows z like them."""

    front: Front
    rows: Array

    def product(self, graph: Graph, source: str, factor: float, offset: float) -> str:
        """Write factor * <z, row> + offset, shape (n, m)."""
        return self.front.product(graph, source, factor * self.rows.T, np.full(len(self.rows), float(offset)))

    def squares(self, graph: Graph, source: str, factor: float) -> str:
        """Write factor * ||z - row||^2, shape (n, m); a positive factor's is never negative.

        Both are centred first: ||z||^2 - 2<z, row> + ||row||^2 cancels as little as it can. Where that is too much
        even so, the differences themselves are squared, which takes the time and memory of n * m rows.
        """
        front, middle = self.front.around(self.rows.mean(axis=0))
        scale, sign = np.sqrt(abs(factor)), np.sign(factor)
        rows = (self.rows - middle) * scale
        z = front.times(scale).write(graph, source)
        if abs(factor) * self.reach() * np.finfo(np.float64).eps > _OFF:
            columns = graph.add("Unsqueeze", z, graph.constant(np.array([1])))
            apart = graph.add("Sub", columns, graph.constant(rows))
            squares = graph.add("ReduceSumSquare", apart, graph.constant(np.array([2])), keepdims=0)
            return squares if sign > 0 else graph.add("Neg", squares)
        own = graph.add("ReduceSumSquare", z, graph.constant(np.array([1])), keepdims=1)
        cross = graph.product(z, -2 * sign * rows.T, sign * (rows**2).sum(axis=1))
        if sign < 0:
            return graph.add("Sub", cross, own)
        return graph.add("Max", graph.add("Add", cross, own), graph.constant(np.array(0.0)))

    def scaled(self, by: NDArray[Any] | float) -> Behind:
        """Return the same with every column divided by its `by`."""
        ones = np.ones(self.rows.shape[1])
        front = self.front.then(0 * ones, ones / by, 0 * ones)
        return Behind(front, self.rows / by)

    def sample(self) -> Array:
        """Return rows to judge sums by: some of the training's, and the same halfway to their centre.

        The vectors of a one-class machine alone would not do: they lie at its margin, where the sum is one number.
        """
        some = self.rows[:: 1 + len(self.rows) // SAMPLE]
        return np.concatenate([some, (some + self.rows.mean(axis=0)) / 2])

    def reach(self) -> float:
        """Return the largest square of a row's distance to their centre."""
        centred = self.rows - self.rows.mean(axis=0)
        return float((centred**2).sum(axis=1).max(initial=0))


def needs_double(values: Array, weights: Array, reach: float = 1.0) -> bool:
    """Tell whether kernel values (n, m) @ weights (m, t) cancel too much for float32.

    `reach` is the size of the squares that the values are made of.
    """
    terms = np.sqrt(values**2 @ weights**2).max(axis=0)
    found = (values @ weights).std(axis=0)
    return bool((terms * max(reach, 1.0) > _CANCELLED * np.maximum(found, 1e-30)).any())


def _rbf(kernel: Kernel, graph: Graph, source: str, behind: Behind) -> str:
    return graph.add("Exp", behind.squares(graph, source, -kernel.gamma))


def _poly(kernel: Kernel, graph: Graph, source: str, behind: Behind) -> str:
    product = behind.product(graph, source, kernel.gamma, kernel.coef0)
    return graph.add("Pow", product, graph.constant(np.array(float(kernel.degree))))


def _sigmoid(kernel: Kernel, graph: Graph, source: str, behind: Behind) -> str:
    return graph.add("Tanh", behind.product(graph, source, kernel.gamma, kernel.coef0))


_NAMED = {"rbf": _rbf, "poly": _poly, "polynomial": _poly, "sigmoid": _sigmoid}
NAMES = frozenset({"linear", *_NAMED})
