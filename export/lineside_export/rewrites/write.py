"""From a fitted pipeline to a graph of matrix products, if its last step is of a family that has one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import onnx
from onnx import helper

from lineside_export.rewrites.front import Front, fold
from lineside_export.rewrites.graph import Graph
from lineside_export.schema import Schema
from lineside_export.trees.write import taken_apart

_OPSETS = {"": 21}
_IR_VERSION = 10

# Writes the steps that are no affine map as a graph with one output of all their columns.
Prepare: TypeAlias = Callable[[Sequence[Any]], onnx.ModelProto]


class Family(Protocol):
    """A module that writes one family of models."""

    def write(self, model: Any, front: Front, graph: Graph, source: str, schema: Schema) -> bool:
        """Write the model behind `front`, and its outputs. False, with nothing written, if it cannot."""


# By the name of the model's class. A new family is one file here, and one line for each of its models.
FAMILIES = {
    "KNeighborsClassifier": "neighbours",
    "KNeighborsRegressor": "neighbours",
    "SVC": "vectors",
    "NuSVC": "vectors",
    "SVR": "vectors",
    "NuSVR": "vectors",
    "OneClassSVM": "vectors",
    "GaussianProcessRegressor": "processes",
    "KernelRidge": "processes",
}


def write(model: Any, schema: Schema, source: str, prepare: Prepare) -> onnx.ModelProto | None:
    """Return a model file whose input is `source`, or None if there is no rewrite for the model.

    Raises whatever `prepare` raises.
    """
    before, last = taken_apart(model)
    family = FAMILIES.get(type(last).__name__)
    if family is None or schema.features is None:
        return None
    kept, front = fold(before, last.n_features_in_)
    module: Family = importlib.import_module(f"lineside_export.rewrites.{family}")
    graph = Graph()
    rows = helper.make_tensor_value_info(source, onnx.TensorProto.FLOAT, ["rows", schema.features])
    whole = onnx.ModelProto(ir_version=_IR_VERSION, producer_name="lineside")
    whole.graph.input.append(rows)
    if kept:
        whole = prepare(kept)
        (result,) = whole.graph.output
        del whole.graph.output[:]
        source = result.name
    if not module.write(last, front, graph, source, schema):
        return None
    whole.graph.MergeFrom(graph.proto)
    whole.graph.name = schema.estimator
    _state_opsets(whole)
    return whole


def _state_opsets(model: onnx.ModelProto) -> None:
    used = {node.domain for node in model.graph.node}
    stated = {entry.domain: entry.version for entry in model.opset_import if entry.domain in used} | _OPSETS
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*entry) for entry in stated.items())
