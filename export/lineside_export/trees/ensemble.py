"""What every family of tree ensembles comes down to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

# What is done with the sums of a row's leaves; `links` writes each.
Link: TypeAlias = Literal[
    "values",
    "exp",
    "sigmoid",
    "square",
    "probabilities",
    "binary",
    "logistic",
    "logistic last",
    "softmax",
    "one against rest",
    "outlier",
]
# Which whole number a fractional category is: none, the next one below, or the next one towards zero.
Rounding: TypeAlias = Literal["none", "down", "to zero"]


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
    1 for right, uint8; any other has `sides[0]`, and so has a missing one unless NaN is a key. A node tests such a
    column against 0.5.
    """

    feature: int
    keys: NDArray[np.float32]
    sides: NDArray[np.uint8]
    rounding: Rounding = "none"


class Ensemble(NamedTuple):
    """Trees and what their leaves mean: each adds `weight` to the sum `target`, of which there are `targets`.

    average: divide the sums by the number of trees. base: what each sum gets besides. table: if given, a weight is
    the index of a row of it (float32, shape (rows, outputs)), a target is a tree, and the sums are those of
    the rows; a table of bytes holds steps[0] + steps[1] * byte. offset: the outlier link's, in scikit-learn's terms.
    absent: readings from one to the other, both included, are taken for missing ones.
    """

    nodes: Nodes
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    targets: int
    link: Link
    average: bool = False
    base: NDArray[np.float64] = np.zeros(0)
    table: NDArray[np.float32] | NDArray[np.uint8] | None = None
    steps: tuple[float, float] = (0.0, 1.0)
    categories: tuple[Categorical, ...] = ()
    offset: float = 0.0
    # Whether the trees see their input as float32, as all but histogram gradient boosting do.
    single: bool = True
    absent: tuple[float, float] | None = None


def joined(parts: Sequence[Nodes]) -> Nodes:
    """Put trees, each of which counts its nodes from 0, one after the other."""
    counts = [len(part.feature) for part in parts]
    starts = np.cumsum([0, *counts[:-1]]).astype(np.int64)
    shift = np.repeat(starts, counts)
    whole = Nodes(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    inner = whole.inner
    return whole._replace(
        roots=starts,
        left=np.where(inner, whole.left + shift, -1),
        right=np.where(inner, whole.right + shift, -1),
    )


def with_table(nodes: Nodes, values: NDArray[np.float64], link: Link) -> Ensemble:
    """Leaves that hold several numbers: a node has room for one, so it names a row of a table instead.

    values: what each node's row is, shape (nodes, outputs); the answer is their mean over the trees.
    """
    leaves = np.flatnonzero(~nodes.inner)
    table, rows = np.unique(values[leaves].astype(np.float32), axis=0, return_inverse=True)
    index = np.zeros(len(values))
    index[leaves] = rows.ravel()
    counts = np.diff([*nodes.roots, len(values)])
    tree = np.repeat(np.arange(len(counts)), counts)
    return Ensemble(nodes, tree, index, len(counts), link, average=True, table=table)


def centred(ensemble: Ensemble) -> Ensemble:
    """Let the leaves of each tree be differences from their middle, which the base has: fewer digits are lost."""
    nodes = ensemble.nodes
    counts = np.diff([*nodes.roots, len(ensemble.weight)])
    leaf = ~nodes.inner
    sums = np.add.reduceat(np.where(leaf, ensemble.weight, 0.0), nodes.roots)
    middle = sums / np.add.reduceat(leaf.astype(np.int64), nodes.roots)
    base = ensemble.base + np.bincount(ensemble.target[nodes.roots], middle, ensemble.targets)
    weight = np.where(leaf, ensemble.weight - np.repeat(middle, counts), 0.0)
    return ensemble._replace(weight=weight, base=base)
