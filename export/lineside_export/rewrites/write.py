"""From a fitted pipeline to a graph of matrix products, if its last step is of a family that has one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import onnx
from onnx import helper

from lineside_export.rewrites.front import Array, Front, fold
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


# By family, the names of its models' classes. A new family is one file here, and one line.
_MODELS = {
    "neighbours": ["KNeighborsClassifier", "KNeighborsRegressor"],
    "vectors": ["SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM"],
    "processes": ["GaussianProcessRegressor", "KernelRidge"],
    "network": ["MLPClassifier", "MLPRegressor"],
    "centres": ["NearestCentroid", "EllipticEnvelope"],
    "clusters": [
        *("AffinityPropagation", "Birch", "BisectingKMeans", "KMeans", "MeanShift", "MiniBatchKMeans"),
    ],
    "isotonic": ["IsotonicRegression"],
    "laplace": ["GaussianProcessClassifier"],
    "propagation": ["LabelPropagation", "LabelSpreading"],
    "radius": ["RadiusNeighborsClassifier", "RadiusNeighborsRegressor"],
    "bayes": ["GaussianNB"],
    "constants": ["DummyClassifier", "DummyRegressor"],
    "linear": [
        *("LogisticRegression", "LogisticRegressionCV", "LinearDiscriminantAnalysis", "LinearSVC"),
        *(
            "RidgeClassifier",
            "RidgeClassifierCV",
            "Perceptron",
            "PassiveAggressiveClassifier",
            "SGDClassifier",
        ),
        *(
            "LinearRegression",
            "Ridge",
            "RidgeCV",
            "Lasso",
            "LassoCV",
            "ElasticNet",
            "ElasticNetCV",
            "LinearSVR",
        ),
        *("BayesianRidge", "ARDRegression", "HuberRegressor", "Lars", "LassoLars", "TheilSenRegressor"),
        *("OrthogonalMatchingPursuit", "SGDRegressor", "PoissonRegressor", "GammaRegressor"),
        *("PLSRegression", "PLSCanonical", "CCA"),
    ],
}
FAMILIES = {model: family for family, models in _MODELS.items() for model in models}


def write(
    model: Any,
    schema: Schema,
    source: str,
    prepare: Prepare,
    rows: Array | None = None,
    *,
    apart: bool = False,
) -> onnx.ModelProto | None:
    """Return a model file whose input is `source`, or None if there is no rewrite for the model.

    rows: typical inputs, shape (n, features): where they lie far from zero they are centred first.

    With `apart` scalers and projections stay in front of the model's own numbers: multiplied into each other the
    numbers are of such different sizes that no int8 holds them. Raises whatever `prepare` raises.
    """
    before, last = taken_apart(model)
    family = FAMILIES.get(type(last).__name__)
    if family is None or schema.features is None:
        return None
    module: Family = importlib.import_module(f"lineside_export.rewrites.{family}")
    kept, front = fold(before, getattr(last, "n_features_in_", schema.features), rows)
    whole = _prepared(kept, prepare) if kept else _begin(source, schema.features)
    if kept:
        source = whole.graph.output.pop().name
    graph = Graph()
    if apart:
        source, front = front.write(graph, source), Front.none(len(front.offset))
    if not module.write(last, front, graph, source, schema):
        return None
    whole.graph.MergeFrom(graph.proto)
    whole.graph.name = schema.estimator
    _state_opsets(whole)
    return whole


def _begin(source: str, features: int) -> onnx.ModelProto:
    rows = helper.make_tensor_value_info(source, onnx.TensorProto.FLOAT, ["rows", features])
    graph = onnx.GraphProto(input=[rows])
    return onnx.ModelProto(ir_version=_IR_VERSION, producer_name="lineside", graph=graph)


def _prepared(steps: Sequence[Any], prepare: Prepare) -> onnx.ModelProto:
    model = prepare(steps)
    model.ir_version = _IR_VERSION
    return model


def _state_opsets(model: onnx.ModelProto) -> None:
    used = {node.domain for node in model.graph.node}
    stated = {entry.domain: entry.version for entry in model.opset_import if entry.domain in used} | _OPSETS
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*entry) for entry in stated.items())
