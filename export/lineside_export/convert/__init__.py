"""The converters, one file a framework, and the table that names them."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime

from lineside_contract.errors import BundleError, InputError
from lineside_export.schema import Described, Schema

# The graph's one input: float32, shape (n, features).
INPUT = "input"
# By the top package of the model's class, or "network". A new framework is one file and one line.
CONVERTERS = {
    "network": "lineside_export.convert.network",
    "sklearn": "lineside_export.convert.sklearn",
}


class Converter(Protocol):
    """A module that writes one framework's models as ONNX graphs."""

    def convert(self, model: Any, schema: Schema) -> onnx.ModelProto:
        """Return a graph that takes INPUT.

        Its outputs, in order: a regressor's values; otherwise the label, then the probabilities if
        `schema.probabilities`, else the scores if the graph has them. Raises InputError for a model that
        it cannot write.
        """


def convert(model: Any, schema: Schema) -> onnx.ModelProto:
    """Write a model as an ONNX graph that onnxruntime loads. Raises InputError."""
    framework = "network" if isinstance(model, Described) else type(model).__module__.partition(".")[0]
    converter: Converter = importlib.import_module(CONVERTERS.get(framework, CONVERTERS["sklearn"]))
    graph = converter.convert(model, schema)
    _state_shapes(graph, schema)
    return graph


def _state_shapes(graph: onnx.ModelProto, schema: Schema) -> None:
    """Write the outputs' true shapes into the graph: a wrong one makes onnxruntime complain on every device."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
        answers = session.run(None, {INPUT: np.zeros((3, schema.features or 1), np.float32)})
    except Exception as error:  # onnxruntime's errors share no base class
        text = str(error).strip().splitlines()[0]
        raise BundleError(
            f"The exported {schema.estimator} does not run in onnxruntime {onnxruntime.__version__}: {text}"
        ) from error
    for output, answer in zip(graph.graph.output, answers, strict=True):
        if not isinstance(answer, np.ndarray):
            raise InputError(f"The exported {schema.estimator} answers something that is not an array.")
        shape = output.type.tensor_type.shape
        del shape.dim[:]
        shape.dim.add().dim_param = "rows"
        for size in answer.shape[1:]:
            shape.dim.add().dim_value = size
