"""Models that measure how far a row lies from a centre: NearestCentroid and EllipticEnvelope."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineside_export.rewrites.front import Array, Front
from lineside_export.rewrites.graph import Graph
from lineside_export.schema import Schema


def write(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Write a NearestCentroid or EllipticEnvelope. False for other distances than the Euclidean."""
    if type(model).__name__ == "EllipticEnvelope":
        _ellipse(model, front, graph, source)
        return True
    return _nearest(model, front, graph, source, schema)


def _ellipse(model: Any, front: Front, graph: Graph, source: str) -> None:
    """The Mahalanobis distance is the length of the rows in the axes of the precision matrix."""
    values, axes = np.linalg.eigh(model.get_precision())
    zeros = np.zeros(len(values))
    axes = axes * np.sqrt(np.maximum(values, 0))
    z = front.then(np.asarray(model.location_, np.float64), axes, zeros).write(graph, source)
    squares = graph.add("ReduceSumSquare", z, graph.constant(np.array([1])), keepdims=1)
    graph.give_outlier(graph.add("Sub", graph.constant(np.array([-float(model.offset_)])), squares))


def _nearest(model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
    """Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", equation 18.2.

    With equal priors scikit-learn's label is that of the nearest centre as it stands; its probabilities are of
    features divided by their spread within the classes.
    """
    if model.metric != "euclidean":
        return False
    centres = model.centroids_.astype(np.float64)
    plain, middle = front.around(centres.mean(axis=0))
    priors = getattr(model, "class_prior_", np.full(len(centres), 1 / len(centres)))
    even = np.isclose(priors, 1 / len(priors)).all()
    label = None
    if even:
        label = graph.best(plain.product(graph, source, *_closeness(centres - middle)))
    if not schema.probabilities:
        return label is not None and _only_label(graph, label, schema)
    spread = np.where(model.within_class_std_dev_ == 0, 1.0, model.within_class_std_dev_)
    weights, bias = _closeness((centres - middle) / spread)
    scores = plain.product(graph, source, 2 * weights / spread[:, None], 2 * bias + 2 * np.log(priors))
    graph.give_classes(label or graph.best(scores), graph.add("Softmax", scores), schema.classes)
    return True


def _closeness(centres: Array) -> tuple[Array, Array]:
    """Return weights and bias of -||z - centre||^2 / 2 without what is the same for all centres."""
    return centres.T, -(centres**2).sum(axis=1) / 2


def _only_label(graph: Graph, label: str, schema: Schema) -> bool:
    graph.give_classes(label, None, schema.classes)
    return True
