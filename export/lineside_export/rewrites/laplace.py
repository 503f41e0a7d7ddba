"""Gaussian process classification by Laplace's approximation.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, algorithm 3.2; the integral over the
logistic function as scikit-learn takes it, by five error functions (Williams and Barber, "Bayesian classification
with Gaussian processes", 1998, appendix A). In float64, but for the error function, of which onnxruntime has only the
float32 one: the probabilities are within 3e-4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from sklearn.gaussian_process._gpc import COEFS, LAMBDAS

from lineside_export.rewrites.front import Front
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.kernels import Behind
from lineside_export.rewrites.processes import known, term
from lineside_export.schema import Schema
from lineside_export.unwritable import Unwritable


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write a GaussianProcessClassifier. False for one against one, and for kernels that this does not know."""
    base = model.base_estimator_
    parts = getattr(base, "estimators_", [base])
    if not schema.probabilities or any(not _known(part) for part in parts):
        return False
    if len(parts) > 1 and type(base).__name__ != "OneVsRestClassifier":
        return False
    graph.kind = np.dtype(np.float64)
    rows = graph.enter(source)
    found = [_part(part, front, graph, rows) for part in parts]
    if len(found) == 1:
        latent, chance = found[0]
        other = graph.add("Sub", graph.constant(np.array(1.0)), chance)
        label = graph.best(graph.add("Concat", graph.add("Neg", latent), latent, axis=1))
        graph.give_classes(label, graph.add("Concat", other, chance, axis=1), schema.classes)
        return True
    chances = graph.add("Concat", *(chance for _, chance in found), axis=1)
    whole = graph.add("ReduceSum", chances, graph.constant(np.array([1])), keepdims=1)
    graph.give_classes(graph.best(chances), graph.add("Div", chances, whole), schema.classes)
    return True


def _known(part: Any) -> bool:
    """Whether the kernel can be written, and has one and the same value of any row with itself."""
    kernel = getattr(part, "kernel_", None)
    return kernel is not None and known(kernel) and kernel.is_stationary()


def _part(part: Any, front: Front, graph: Graph, rows: str) -> tuple[str, str]:
    """Return the latent mean and the probability of the second class, each (n, 1)."""
    training = np.asarray(part.X_train_, np.float64)
    found = term(part.kernel_, graph, rows, Behind(front, training))
    if found.values is None:
        raise Unwritable("a constant kernel alone")
    slope = (part.y_train_ - part.pi_)[:, None]
    latent = graph.product(found.values, found.factor * slope)
    root = np.linalg.solve(part.L_, np.diag(part.W_sr_)) * found.factor
    gone = graph.product(found.values, root.T)
    spent = graph.add("ReduceSumSquare", gone, graph.constant(np.array([1])), keepdims=1)
    own = float(part.kernel_.diag(training[:1])[0])
    variance = graph.add("Sub", graph.constant(np.array(own)), spent)
    return latent, _chance(graph, latent, variance)


def _chance(graph: Graph, latent: str, variance: str) -> str:
    """sum of c * erf(l * f * sqrt(a / (a + l^2))) / 2 + 1/2, where a = 1 / (2 * variance)."""
    steepness = LAMBDAS.ravel()
    spread = graph.product(variance, 2 * steepness[None] ** 2, np.ones(len(steepness)))
    shrunk = graph.add("Div", graph.product(latent, steepness[None]), graph.add("Sqrt", spread))
    single = graph.add("Cast", shrunk, to=onnx.TensorProto.FLOAT)
    parts = graph.add("Cast", graph.add("Erf", single), to=onnx.TensorProto.DOUBLE)
    return graph.product(parts, COEFS / 2, np.array([COEFS.sum() / 2]))
