"""Transformers that are the sums of a kernel's values with the rows of training."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.rewrites.front import fold
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.kernels import NAMES, Behind, Kernel, Sums
from lineside_export.unwritable import Unwritable


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a Nystroem or KernelPCA."""
    return _WRITERS[type(step).__name__](step, graph, source)


def _nystroem(step: Any, graph: Graph, source: str) -> str:
    kernel, behind = _kernel(step, step.components_, step.gamma)
    weights = step.normalization_.T
    return graph.leave(kernel.sum(graph, source, behind, Sums(weights, np.zeros(weights.shape[1]))))


def _principal(step: Any, graph: Graph, source: str) -> str:
    """Centre the kernel values as in training, and project them (Schoelkopf, Smola and Mueller, 1998, appendix B).

    The mean of a row's own kernel values is a sum as well, and goes into the weights.
    """
    kernel, behind = _kernel(step, step.X_fit_, getattr(step, "gamma_", step.gamma))
    weights = projection(step)
    centerer = step._centerer
    bias = (centerer.K_fit_all_ - centerer.K_fit_rows_) @ weights
    graph.kind = np.dtype(np.float64)
    found = kernel.sum(graph, source, behind, Sums(weights - weights.mean(axis=0), bias))
    return graph.leave(found)


def projection(step: Any) -> Any:
    """Return what a KernelPCA multiplies its centred kernel values by, shape (rows of training, components)."""
    there = step.eigenvalues_ != 0
    scale = np.where(there, 1 / np.sqrt(np.where(there, step.eigenvalues_, 1)), 0)
    return step.eigenvectors_ * scale


def _kernel(step: Any, rows: Any, gamma: float | None) -> tuple[Kernel, Behind]:
    name = type(step).__name__
    if step.kernel not in NAMES or not isinstance(rows, np.ndarray):
        raise Unwritable(f"{name}'s kernel {step.kernel} is no function of a product")
    rows = rows.astype(np.float64)
    gamma = 1 / rows.shape[1] if gamma is None else gamma
    degree = 3 if step.degree is None else step.degree
    kernel = Kernel(step.kernel, gamma, degree, 1 if step.coef0 is None else step.coef0)
    return kernel, Behind(fold([], step.n_features_in_)[1], rows)


_WRITERS = {"KernelPCA": _principal, "Nystroem": _nystroem}
