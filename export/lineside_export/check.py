"""Hold an exported model's answers against scikit-learn's, row by row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineside_agent.model import Answers
from lineside_contract.manifest import Task
from lineside_export.margins import tied
from lineside_export.thresholds import Threshold

# How far float32 may lie from scikit-learn's float64: a probability by this much; a score or a value by this
# share of its spread (standard deviation over the rows) and this share of itself.
PROBABILITY = 1e-3
SPREAD = 1e-3
RELATIVE = 1e-5
STATED = (
    f"labels equal except at ties, probabilities within {PROBABILITY:g}, scores and values within {SPREAD:g} "
    f"of their standard deviation plus {RELATIVE:g} of themselves"
)

# What is as good as 0, among numbers about 1.
_NOTHING = 1e-6
# Values no larger than this are what is left of larger numbers that cancelled.
_ROUNDING = 1e-12
# From so many columns on an output is a map, a spectrum or a signal.
_MAP = 100
_NO_CHANCE = np.zeros(1, bool)


class Mismatch(NamedTuple):
    """One row where the two answers differ: its index, the output, and both answers."""

    row: int
    field: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.field} {_short(self.found)} instead of {_short(self.expected)}"


class Comparison(NamedTuple):
    """What came of comparing `rows` rows: one mismatch a wrong row, and how many labels were ties."""

    rows: int
    ties: int
    mismatches: list[Mismatch]


def spread(columns: NDArray[Any]) -> NDArray[Any]:
    """Return the standard deviation of each of the columns (n, k); of a map's at least that of the whole map.

    So many numbers are one quantity at many places, and where it hardly varies float32's roundings are as large.
    """
    each: NDArray[Any] = np.nanstd(columns, axis=0)
    return each if len(each) < _MAP else np.maximum(each, np.sqrt(np.nanmean(each**2)))


def limits(expected: Answers) -> dict[str, NDArray[Any]]:
    """Return how far each of the original's outputs may be missed, by field."""
    found: dict[str, NDArray[Any]] = {}
    if expected.probabilities is not None:
        found["probabilities"] = np.array(PROBABILITY)
    for name in ("values", "scores"):
        columns = getattr(expected, name)
        if columns is not None:
            nothing = _nothing(columns) if name == "values" else np.array(_NOTHING)
            found[name] = SPREAD * spread(columns) + RELATIVE * np.abs(columns) + nothing
    return found


def _nothing(values: NDArray[Any]) -> NDArray[Any]:
    """Return what is as good as 0 in each column of values (n, k), which may be in any unit.

    Where all of them are as small as float64's roundings of the others, nothing but those is there to compare.
    """
    largest = np.nanmax(np.abs(values), axis=0, initial=0)
    rounding = _ROUNDING * max(1, largest.max(initial=0))
    found: NDArray[Any] = _NOTHING * np.where(largest > rounding, np.minimum(largest, 1), 1)
    return found


def compare(
    expected: Answers,
    found: Answers,
    task: Task,
    chance: NDArray[np.bool_] = _NO_CHANCE,
    threshold: Threshold | None = None,
) -> Comparison:
    """Compare the answers to the same rows. A field that the exported model does not have is not compared.

    chance: which rows, shape (n,), the original itself answers by chance; they count as ties. threshold: what the
    model decides by, if not by its best column: a tie is where that lies between the two answers, or within float32's
    rounding of the original's.
    """
    allowed = limits(expected)
    ties = tied(expected, task, _judged(expected, found, allowed, threshold), threshold) | chance
    wrong: dict[int, Mismatch] = {}
    for field in ("label", "probabilities", "values", "scores"):
        got, want = getattr(found, field), getattr(expected, field)
        if got is None:
            continue
        if want is None or got.shape != want.shape:
            wrong[0] = Mismatch(0, f"the shape of {field}", np.shape(want), got.shape)
            continue
        if field == "label":
            bad = (got.astype(want.dtype) != want) & ~ties
        else:
            bad = ~(np.abs(got - want) <= allowed[field]) & ~(np.isnan(got) & np.isnan(want))
            bad = bad.any(axis=1) & ~chance
        for row in np.flatnonzero(bad).tolist():
            wrong.setdefault(row, Mismatch(row, field, want[row], got[row]))
    return Comparison(len(ties), int(ties.sum()), [wrong[row] for row in sorted(wrong)])


def _judged(
    expected: Answers, found: Answers, allowed: dict[str, NDArray[Any]], threshold: Threshold | None
) -> dict[str, NDArray[Any]]:
    """Return how far an output may be from another label and be no tie, by field."""
    if threshold is None:
        return allowed
    want, got = getattr(expected, threshold.field), getattr(found, threshold.field)
    if want is None or got is None or want.shape != got.shape:
        return allowed
    moved = np.abs(got - want)[:, [threshold.column]]
    return {threshold.field: moved + 2 * threshold.rounding}


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        cells = [f"{cell:.6g}" for cell in value[:6].tolist()]
        return f"[{', '.join(cells)}{', ...' if len(value) > 6 else ''}]"
    return repr(value.item() if isinstance(value, np.generic) else value)
