"""Search trees of nearest neighbours, built anew from the rows that they search.

A tree from a file is a list of addresses into arrays, which compiled code follows without looking. The rows are in
the file as well, and building takes less than reading did, so nobody need trust the addresses.
"""

from __future__ import annotations

import importlib
from typing import Any

from lineside_contract.errors import InputError
from lineside_export.trees.inside import parts

# By module and name: the search trees, and what measures distances in them.
TREES = {"KDTree": "sklearn.neighbors._kd_tree", "BallTree": "sklearn.neighbors._ball_tree"}
_DISTANCES = ("Euclidean", "Manhattan", "Chebyshev", "Minkowski")
TYPES = frozenset(
    {f"{module}.{name}" for name, module in TREES.items()}
    | {f"sklearn.metrics._dist_metrics.{name}Distance64" for name in _DISTANCES}
)


def rebuild(model: Any) -> None:
    """Replace every search tree inside a model by a new one. Raises InputError for one without its rows."""
    for part in parts(model):
        held = vars(part) if hasattr(part, "__dict__") else {}
        for attribute, tree in held.items():
            if type(tree).__name__ in TREES:
                setattr(part, attribute, _built(part, type(tree).__name__))


def _built(owner: Any, name: str) -> Any:
    kind = getattr(importlib.import_module("sklearn.neighbors"), name)
    try:
        metric, more = owner.effective_metric_, owner.effective_metric_params_ or {}
        return kind(owner._fit_X, owner.leaf_size, metric=metric, **more)
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"{type(owner).__name__} holds a {name} that cannot be built anew: {error}.",
            hint="Train it with algorithm='brute', or save it again.",
        ) from error
