"""Teach skl2onnx what it does not know: the table, and how Lineside's graphs become skl2onnx's nodes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from skl2onnx import update_registered_converter, update_registered_parser
from skl2onnx._supported_operators import _get_sklearn_operator_name
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.preprocessing import FunctionTransformer

from lineside_export.columns import lookup
from lineside_export.columns.lookup import LookUp
from lineside_export.convert.additions import functions, transforming
from lineside_export.convert.additions.transforming import Transforming
from lineside_export.rewrites.front import fold
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.write import FAMILIES, Family
from lineside_export.schema import Schema, describe
from lineside_export.unwritable import Unwritable

# By the file in this folder that writes them, transformers by scikit-learn's module. A file's
# `write(step, graph, source)` returns the name of the result, float32 (n, columns), and raises Unwritable,
# with the reason, for parameters that it does not know.
_TRANSFORMERS: dict[str, dict[str, tuple[str, ...]]] = {
    "products": {
        "cluster": ("FeatureAgglomeration",),
        "cross_decomposition": ("PLSSVD",),
        "decomposition": ("FactorAnalysis", "FastICA", "SparsePCA", "MiniBatchSparsePCA"),
        "random_projection": ("SparseRandomProjection",),
        "neural_network": ("BernoulliRBM",),
        "preprocessing": ("Normalizer",),
    },
    "bins": {"preprocessing": ("KBinsDiscretizer",)},
    "categories": {"preprocessing": ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")},
    "codes": {"decomposition": ("DictionaryLearning", "MiniBatchDictionaryLearning", "SparseCoder")},
    "kernels": {"decomposition": ("KernelPCA",), "kernel_approximation": ("Nystroem",)},
    "leaves": {"ensemble": ("RandomTreesEmbedding",)},
    "manifolds": {"manifold": ("Isomap", "LocallyLinearEmbedding")},
    "missing": {"impute": ("MissingIndicator", "SimpleImputer")},
    "missing_neighbours": {"impute": ("KNNImputer",)},
    "neighbours": {"neighbors": ("RadiusNeighborsTransformer",)},
    "powers": {"preprocessing": ("PowerTransformer",)},
    "quantiles": {"preprocessing": ("QuantileTransformer",)},
    "selection": {
        "feature_selection": (
            *("GenericUnivariateSelect", "SelectFdr", "SelectFpr", "SelectFromModel", "SelectFwe"),
            *("SelectKBest", "SelectPercentile", "SequentialFeatureSelector", "VarianceThreshold"),
        ),
    },
    "splines": {"preprocessing": ("SplineTransformer",)},
    "waves": {
        "kernel_approximation": (
            *("AdditiveChi2Sampler", "PolynomialCountSketch", "RBFSampler", "SkewedChi2Sampler"),
        ),
    },
}
# What skl2onnx writes well, but does not say how many columns it has.
_SHAPED = {
    "decomposition": ("IncrementalPCA", "PCA", "TruncatedSVD"),
    "preprocessing": ("MaxAbsScaler", "MinMaxScaler", "RobustScaler", "StandardScaler"),
}
# What no graph of bounded work computes, and why: better said than that there is no converter.
_TOGETHER = "solves for all rows of a call together until they converge: a row has no answer of its own"
_REFUSED = {
    "decomposition": {
        "LatentDirichletAllocation": "iterates for each row until it converges",
        "MiniBatchNMF": _TOGETHER,
        "NMF": _TOGETHER,
    },
}
# The ai.onnx.ml of what else skl2onnx writes.
_TREES = 3
# Models that predict, written by lineside_export.rewrites.
_MODELS: dict[str, tuple[str, ...]] = {
    "cluster": ("AffinityPropagation", "Birch", "BisectingKMeans", "MeanShift"),
    "covariance": ("EllipticEnvelope",),
    "cross_decomposition": ("CCA", "PLSCanonical"),
    "dummy": ("DummyClassifier", "DummyRegressor"),
    "gaussian_process": ("GaussianProcessClassifier",),
    "isotonic": ("IsotonicRegression",),
    "kernel_ridge": ("KernelRidge",),
    "neighbors": ("NearestCentroid", "RadiusNeighborsClassifier", "RadiusNeighborsRegressor"),
    "semi_supervised": ("LabelPropagation", "LabelSpreading"),
}


def register() -> None:
    """Let skl2onnx convert them. May be called again."""
    for file, modules in _TRANSFORMERS.items():
        write = importlib.import_module(f"lineside_export.convert.additions.{file}").write
        for kind in _classes(modules):
            update_registered_converter(
                kind, _alias(kind), _columns, _transformer(write), parser=_parse_transformer
            )
    update_registered_converter(
        Transforming,
        _alias(Transforming),
        _columns,
        _transformer(transforming.write),
        parser=_parse_transformer,
    )
    for kind in _classes(_SHAPED):
        update_registered_parser(kind, _parse_transformer)
    for module, reasons in _REFUSED.items():
        for name, reason in reasons.items():
            (kind,) = _classes({module: (name,)})
            refuse = _refusal(f"{name} {reason}")
            update_registered_converter(kind, _alias(kind), refuse, _never)
    for kind in _classes(_MODELS):
        update_registered_converter(kind, _alias(kind), _answers, _model, parser=_parse)
    update_registered_converter(LookUp, _alias(LookUp), _columns, _transformer(lookup.write))
    update_registered_converter(
        FunctionTransformer, _alias(FunctionTransformer), _as_many, _transformer(functions.write)
    )


def _classes(modules: dict[str, tuple[str, ...]]) -> list[type]:
    found = []
    for module, names in modules.items():
        there = importlib.import_module(f"sklearn.{module}")
        found += [getattr(there, name) for name in names]
    return found


def _alias(kind: type) -> str:
    return f"Lineside{kind.__name__}"


def _refusal(reason: str) -> Callable[[Any], None]:
    def refuse(_operator: Any) -> None:
        raise Unwritable(reason)

    return refuse


def _never(scope: Any, operator: Any, container: Any) -> None:
    """Convert what was refused before."""


def _as_many(operator: Any) -> None:
    operator.outputs[0].type = FloatTensorType([None, operator.inputs[0].type.shape[1]])


def _columns(operator: Any) -> None:
    columns = _width(operator.raw_operator)
    operator.outputs[0].type = FloatTensorType([None, columns])


def _width(step: Any) -> int:
    if hasattr(step, "get_support"):
        return int(step.get_support().sum())
    return len(step.get_feature_names_out())


def _transformer(write: Callable[[Any, Graph, str], str]) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        graph = _graph(scope)
        found = write(operator.raw_operator, graph, operator.inputs[0].full_name)
        graph.rename(found, operator.outputs[0].full_name)
        _hand_over(graph, container)

    return convert


def _parse_transformer(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare one output: skl2onnx declares two for what is a clustering as well."""
    del custom_parsers
    operator = scope.declare_local_operator(_get_sklearn_operator_name(type(model)), model)
    operator.inputs = inputs
    # A ColumnTransformer behind it must know how many columns it has to choose from.
    shape = [None, _width(model)]
    operator.outputs.append(scope.declare_local_variable("variable", FloatTensorType(shape)))
    return operator.outputs


def _parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Declare the outputs that the model has: skl2onnx declares probabilities where there are none."""
    del custom_parsers
    operator = scope.declare_local_operator(_alias(type(model)), model)
    operator.inputs = inputs
    schema = describe(model)
    names = ["variable"] if schema.task == "regression" else ["label"]
    if schema.probabilities:
        names.append("probabilities")
    elif schema.scores:
        names.append("scores")
    for name in names:
        operator.outputs.append(scope.declare_local_variable(name, FloatTensorType()))
    return operator.outputs


def _answers(operator: Any) -> None:
    schema = describe(operator.raw_operator)
    for output in operator.outputs:
        output.type = FloatTensorType([None, None])
    if schema.task != "regression":
        text = bool(schema.classes) and isinstance(schema.classes[0], str)
        operator.outputs[0].type = StringTensorType([None]) if text else Int64TensorType([None])


def _model(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    schema = _with_features(describe(model), operator.inputs[0])
    family: Family = importlib.import_module(f"lineside_export.rewrites.{FAMILIES[type(model).__name__]}")
    graph, source = _graph(scope), "lineside_rows"  # a name that no output of the graph has
    if not family.write(model, fold([], schema.features or 1)[1], graph, source, schema):
        raise Unwritable(f"this {type(model).__name__} has parameters that Lineside does not write")
    for own, output in zip([each.name for each in graph.proto.output], operator.outputs, strict=True):
        graph.rename(own, output.full_name)
    graph.rename(source, operator.inputs[0].full_name)
    _hand_over(graph, container)


def _with_features(schema: Schema, rows: Any) -> Schema:
    return schema._replace(features=schema.features or rows.type.shape[1])


def _graph(scope: Any) -> Graph:
    return Graph(scope.get_unique_variable_name("lineside") + "_")


def _hand_over(graph: Graph, container: Any) -> None:
    for tensor in graph.proto.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type == onnx.TensorProto.STRING:
            values = np.array([each.decode() if isinstance(each, bytes) else each for each in values.ravel()])
        container.add_initializer(tensor.name, tensor.data_type, list(tensor.dims), values.ravel().tolist())
    for node in graph.proto.node:
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        container.add_node(
            node.op_type,
            list(node.input),
            list(node.output),
            op_domain=node.domain,
            op_version=_TREES if node.domain else container.target_opset,
            name=node.name,
            **attributes,
        )
