"""Times as files write them: ISO 8601, or a number since the Unix epoch in s, ms, us or ns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# Returns nanoseconds since the Unix epoch, UTC. Raises ValueError.
Reader: TypeAlias = Callable[[str], int]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# A number below the limit is in the unit, for any date from 1973 to 5138.
_UNITS_NS = ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1000))
_FURTHEST_NS = 2**63


def reader_for(example: str) -> Reader:
    """Return what reads times written like the example. Raises ValueError if it is no time.

    The unit of a number is judged by its size, once, so that one recording keeps one unit.
    """
    unit = unit_of(example)
    if unit is None:
        iso_ns(example)
        return iso_ns
    return lambda text: _epoch_ns(text, unit)


def unit_of(example: str) -> int | None:
    """Return the unit, in ns, of times written as a number like the example; None if it is no number."""
    try:
        number = abs(float(example))
    except ValueError:
        return None
    return next((unit for limit, unit in _UNITS_NS if number < limit), 1)


def scaled(numbers: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """Return times of a unit, shape (n,), in ns. Raises ValueError, as the readers do."""
    if not -_FURTHEST_NS // unit < numbers.min() <= numbers.max() < _FURTHEST_NS // unit:
        raise ValueError("the time is out of range")
    return numbers * unit


def iso_ns(text: str) -> int:
    """Read an ISO 8601 time, kept to the microsecond; without a zone it is UTC. Raises ValueError."""
    time = datetime.fromisoformat(text.strip())
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - _EPOCH) // _MICROSECOND * 1000


def _epoch_ns(text: str, unit: int) -> int:
    # Exact, where a double would not hold today's nanoseconds.
    number: int | Decimal
    try:
        number = int(text) if text.isdecimal() else Decimal(text.strip())
        near = -_FURTHEST_NS // unit < number < _FURTHEST_NS // unit
    except InvalidOperation as error:  # no number, or NaN, which is not less than anything
        raise ValueError("it is no number") from error
    if not near:
        raise ValueError("the time is out of range")
    return int(number * unit)
