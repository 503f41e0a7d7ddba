"""Make tables of an encoder by asking it: scikit-learn itself says what every value becomes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lineside_export.columns.decode import unseen
from lineside_export.columns.lookup import Column, LookUp

# Rows of several columns with which columns that were asked one by one are checked together.
_TOGETHER = 200
_Refused: TypeAlias = set[Literal["unknown", "missing"]]
_Rows: TypeAlias = NDArray[Any]


class Source(NamedTuple):
    """What a column may hold: a text or number for each key that the device gives (float32)."""

    values: Sequence[Any]
    keys: NDArray[np.float32]

    @property
    def text(self) -> bool:
        """Whether it is text."""
        return any(isinstance(value, str) for value in self.values)


class Tabulated(NamedTuple):
    """What does an encoder's work with tables, and by column which values it has no one answer to."""

    step: Any
    refuses: list[_Refused]


def tabulate(step: Any, sources: Sequence[Source], *, flat: bool = False) -> Tabulated | None:
    """Return what a fitted transformer does as tables, or None if an output depends on several columns at once.

    `flat`: it takes one column as (n,), as those of texts do. What it raises on, and what it answers differently from
    one unknown value to another, is refused; unknown numbers that are answered differently make it None, too.
    """
    first = np.array([[source.values[0] for source in sources]], object)
    one = ask(step, first, flat=flat)
    if one is None:
        return None
    answers = [_Asked(step, first, column, source, flat) for column, source in enumerate(sources)]
    if any(
        asked.rows is None or (not source.text and "unknown" in asked.refuses)
        for asked, source in zip(answers, sources, strict=True)
    ):
        return None
    columns, taken = [], np.zeros(one.shape[1], bool)
    for asked, source in zip(answers, sources, strict=True):
        rows = asked.rows
        assert rows is not None
        moved = _differ(rows, rows[:1]).any(axis=0)
        if (moved & taken).any():
            return None
        taken |= moved
        columns.append(Column(source.keys, rows, np.flatnonzero(moved)))
    # What depends on nothing is the first column's.
    places = np.flatnonzero(np.isin(np.arange(len(taken)), columns[0].places) | ~taken)
    columns[0] = columns[0]._replace(places=places)
    lookup = LookUp([column._replace(rows=column.rows[:, column.places]) for column in columns])
    if len(sources) > 1 and not _agrees(step, lookup, sources):
        return None
    return Tabulated(lookup, [asked.refuses for asked in answers])


class _Asked:
    """What a step answers to each value of one column, the others staying as they are.

    rows: (values + 2, outputs), the first for unknown values, the last for missing ones; None if the step does not
    take the values themselves.
    """

    def __init__(self, step: Any, first: _Rows, column: int, source: Source, flat: bool) -> None:
        def each(values: Sequence[Any]) -> NDArray[np.float64] | None:
            rows = np.repeat(first, len(values), axis=0)
            rows[:, column] = values
            return ask(step, rows, flat=flat)

        known = each(source.values)
        missing, unknown = each([np.nan]), each(list(_strangers(source)))
        self.refuses: _Refused = set()
        if missing is None:
            self.refuses.add("missing")
        if unknown is None or _differ(unknown, unknown[:1]).any():
            self.refuses.add("unknown")
            unknown = None
        self.rows: NDArray[np.float64] | None = None
        if known is not None:
            # What is refused never comes; some row has to stand there.
            ends = [known[:1] if end is None else end[:1] for end in (unknown, missing)]
            self.rows = np.concatenate([ends[0], known, ends[1]])


def _differ(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell where numbers are not the same; NaN, which encoders give, is the same as NaN."""
    differing: NDArray[np.bool_] = (some != others) & ~(np.isnan(some) & np.isnan(others))
    return differing


def _strangers(source: Source) -> Iterator[Any]:
    """Yield values that are none of the column's own, some of them close."""
    values = source.values
    if not source.text:
        numbers = np.asarray(values, np.float64)
        tried = [numbers.min() - 1.0, numbers.max() + 1.0, numbers.max() + 1e6, *(numbers[:20] + 0.25)]
        yield from (value for value in tried if value not in values)
        return
    yield unseen(values)
    for text in list(values)[:20]:
        yield from (
            each for each in (f"{text} x", f"{text}x", text.lower(), text.upper()) if each not in values
        )


def _agrees(step: Any, lookup: LookUp, sources: Sequence[Source]) -> bool:
    generator = np.random.default_rng(0)
    chosen = [generator.integers(len(source.values), size=_TOGETHER) for source in sources]
    rows = np.empty((_TOGETHER, len(sources)), object)
    keys = np.empty(rows.shape)
    for column, (source, at) in enumerate(zip(sources, chosen, strict=True)):
        rows[:, column] = [source.values[index] for index in at]
        keys[:, column] = source.keys[at]
    expected = ask(step, rows)
    return expected is not None and bool(np.array_equal(lookup.transform(keys), expected, equal_nan=True))


def ask(step: Any, rows: _Rows, *, flat: bool = False) -> NDArray[np.float64] | None:
    """Let a step transform rows; None if it does not take them, or answers no numbers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a category is unknown, and that columns have no names
            found = step.transform(rows[:, 0] if flat else rows)
            dense = found.toarray() if hasattr(found, "toarray") else found
            return np.asarray(dense, np.float64).reshape(len(rows), -1)
    except Exception:  # whatever an encoder raises on what it does not know
        return None
