"""The few pieces of the protobuf wire format that a TreeEnsemble node is made of.

onnx's own classes write lists of integers one tag a number, and turn them back into that when they save a file
again: packed lists, which every reader of protobuf takes, are half the bytes
(protobuf.dev/programming-guides/encoding, "Packed Repeated Fields"; field numbers from onnx.proto).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

_LENGTH_DELIMITED = 2
_ATTRIBUTE = {"name": 1, "i": 3, "t": 5, "ints": 8, "type": 20}


def varints(values: NDArray[Any]) -> bytes:
    """Return non-negative integers of any shape as varints: seven bits a byte, the lowest first."""
    left = np.ascontiguousarray(values).ravel().astype(np.uint64)
    lengths = np.ones(len(left), np.int64)
    while (more := left >> np.uint64(7) * lengths.max(initial=1).astype(np.uint64)).any():
        lengths += more > 0
    # A value's length is one more than the number of times that seven bits were not enough for it.
    starts = np.cumsum(lengths) - lengths
    found = np.zeros(int(lengths.sum()), np.uint8)
    for place in range(int(lengths.max(initial=0))):
        there = np.flatnonzero(lengths > place)
        low = (left[there] >> np.uint64(7 * place)).astype(np.uint8) & np.uint8(0x7F)
        found[starts[there] + place] = low | ((lengths[there] > place + 1).astype(np.uint8) << 7)
    return found.tobytes()


def message(field: int, content: bytes) -> bytes:
    """Return a length-delimited field: a message, a string or a packed list."""
    header = np.array([field << 3 | _LENGTH_DELIMITED])
    return varints(header) + varints(np.array([len(content)])) + content


def integer(field: int, value: int) -> bytes:
    """Return a field that holds one non-negative integer."""
    return varints(np.array([field << 3, value]))


def attribute(name: str, value: int | NDArray[Any]) -> bytes:
    """Return an AttributeProto: an integer, a packed list (an integer array) or a tensor (float32 or uint8)."""
    if isinstance(value, int):
        kind, content = onnx.AttributeProto.INT, integer(_ATTRIBUTE["i"], value)
    elif value.dtype in (np.float32, np.uint8):
        tensor = onnx.numpy_helper.from_array(value).SerializeToString()
        kind, content = onnx.AttributeProto.TENSOR, message(_ATTRIBUTE["t"], tensor)
    else:
        kind, content = onnx.AttributeProto.INTS, message(_ATTRIBUTE["ints"], varints(value))
    return message(_ATTRIBUTE["name"], name.encode()) + content + integer(_ATTRIBUTE["type"], kind)
