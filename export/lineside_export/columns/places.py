"""Where a model's columns go first: the transformers that see the input itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

# What meta-estimators call the fitted estimators inside them that see what they see themselves.
_MEMBERS = ("estimator_", "estimators_", "calibrated_classifiers_", "estimator", "init_", "regressor_")


class Place(NamedTuple):
    """A transformer, or a model that encodes by itself, and the input's columns that it sees; no step drops them.

    flat: it sees its one column as (n,). put: puts another transformer in its place.
    """

    step: Any
    columns: Sequence[int]
    flat: bool
    put: Callable[[Any], None]


def places(model: Any, width: int) -> Iterator[Place]:
    """Yield the places of a fitted model that takes `width` columns."""
    yield from _of(model, width, lambda _: None)


def _of(item: Any, width: int, put: Callable[[Any], None]) -> Iterator[Place]:
    if hasattr(item, "best_estimator_"):
        yield from _of(item.best_estimator_, width, _setter(item, "best_estimator_"))
    elif type(item).__name__ == "_CalibratedClassifier":
        yield from _of(item.estimator, width, _setter(item, "estimator"))
    elif hasattr(item, "steps"):
        yield from _first_step(item, width)
    elif hasattr(item, "_transformer_to_input_indices"):
        yield from _branches(item)
    elif getattr(item, "_preprocessor", None) is not None or not hasattr(item, "predict"):
        if hasattr(item, "transform") or hasattr(item, "predict"):
            yield Place(item, range(width), False, put)
    else:
        yield from _members(item, width)


def _first_step(pipeline: Any, width: int) -> Iterator[Place]:
    for index, (name, step) in enumerate(pipeline.steps):
        if step is not None and not isinstance(step, str):

            def put(new: Any, index: int = index, name: str = name) -> None:
                pipeline.steps[index] = (name, new)

            yield from _of(step, width, put)
            return


def _branches(transformer: Any) -> Iterator[Place]:
    for index, (name, step, columns) in enumerate(transformer.transformers_):
        indices = transformer._transformer_to_input_indices[name]
        if step == "drop":
            yield Place(None, list(indices), False, lambda _: None)
        if step is None or isinstance(step, str) or _is_identity(step):
            continue

        def put(new: Any, index: int = index, name: str = name, indices: Any = indices) -> None:
            transformer.transformers_[index] = (name, new, list(indices))
            transformer.sparse_output_ = False  # which a table's is not

        yield Place(step, list(indices), np.isscalar(columns), put)


def _is_identity(step: Any) -> bool:
    """Tell scikit-learn's stand-in for passthrough."""
    return type(step).__name__ == "FunctionTransformer" and step.func is None


def _members(item: Any, width: int) -> Iterator[Place]:
    for attribute in _MEMBERS:
        held = getattr(item, attribute, None)
        if held is None or isinstance(held, str | type):
            continue
        if isinstance(held, list | np.ndarray):
            for index, member in enumerate(held):
                yield from _of(member, width, _item_setter(held, index))
        elif attribute.endswith("_") or type(item).__name__ == "FrozenEstimator":
            yield from _of(held, width, _setter(item, attribute))


def _setter(owner: Any, attribute: str) -> Callable[[Any], None]:
    return lambda new: setattr(owner, attribute, new)


def _item_setter(owner: Any, index: int) -> Callable[[Any], None]:
    def put(new: Any) -> None:
        owner[index] = new

    return put
