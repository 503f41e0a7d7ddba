"""What a benchmark finds: a table, and whether it is what was aimed at."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TypeAlias

from msgspec import Struct

Cell: TypeAlias = str | int | float


class Target(Struct, frozen=True, kw_only=True):
    """What was aimed at, what was found, and whether that is good enough."""

    aim: str
    found: str
    met: bool


class Plot(Struct, frozen=True, kw_only=True):
    """What a picture shows: a bar for each of `bars`, or a line through the points (x, y) of each of `lines`."""

    name: str
    title: str
    unit: str
    x_name: str = ""
    bars: dict[str, float] = {}
    lines: dict[str, list[tuple[float, float]]] = {}


class Table(Struct, frozen=True, kw_only=True):
    """One benchmark's findings; `samples` are the single measurements behind the rows, by the row's name."""

    title: str
    how: str
    columns: list[str]
    rows: list[list[Cell]]
    targets: list[Target] = []
    samples: dict[str, list[float]] = {}
    plots: list[Plot] = []


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return median(values)
