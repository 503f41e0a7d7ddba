"""The same trees in fewer numbers: equal leaves once, and no split that leads to the same leaf on both sides.

Equal splits or subtrees are not shared: onnxruntime takes a node that is reached twice for a cycle and
refuses it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_export.trees.ensemble import Ensemble, Nodes


class Side(NamedTuple):
    """One child of each split: its number, and whether that is a leaf's or a split's."""

    number: NDArray[np.int64]
    is_leaf: NDArray[np.bool_]


class Compact(NamedTuple):
    """What a TreeEnsemble node holds. Splits and leaves are numbered apart.

    Per split: feature, threshold (float32), missing_left, left, right, above. Per leaf: target, weight (float32).
    roots: the splits that trees begin with. A row goes left if its feature is at most the threshold, or, where
    `above`, if it is greater: then a missing one goes right, whatever missing_left says.
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.bool_]
    left: Side
    right: Side
    target: NDArray[np.int64]
    weight: NDArray[np.float32]
    above: NDArray[np.bool_]


def shrink(ensemble: Ensemble) -> Compact:
    """Write an ensemble's trees with as few numbers as a TreeEnsemble node allows."""
    nodes = ensemble.nodes
    leaf, target, weight = _leaves(ensemble)
    _spread(nodes, leaf)
    kept = _kept(nodes, leaf)
    number = np.cumsum(kept) - 1
    chosen = np.flatnonzero(kept)

    def side(children: NDArray[np.int64]) -> Side:
        is_leaf = leaf[children] >= 0
        return Side(np.where(is_leaf, leaf[children], number[children]), is_leaf)

    alone = leaf[nodes.roots]
    compact = Compact(
        roots=number[nodes.roots[alone < 0]],
        feature=nodes.feature[chosen],
        threshold=round_down(nodes.threshold[chosen]),
        missing_left=nodes.missing_left[chosen],
        left=side(nodes.left[chosen]),
        right=side(nodes.right[chosen]),
        target=target,
        weight=weight,
        above=np.zeros(len(chosen), bool),
    )
    return _told_apart(_with_constants(compact, alone[alone >= 0], ensemble.base))


def arranged(compact: Compact) -> Compact:
    """Number the splits so that alike ones are neighbours: as many bytes, of which a zip makes fewer."""
    keys: list[NDArray[Any]] = [
        compact.threshold,
        compact.feature,
        compact.right.is_leaf,
        compact.left.is_leaf,
        compact.above,
    ]
    order = np.lexsort(keys)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))

    def side(old: Side) -> Side:
        number, is_leaf = old.number[order], old.is_leaf[order]
        return Side(np.where(is_leaf, number, place[np.where(is_leaf, 0, number)]), is_leaf)

    return compact._replace(
        roots=place[compact.roots],
        feature=compact.feature[order],
        threshold=compact.threshold[order],
        missing_left=compact.missing_left[order],
        left=side(compact.left),
        right=side(compact.right),
        above=compact.above[order],
    )


def round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 that is not above each: for a float32 x, `x <=` either is the same."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    found: NDArray[np.float32] = np.where(nearest > thresholds, below, nearest)
    return found


def _leaves(ensemble: Ensemble) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return each node's leaf (-1 for a split), and the target and weight of each different leaf.

    The leaves that occur most often get the smallest numbers, which take fewer bytes.
    """
    at = np.flatnonzero(~ensemble.nodes.inner)
    weight = ensemble.weight[at].astype(np.float32) + np.float32(0)  # no -0.0
    key = ensemble.target[at].astype(np.int64) << 32 | weight.view(np.uint32)
    different, which, counts = np.unique(key, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    leaf = np.full(len(ensemble.weight), -1)
    leaf[at] = place[which.ravel()]
    different = different[order]
    return leaf, different >> 32, (different & 0xFFFFFFFF).astype(np.uint32).view(np.float32)


def _spread(nodes: Nodes, leaf: NDArray[np.int64]) -> None:
    """Turn splits whose sides are the same leaf into that leaf, from below, in place."""
    waiting = np.flatnonzero(nodes.inner)
    while True:
        left, right = leaf[nodes.left[waiting]], leaf[nodes.right[waiting]]
        same = (left == right) & (left >= 0)
        if not same.any():
            return
        leaf[waiting[same]] = left[same]
        waiting = waiting[~same]


def _kept(nodes: Nodes, leaf: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which splits are left: those that can still be reached from a root."""
    kept = np.zeros(len(leaf), bool)
    level = nodes.roots
    while len(level := level[leaf[level] < 0]):
        kept[level] = True
        level = np.concatenate([nodes.left[level], nodes.right[level]])
    return kept


def _with_constants(compact: Compact, alone: NDArray[np.int64], base: NDArray[np.float64]) -> Compact:
    """Add the trees that are one leaf, and the base values, as splits between two equal leaves.

    ONNX has no tree that is one leaf, and onnxruntime reads a wrong leaf where both sides have one number.
    """
    targets = np.flatnonzero(base)
    different, which = np.unique(alone, return_inverse=True)
    first = len(compact.weight)
    copies = np.concatenate([compact.target[different], np.repeat(targets, 2)])
    weights = np.concatenate([compact.weight[different], np.repeat(base[targets], 2).astype(np.float32)])
    pairs = first + len(different) + 2 * np.arange(len(targets))
    left = np.concatenate([alone, pairs])
    right = np.concatenate([first + which.ravel(), pairs + 1])
    zeros = np.zeros(len(left), np.int64)
    splits = len(compact.feature) + np.arange(len(left))
    return Compact(
        roots=np.concatenate([compact.roots, splits]),
        feature=np.concatenate([compact.feature, zeros]),
        threshold=np.concatenate([compact.threshold, zeros.astype(np.float32)]),
        missing_left=np.concatenate([compact.missing_left, zeros.astype(bool)]),
        left=_longer(compact.left, left),
        right=_longer(compact.right, right),
        target=np.concatenate([compact.target, copies]),
        weight=np.concatenate([compact.weight, weights]),
        above=np.concatenate([compact.above, zeros.astype(bool)]),
    )


def _longer(side: Side, leaves: NDArray[np.int64]) -> Side:
    return Side(
        np.concatenate([side.number, leaves]),
        np.concatenate([side.is_leaf, np.ones(len(leaves), bool)]),
    )


def _told_apart(compact: Compact) -> Compact:
    """Give the leaf below a root another number where it has that of the split beside it.

    Up to 1.22 onnxruntime takes such a root for a tree that is one leaf.
    """
    left, right = compact.left.number.copy(), compact.right.number.copy()
    copies = np.arange(len(compact.target)).tolist()
    for root in compact.roots[left[compact.roots] == right[compact.roots]].tolist():
        side = left if compact.left.is_leaf[root] else right
        leaf = side[root]
        copies += [leaf] * (2 if len(copies) == leaf else 1)
        side[root] = len(copies) - 1
    return compact._replace(
        left=compact.left._replace(number=left),
        right=compact.right._replace(number=right),
        target=compact.target[copies],
        weight=compact.weight[copies],
    )
