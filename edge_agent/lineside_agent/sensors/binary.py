"""Numbers as the registers of devices hold them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

Order: TypeAlias = Literal["big", "little"]


class NumberType(NamedTuple):
    """How many bytes a number takes, and what they mean, most significant first."""

    size: int
    read: Callable[[bytes], float]


def _integer(size: int, signed: bool) -> NumberType:
    return NumberType(size, lambda data: int.from_bytes(data, "big", signed=signed))


NUMBERS = {
    **{f"int{8 * size}": _integer(size, True) for size in (1, 2, 3, 4, 8)},
    **{f"uint{8 * size}": _integer(size, False) for size in (1, 2, 3, 4, 8)},
    "float32": NumberType(4, lambda data: float(struct.unpack(">f", data)[0])),
    "float64": NumberType(8, lambda data: float(struct.unpack(">d", data)[0])),
}
