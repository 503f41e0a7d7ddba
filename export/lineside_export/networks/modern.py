"""The same network, easier to work with: any number of rows at once, a newer opset, simplified.

Each step is taken only if the network then answers as before, some rows at once as one at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper, version_converter

from lineside_contract.errors import InputError
from lineside_export.check import RELATIVE, SPREAD
from lineside_export.convert.sklearn import OPSETS
from lineside_export.networks.branches import settled
from lineside_export.networks.read import nodes

Run = Callable[[NDArray[np.float32]], list[NDArray[Any]]]

_BATCH = "rows"
# As many rows as a device hardly ever asks at once, over those of a sample.
_MANY = 20
_WHOLE_SCALES = (
    "Dynamic quantization takes one scale for all rows. Export the float32 network: it is quantized here."
)
# Constants that are worth computing beforehand make a network little larger.
_GROWTH = 1.1


class Sample(NamedTuple):
    """Rows (n, *shape), and what the original answers to each, asked one at a time."""

    rows: NDArray[np.float32]
    expected: list[NDArray[Any]]


class Modern(NamedTuple):
    """A network that takes any number of rows, and what could not be done to it."""

    model: onnx.ModelProto
    notes: list[str]


def sample(run: Run, shape: Sequence[int]) -> Sample:
    """Let the original answer a few rows of noise, one at a time."""
    rows = np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32)
    answers = [run(rows[at : at + 1]) for at in range(len(rows))]
    return Sample(rows, [np.concatenate(column) for column in zip(*answers, strict=True)])


def modern(model: onnx.ModelProto, shape: Sequence[int], tried: Sample) -> Modern:
    """Take every step that leaves the answers as they are. Raises InputError if several rows at once do not go."""
    freed = next((each for each in _freed(model, shape) if not _difference(each, tried)), None)
    if freed is None:
        raise InputError(
            "The network does not answer several rows at once as it answers them one at a time: "
            f"{_difference(_freed(model, shape)[-1], tried)}.",
            hint=_WHOLE_SCALES
            if is_quantized(model)
            else "Export it in evaluation mode, with a first axis of any size (dynamic_axes or dynamic_shapes).",
        )
    if is_quantized(freed):  # what its integers are is the work of the one who chose them
        return Modern(freed, [])
    raised, note = _raised(freed, tried)
    simple = _simplified(raised, tried)
    return Modern(_simplified(_settled(simple, tried), tried), [note] if note else [])


def is_quantized(model: onnx.ModelProto) -> bool:
    """Tell whether a network computes with integers, or with packed ones, already."""
    names = {node.op_type for node in nodes(model.graph)}
    known = ("QuantizeLinear", "DequantizeLinear", "ConvInteger", "MatMulInteger", "MatMulNBits")
    return any(
        name in known or name.startswith(("QLinear", "DynamicQuantize", "QAttention")) for name in names
    )


def session(model: onnx.ModelProto, level: Any) -> onnxruntime.InferenceSession:
    """Return a session on one thread that complains about nothing. Raises what onnxruntime does."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _freed(model: onnx.ModelProto, shape: Sequence[int]) -> list[onnx.ModelProto]:
    """Return the network with a first axis of any size; and so that its Reshapes keep that axis, too."""
    free = onnx.ModelProto()
    free.CopyFrom(model)
    given = free.graph.input[0]
    given.CopyFrom(
        helper.make_tensor_value_info(given.name, given.type.tensor_type.elem_type, [_BATCH, *shape])
    )
    for output in free.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    del free.graph.value_info[:]
    reshaped = onnx.ModelProto()
    reshaped.CopyFrom(free)
    constants = {each.name: each for each in reshaped.graph.initializer}
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    for node in reshaped.graph.node:
        size = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        sizes = [] if size is None else numpy_helper.to_array(size).tolist()
        if not batch or node.input[0] in constants or sizes[:1] != [batch]:
            continue
        kept = np.array([0, *sizes[1:]], np.int64)  # 0: as it comes in
        name = f"{node.output[0]}_any_rows"
        reshaped.graph.initializer.append(numpy_helper.from_array(kept, name))
        node.input[1] = name
        others = [each for each in node.attribute if each.name != "allowzero"]
        del node.attribute[:]
        node.attribute.extend(others)
    return [free, reshaped]


def _raised(model: onnx.ModelProto, tried: Sample) -> tuple[onnx.ModelProto, str]:
    """Return the network at the opset that Lineside works with, or as it is with a note."""
    has = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    wanted = OPSETS[""]
    if has in (0, wanted):
        return model, ""
    try:
        raised = version_converter.convert_version(model, wanted)
        reason = _difference(raised, tried)
    except Exception as error:  # the converter's errors are written in C++
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if not reason:
        return raised, ""
    note = f"The network stays at opset {has}, because bringing it to {wanted} failed: {reason}"
    if has > wanted:
        note += f". Devices with an onnxruntime older than {onnxruntime.__version__} may not load it"
    return model, f"{note.rstrip('.')}."


def _settled(model: onnx.ModelProto, tried: Sample) -> onnx.ModelProto:
    """Return the network without branches that no number of rows takes, or as it is."""
    if not any(node.op_type == "If" for node in model.graph.node):
        return model
    given = model.graph.input[0]
    rows = tried.rows.astype(helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type))

    def ask(asked: onnx.ModelProto, names: Sequence[str]) -> list[list[NDArray[Any]]]:
        shown = onnx.ModelProto()
        shown.CopyFrom(asked)
        del shown.graph.output[:]
        shown.graph.output.extend(
            helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, None) for name in dict.fromkeys(names)
        )
        loaded = session(shown, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
        pieces = (rows[:1], rows[:2], rows, np.repeat(rows, _MANY, axis=0))
        return [loaded.run(list(names), {given.name: piece}) for piece in pieces]

    try:
        found = settled(model, ask)
    except Exception:  # whatever onnxruntime raises: the network as it is will do
        return model
    return model if _difference(found, tried) else found


def _simplified(model: onnx.ModelProto, tried: Sample) -> onnx.ModelProto:
    """Return the network as onnxruntime simplifies it for every processor: constants computed, batch norms folded.

    Then weights are found where they are, and branches that are never taken are gone.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="lineside-") as folder:
            path = Path(folder) / "simple.onnx"
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.log_severity_level = 4
            options.optimized_model_filepath = str(path)
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            simple = onnx.load(path)
    except Exception:  # whatever onnxruntime raises: the network as it is will do
        return model
    _state_used_opsets(simple)
    simple.ir_version = model.ir_version
    domains = {each.domain for each in model.opset_import}
    larger = simple.ByteSize() > _GROWTH * model.ByteSize() + 1000
    if larger or {each.domain for each in simple.opset_import} - domains or _difference(simple, tried):
        return model
    return simple


def _state_used_opsets(model: onnx.ModelProto) -> None:
    used = {node.domain for node in nodes(model.graph)} | {""}
    kept = [each for each in model.opset_import if each.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _difference(model: onnx.ModelProto, tried: Sample) -> str:
    """Say how the network's answers to the sample's rows, all at once, differ from the original's, or nothing."""
    kind = helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)
    try:
        loaded = session(model, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
        found = loaded.run(None, {model.graph.input[0].name: tried.rows.astype(kind)})
    except Exception as error:  # onnxruntime's errors share no base class
        return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    for output, want, got in zip(model.graph.output, tried.expected, found, strict=True):
        if got.shape != want.shape:
            return f"its output {output.name} has the shape {got.shape} instead of {want.shape}"
        if not (_alike(want, got) if want.dtype.kind == "f" else (got == want).all()):
            return f"its output {output.name} has other values"
    return ""


def _alike(want: NDArray[Any], got: NDArray[Any]) -> bool:
    finite = want[np.isfinite(want)].astype(np.float64)
    spread = SPREAD * finite.std() if finite.size else 0.0
    return np.allclose(got, want, rtol=RELATIVE, atol=spread + 1e-6, equal_nan=True)
