"""What every family of tree ensembles comes down to."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

# What is done with the sums of a row's leaves; `links` writes each.
Link: TypeAlias = Literal[
    "values", "exp", "probabilities", "binary", "logistic", "logistic last", "softmax", "outlier"
]


class Nodes(NamedTuple):
    """The nodes of all trees, one after the other; every array but `roots` has one entry a node.

    `left` and `right` index these same arrays and are -1 for a leaf. A row goes left if its feature is at most
    `threshold` (float64), and if the feature is missing and `missing_left` is true.
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]

    @property
    def inner(self) -> NDArray[np.bool_]:
        """Tell which nodes divide."""
        return self.left >= 0


class Categorical(NamedTuple):
    """A feature's categorical splits, as columns that follow the model's features.

    A row of the input whose feature equals `keys[i]` (float32) has `sides[i + 1]` in these columns: 0 for left,
    1 for right, uint8; any other has `sides[0]`. A node tests such a column against 0.5.
    """

    feature: int
    keys: NDArray[np.float32]
    sides: NDArray[np.uint8]


class Ensemble(NamedTuple):
    """Trees and what their leaves mean: each adds `weight` to the sum `target`, of which there are `targets`.

    average: divide the sums by the number of trees. base: what each sum gets besides. table: if given, a weight is
    the index of a row of it (float32, shape (rows, outputs)), a target is a tree, and the sums are those of
    the rows. offset: the outlier link's, in scikit-learn's terms.
    """

    nodes: Nodes
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    targets: int
    link: Link
    average: bool = False
    base: NDArray[np.float64] = np.zeros(0)
    table: NDArray[np.float32] | None = None
    categories: tuple[Categorical, ...] = ()
    offset: float = 0.0
    # Whether the trees see their input as float32, as all but histogram gradient boosting do.
    single: bool = True
