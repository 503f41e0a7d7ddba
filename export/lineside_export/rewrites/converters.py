"""Teach skl2onnx transformers that it does not know and that are a product or two, wherever they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from sklearn.decomposition import FactorAnalysis, FastICA
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.random_projection import SparseRandomProjection

from lineside_export.rewrites.front import Front, fold
from lineside_export.rewrites.graph import Graph
from lineside_export.rewrites.kernels import NAMES, Behind, Kernel


def register() -> None:
    """Let skl2onnx convert them. May be called again."""
    for kind, write in _TRANSFORMERS.items():
        update_registered_converter(kind, f"Lineside{kind.__name__}", _shape, _converter(write))


def _affine(step: Any, graph: Graph, source: str) -> str:
    kept, front = fold([step], step.n_features_in_)
    if kept:
        raise NotImplementedError(f"this {type(step).__name__} is no linear map")
    return front.write(graph, source)


def _cosines(step: Any, graph: Graph, source: str) -> str:
    waves = _none(step).product(graph, source, step.random_weights_, step.random_offset_)
    return graph.add("Mul", graph.add("Cos", waves), graph.constant(np.sqrt(2 / step.n_components)))


def _nystroem(step: Any, graph: Graph, source: str) -> str:
    if step.kernel not in NAMES or not isinstance(step.components_, np.ndarray):
        raise NotImplementedError(f"Nystroem's kernel {step.kernel} is no function of a product")
    rows = step.components_.astype(np.float64)
    gamma = 1 / rows.shape[1] if step.gamma is None else step.gamma
    degree = 3 if step.degree is None else step.degree
    kernel = Kernel(step.kernel, gamma, degree, 1 if step.coef0 is None else step.coef0)
    weights = step.normalization_.T
    found = kernel.sum(graph, source, Behind(_none(step), rows), weights, np.zeros(weights.shape[1]))
    return graph.leave(found)


def _none(step: Any) -> Front:
    return fold([], step.n_features_in_)[1]


def _shape(operator: Any) -> None:
    columns = len(operator.raw_operator.get_feature_names_out())
    operator.outputs[0].type = FloatTensorType([None, columns])


def _converter(write: Callable[[Any, Graph, str], str]) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        graph = Graph(scope.get_unique_variable_name("lineside") + "_")
        found = write(operator.raw_operator, graph, operator.inputs[0].full_name)
        graph.rename(found, operator.outputs[0].full_name)
        for tensor in graph.proto.initializer:
            values = numpy_helper.to_array(tensor)
            container.add_initializer(
                tensor.name, tensor.data_type, list(tensor.dims), values.ravel().tolist()
            )
        for node in graph.proto.node:
            attributes = {each.name: _value(each) for each in node.attribute}
            container.add_node(
                node.op_type,
                list(node.input),
                list(node.output),
                op_version=container.target_opset,
                name=node.name,
                **attributes,
            )

    return convert


def _value(attribute: Any) -> Any:
    return helper.get_attribute_value(attribute)


_TRANSFORMERS: dict[type, Callable[[Any, Graph, str], str]] = {
    FactorAnalysis: _affine,
    FastICA: _affine,
    SparseRandomProjection: _affine,
    RBFSampler: _cosines,
    Nystroem: _nystroem,
}
