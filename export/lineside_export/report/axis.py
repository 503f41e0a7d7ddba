"""From numbers to places in a drawing, and the round numbers to write beside an axis."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import NamedTuple

_STEPS = (1, 2, 5)


class Axis(NamedTuple):
    """Maps `low` to `start` and `high` to `end`, in pixels; evenly, or by powers of ten."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return where a value lies."""
        low, high, here = self.low, self.high, value
        if self.logarithmic:
            low, high, here = log10(low), log10(high), log10(value)
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round numbers between the ends."""
        if self.logarithmic:
            powers = _thinned(_powers(self.low, self.high), most)
            return powers if len(powers) > 2 else _even(self.low, self.high, most)
        return _even(self.low, self.high, most)


def logarithmic(values: Sequence[float], start: float, end: float) -> Axis:
    """Return an axis that holds positive values with some room around them."""
    low, high = min(values), max(values)
    room = max((high / low) ** 0.08, 1.25)
    return Axis(low / room, high * room, start, end, True)


def linear(values: Sequence[float], start: float, end: float) -> Axis:
    """Return an axis that holds values with some room around them."""
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low - room, high + room, start, end)


def _powers(low: float, high: float) -> list[float]:
    found = [
        step * 10.0**power for power in range(floor(log10(low)), ceil(log10(high)) + 1) for step in _STEPS
    ]
    return [each for each in found if low <= each <= high]


def _thinned(ticks: list[float], most: int) -> list[float]:
    tens = [tick for tick in ticks if f"{tick:e}".startswith("1.000000e")]
    if len(ticks) > most and len(tens) > 1:
        ticks = tens
    return ticks[:: ceil(len(ticks) / most)] if ticks else []


def _even(low: float, high: float, most: int) -> list[float]:
    size = 10.0 ** floor(log10((high - low) / most))
    step = next(size * by for by in (1, 2, 5, 10, 20) if (high - low) / (size * by) <= most)
    first, last = ceil(low / step), floor(high / step)
    return [index * step for index in range(first, last + 1)]
