"""From a model that wraps others to a graph, and the table of those that are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import onnx

from lineside_export.schema import Schema
from lineside_export.trees.extract import is_bag_of_trees
from lineside_export.trees.write import taken_apart
from lineside_export.wrapped import averages, begun, binary, calibrated, passing, stacks
from lineside_export.wrapped.begun import begins_with_estimator
from lineside_export.wrapped.writer import Rows, Writer

# Writes one of a model's answers for rows, and returns what the graph calls it; Writer says the shapes.
Write: TypeAlias = Callable[[Writer, Any, Rows], str]


class Family(NamedTuple):
    """How a kind of model answers."""

    label: Write | None = None
    probabilities: Write | None = None
    scores: Write | None = None
    values: Write | None = None


_PASSED_ON = Family(passing.same_label, passing.same_probabilities, passing.same_scores, passing.same_values)
_THRESHOLD = Family(passing.threshold_label, passing.same_probabilities, passing.same_scores)
_STACK = Family(stacks.stack_label, stacks.stack_probabilities, stacks.stack_scores, stacks.stack_values)
_BEGUN = Family(begun.begun_label, begun.begun_probabilities, begun.begun_scores, begun.begun_values)

FAMILIES: dict[str, Family] = {
    "AdaBoostClassifier": Family(averages.boost_label, averages.boost_probabilities, averages.boost_scores),
    "AdaBoostRegressor": Family(values=averages.boost_values),
    "BaggingClassifier": Family(averages.bag_label, averages.bag_probabilities, averages.bag_scores),
    "BaggingRegressor": Family(values=averages.bag_values),
    "CalibratedClassifierCV": Family(calibrated.calibrated_label, calibrated.calibrated_probabilities),
    "FixedThresholdClassifier": _THRESHOLD,
    "MultiOutputRegressor": Family(values=stacks.several_values),
    "OneVsOneClassifier": Family(binary.one_label, scores=binary.one_scores),
    "OneVsRestClassifier": Family(binary.rest_label, binary.rest_probabilities, binary.rest_scores),
    "OutputCodeClassifier": Family(binary.code_label),
    "RANSACRegressor": _PASSED_ON,
    "RFE": _PASSED_ON,
    "RFECV": _PASSED_ON,
    "RegressorChain": Family(values=stacks.chain_values),
    "SelfTrainingClassifier": _PASSED_ON,
    "StackingClassifier": _STACK,
    "StackingRegressor": _STACK,
    "TransformedTargetRegressor": Family(values=stacks.target_values),
    "TunedThresholdClassifierCV": _THRESHOLD,
    "VotingClassifier": Family(averages.vote_label, averages.vote_probabilities),
    "VotingRegressor": Family(values=averages.vote_values),
}


def family(model: Any) -> Family | None:
    """Return how a model that wraps others answers; None for one that does not, and for a bag of trees."""
    if begins_with_estimator(model):
        return _BEGUN
    return None if is_bag_of_trees(model) else FAMILIES.get(type(model).__name__)


def write(model: Any, schema: Schema, source: str, targets: int) -> onnx.ModelProto | None:
    """Return a model file whose input is `source`, or None if the model wraps no others.

    `targets` is how many values a regressor answers. Raises InputError for a member that cannot be written.
    """
    if family(taken_apart(model)[1]) is None or schema.features is None:
        return None
    writer = Writer()
    rows = Rows(source, schema.features)
    if schema.task == "regression":
        values = writer.values(model, rows)
        writer.graph.give_values(values, targets)
    elif schema.task == "classification":
        _give_classes(writer, model, schema, rows)
    else:
        return None
    return writer.model(source, schema.features, schema.estimator)


def _give_classes(writer: Writer, model: Any, schema: Schema, rows: Rows) -> None:
    label, columns = writer.label(model, rows), None
    if schema.probabilities:
        columns = writer.probabilities(model, rows)
    elif schema.scores:
        scores = writer.scores(model, rows)
        columns = writer.sides(scores) if len(schema.classes) == 2 else scores
    # What is given gets another name, and another output may be the same result.
    label = writer.graph.add("Identity", label)
    columns = None if columns is None else writer.graph.add("Identity", columns)
    writer.graph.give_classes(label, columns, schema.classes)
