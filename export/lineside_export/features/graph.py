"""Teach skl2onnx to write a WindowFeatures."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from sklearn.preprocessing import StandardScaler

from lineside_export.features.by_onnx import OnnxArithmetic, Symbol
from lineside_export.features.formulas import compute
from lineside_export.features.transformer import WindowFeatures
from lineside_export.trees.inside import parts


def register() -> None:
    """Let skl2onnx convert WindowFeatures, wherever in a pipeline it stands. May be called again."""
    update_registered_converter(WindowFeatures, "LinesideWindowFeatures", _shape, _convert)


def options(model: Any) -> dict[int, dict[str, Any]]:
    """Return skl2onnx's options for the scalers that stand right behind a WindowFeatures, by their id.

    scikit-learn scales its float32 as these nodes do, to the last bit. Left to itself skl2onnx multiplies by a
    reciprocal: close, but now and then on the other side of a tree's threshold.
    """
    found: dict[int, dict[str, Any]] = {}
    for part in parts(model):
        steps = [step for _, step in getattr(part, "steps", [])]
        for before, step in pairwise(steps):
            if isinstance(before, WindowFeatures) and isinstance(step, StandardScaler):
                found[id(step)] = {"div": "div"}
    return found


def _shape(operator: Any) -> None:
    columns = len(operator.raw_operator.get_feature_names_out())
    operator.outputs[0].type = FloatTensorType([None, columns])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    names: dict[bytes, str] = {}

    def constant(value: Any) -> str:
        tensor = numpy_helper.from_array(np.asarray(value))
        key = tensor.SerializeToString()
        if key not in names:
            names[key] = scope.get_unique_variable_name("window_constant")
            container.add_initializer(
                names[key], tensor.data_type, list(tensor.dims), np.ravel(value).tolist()
            )
        return names[key]

    def write(kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or scope.get_unique_variable_name(f"window_{kind.lower()}")
        name = scope.get_unique_operator_name(f"Window{kind}")
        container.add_node(
            kind, list(inputs), [output], op_version=container.target_opset, name=name, **attributes
        )
        return output

    plan = operator.raw_operator.plan()
    ops = OnnxArithmetic(write, constant)
    shape = constant(np.array([-1, plan.length, len(plan.channels)], np.int64))
    rows = write("Reshape", operator.inputs[0].full_name, shape)
    readings = ops.node("Cast", Symbol(write("Transpose", rows, perm=[0, 2, 1]), ops), to=TensorProto.DOUBLE)
    found = write("Cast", compute(ops, readings, plan).name, to=TensorProto.FLOAT)
    columns = constant(np.array([-1, len(operator.raw_operator.get_feature_names_out())], np.int64))
    write("Reshape", found, columns, output=operator.outputs[0].full_name)
