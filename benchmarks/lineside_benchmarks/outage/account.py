"""What became of every reading: lost, repeated, late, out of order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from msgspec import Struct

from lineside_benchmarks.table import percentile

# A reading so shortly before a program was killed may have been in its hands: it counts for nobody.
GRACE_MS = 300.0
# What is given so soon after a program came back may still be a part of its coming back.
_SETTLED_MS = 500.0


class Arrival(NamedTuple):
    """A row in the database behind the broker: the reading's number, and when it was received (Unix ms)."""

    number: int
    at_ms: float


class Given(NamedTuple):
    """What the sensor gave: Unix milliseconds by number, and which of these the program did not take."""

    at_ms: dict[int, float]
    refused: set[int]


class Outcome(Struct, frozen=True, kw_only=True):
    """One program's account. Times in seconds; None where there is nothing to time.

    lost: never arrived; not_read: those of them that the program did not even take from the sensor. repeated: rows
    beyond the first of a reading. out_of_order: readings that arrived after a later one had. latest_s: the longest
    way of any reading. live_s: of 95 % of the readings made after the program had come back; drain_s: from the last
    fault's end until everything made before its return had arrived.
    """

    given: int
    arrived: int
    lost: int
    not_read: int
    repeated: int
    out_of_order: int
    latest_s: float | None
    live_s: float | None
    drain_s: float | None


def account(
    given: Given, arrivals: Sequence[Arrival], killed_ms: Sequence[float], mended_ms: float
) -> Outcome:
    """Hold what was given against what arrived.

    killed_ms: when the program was killed on purpose; mended_ms: when the last fault ended. All in Unix ms.
    """
    first: dict[int, float] = {}
    for number, at_ms in sorted(arrivals, key=attrgetter("at_ms")):
        first.setdefault(number, at_ms)
    counted = [
        number
        for number, at in given.at_ms.items()
        if not any(0 <= killed - at < GRACE_MS for killed in killed_ms)
    ]
    there = [number for number in counted if number in first]
    lost = [number for number in counted if number not in first]
    waits = {number: first[number] - given.at_ms[number] for number in there}
    back_ms = min((at for number, at in first.items() if at >= mended_ms), default=None)
    late = live = None
    if back_ms is not None:
        old = [first[number] for number in there if given.at_ms[number] < back_ms]
        late = max(0.0, max(old, default=mended_ms) - mended_ms)
        fresh = [waits[number] for number in there if given.at_ms[number] > back_ms + _SETTLED_MS]
        live = percentile(fresh, 0.95) if fresh else None
    return Outcome(
        given=len(counted),
        arrived=len(there),
        lost=len(lost),
        not_read=sum(number in given.refused for number in lost),
        repeated=len(arrivals) - len(first),
        out_of_order=_out_of_order(first),
        latest_s=_seconds(max(waits.values(), default=None)),
        live_s=_seconds(live),
        drain_s=_seconds(late),
    )


def _out_of_order(first: dict[int, float]) -> int:
    """Count readings before which a later one had arrived, an instant (a millisecond) earlier or more."""
    highest, count = -1, 0
    for _, group in groupby(sorted(first, key=first.__getitem__), key=first.__getitem__):
        numbers = list(group)
        count += sum(number < highest for number in numbers)
        highest = max(highest, *numbers)
    return count


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
