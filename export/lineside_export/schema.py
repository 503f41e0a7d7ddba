"""What a fitted scikit-learn model takes and what it answers."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Answers
from lineside_contract.errors import InputError
from lineside_contract.manifest import Outputs, Task
from lineside_contract.messages import Label
from lineside_export.thresholds import Threshold, threshold_of

# By what scikit-learn calls the kind of an estimator.
_TASKS: dict[str, Task] = {
    "classifier": "classification",
    "regressor": "regression",
    "outlier_detector": "outlier",
    "clusterer": "clustering",
    "density_estimator": "clustering",  # a mixture model, whose predict names a component
}


class Schema(NamedTuple):
    """A model's inputs and outputs.

    `features` is None if the model does not say. `classes` are in the order of the probabilities' columns.
    `categories` are the texts of each column, none for numbers; without any, all columns are numbers.
    `threshold` is what a classifier decides by, if not by its likeliest class.
    """

    task: Task
    estimator: str
    features: int | None
    feature_names: tuple[str, ...]
    classes: tuple[Label, ...]
    probabilities: bool
    scores: bool
    categories: tuple[tuple[str, ...], ...] = ()
    threshold: Threshold | None = None


@runtime_checkable
class Described(Protocol):
    """A model that is no estimator: it says itself what it takes and answers."""

    schema: Schema

    def answer(self, inputs: NDArray[np.float32]) -> Answers:
        """Answer inputs (n, features), real numbers as float64. Raises InputError if it refuses them."""


def describe(model: Any) -> Schema:
    """Say what a fitted model takes and answers. Raises InputError if Lineside has no such task."""
    if isinstance(model, Described):
        return model.schema
    kind = _kind(model)
    if kind not in _TASKS or not hasattr(model, "predict"):
        raise InputError(
            f"{type(model).__name__} is not a classifier, regressor, outlier detector or clustering.",
            hint="Export an estimator whose predict works on new rows.",
        )
    task = _TASKS[kind]
    return Schema(
        task=task,
        estimator=name_of(model),
        features=getattr(model, "n_features_in_", None),
        feature_names=tuple(str(name) for name in getattr(model, "feature_names_in_", ())),
        classes=_classes(model, task),
        probabilities=task in ("classification", "clustering") and hasattr(model, "predict_proba"),
        scores=hasattr(model, "transform" if task == "clustering" else "decision_function"),
        threshold=threshold_of(model) if task == "classification" else None,
    )


def name_of(model: Any) -> str:
    """Return an estimator's name with what it wraps: `Pipeline(StandardScaler, SVC)`."""
    name: str = getattr(model, "stands_for", type(model).__name__)
    if hasattr(model, "steps"):
        inner = [name_of(step) for _, step in model.steps if step not in (None, "passthrough")]
    elif hasattr(model, "best_estimator_"):
        inner = [name_of(model.best_estimator_)]
    elif name == "FrozenEstimator":
        inner = [name_of(model.estimator)]
    else:
        return name
    return f"{name}({', '.join(inner)})"


def outputs(schema: Schema, names: list[str], targets: tuple[str, ...]) -> Outputs:
    """Say which of a converted graph's outputs is what. The order is the converter's promise."""
    if schema.task == "regression":
        return Outputs(values=names[0], targets=list(targets))
    label = names[0]
    second = names[1] if len(names) > 1 else None
    if schema.probabilities:
        return Outputs(label=label, probabilities=second, classes=list(schema.classes))
    return Outputs(label=label, scores=second, classes=list(schema.classes))


def _kind(model: Any) -> str | None:
    try:
        from sklearn.utils import get_tags  # noqa: PLC0415  not in scikit-learn 1.5
    except ImportError:
        return getattr(model, "_estimator_type", None)
    kind: str | None = get_tags(model).estimator_type
    return kind


def _classes(model: Any, task: Task) -> tuple[Label, ...]:
    if task == "clustering":
        count = getattr(model, "n_components", None) or len(getattr(model, "cluster_centers_", ()))
        return tuple(range(count or len(np.unique(getattr(model, "subcluster_labels_", ())))))
    if task != "classification":
        return ()
    classes = model.classes_
    if isinstance(classes, list) or np.ndim(classes) != 1:
        raise InputError(
            f"{type(model).__name__} answers several labels at once, which a prediction has no room for.",
            hint="Export one classifier for each label.",
        )
    return tuple(_label(value, type(model).__name__) for value in np.asarray(classes).tolist())


def _label(value: object, estimator: str) -> Label:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float) and float(value).is_integer():
        return int(value)
    raise InputError(
        f"{estimator} has the class {value!r}; a label is text or a whole number.",
        hint="Train it on labels of that kind.",
    )
