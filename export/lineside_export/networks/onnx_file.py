"""ONNX files from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from lineside_contract.errors import InputError
from lineside_export.networks.meaning import Meaning
from lineside_export.networks.modern import is_quantized, session
from lineside_export.networks.network import Network, Source
from lineside_export.networks.read import read
from lineside_export.networks.wide import is_narrow, widened

_ORIGINAL = (
    "The original that every version is held against is the file itself, run by onnxruntime unoptimised."
)
_WIDENED = (
    "The file computes in float16, which onnxruntime does quickly on few processors: the original that every version "
    "is held against is the same network, with the same weights, in float32."
)


def open_network(path: Path, meaning: Meaning, length: int, *, trusted: bool = False) -> Network:
    """Read an ONNX file as a network for windows of `length` readings. Raises InputError.

    The original that it is held against is the file itself, run by onnxruntime without any optimisation: nothing
    better exists.
    """
    del trusted  # an ONNX file holds no code
    model = _without_zipmap(read(path, meaning.constants))
    level = onnxruntime.GraphOptimizationLevel
    plain = Runner(model, level.ORT_DISABLE_ALL)
    if not is_quantized(model):
        if is_narrow(model):
            wide = widened(model)
            return Network(
                Source(wide, Runner(wide, level.ORT_DISABLE_ALL), "ONNX", [_WIDENED]), meaning, length
            )
        return Network(Source(model, plain, "ONNX", [_ORIGINAL]), meaning, length)
    # Unoptimised, onnxruntime runs it in float32: the same but for roundings of a whole step.
    return Network(Source(model, Runner(model, level.ORT_ENABLE_ALL), "ONNX", [], plain), meaning, length)


class Runner:
    """An ONNX model as it stands, run for any number of rows: as many at a time as it takes."""

    def __init__(self, model: onnx.ModelProto, level: Any) -> None:
        """Load a model, at an optimisation level of onnxruntime. Raises InputError if onnxruntime does not."""
        try:
            self._session = session(model, level)
        except Exception as error:  # onnxruntime's errors share no base class
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                f"onnxruntime {onnxruntime.__version__} cannot load the network: {text.rstrip('.')}.",
                hint="A device runs what onnxruntime runs: export it with operators of ONNX itself.",
            ) from error
        kind = model.graph.input[0].type.tensor_type
        self._name = model.graph.input[0].name
        self._dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        self._batch = max(0, kind.shape.dim[0].dim_value) if kind.shape.dim else 0  # some write -1 for any

    def __call__(self, rows: NDArray[np.float32]) -> list[NDArray[Any]]:
        """Return the outputs for rows (n, ...). Raises InputError if the network refuses them."""
        rows = rows.astype(self._dtype)
        step = self._batch or len(rows)
        found = []
        try:
            for at in range(0, len(rows), step):
                piece = rows[at : at + step]
                padded = np.resize(piece, (step, *piece.shape[1:]))
                answers = self._session.run(None, {self._name: padded})
                asked = slice(len(piece)) if len(piece) < step else slice(None)
                found.append([np.atleast_1d(each)[asked] for each in answers])
        except Exception as error:
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            text = text.rpartition("Status Message: ")[2]  # of the innermost node
            raise InputError(
                f"The network does not run on its own: {text.rstrip('.')}.",
                hint="Do --window, --input-shape and --constant say what it was trained with? Else export it again.",
            ) from error
        return [np.concatenate(column) for column in zip(*found, strict=True)]


def _without_zipmap(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the probabilities that a ZipMap makes dictionaries of; it knows the labels that belong to them."""
    for node in list(model.graph.node):
        if node.op_type != "ZipMap":
            continue
        for output in model.graph.output:
            if output.name == node.output[0]:
                output.CopyFrom(helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, None))
        model.graph.node.remove(node)
    return model
