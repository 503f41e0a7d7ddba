"""From a fitted estimator to the bytes of a model file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import onnx
from onnx import helper

from lineside_export.schema import Schema
from lineside_export.trees.branches import fold_steps
from lineside_export.trees.encode import DOMAIN, node
from lineside_export.trees.ensemble import Ensemble
from lineside_export.trees.extract import extract
from lineside_export.trees.inside import Split
from lineside_export.trees.links import Steps, link
from lineside_export.trees.missing import routed
from lineside_export.trees.packing import message
from lineside_export.trees.readings import readings
from lineside_export.trees.shrink import arranged, round_down, shrink

# A TreeEnsemble needs ai.onnx.ml 5 (onnx 1.16), which has IR version 10.
_OPSETS = {"": 21, DOMAIN: 5}
_IR_VERSION = 10
_GRAPH, _GRAPH_NODE = 7, 1

# Writes the steps before the trees as a graph with one output of all their columns.
Prepare: TypeAlias = Callable[[Sequence[Any]], onnx.ModelProto]


Change: TypeAlias = Callable[[Ensemble], Ensemble]


def raw_sums(ensemble: Ensemble) -> Ensemble:
    """Let the sums of a boosting's leaves be the answer, instead of a label and probabilities."""
    return ensemble._replace(link="values")


def write(
    model: Any, schema: Schema, source: str, prepare: Prepare, *, change: Change | None = None
) -> bytes | None:
    """Return a model file whose input is `source`, or None if the last step is no tree ensemble known here.

    Scalers and imputers before the trees go into their thresholds; `prepare` writes any other step. `change`
    makes other trees of the trees. Raises whatever `prepare` raises.
    """
    before, last = taken_apart(model)
    ensemble = extract(last)
    if ensemble is None or schema.features is None:
        return None
    if change is not None:
        ensemble = change(ensemble)
    folded = fold_steps(ensemble, before, schema.features)
    if folded is not None:
        return _model(folded, schema, _inputs(source, schema.features), _Seen(source, schema.features))
    graph = prepare(before).graph
    result = graph.output[0]
    if len(graph.output) != 1 or result.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        return None
    del graph.output[:]
    return _model(ensemble, schema, graph, _Seen(result.name, getattr(last, "n_features_in_", None)))


def seen_splits(model: Any, features: int) -> list[Split] | None:
    """Return where a model's trees divide its own input, or None if it has no trees that can be told of."""
    before, last = taken_apart(model)
    ensemble = extract(last)
    folded = None if ensemble is None else fold_steps(ensemble, before, features)
    if folded is None:
        return None
    nodes = folded.nodes
    there = nodes.inner & (nodes.feature < features) & np.isfinite(round_down(nodes.threshold))
    return [Split(nodes.feature[there], nodes.threshold[there])]


def taken_apart(model: Any) -> tuple[list[Any], Any]:
    """Return the steps before the last estimator, and that estimator, inside searches and frozen estimators."""
    if hasattr(model, "best_estimator_"):
        return taken_apart(model.best_estimator_)
    if type(model).__name__ == "FrozenEstimator":
        return taken_apart(model.estimator)
    if hasattr(model, "steps"):
        *before, (_, last) = model.steps
        inner, estimator = taken_apart(last)
        first = [step for _, step in before if step is not None and step != "passthrough"]
        return [*first, *inner], estimator
    return [], model


def _inputs(source: str, features: int) -> onnx.GraphProto:
    rows = helper.make_tensor_value_info(source, onnx.TensorProto.FLOAT, ["rows", features])
    return onnx.GraphProto(input=[rows])


class _Seen(NamedTuple):
    """What the trees see, by its name, and how many columns that has; None if nobody knows."""

    name: str
    columns: int | None


def _model(ensemble: Ensemble, schema: Schema, before: onnx.GraphProto, seen: _Seen) -> bytes:
    """Join the graph before the trees, the trees and the graph after: protobuf's messages join end to end."""
    before.name = schema.estimator
    steps = Steps()
    source = readings(steps, ensemble, seen.name)
    sides = sum(each.sides.shape[1] for each in ensemble.categories)
    columns = None if seen.columns is None else seen.columns + sides
    compact, source = routed(ensemble, shrink(ensemble), steps, source, columns)
    after = link(ensemble, schema)
    trees = node(ensemble, arranged(compact), source, after.sums)
    graph = [
        before.SerializeToString(),
        steps.graph.SerializeToString(),
        message(_GRAPH_NODE, trees),
        after.graph.SerializeToString(),
    ]
    imports = [helper.make_opsetid(*entry) for entry in _OPSETS.items()]
    header = onnx.ModelProto(ir_version=_IR_VERSION, producer_name="lineside", opset_import=imports)
    head: bytes = header.SerializeToString()
    return head + message(_GRAPH, b"".join(graph))
