"""Read an ONNX file from anywhere, and check that it is one that can be worked with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.external_data_helper import load_external_data_for_model
from onnx.inliner import inline_local_functions

from lineside_contract.errors import InputError
from lineside_export.networks.fixed import fix
from lineside_export.networks.naming import ordered

# What every onnxruntime from 1.22 reads.
_NEWEST_IR = 10
_REAL = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64", TensorProto.FLOAT16: "float16"}


def read(path: Path, constants: Sequence[tuple[str, float]] = ()) -> onnx.ModelProto:
    """Return the network in a file, whole: weights from files beside it, functions written out, no ZipMap.

    constants: what fills inputs that take no readings, by name. Its own constants are initializers.

    Raises InputError if the file is no ONNX model, is damaged, or does not take one array of real numbers.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise InputError(f"The model {path} cannot be read: {error.strerror}.") from error
    except Exception as error:  # protobuf's own, which has no types
        raise InputError(f"{path} is not an ONNX model, or is damaged.", hint="Export it again.") from error
    _load_weights(model, path)
    try:
        model = inline_local_functions(_checked(model))
    except Exception as error:  # the checker's errors are many, and written in C++
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path} is not a valid ONNX model: {text.rstrip('.')}.",
            hint="Export it again with the newest version of what made it.",
        ) from error
    return whole(fix(model, constants))


def whole(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make a checked model's constants initializers, and check that it takes one array of real numbers.

    Raises InputError.
    """
    model.ir_version = min(model.ir_version, _NEWEST_IR)
    _constants_to_initializers(model.graph)
    stored = {each.name for each in model.graph.initializer}
    given = [each for each in model.graph.input if each.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(given)
    names = ", ".join(each.name for each in given)
    if len(given) != 1:
        raise InputError(
            f"The network takes {len(given)} inputs ({names or 'none'}); a device gives it one, the readings.",
            hint=_other_inputs(given),
        )
    kind = given[0].type.tensor_type.elem_type
    if kind not in _REAL:
        shown = TensorProto.DataType.Name(kind).lower() if kind else "no tensor"
        raise InputError(
            f"The network's input {names} is {shown}; readings are real numbers.",
            hint="Export it with a float32 input, and let the network convert it.",
        )
    return model


def _other_inputs(given: Sequence[onnx.ValueInfoProto]) -> str:
    if not given:
        return "Export it with its input."
    options = " ".join(f"--constant {each.name}=NUMBER" for each in given[1:])
    return (
        f"Fill the others, if numbers are all they need: {options}. A state then starts anew in each window."
    )


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield every node of a graph, also those in branches and loops."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that is valid, once its nodes are in order. Raises what the checker and graphlib do.

    onnxruntime loads nodes in any order, and its own converter to float16 leaves them so.
    """
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError:
        nodes = ordered(model.graph)
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        onnx.checker.check_model(model)
    return model


def _load_weights(model: onnx.ModelProto, path: Path) -> None:
    """Read the weights that lie in files of their own; onnx itself refuses places outside the model's folder."""
    try:
        load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # OSError, ValidationError
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"The weights of {path} lie in another file, which cannot be read: {text.rstrip('.')}.",
            hint="Keep that file beside the model, or save the model in one file.",
        ) from error


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    """Exporters write weights as Constant nodes, where nothing that stores weights in fewer bits looks for them."""
    kept = []
    for node in graph.node:
        tensor = _constant(node)
        if tensor is None:
            kept.append(node)
        else:
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
    del graph.node[:]
    graph.node.extend(kept)


def _constant(node: onnx.NodeProto) -> TensorProto | None:
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx") or len(node.attribute) != 1:
        return None
    value = onnx.helper.get_attribute_value(node.attribute[0])
    if isinstance(value, TensorProto):
        copy = TensorProto()
        copy.CopyFrom(value)
        return copy
    # Only numbers, alone or in a row: text has no array of its own here.
    kinds = {"value_float": "float32", "value_floats": "float32", "value_int": "int64", "value_ints": "int64"}
    kind = kinds.get(node.attribute[0].name)
    return None if kind is None else numpy_helper.from_array(np.array(value, kind))
