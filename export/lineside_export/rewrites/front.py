"""Scalers and projections in front of a model, as one affine map that goes into the model's own matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lineside_export.rewrites.graph import Graph

# A centre so many standard deviations from zero costs float32 as many of its 2**24 steps when it is multiplied
# into an offset; beyond that it is subtracted first, which is exact.
_FAR = 100.0
# A shift of scaled rows that float32 could hardly tell from none.
_NOTHING = 1e-7

Array = NDArray[np.float64]
# What Front.then takes: the affine map of one step.
Step: TypeAlias = tuple[Array, Array, Array, float]


class Front(NamedTuple):
    """z = (x - centre) * matrix + offset, or @ where `matrix` (features, columns) is not just a diagonal (features,).

    `distance` is how many standard deviations a feature's centre may lie from zero.
    """

    centre: Array
    matrix: Array
    offset: Array
    distance: float = 0.0

    @classmethod
    def none(cls, features: int, rows: Array | None = None) -> Front:
        """Return the map that changes nothing.

        About the middle of typical rows (n, features), if those are so far from zero that a product would lose
        their differences: pressures in pascal, say.
        """
        ones, zeros = np.ones(features), np.zeros(features)
        if rows is not None and rows.shape[1] == features and np.isfinite(rows).all():
            middle, spread = _single(np.median(rows, axis=0)), rows.std(axis=0)
            distance = (np.abs(middle) / np.where(spread > 0, spread, np.inf)).max(initial=0)
            if distance > _FAR:
                return cls(middle, ones, middle, float(distance))
        return cls(zeros, ones, zeros)

    def of(self, rows: Array) -> Array:
        """Return z for rows x."""
        return _times(rows - self.centre, self.matrix) + self.offset

    def around(self, middle: Array) -> tuple[Front, Array]:
        """Return the map to z less about `middle`, which it subtracts from x if it can, and less what exactly."""
        if self.matrix.ndim == 1 and (self.matrix != 0).all():
            centre = _single(self.centre + (middle - self.offset) / self.matrix)
            return Front(centre, self.matrix, np.zeros_like(middle), np.inf), self.of(centre)
        return self._replace(offset=self.offset - middle), middle

    def times(self, factor: float) -> Front:
        """Return the map to factor * z."""
        return self._replace(matrix=self.matrix * factor, offset=self.offset * factor)

    def then(self, shift: Array, matrix: Array, offset: Array, distance: float = np.inf) -> Front:
        """Return this map and then (z - shift) * matrix + offset."""
        if self._changes_nothing():
            return Front(shift, matrix, offset, distance)
        whole = np.diag(self.matrix) if self.matrix.ndim == 1 and matrix.ndim == 2 else self.matrix
        return self._replace(
            matrix=_times(whole, matrix), offset=_times(self.offset - shift, matrix) + offset
        )

    def write(self, graph: Graph, source: str) -> str:
        """Write z itself; `source` is of the graph's kind."""
        if self._changes_nothing():
            return source
        front = self._rounded()
        shifted = graph.add("Sub", source, graph.constant(front.centre)) if front.centre.any() else source
        if front.matrix.ndim == 2:
            return graph.product(shifted, front.matrix, front.offset)
        if (front.matrix != 1).any():
            shifted = graph.add("Mul", shifted, graph.constant(front.matrix))
        small = np.abs(front.offset).max(initial=0) < (_NOTHING if graph.kind == np.float32 else 1e-16)
        return shifted if small else graph.add("Add", shifted, graph.constant(front.offset))

    def product(self, graph: Graph, source: str, weights: Array, bias: Array) -> str:
        """Write z @ weights + bias as one product with the rows."""
        front = self._rounded()
        offset = front.offset @ weights + bias
        matrix = front.matrix @ weights if front.matrix.ndim == 2 else front.matrix[:, None] * weights
        if front.distance <= _FAR:
            return graph.product(source, matrix, offset - front.centre @ matrix)
        if front.centre.any():
            source = graph.add("Sub", source, graph.constant(front.centre))
        return graph.product(source, matrix, offset)

    def _changes_nothing(self) -> bool:
        return self.matrix.ndim == 1 and bool((self.matrix == 1).all() and (self.offset == self.centre).all())

    def _rounded(self) -> Front:
        """Return the same map with a centre that is a float32, whose difference from a reading is exact."""
        centre = _single(self.centre)
        return self._replace(centre=centre, offset=self.of(centre))


def fold(steps: Sequence[Any], features: int, rows: Array | None = None) -> tuple[list[Any], Front]:
    """Return the steps that stay, and the affine ones that directly precede the model as one map.

    `features` is how many columns the model itself takes; `rows` are typical inputs of the steps.
    """
    kept = list(steps)
    affine: list[Step] = []
    while kept and (found := _step(kept[-1])) is not None:
        features = kept.pop().n_features_in_
        affine.insert(0, found)
    front = Front.none(features, None if kept else rows)
    for step in affine:
        front = front.then(*step)
    return kept, front


def _times(rows: Array, matrix: Array) -> Array:
    found: Array = rows * matrix if matrix.ndim == 1 else rows @ matrix
    return found


def _single(values: Array) -> Array:
    return values.astype(np.float32).astype(np.float64)


def _step(step: Any) -> Step | None:
    known = _STEPS.get(type(step).__name__)
    return known(step) if known is not None else None


def _standard(step: Any) -> Step:
    mean, scale = (_or(getattr(step, name), default, step) for name, default in (("mean_", 0), ("scale_", 1)))
    return _scaled(mean, scale)


def _robust(step: Any) -> Step:
    return _scaled(_or(step.center_, 0, step), _or(step.scale_, 1, step))


def _largest(step: Any) -> Step | None:
    if getattr(step, "clip", False):
        return None
    return _scaled(np.zeros(step.n_features_in_), step.scale_)


def _range(step: Any) -> Step | None:
    if step.clip:
        return None
    centre, scale = step.data_min_.astype(np.float64), step.scale_.astype(np.float64)
    # Not the range's lower end: what scikit-learn adds is `min_`, which it may have rounded to float32.
    return centre, scale, centre * scale + step.min_, float(np.abs(centre * scale).max(initial=0))


def _scaled(centre: Array, scale: Array) -> Step:
    distance = np.abs(centre / scale).max(initial=0)
    return centre.astype(np.float64), 1 / scale.astype(np.float64), np.zeros(len(centre)), float(distance)


def _components(step: Any) -> Step:
    """PCA (`mean_`, perhaps whitened) and TruncatedSVD."""
    matrix = step.components_.T.astype(np.float64)
    if getattr(step, "whiten", False):
        matrix = matrix / np.maximum(np.sqrt(step.explained_variance_), np.finfo(np.float64).eps)
    mean = _or(getattr(step, "mean_", None), 0, step)
    return mean, matrix, np.zeros(matrix.shape[1]), np.inf


def _independent(step: Any) -> Step:
    mean = _or(getattr(step, "mean_", None) if step.whiten else None, 0, step)
    return mean, step.components_.T.astype(np.float64), np.zeros(len(step.components_)), np.inf


def _factors(step: Any) -> Step:
    """The posterior mean of the factors (Barber, "Bayesian Reasoning and Machine Learning", 21.1)."""
    weights = step.components_ / step.noise_variance_
    covariance = np.linalg.inv(np.eye(len(step.components_)) + weights @ step.components_.T)
    return step.mean_, weights.T @ covariance, np.zeros(len(covariance)), np.inf


def _random(step: Any) -> Step:
    matrix = step.components_.T
    matrix = np.asarray(matrix.todense() if hasattr(matrix, "todense") else matrix, np.float64)
    return np.zeros(len(matrix)), matrix, np.zeros(matrix.shape[1]), 0.0


def _groups(step: Any) -> Step | None:
    """The means of groups of features."""
    if step.pooling_func is not np.mean:
        return None
    matrix = np.eye(step.n_clusters_)[step.labels_]
    return np.zeros(len(matrix)), matrix / matrix.sum(axis=0), np.zeros(matrix.shape[1]), 0.0


def _sparse(step: Any) -> Step:
    """Ridge regression on the components, which has a closed form."""
    parts = step.components_
    gram = parts @ parts.T + step.ridge_alpha * np.eye(len(parts))
    matrix = np.linalg.solve(gram, parts).T
    return step.mean_.astype(np.float64), matrix.astype(np.float64), np.zeros(len(parts)), np.inf


def _rotated(step: Any) -> Step:
    """What partial least squares turn rows into; `_x_std` are ones if they do not scale."""
    rotations = getattr(step, "x_rotations_", None)
    matrix = step.x_weights_ if rotations is None else rotations
    matrix = matrix / step._x_std[:, None]
    return step._x_mean.astype(np.float64), matrix, np.zeros(matrix.shape[1]), np.inf


def _discriminants(step: Any) -> Step | None:
    if not hasattr(step, "scalings_"):  # the solver lsqr finds none
        return None
    matrix = step.scalings_[:, : step._max_components].astype(np.float64)
    return _or(getattr(step, "xbar_", None), 0, step), matrix, np.zeros(matrix.shape[1]), np.inf


def _or(values: Any, default: float, step: Any) -> Array:
    return np.full(step.n_features_in_, float(default)) if values is None else np.asarray(values, np.float64)


_STEPS: dict[str, Callable[[Any], Step | None]] = {
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MinMaxScaler": _range,
    "MaxAbsScaler": _largest,
    "PCA": _components,
    "IncrementalPCA": _components,
    "TruncatedSVD": _components,
    "FastICA": _independent,
    "FactorAnalysis": _factors,
    "SparseRandomProjection": _random,
    "GaussianRandomProjection": _random,
    "FeatureAgglomeration": _groups,
    "LinearDiscriminantAnalysis": _discriminants,
    "SparsePCA": _sparse,
    "MiniBatchSparsePCA": _sparse,
    "CCA": _rotated,
    "PLSCanonical": _rotated,
    "PLSRegression": _rotated,
    "PLSSVD": _rotated,
}
