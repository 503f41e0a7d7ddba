"""Readings of several sources, each at its own times, as rows at common times. Rules only: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lineside_agent.sensors.sensor import Block

Method: TypeAlias = Literal["previous", "linear", "mean"]
Gap: TypeAlias = Literal["drop", "hold", "missing"]

_Times: TypeAlias = NDArray[np.int64]
_Values: TypeAlias = NDArray[np.float32]
_Mask: TypeAlias = NDArray[np.bool_]

_CHUNK = 4096  # ticks at once
_NEVER = -(2**62)


class Part(NamedTuple):
    """One source: how its value at a tick is found, and how many channels it has."""

    method: Method
    width: int


class Rules(NamedTuple):
    """rate: ticks a second, at whole multiples of its period since the epoch.

    A part covers a tick if it has a reading at most `max_gap_ns` before it (for `linear`: two, around it, at most so
    far apart). Ticks that no part covers give no row. Of those that not every part covers, `drop` gives no row,
    `hold` the part's last value, however old, and `missing` NaN.
    """

    rate: Fraction
    max_gap_ns: int
    gap: Gap


class Found(NamedTuple):
    """What a part says at some ticks: values (n, width), whether it covers them, whether it had spoken before."""

    values: _Values
    covers: _Mask
    known: _Mask


class Resampler:
    """Takes the readings of each part in, and gives the rows that they make."""

    def __init__(self, parts: Sequence[Part], rules: Rules) -> None:
        self._parts = parts
        self._rules = rules
        self._grid = Grid(rules.rate)
        self._times: list[_Times] = []
        self._values: list[_Values] = []
        self._newest: list[int] = []
        self._next: int | None = None  # the number of the tick that is due next
        self._restart()

    def newest(self, part: int) -> int:
        """Return the time of a part's newest reading; far in the past if there is none."""
        return self._newest[part]

    def ahead(self, part: int) -> int:
        """Return how many of a part's readings wait for the others."""
        return len(self._times[part])

    def push(self, part: int, block: Block) -> None:
        """Take readings of a part in.

        One that is not newer than the reading before it is left out. If all of time has gone back by more than
        `max_gap_ns`, a clock has been set: everything begins anew from there.
        """
        if not len(block.timestamps):
            return
        if int(block.timestamps[-1]) < self._newest[part] - self._rules.max_gap_ns:
            self._restart()
        before = np.maximum.accumulate(np.concatenate([[self._newest[part]], block.timestamps]))[:-1]
        newer = block.timestamps > before
        if newer.any():
            self._times[part] = np.concatenate([self._times[part], block.timestamps[newer]])
            self._values[part] = np.concatenate([self._values[part], block.values[newer]])
            self._newest[part] = int(self._times[part][-1])

    def take(self, awaited: Collection[int]) -> Block:
        """Return the rows up to the time that every awaited part, and at least one at all, has reached.

        Rows have the parts' channels side by side.
        """
        reached = min([max(self._newest), *(self._newest[part] for part in awaited)])
        rows = [self.nothing()]
        if reached > _NEVER:
            last = self._grid.last_until(reached)
            if self._next is None:
                self._next = self._grid.first_from(min(int(times[0]) for times in self._times if len(times)))
            while self._next <= last and not self._skip(last):
                numbers = range(self._next, min(last + 1, self._next + _CHUNK))
                rows.append(self._rows(numbers))
                self._next = numbers.stop
            self._forget()
        return Block(
            np.concatenate([row.timestamps for row in rows]), np.concatenate([row.values for row in rows])
        )

    def nothing(self) -> Block:
        """Return no rows."""
        width = sum(part.width for part in self._parts)
        return Block(np.empty(0, np.int64), np.empty((0, width), np.float32))

    def _restart(self) -> None:
        self._times = [np.empty(0, np.int64) for _ in self._parts]
        self._values = [np.empty((0, part.width), np.float32) for part in self._parts]
        self._newest = [_NEVER for _ in self._parts]
        self._next = None

    def _skip(self, last: int) -> bool:
        """Pass over the ticks that nobody covers, be they years; return whether none is left up to the last."""
        assert self._next is not None
        tick = self._grid.time(self._next)
        following = []
        for times in self._times:
            at = int(np.searchsorted(times, tick, "right"))
            if at and tick - int(times[at - 1]) <= self._rules.max_gap_ns:
                return False
            if at < len(times):
                following.append(int(times[at]))
        self._next = max(self._next, self._grid.first_from(min(following))) if following else last + 1
        return self._next > last

    def _rows(self, numbers: range) -> Block:
        ticks = self._grid.times(numbers)
        before = self._grid.time(numbers.start - 1)
        found = [
            _METHODS[part.method](times, values, ticks, _Span(before, self._rules.max_gap_ns))
            for part, times, values in zip(self._parts, self._times, self._values, strict=True)
        ]
        covered = np.array([each.covers for each in found])
        wanted = covered.any(axis=0)
        if self._rules.gap == "drop":
            wanted = covered.all(axis=0)
        elif self._rules.gap == "hold":
            wanted &= np.array([each.known for each in found]).all(axis=0)
        else:
            for each in found:
                each.values[~each.covers] = np.nan
        return Block(ticks[wanted], np.concatenate([each.values for each in found], axis=1)[wanted])

    def _forget(self) -> None:
        """Drop the readings that no later tick can need: those before the last one before the next tick."""
        assert self._next is not None
        done = self._grid.time(self._next - 1)
        for part, times in enumerate(self._times):
            keep = max(0, int(np.searchsorted(times, done, "right")) - 1)
            self._times[part] = times[keep:]
            self._values[part] = self._values[part][keep:]


class Grid:
    """Ticks by their numbers: number k is at k / rate seconds since the epoch, to the nanosecond, without drift."""

    def __init__(self, rate: Fraction) -> None:
        self._period = Fraction(10**9) / rate

    def time(self, number: int) -> int:
        """Return a tick's time in ns."""
        return number * self._period.numerator // self._period.denominator

    def times(self, numbers: range) -> _Times:
        """Return the times of ticks that follow each other: int64 ns."""
        # From the first one on, as the product of a number since 1970 would not fit.
        whole, rest = divmod(numbers.start * self._period.numerator, self._period.denominator)
        steps = np.arange(len(numbers), dtype=np.int64) * self._period.numerator + rest
        return whole + steps // self._period.denominator

    def last_until(self, time: int) -> int:
        """Return the number of the last tick at or before a time."""
        # time(k) is rounded down: it is at most `time` as long as the exact one is less than `time` + 1.
        return -((-(time + 1) * self._period.denominator) // self._period.numerator) - 1

    def first_from(self, time: int) -> int:
        """Return the number of the first tick at or after a time."""
        return self.last_until(time - 1) + 1


class _Span(NamedTuple):
    """The tick before the first one, and how long a reading counts."""

    before: int
    max_gap_ns: int


def _previous(times: _Times, values: _Values, ticks: _Times, span: _Span) -> Found:
    """The last reading at or before the tick."""
    if not len(times):
        none = np.zeros(len(ticks), bool)
        return Found(np.zeros((len(ticks), values.shape[1]), np.float32), none, none)
    at = np.searchsorted(times, ticks, "right") - 1
    known = at >= 0
    at = np.maximum(at, 0)
    return Found(values[at], known & (ticks - times[at] <= span.max_gap_ns), known)


def _linear(times: _Times, values: _Values, ticks: _Times, span: _Span) -> Found:
    """On the straight line between the readings around the tick."""
    found = _previous(times, values, ticks, span)
    if not len(times):
        return found
    before = np.maximum(np.searchsorted(times, ticks, "right") - 1, 0)
    after = np.searchsorted(times, ticks, "left")
    between = after < len(times)
    after = np.minimum(after, len(times) - 1)
    apart = times[after] - times[before]
    share = ((ticks - times[before]) / np.maximum(apart, 1)).astype(np.float32)[:, None]
    covers = found.known & between & (apart <= span.max_gap_ns)
    line = (values[before] * (1 - share) + values[after] * share).astype(np.float32)
    return Found(np.where(covers[:, None], line, found.values), covers, found.known)


def _mean(times: _Times, values: _Values, ticks: _Times, span: _Span) -> Found:
    """The mean of the readings since the tick before; of none, the last one before."""
    found = _previous(times, values, ticks, span)
    if not len(times):
        return found
    starts = np.concatenate([[span.before], ticks[:-1]])
    first, end = np.searchsorted(times, starts, "right"), np.searchsorted(times, ticks, "right")
    count = end - first
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    means = ((sums[end] - sums[first]) / np.maximum(count, 1)[:, None]).astype(np.float32)
    return found._replace(values=np.where(count[:, None] > 0, means, found.values))


_METHODS: dict[Method, Callable[[_Times, _Values, _Times, _Span], Found]] = {
    "previous": _previous,
    "linear": _linear,
    "mean": _mean,
}
