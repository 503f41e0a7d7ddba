"""Sets of sequence numbers, kept as closed ranges: what was committed, what is missing, what was dropped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator


class SeqRanges:
    """A set of non-negative integers as sorted, disjoint, never adjacent closed ranges.

    Adding at the end, which is what a sequence does, takes constant time.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SeqRanges):
            return NotImplemented
        return self._firsts == other._firsts and self._lasts == other._lasts

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"SeqRanges({list(self)})"

    def __contains__(self, seq: int) -> bool:
        return self.covers(seq, seq)

    @property
    def count(self) -> int:
        """How many numbers are in the set."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    @property
    def end(self) -> int:
        """One past the largest number, or 0 when empty."""
        return self._lasts[-1] + 1 if self._lasts else 0

    def add(self, first: int, last: int) -> None:
        """Add every number from `first` to `last`, both included. Raises ValueError if that is no range."""
        if not 0 <= first <= last:
            raise ValueError(f"{first} to {last} is not a range of sequence numbers")
        if self._lasts and first == self._lasts[-1] + 1:
            self._lasts[-1] = last
            return
        # The ranges from `low` up to, not including, `high` touch or overlap the new one.
        low = bisect_left(self._lasts, first - 1)
        high = bisect_left(self._firsts, last + 2, lo=low)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def update(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Add several ranges."""
        for first, last in ranges:
            self.add(first, last)

    def covers(self, first: int, last: int) -> bool:
        """Tell whether every number from `first` to `last` is in the set."""
        at = bisect_left(self._lasts, first)
        return at < len(self._firsts) and self._firsts[at] <= first and last <= self._lasts[at]

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the ranges between `first` and `last`, both included, that are not in the set."""
        gaps = []
        at = bisect_left(self._lasts, first)
        while first <= last and at < len(self._firsts) and self._firsts[at] <= last:
            if first < self._firsts[at]:
                gaps.append((first, self._firsts[at] - 1))
            first = self._lasts[at] + 1
            at += 1
        if first <= last:
            gaps.append((first, last))
        return gaps

    def covered(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return the ranges between `first` and `last`, both included, that are in the set."""
        at = bisect_left(self._lasts, first)
        found = []
        while at < len(self._firsts) and self._firsts[at] <= last:
            found.append((max(first, self._firsts[at]), min(last, self._lasts[at])))
            at += 1
        return found
