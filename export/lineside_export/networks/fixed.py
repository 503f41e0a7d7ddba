"""Inputs of a network that a device has no readings for, such as states and settings, made constants of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lineside_contract.errors import InputError, nearest

# Values of one constant: 64 MB. The file is not to decide how much memory is taken.
_MOST_VALUES = 1 << 24


def fix(model: onnx.ModelProto, constants: Sequence[tuple[str, float]]) -> onnx.ModelProto:
    """Fill inputs of a model, named once each, with a number; a size that is left open is that of the rows.

    The model is changed and returned. Raises InputError if there is no such input, or if it does not hold the number.
    """
    stored = {each.name for each in model.graph.initializer}
    given = {each.name: each for each in model.graph.input if each.name not in stored}
    for name, value in constants:
        if name not in given:
            hint = nearest(name, given) or f"It has: {', '.join(given) or 'none'}."
            raise InputError(f"The network has no input {name!r} to make a constant of.", hint=hint)
        entry = given.pop(name)
        model.graph.input.remove(entry)
        if not given:
            raise InputError(
                "No input is left that takes the readings.",
                hint="Leave it out of --constant: the readings fill it.",
            )
        _fill(model, entry, value)
    return model


def _fill(model: onnx.ModelProto, entry: onnx.ValueInfoProto, value: float) -> None:
    kind = entry.type.tensor_type
    sizes = [size.dim_value if size.dim_value > 0 else None for size in kind.shape.dim]
    number = _number(entry, value)
    known = [size or 1 for size in sizes]
    _check_size(entry.name, known)
    if None not in sizes:
        model.graph.initializer.append(numpy_helper.from_array(np.full(known, number), entry.name))
        return
    readings = next(each.name for each in model.graph.input if each.name not in _stored(model))
    made = f"{entry.name}_filled"
    parts = [made + "_rows" if size is None else f"{made}_{at}" for at, size in enumerate(sizes)]
    tensors = {part: np.array([size], np.int64) for part, size in zip(parts, sizes, strict=True) if size}
    tensors[f"{made}_first"] = np.array([0], np.int64)
    tensors[f"{made}_number"] = np.array([number])
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in tensors.items())
    nodes = [
        helper.make_node("Shape", [readings], [f"{made}_shape"]),
        helper.make_node("Gather", [f"{made}_shape", f"{made}_first"], [f"{made}_rows"], axis=0),
        helper.make_node("Concat", parts, [f"{made}_sizes"], axis=0),
        helper.make_node("Expand", [f"{made}_number", f"{made}_sizes"], [entry.name]),
    ]
    for at, node in enumerate(nodes):
        model.graph.node.insert(at, node)


def _stored(model: onnx.ModelProto) -> set[str]:
    return {each.name for each in model.graph.initializer}


def _number(entry: onnx.ValueInfoProto, value: float) -> Any:
    kind = entry.type.tensor_type.elem_type
    if kind in (TensorProto.UNDEFINED, TensorProto.STRING):
        raise InputError(
            f"The network's input {entry.name} holds no numbers.", hint="Export the network without it."
        )
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    with np.errstate(all="ignore"):
        number = dtype.type(value)
    exact = float(number) == value if dtype.kind in "iub" else np.isfinite(number)
    if not exact:
        raise InputError(
            f"The network's input {entry.name} is {dtype}, which {value:g} is not.",
            hint="Give --constant another number.",
        )
    return number


def _check_size(name: str, sizes: Sequence[int]) -> None:
    count = prod(sizes)
    if count > _MOST_VALUES:
        raise InputError(
            f"The network's input {name} has {count} values, too many for a constant: at most {_MOST_VALUES}.",
            hint="Export the network without it.",
        )
