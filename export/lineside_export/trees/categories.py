"""Categorical splits as columns of their own: a tree tests numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_export.trees.ensemble import Categorical, Nodes, Rounding


class Divided(NamedTuple):
    """One categorical split: node `node` sends the categories `members` of a feature to one side.

    Any other category goes to the other side, a missing one left if `missing_left`. `rounding` says which category a
    fraction is.
    """

    node: int
    feature: int
    members: NDArray[np.int64]
    members_left: bool
    missing_left: bool
    rounding: Rounding


def with_categories(
    nodes: Nodes, divided: Sequence[Divided], features: int
) -> tuple[Nodes, tuple[Categorical, ...]]:
    """Let categorical splits test columns that follow the model's features."""
    feature, threshold, missing = nodes.feature.copy(), nodes.threshold.copy(), nodes.missing_left.copy()
    found: list[Categorical] = []
    after = features
    for seen in sorted({each.feature for each in divided}):
        splits = [each for each in divided if each.feature == seen]
        members = np.unique(np.concatenate([each.members for each in splits]))
        sides = np.array([_sides(each, members) for each in splits], np.uint8)
        patterns, column = np.unique(sides, axis=0, return_inverse=True)
        at = [each.node for each in splits]
        feature[at] = after + column.ravel()
        threshold[at] = 0.5
        missing[at] = False
        after += len(patterns)
        keys = np.concatenate([members, [np.nan]]).astype(np.float32)
        found.append(Categorical(seen, keys, np.ascontiguousarray(patterns.T), splits[0].rounding))
    return nodes._replace(feature=feature, threshold=threshold, missing_left=missing), tuple(found)


def _sides(split: Divided, members: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return 0 for left and 1 for right: of any other category, of each of the members, of a missing one."""
    inside = np.isin(members, split.members)
    others = split.members_left
    sides = np.concatenate([[others], inside ^ split.members_left, [not split.missing_left]])
    return sides.astype(np.uint8)
