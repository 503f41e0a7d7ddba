"""Models that predict, where a pipeline has them transform: skl2onnx would write their predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from lineside_export.rewrites.front import fold
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.kernels import Behind
from lineside_export.unwritable import Unwritable

_CENTRES = ("cluster_centers_", "subcluster_centers_")
_PROJECTED = frozenset({"CCA", "LinearDiscriminantAnalysis", "PLSCanonical", "PLSRegression"})


class Transforming(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """What a fitted model's transform gives: distances to the centres of a clustering, or a projection."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def n_features_in_(self) -> int:
        """How many columns it takes."""
        return int(self.model.n_features_in_)

    def transform(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return what the model's own transform returns."""
        return np.asarray(self.model.transform(rows))

    def get_feature_names_out(self) -> NDArray[Any]:
        """Return the names of the columns."""
        return np.asarray(self.model.get_feature_names_out())


def as_transformer(step: Any) -> Any:
    """Return a step of a pipeline as something that converts to what its transform gives."""
    predicts = hasattr(step, "predict") and hasattr(step, "transform")
    centred = any(hasattr(step, name) for name in _CENTRES)
    if predicts and (centred or type(step).__name__ in _PROJECTED):
        return Transforming(step)
    return step


def write(step: Any, graph: Graph, source: str) -> str:
    """Write a Transforming."""
    model = step.model
    centres = next((getattr(model, name) for name in _CENTRES if hasattr(model, name)), None)
    if centres is None:
        kept, front = fold([model], model.n_features_in_)
        if kept:
            raise Unwritable(f"the transform of this {type(model).__name__} is not written")
        return front.write(graph, source)
    graph.kind = np.dtype(np.float64)
    behind = Behind(fold([], model.n_features_in_)[1], np.asarray(centres, np.float64))
    return graph.leave(graph.add("Sqrt", behind.squares(graph, graph.enter(source), 1.0)))
